"""Continuous sparsification: sigmoid gates without noise, ever steeper until they are a step."""

import jax
import jax.numpy as jnp

from ticketjax.base import Seeker
from ticketjax.seekers.gates import (
    BATCH_SIZE,
    Gates,
    Method,
    check_multiplier,
    check_positive,
    check_schedule,
    dual_ascent,
    gate_seeker,
    priced,
)

EPOCHS = 60


def continuous_sparsification(
    *,
    scope: str = "global",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 0.02,
    decay: bool = False,
    unit_gradients: bool = True,
    schedule: str = "log",
    ramp: tuple[float, float] = (0.0, 0.8),
    start: float = 0.0,
    final_steepness: float = 200.0,
    penalty: float = 0.0,
    dual_rate: float = 1e-3,
    restarts: int = 1,
) -> Seeker:
    """A seeker that anneals sigmoid(beta s) from a soft mask to a binary one.

    Every s starts at s0. In every step m = sigmoid(beta s) / sigmoid(s0) multiplies the
    parameters, beta = final_steepness^t with t the fraction of the search that is done, and Adam
    descends loss + lambda sum m. lambda starts as `penalty`, and then lambda <- max(0, lambda +
    dual_rate log(sum sigmoid(beta s) / K_t)), K_t following the density's schedule. The K largest s
    are kept, in place of 1[s > 0].

    epochs: 60, about 2,100 steps at 9,000 samples.
    decay: off, because the multiplier would go on moving when the gates no longer can.
    schedule, ramp: of the budget K_t, see density_now().
    start: s0.
    penalty, dual_rate: with dual_rate=0, lambda stays the penalty, as published.
    Other options as in gate_seeker(). There is no noise: restarts differ in their batches alone.

    Source: Savarese et al. 2020, arXiv 1912.04427, the weights frozen. Departures: beta grows in
    every step instead of every epoch, lambda by dual ascent, Adam, gradients of norm 1, and an
    exact budget.
    Raises ValueError for options that are not allowed.
    """
    check_schedule(schedule, ramp)
    check_positive("final_steepness", final_steepness)
    check_multiplier(penalty, dual_rate)

    def init(key, size):
        del key
        return Gates(jnp.full(size, start, jnp.float32), memory=jnp.float32(penalty))

    def soft(gates, moment):
        return jax.nn.sigmoid(final_steepness**moment.progress * gates.values)

    def relax(key, gates, moment):
        del key
        return soft(gates, moment) / jax.nn.sigmoid(start)

    def of_mask(gates, moment):
        return jnp.sum(relax(None, gates, moment))

    def open_gates(gates, moment):
        return jnp.sum(soft(gates, moment))

    return gate_seeker(
        Method(init, relax, priced(of_mask), dual_ascent(open_gates, dual_rate, schedule, ramp)),
        scope=scope,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        decay=decay,
        unit_gradients=unit_gradients,
        restarts=restarts,
    )
