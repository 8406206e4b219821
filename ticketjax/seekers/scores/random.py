"""Random pruning: the baseline that any score has to beat."""

import itertools

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.problem import Problem


def random(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Independent N(0, 1) scores, whatever the network.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params.

    Source: the baseline of Fischer and Burkholz 2022, arXiv 2111.11153, section 3.
    """
    del problem, mask
    leaves, structure = jax.tree.flatten(params)
    # One draw for all: a draw per array would take most of the program's compilation.
    flat = jax.random.normal(key, (sum(leaf.size for leaf in leaves),), jnp.float32)
    *ends, _ = itertools.accumulate(leaf.size for leaf in leaves)
    parts = jnp.split(flat, ends)
    scores = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, scores)
