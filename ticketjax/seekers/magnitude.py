"""Magnitude pruning."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Problem


def magnitude(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Score |theta|. Lifted by multishot it is iterative magnitude pruning.

    Source: Frankle and Carbin 2019, arXiv 1803.03635.
    """
    del key, problem, mask
    return jax.tree.map(jnp.abs, params)
