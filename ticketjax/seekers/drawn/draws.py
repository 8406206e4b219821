"""The best of many masks drawn at random, one after the other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem


def marks(draws: int) -> list[int]:
    """After how many draws the best loss is told: 1, 2, 4, 8, ..., and after all.

    >>> marks(10), marks(8)
    ([1, 2, 4, 8, 10], [1, 2, 4, 8])
    """
    doublings = (draws - 1).bit_length()
    return [2**i for i in range(doublings)] + [draws]


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
        worst. info has draw_losses, (len(marks(draws)),) float32, the least loss after that many
        draws.
    """

    def step(best: tuple, number: jax.Array) -> tuple[tuple, jax.Array]:
        mask, scores = draw(jax.random.fold_in(key, number))
        loss = problem.loss(apply_mask(problem.params, mask))
        loss = jnp.where(jnp.isnan(loss), jnp.inf, loss)
        # The first one counts even if its loss is infinite.
        better = (loss < best[0]) | (number == 0)
        new = (loss, mask, scores)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)
        return best, best[0]

    nothing = [
        jax.tree.map(lambda p, dtype=dtype: jnp.zeros(p.shape, dtype), problem.params)
        for dtype in (bool, jnp.float32)
    ]
    start = (jnp.float32(jnp.inf), *nothing)
    (_, mask, scores), least = jax.lax.scan(step, start, jnp.arange(draws, dtype=jnp.int32))
    return Found(mask, scores, {"draw_losses": least[jnp.array(marks(draws)) - 1]})
