"""SNIP: connection sensitivity."""

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem


def snip(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |dL/dm| = |theta * dL/dtheta|, the loss's sensitivity to each mask entry.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params.

    Source: Lee, Ajanthan and Torr 2019, arXiv 1810.02340, equations 5 and 6 (without their
    normalisation by the sum, which changes no ranking).
    """
    del key
    kept = apply_mask(params, mask)
    gradients = jax.grad(problem.descent_loss)(kept)
    return jax.tree.map(lambda p, g: jnp.abs(p * g), kept, gradients)
