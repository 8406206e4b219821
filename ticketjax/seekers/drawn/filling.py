"""Filling a budget with whole paths, in their order, up to the first one that does not fit."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.seekers.drawn.walks import Walks

# A mask is filled with this many paths at once, or with a 64th of the parameters if that is more,
# and with that many blocks at most: at the highest densities, the last missing weights would take
# ever more paths.
PATHS_AT_ONCE, LARGEST_BLOCKS = 128, 64


class Filled(NamedTuple):
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


def paths_at_once(size: int) -> int:
    """How many paths a block has, where there are so many parameters."""
    return max(PATHS_AT_ONCE, -(-size // LARGEST_BLOCKS))


def _add(walks: Walks, filled: Filled, budgets: jax.Array) -> Filled:
    """Add a block of paths, up to the first one that exceeds a budget."""
    size = filled.kept.size - 1
    layers, count = walks.weights.shape
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
    per_number = added.transpose(2, 0, 1).reshape(2 * count, layers).astype(jnp.int32)
    if budgets.size == 1:
        per_number = jnp.sum(per_number, axis=1, keepdims=True, dtype=jnp.int32)
    spent = filled.spent[None] + jnp.cumsum(per_number, axis=0, dtype=jnp.int32)
    exceeds = jnp.any(spent > budgets[None], axis=1)
    end = jnp.where(jnp.any(exceeds), jnp.argmax(exceeds), 2 * count)
    fits = jnp.arange(2 * count)[:, None] < end
    return Filled(
        kept=filled.kept | (first < end),
        partly=~filled.kept & (first == end) & (end % 2 == 1),
        spent=filled.spent + jnp.sum(jnp.where(fits, per_number, 0), axis=0, dtype=jnp.int32),
        block=filled.block + 1,
        full=end < 2 * count,
    )


def fill(draw: Callable[[jax.Array], Walks], size: int, count: int, budgets: jax.Array) -> Filled:
    """Add paths until one does not fit, or about as many are drawn as there are parameters.

    Args:
        draw: (number of the block) -> `count` paths.
        size: number of parameters.
        count: as paths_at_once() gives it.
        budgets: (1,) or (layers,) int32, how many parameters may be kept.

    Returns:
        What is filled.
    """
    nothing = jnp.zeros(size + 1, bool).at[size].set(True)
    return jax.lax.while_loop(
        lambda filled: ~filled.full & (filled.block * count < size),
        lambda filled: _add(draw(filled.block), filled, budgets),
        Filled(nothing, nothing, jnp.zeros_like(budgets), jnp.int32(0), jnp.bool(False)),
    )
