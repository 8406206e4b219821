"""The best of many networks of random paths: what any search for a strong ticket has to beat."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.problem import Problem
from ticketjax.seekers.drawn.draws import DrawnSeeker
from ticketjax.seekers.drawn.filling import fill, paths_at_once
from ticketjax.seekers.drawn.walks import draw_walks, parts_of, sizes_of, split, unread
from ticketjax.selection import budgets_of


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class RandomPaths(DrawnSeeker):
    """A baseline that draws networks of complete random paths and returns the best one.

    A draw adds complete paths from an input to an output, one after the other, until one does not
    fit into the budget. Every neuron along a path is drawn uniformly; every prunable bias of its
    neurons is added with probability 1/2. Where several layers write to one space of neurons, as
    residual branches do, a path passes through each with equal probability. The path that does not
    fit is added with only some of its biases if all its weights fit, and not at all otherwise.

    The rest of the budget goes to random parameters of neurons that no kept weight reads, which
    change nothing; if there are too few, to any others. At most about as many paths are drawn as
    there are prunable parameters (or 128, if that is more). They cover a share of about 1 - 1/e of
    the largest kernel or more; the rest of higher densities is random too.

    The best draw has the lowest loss of mask * initial parameters on the training data; among
    equals it is the first. Found.scores rank the parameters as the best draw's selection did: above
    2 those of its paths, above 1 those that change nothing, above 0 the others. Found.info has
    draw_losses, float32, the least loss after 1, 2, 4, 8, ... draws, and after all.

    Args:
        draws: number of networks; each costs one pass over the training data, without gradients.
        scope: as in problem.select(). With budgets per layer, paths end when one layer is full.
        objective: decides which one is best, "rescaled" or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range.

    Source: this project. ReLU's ticket is one path, and a few random complete paths suffice.

    >>> RandomPaths(draws=10)
    RandomPaths(draws=10)
    """

    name: ClassVar[str] = "random_paths"

    def scores(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Tree:
        """Scores of which the highest are those of complete random paths, as far as these fit."""
        seen, parts = problem.view(problem.params), parts_of(problem)
        sizes = sizes_of(seen, problem.prune_bias)
        size = sum(sizes)
        budgets = jnp.stack(
            [jnp.asarray(k, jnp.int32) for k in budgets_of(density, sizes, self.scope)]
        )
        count = paths_at_once(size)
        walk_key, rest_key = jax.random.split(key)
        filled = fill(
            lambda block: draw_walks(jax.random.fold_in(walk_key, block), parts, size, count),
            size,
            count,
            budgets,
        )
        kept, partly = filled.kept[:size], filled.partly[:size]
        level = jnp.where(kept, 3, jnp.where(partly, 2, jnp.where(unread(kept, parts), 1, 0)))
        ranks = level + jax.random.uniform(rest_key, (size,), jnp.float32)
        scores = split(ranks, seen, problem.prune_bias, rest=0.0)
        return problem.restore(scores, jax.tree.map(jnp.zeros_like, problem.params))
