"""Anytime curves: the masks that a search would return if it ended after 1, 2, 4, 8, ... rounds."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ticketjax.base import Tree

MASKS, ROUNDS = "checkpoints", "checkpoint_rounds"


def marks(rounds: int) -> list[int]:
    """After how many rounds a search is looked at: 1, 2, 4, 8, ..., and after all.

    >>> marks(10), marks(8)
    ([1, 2, 4, 8, 10], [1, 2, 4, 8])
    """
    doublings = (rounds - 1).bit_length()
    return [2**i for i in range(doublings)] + [rounds] if rounds else []


def no_checkpoints(mask: Tree, rounds: int) -> Tree:
    """Room for the masks of all marks: zeros, (marks, ...) in every leaf, bool.

    Args:
        mask: of which only the shapes are used.
        rounds: of the search.
    """
    count = len(marks(rounds))
    return jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), bool), mask)


def with_checkpoint(
    masks: Tree, round_: jax.Array, rounds: int, mask_now: Callable[[], Tree]
) -> Tree:
    """The masks with the one of this round, if it is a mark.

    Args:
        masks: as no_checkpoints() makes them.
        round_: () int32, from 1 to rounds.
        rounds: of the search.
        mask_now: () -> mask, called within jax.lax.cond.

    Returns:
        A tree like masks.
    """
    reached = jnp.asarray(marks(rounds), jnp.int32) == round_

    def write() -> Tree:
        at = jnp.argmax(reached)
        return jax.tree.map(lambda all_, one: all_.at[at].set(one != 0), masks, mask_now())

    return jax.lax.cond(jnp.any(reached), write, lambda: masks)


def as_info(masks: Tree, rounds: int) -> dict[str, Any]:
    """The entries of Found.info: the masks, (marks, ...) in every leaf, and their rounds."""
    return {MASKS: masks, ROUNDS: jnp.asarray(marks(rounds), jnp.int32)}


def without_checkpoints(info: dict[str, Any]) -> dict[str, Any]:
    """The other entries: those of a part of a search are not those of the whole."""
    return {name: value for name, value in info.items() if name not in (MASKS, ROUNDS)}
