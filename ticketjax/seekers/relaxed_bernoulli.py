"""Relaxed Bernoulli gates: Gaussian noise, clipped to [0, 1], and a price on being open."""

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


def relaxed_bernoulli(
    *,
    scope: str = "global",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 0.01,
    decay: bool = True,
    unit_gradients: bool = True,
    schedule: str = "log",
    ramp: tuple[float, float] = (0.0, 0.8),
    sigma: float = 0.5,
    penalty: float = 0.0,
    dual_rate: float = 1e-3,
    restarts: int = 1,
) -> Seeker:
    """A seeker that trains the means of clipped Gaussian gates.

    Means mu start at 1/2. In every step m = clip(mu + sigma N(0, 1), 0, 1) multiplies the
    parameters, and Adam descends loss + lambda sum Phi(mu / sigma), the expected number of open
    gates. lambda starts as `penalty`, and then
    lambda <- max(0, lambda + dual_rate log(sum Phi(mu / sigma) / K_t)), K_t following the density's
    schedule. The K largest mu are kept, as ones.

    epochs: 60, about 2,100 steps at 9,000 samples.
    schedule, ramp: of the budget K_t, see density_now().
    penalty, dual_rate: with dual_rate=0, lambda stays the penalty, as published.
    Other options as in gate_seeker().

    Source: Tsayag and Lindenbaum 2026, arXiv 2603.08914; gates after Yamada et al. 2020,
    arXiv 1810.04247. Departures: lambda by dual ascent, gradients of norm 1, and an exact budget
    of ones in the end instead of clip(mu, 0, 1).
    Raises ValueError for options that are not allowed.
    """
    check_schedule(schedule, ramp)
    check_positive("sigma", sigma)
    check_multiplier(penalty, dual_rate)

    def init(key, size):
        del key
        return Gates(jnp.full(size, 0.5, jnp.float32), memory=jnp.float32(penalty))

    def relax(key, gates, moment):
        del moment
        noise = jax.random.normal(key, gates.values.shape, jnp.float32)
        return jnp.clip(gates.values + sigma * noise, 0, 1)

    def open_gates(gates, moment):
        del moment
        return jnp.sum(jax.scipy.stats.norm.cdf(gates.values / sigma))

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
