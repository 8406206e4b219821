"""Mixing of 32-bit words, so that the results show no pattern of the words."""

import jax
import jax.numpy as jnp


def mixed(words: jax.Array) -> jax.Array:
    """The last steps of MurmurHash3: every bit of a word affects every bit of the result.

    Args:
        words: uint32, any shape.

    Returns:
        The same shape and type; different words have different results.

    >>> int(mixed(jnp.uint32(0))), int(mixed(jnp.uint32(1)))
    (0, 1364076727)
    """
    words = (words ^ (words >> 16)) * jnp.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * jnp.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
