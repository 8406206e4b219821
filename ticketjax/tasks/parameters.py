"""A ticket's parameter tree from its layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ticketjax.base import Params


def parameters(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Params:
    """{"layer_0": {"kernel", "bias"}, ...}, float32, of (kernel, bias) from input to output.

    NumPy, so that a ticket is a constant in every program; whatever takes a JAX array takes it.
    """
    tree: dict[str, Any] = {
        f"layer_{index}": {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        for index, (kernel, bias) in enumerate(layers)
    }
    return tree
