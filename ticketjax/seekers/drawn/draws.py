"""The best of many masks drawn at random, one after the other: what seekers of draws share."""

import abc
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.checkpoints import as_info, marks, no_checkpoints, with_checkpoint
from ticketjax.selection import Scope, check_scope


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


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class DrawnSeeker(Options, abc.ABC):
    """A seeker that draws scores at random, and returns the best of the masks that they select.

    Args:
        draws: how many; each costs one pass over the training data, without gradients.
        scope: as in problem.select().
        objective: by which the best is chosen, "rescaled" or "raw". The problem's own overrides it.
    """

    draws: int = option(100, least=1)
    scope: Scope = option("global", free=True)
    objective: str = option("rescaled", choices=OBJECTIVES)

    def check(self) -> None:
        """Refuse a scope that is none."""
        check_scope(self.scope)

    @abc.abstractmethod
    def scores(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Tree:
        """The scores of one draw, a tree like the problem's params."""

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density = resolve_density(problem, density)
        problem = problem.by_default(self.objective)

        def draw(key: jax.Array) -> tuple[Tree, Tree]:
            scores = self.scores(key, problem, density)
            return problem.select(scores, density, self.scope), scores

        return best_of_draws(draw, key, problem, self.draws)
