"""A ticket's parameter tree from its layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ticketjax.base import Params


def parameters(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Params:
    """A ticket's parameter tree {"layer_0": {"kernel", "bias"}, ...}.

    Args:
        layers: (kernel, bias) of every layer from input to output, (n_in, n_out) and (n_out,).

    Returns:
        float32 NumPy arrays, so that a ticket is a constant in every program; functions that accept
        JAX arrays accept them too.
    """
    tree: dict[str, Any] = {
        f"layer_{index}": {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        for index, (kernel, bias) in enumerate(layers)
    }
    return tree
