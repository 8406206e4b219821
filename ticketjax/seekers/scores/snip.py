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

    Source: Lee, Ajanthan and Torr 2019, arXiv 1810.02340, equation 6.
    Published: once, on one batch of 100 (MNIST) or 128 (CIFAR-10) samples, the raw loss; weights
        and biases ranked together.
    Departures: no division by the sum of all scores, which changes no ranking; 40 samples unless
        told otherwise, see Singleshot.
    """
    del key
    kept = apply_mask(params, mask)
    gradients = jax.grad(problem.descent_loss)(kept)
    return jax.tree.map(lambda p, g: jnp.abs(p * g), kept, gradients)
