"""Calls of a function of NumPy arrays from a compiled program, which cannot block each other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# JAX copies a callback's arguments on the threads that also run callbacks, but those below 100 KiB
# at once. With larger ones, as many callbacks as threads wait for each other forever
# (https://github.com/jax-ml/jax/issues/24255).
MOST_BYTES = 64 * 1024


def _in_pieces(array: jax.Array) -> list[jax.Array]:
    flat = array.ravel()
    length = MOST_BYTES // array.dtype.itemsize
    return [flat[i : i + length] for i in range(0, flat.size, length)]


def call_on_host(function: Callable[..., Any], results: Any, *arrays: jax.Array | int) -> Any:
    """What a function gives for arrays on the host.

    Args:
        function: of NumPy arrays; pure.
        results: jax.ShapeDtypeStructs of what it returns.
        arrays: its arguments.

    Returns:
        Arrays, as `results` tells. Under vmap, one call follows the other.
    """
    given = [jnp.asarray(array) for array in arrays]

    def joined(*pieces: list[jax.Array]) -> Any:
        whole = [np.concatenate([np.asarray(piece) for piece in each]) for each in pieces]
        shaped = [each.reshape(array.shape) for each, array in zip(whole, given, strict=True)]
        return function(*(each[()] for each in shaped))

    return jax.pure_callback(
        joined, results, *(_in_pieces(array) for array in given), vmap_method="sequential"
    )
