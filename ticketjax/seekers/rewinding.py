"""Learning-rate rewinding: train and prune in rounds, going on from the trained weights."""

import dataclasses

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Problem, Seeker
from ticketjax.masks import apply_mask, check_scope, exclude, full_mask, select
from ticketjax.strategies import resolve_density, round_density
from ticketjax.training import BATCH_SIZE, LEARNING_RATE, check_count, shuffles, train


def rewinding(
    *,
    scope: str = "global",
    rounds: int = 10,
    round_epochs: int = 5,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
) -> Seeker:
    """A seeker that trains, prunes by magnitude, and starts the optimiser anew, not the weights.

    Round k trains what is left from the values that round k - 1 ended with and keeps the
    density^(k / rounds) largest magnitudes; a pruned parameter never returns. The learning rate is
    constant here, so what is rewound of its schedule is Adam's own: moments and bias correction.
    After the last pruning there is no training: the project measures and trains the final mask
    from the *initial* values, as it does for every seeker, so this tells what trained weights know
    about the mask and not how good they are.

    Found.scores are the trained magnitudes, -inf for what an earlier round pruned.

    Source: Renda, Frankle and Carbin 2020, arXiv 2003.02389, section 2. Raises ValueError for an
    unknown scope, rounds < 1, round_epochs < 0 or batch_size < 1.
    """
    check_scope(scope)
    check_count("rounds", rounds, 1)
    check_count("round_epochs", round_epochs, 0)
    check_count("batch_size", batch_size, 1)

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        density = resolve_density(problem, density)

        def again(carry, k):
            params, mask, _ = carry
            order = shuffles(
                jax.random.fold_in(key, k), round_epochs, problem.batch.x.shape[0], batch_size
            )
            here = dataclasses.replace(problem, params=params)
            params = train(here, mask, order, learning_rate=learning_rate)
            scores = exclude(jax.tree.map(jnp.abs, params), mask)
            target = density if rounds == 1 else round_density(density, k, rounds)
            mask = select(
                scores,
                target,
                scope,
                prune_bias=problem.prune_bias,
                ticket_layers=problem.ticket_layers,
            )
            return (apply_mask(params, mask), mask, scores), None

        start = problem.params, full_mask(problem.params), problem.params
        (_, mask, scores), _ = jax.lax.scan(again, start, jnp.arange(1, rounds + 1))
        return Found(mask, scores, {})

    return seek
