"""Iterative hard thresholding: train everything, and keep the largest parameters at every step."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Found, Problem, Seeker
from ticketjax.masks import apply_mask, check_scope, select
from ticketjax.objective import problem_loss
from ticketjax.strategies import resolve_density, round_density
from ticketjax.training import BATCH_SIZE, LEARNING_RATE, check_count, shuffles

EPOCHS = 10


def iterative_hard_thresholding(
    *,
    annealed: bool = False,
    scope: str = "global",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
) -> Seeker:
    """A seeker that trains all parameters and sets all but the largest to 0 after every step.

    W <- H_K(W - Adam(dL/dW)), H_K keeping the K entries of largest |W|. A parameter at 0 has a
    gradient all the same and returns once a step makes it one of the largest. The mask is the last
    support; what was trained is thrown away, as the project measures masks on initial values.

    annealed: keep density^(i / epochs) in epoch i instead of the target from the start, where
        the first step already decides nearly everything.
    scope: "global", "local" or "oracle", as in select().

    Found.scores are |W| before the last threshold.

    Source: Blumensath and Davies 2009, arXiv 0805.0510, equation 2; of networks: Jin et al. 2016,
    arXiv 1607.05423. Raises ValueError for an unknown scope, epochs < 1 or batch_size < 1.
    """
    check_scope(scope)
    check_count("epochs", epochs, 1)
    check_count("batch_size", batch_size, 1)

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        density = resolve_density(problem, density)
        order = shuffles(key, epochs, problem.batch.x.shape[0], batch_size)
        optimiser = optax.adam(learning_rate)

        def keep(params, target):
            return select(
                jax.tree.map(jnp.abs, params),
                target,
                scope,
                prune_bias=problem.prune_bias,
                ticket_layers=problem.ticket_layers,
            )

        def step(carry, batch, target):
            params, state = carry
            # Thresholded before the gradient and not after, so that the last |W| can be told.
            params = apply_mask(params, keep(params, target))
            here = dataclasses.replace(problem, batch=batch)
            gradients = jax.grad(lambda p: problem_loss(here, p))(params)
            updates, state = optimiser.update(gradients, state)
            return (optax.apply_updates(params, updates), state), None

        def epoch(carry, inputs):
            i, indices = inputs
            target = round_density(density, i, epochs) if annealed else density
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            return jax.lax.scan(lambda c, batch: step(c, batch, target), carry, batches)

        start = problem.params, optimiser.init(problem.params)
        (params, _), _ = jax.lax.scan(epoch, start, (jnp.arange(1, epochs + 1), order))
        return Found(keep(params, density), jax.tree.map(jnp.abs, params), {})

    return seek
