"""Mixing of words: numbers from which what they were made of cannot be inferred."""

import jax
import jax.numpy as jnp


def mixed(words: jax.Array) -> jax.Array:
    """The last steps of MurmurHash3: every bit of a word moves every bit of the result.

    Args:
        words: uint32, any shape.

    Returns:
        The same shape and type; other words have other results.

    >>> int(mixed(jnp.uint32(0))), int(mixed(jnp.uint32(1)))
    (0, 1364076727)
    """
    words = (words ^ (words >> 16)) * jnp.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * jnp.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
