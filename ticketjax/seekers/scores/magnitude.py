"""Magnitude pruning."""

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.problem import Problem


def magnitude(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta|. With Multishot it is iterative magnitude pruning.

    At initialisation, in a single shot, it is a baseline.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params.

    Source: Frankle and Carbin 2019, arXiv 1803.03635, section 2.
    Published: of trained weights, layer by layer or globally, some 20% of them a round.
    Departures: biases are ranked with the weights where they are prunable; the rounds are those of
        Multishot.
    """
    del key, problem, mask
    return jax.tree.map(jnp.abs, params)
