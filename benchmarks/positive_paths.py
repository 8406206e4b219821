"""Paths of a dense network on which all weights are positive: each computes max(x, 0)."""

from collections.abc import Sequence

import numpy as np


def count_paths(kernels: Sequence[np.ndarray]) -> int:
    """Paths from the input to the output on which all weights are positive.

    Args:
        kernels: (in, out) each; the first has one input and the last one output.
    """
    paths = np.ones((1, len(kernels[0])), object)
    for kernel in kernels:
        paths = paths @ (kernel > 0).astype(object)
    return int(paths.sum())
