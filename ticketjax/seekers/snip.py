"""SNIP: connection sensitivity."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Problem
from ticketjax.masks import apply_mask
from ticketjax.objective import problem_loss


def snip(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Score |dL/dm| = |theta * dL/dtheta|, the loss's sensitivity to each mask entry.

    Source: Lee, Ajanthan and Torr 2019, arXiv 1810.02340, equations 5 and 6 (without their
    normalisation by the sum, which changes no ranking).
    """
    del key
    kept = apply_mask(params, mask)
    gradients = jax.grad(lambda p: problem_loss(problem, p))(kept)
    return jax.tree.map(lambda p, g: jnp.abs(p * g), kept, gradients)
