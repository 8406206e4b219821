"""Strategies: lift a score to a seeker."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Found, Params, Problem, Score, Seeker
from ticketjax.contract import check_scores
from ticketjax.masks import (
    apply_mask,
    check_density,
    check_scope,
    count_prunable,
    exclude,
    full_mask,
    layer_densities,
    select,
    shuffle,
)
from ticketjax.paths import first_dead_layer
from ticketjax.training import BATCH_SIZE, LEARNING_RATE, check_count, shuffles, train

# Checks that a mask is worth more than its densities: what is done to the score or to the mask.
SANITY = ("none", "invert", "shuffle")


def check_sanity(sanity: str) -> None:
    """Raise ValueError for an unknown sanity check."""
    if sanity not in SANITY:
        raise ValueError(f"sanity must be one of {', '.join(SANITY)}, got {sanity!r}")


class RoundInfo(NamedTuple):
    """What a strategy tells of every round, as the entries of Found.info.

    round_layer_kept: (rounds, layers), kept fraction of each layer's prunable parameters.
    round_first_dead_layer: (rounds,) int32, the first layer that no path gets through, -1 if none.
    """

    round_layer_kept: jax.Array
    round_first_dead_layer: jax.Array


def resolve_density(problem: Problem, density: jax.Array | float | str) -> jax.Array | float:
    """The density that "ticket" stands for; anything else passes through.

    Raises ValueError for another word, for "ticket" where the task has no ticket of this depth,
    and for a number that is no density.
    """
    if isinstance(density, str):
        if density != "ticket":
            raise ValueError(f'density must be a number or "ticket", got {density!r}')
        if problem.ticket_density is None:
            raise ValueError('density "ticket": the task has no ticket of this depth')
        density = problem.ticket_density
    check_density(density, count_prunable(problem.params, problem.prune_bias))
    return density


def round_density(density: jax.Array | float, k: jax.Array | int, rounds: int) -> jax.Array:
    """Density after round k of `rounds`: density^(k / rounds), exactly `density` in the last."""
    density = jnp.asarray(density, jnp.float32)
    return jnp.where(k == rounds, density, density ** jnp.float32(k / rounds))


def _prune_in_rounds(
    score: Score,
    scope: str,
    rounds: int,
    score_samples: int | None,
    sanity: str,
    retrain: Callable[[jax.Array, Problem, Params], Params],
) -> Seeker:
    check_scope(scope)
    check_sanity(sanity)
    check_count("rounds", rounds, 1)
    if score_samples is not None:
        check_count("score_samples", score_samples, 1)

    def seek(key, problem, density):
        density = resolve_density(problem, density)
        scored = problem
        if score_samples is not None:
            # Samples are independent draws, so the first ones are as good as any.
            batch = Batch(*(array[:score_samples] for array in problem.batch))
            scored = dataclasses.replace(problem, batch=batch)

        def prune(mask, k):
            train_key, score_key = jax.random.split(jax.random.fold_in(key, k))
            params = retrain(train_key, problem, mask)
            scores = score(score_key, scored, params, mask)
            check_scores(scores, params)
            if sanity == "invert":
                scores = jax.tree.map(jnp.negative, scores)
            scores = exclude(scores, mask)
            target = density if rounds == 1 else round_density(density, k, rounds)
            mask = select(
                scores,
                target,
                scope,
                prune_bias=problem.prune_bias,
                ticket_layers=problem.ticket_layers,
            )
            after = RoundInfo(
                layer_densities(mask, problem.prune_bias), first_dead_layer(mask, problem.wiring)
            )
            return mask, scores, after

        # The first round stands outside the scan: it knows no density yet up to the selection,
        # so that vmap over densities computes it once for all of them.
        mask, scores, first = prune(full_mask(problem.params), 1)
        info = jax.tree.map(lambda entry: entry[None], first)
        if rounds > 1:

            def again(carry, k):
                *carry, after = prune(carry[0], k)
                return tuple(carry), after

            later = jnp.arange(2, rounds + 1)
            (mask, scores), rest = jax.lax.scan(again, (mask, scores), later)
            info = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), info, rest)
        if sanity == "shuffle":
            mask = shuffle(jax.random.fold_in(key, rounds + 1), mask)
        return Found(mask, scores, info._asdict())

    return seek


def singleshot(
    score: Score,
    *,
    scope: str = "global",
    rounds: int = 1,
    score_samples: int | None = None,
    sanity: str = "none",
) -> Seeker:
    """Score at initialisation and prune, without any training.

    scope: "global", "local" or "oracle", as in select().
    rounds: n > 1 prunes gradually, to density^(k/n) in round k, scoring the pruned network anew
        each time (as SynFlow does). A pruned parameter never returns.
    score_samples: how many samples the score sees; None for all.
    sanity: "invert" keeps the lowest scores instead of the highest, "shuffle" puts the final mask's
        entries into a random order within each kernel and bias (Frankle et al. 2021, Su et al.
        2020). A pruner that finds more than good layer densities does worse under both.

    Raises ValueError for an unknown scope or sanity check, rounds < 1 or score_samples < 1.

    >>> from ticketjax.seekers.synflow import synflow
    >>> seeker = singleshot(synflow, rounds=100)  # (key, problem, density) -> Found
    """

    def initial_values(key, problem, mask):
        del key
        return apply_mask(problem.params, mask)

    return _prune_in_rounds(score, scope, rounds, score_samples, sanity, initial_values)


def multishot(
    score: Score,
    *,
    scope: str = "global",
    rounds: int = 10,
    round_epochs: int = 5,
    score_samples: int | None = None,
    sanity: str = "none",
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
) -> Seeker:
    """Rounds of: train, score and prune to density^(k/rounds), reset to the initial values.

    With magnitude as score this is iterative magnitude pruning (Frankle and Carbin 2019). A
    pruned parameter never returns. Arguments as in singleshot() and train().

    round_epochs: of training in each round. batch_size, learning_rate: of Adam in these.

    Raises ValueError for an unknown scope or sanity check, rounds < 1, score_samples < 1,
    round_epochs < 0 or batch_size < 1.
    """
    check_count("round_epochs", round_epochs, 0)
    check_count("batch_size", batch_size, 1)

    def train_from_initial_values(key, problem, mask):
        samples = problem.batch.x.shape[0]
        order = shuffles(key, round_epochs, samples, batch_size)
        return train(problem, mask, order, learning_rate=learning_rate, key=key)

    return _prune_in_rounds(score, scope, rounds, score_samples, sanity, train_from_initial_values)


STRATEGIES = {"singleshot": singleshot, "multishot": multishot}
"""What lifts a score to a seeker, by the names that `strategy` takes."""
