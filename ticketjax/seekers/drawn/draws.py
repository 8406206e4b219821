"""The best of many masks drawn at random, one after the other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem
from ticketjax.seekers.checkpoints import as_info, marks, no_checkpoints, with_checkpoint


def best_of_draws(
    draw: Callable[[jax.Array], tuple[Tree, Tree]], key: jax.Array, problem: Problem, draws: int
) -> Found:
    """The drawn mask with the least loss on the training data. Pure.

    Draw i has the key fold_in(key, i), so that fewer draws are the first ones of more. Never more
    than two masks are in memory.

    Args:
        draw: (key) -> mask, scores; trees like the problem's params.
        key: decides the draws.
        problem: whose objective is the loss.
        draws: how many, at least 1.

    Returns:
        The mask and its scores. Among equals it is the first, and a loss that is no number is the
        worst. info has draw_losses, float32, the least loss after 1, 2, 4, 8, ... draws and after
        all, and the masks of these, see checkpoints.as_info().
    """

    def step(carry: tuple, number: jax.Array) -> tuple[tuple, jax.Array]:
        best, checkpoints = carry
        mask, scores = draw(jax.random.fold_in(key, number))
        loss = problem.loss(apply_mask(problem.params, mask))
        loss = jnp.where(jnp.isnan(loss), jnp.inf, loss)
        # The first one counts even if its loss is infinite.
        better = (loss < best[0]) | (number == 0)
        new = (loss, mask, scores)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)
        checkpoints = with_checkpoint(checkpoints, number + 1, draws, lambda: best[1])
        return (best, checkpoints), best[0]

    nothing = [
        jax.tree.map(lambda p, dtype=dtype: jnp.zeros(p.shape, dtype), problem.params)
        for dtype in (bool, jnp.float32)
    ]
    start = (jnp.float32(jnp.inf), *nothing), no_checkpoints(problem.params, draws)
    ((_, mask, scores), checkpoints), least = jax.lax.scan(
        step, start, jnp.arange(draws, dtype=jnp.int32)
    )
    losses = least[jnp.array(marks(draws)) - 1]
    return Found(mask, scores, {"draw_losses": losses, **as_info(checkpoints, draws)})
