"""Concrete gates: relaxed draws, with the price of an open gate found by dual ascent."""

import jax
import jax.numpy as jnp

from ticketjax.base import Seeker
from ticketjax.seekers.gates import (
    BATCH_SIZE,
    Gates,
    Method,
    check_positive,
    check_schedule,
    dual_ascent,
    gate_seeker,
    priced,
)

EPOCHS = 60


def concrete(
    *,
    scope: str = "global",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 0.05,
    decay: bool = False,
    unit_gradients: bool = True,
    schedule: str = "log",
    ramp: tuple[float, float] = (0.0, 0.8),
    final_temperature: float = 0.1,
    dual_rate: float = 1e-3,
    restarts: int = 1,
) -> Seeker:
    """A seeker that trains binary-concrete gates under a budget, by dual ascent.

    Logits a start at 0. In every step m = sigmoid((a + Logistic(0, 1)) / tau) multiplies the
    parameters, tau falls linearly from 1 to its final value, and Adam descends
    loss + lambda (sum sigmoid(a) - K_t); then lambda <- max(0, lambda + dual_rate
    log(sum sigmoid(a) / K_t)). K_t follows the density's schedule. The K largest a are kept.

    epochs: 60, about 2,100 steps at 9,000 samples.
    decay: off, because the multiplier would go on moving when the gates no longer can.
    schedule, ramp: of the budget K_t, see density_now().
    dual_rate: how fast lambda, at first 0, answers to too many or too few open gates.
    Other options as in gate_seeker().

    Source: Arora and Teuscher 2025 (concrete ticket search), arXiv 2512.07142; gates after Maddison
    et al. 2017, arXiv 1611.00712. Departures: dual ascent, on the logarithm, instead of their
    balancing of gradients; a budget that falls slowly; gradients of norm 1; the task's own loss.
    Raises ValueError for options that are not allowed.
    """
    check_schedule(schedule, ramp)
    check_positive("final_temperature", final_temperature)
    check_positive("dual_rate", dual_rate)

    def init(key, size):
        del key
        return Gates(jnp.zeros(size, jnp.float32), memory=jnp.float32(0))

    def relax(key, gates, moment):
        temperature = 1 - (1 - final_temperature) * moment.progress
        noise = jax.random.logistic(key, gates.values.shape, jnp.float32)
        return jax.nn.sigmoid((gates.values + noise) / temperature)

    def open_gates(gates, moment):
        del moment
        return jnp.sum(jax.nn.sigmoid(gates.values))

    return gate_seeker(
        Method(init, relax, priced(open_gates), dual_ascent(open_gates, dual_rate, schedule, ramp)),
        scope=scope,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        decay=decay,
        unit_gradients=unit_gradients,
        restarts=restarts,
    )
