"""The best of many networks of random paths: what any search for a strong ticket has to beat."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.masks import budgets_of
from ticketjax.problem import Problem
from ticketjax.seekers.drawn.draws import DrawnSeeker
from ticketjax.seekers.drawn.walks import Part, draw_walks, parts_of, sizes_of, split, unread

# A mask is filled with this many paths at once, or with a 64th of the parameters if that is more,
# and with that many blocks at most: at the highest densities, the last missing weights would take
# ever more paths.
PATHS_AT_ONCE, LARGEST_BLOCKS = 128, 64


class _Filled(NamedTuple):
    """How far a mask is filled.

    Args:
        kept: (parameters + 1,) bool; the last entry stands for no parameter.
        partly: the biases of the first path that comes with some of its biases only; like kept.
        spent: (budgets,) int32, how much of each budget is used.
        block: number of the next block of paths.
        full: whether no path is to be added any more.
    """

    kept: jax.Array
    partly: jax.Array
    spent: jax.Array
    block: jax.Array
    full: jax.Array


def _add(
    key: jax.Array, filled: _Filled, parts: list[Part], budgets: jax.Array, count: int
) -> _Filled:
    """Add a block of paths, up to the first one that exceeds a budget."""
    size = filled.kept.size - 1
    walks = draw_walks(jax.random.fold_in(key, filled.block), parts, size, count)
    # In the order of numbers: the weights of path 0, its biases, the weights of path 1, ...
    numbers = jnp.arange(2 * count, dtype=jnp.int32).reshape(count, 2).T
    first = jnp.full(size + 1, 2 * count, jnp.int32)
    for where, number in zip(walks, numbers, strict=True):
        first = first.at[where].min(jnp.broadcast_to(number, where.shape))
    # What a path adds of every layer: what it is the first one to run through.
    added = jnp.stack(
        [
            (first[where] == number[None]) & ~filled.kept[where]
            for where, number in zip(walks, numbers, strict=True)
        ]
    )
    per_number = added.transpose(2, 0, 1).reshape(2 * count, len(parts)).astype(jnp.int32)
    if budgets.size == 1:
        per_number = jnp.sum(per_number, axis=1, keepdims=True, dtype=jnp.int32)
    spent = filled.spent[None] + jnp.cumsum(per_number, axis=0, dtype=jnp.int32)
    exceeds = jnp.any(spent > budgets[None], axis=1)
    end = jnp.where(jnp.any(exceeds), jnp.argmax(exceeds), 2 * count)
    fits = jnp.arange(2 * count)[:, None] < end
    return _Filled(
        kept=filled.kept | (first < end),
        partly=~filled.kept & (first == end) & (end % 2 == 1),
        spent=filled.spent + jnp.sum(jnp.where(fits, per_number, 0), axis=0, dtype=jnp.int32),
        block=filled.block + 1,
        full=end < 2 * count,
    )


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
        count = max(PATHS_AT_ONCE, -(-size // LARGEST_BLOCKS))
        walk_key, rest_key = jax.random.split(key)
        nothing = jnp.zeros(size + 1, bool).at[size].set(True)
        filled = jax.lax.while_loop(
            lambda filled: ~filled.full & (filled.block * count < size),
            lambda filled: _add(walk_key, filled, parts, budgets, count),
            _Filled(nothing, nothing, jnp.zeros_like(budgets), jnp.int32(0), jnp.bool(False)),
        )
        kept, partly = filled.kept[:size], filled.partly[:size]
        level = jnp.where(kept, 3, jnp.where(partly, 2, jnp.where(unread(kept, parts), 1, 0)))
        ranks = level + jax.random.uniform(rest_key, (size,), jnp.float32)
        scores = split(ranks, seen, problem.prune_bias, rest=0.0)
        return problem.restore(scores, jax.tree.map(jnp.zeros_like, problem.params))
