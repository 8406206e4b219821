"""Random pruning: the baseline that any score has to beat."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ticketjax.base import Params, Problem


def random(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Independent N(0, 1) scores, whatever the network."""
    del problem, mask
    # One draw for all: a draw per array would take most of the program's compilation.
    flat, restore = ravel_pytree(params)
    return restore(jax.random.normal(key, flat.shape, jnp.float32))
