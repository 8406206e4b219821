"""The least of many values, where some are NaN."""

import jax
import jax.numpy as jnp


def least(values: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` smallest of each row and where they are, in ascending order.

    Args:
        values: (..., n). NaN, as where a change overflows, counts as infinite: otherwise it would
            come first.
        count: how many, at most n.

    Returns:
        The values and their indices, both (..., count).
    """
    values = jnp.where(jnp.isnan(values), jnp.inf, values)
    if count > 1:
        negative, index = jax.lax.top_k(-values, count)
        return -negative, index
    index = jnp.argmin(values, axis=-1, keepdims=True)
    return jnp.take_along_axis(values, index, -1), index
