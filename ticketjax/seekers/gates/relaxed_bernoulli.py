"""Relaxed Bernoulli gates: Gaussian noise, clipped to [0, 1], and a price on being open."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.seekers.gates.search import Gates, Method, PricedGateSeeker, dual_ascent, priced


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class RelaxedBernoulli(PricedGateSeeker):
    """A seeker that trains the means of clipped Gaussian gates.

    Means mu start at 1/2. In every step m = clip(mu + sigma N(0, 1), 0, 1) multiplies the
    parameters, and Adam descends loss + lambda sum Phi(mu / sigma), the expected number of open
    gates. lambda starts as `penalty`, and then
    lambda <- max(0, lambda + dual_rate log(sum Phi(mu / sigma) / K_t)), K_t following the density's
    schedule. The K largest mu are kept, as ones.

    Args:
        epochs: 60 are about 2,100 steps at 9,000 samples.
        schedule, ramp: of the budget K_t, see density_now().
        sigma: size of the noise.
        penalty, dual_rate: with dual_rate=0, lambda stays the penalty, as published.
        scope, batch_size, learning_rate, decay, unit_gradients, restarts, optimizer, objective: as
            in GateSeeker.

    Raises:
        ValueError: an option of another type or range, a ramp that does not rise, a penalty and a
            dual_rate of 0.

    Source: Tsayag and Lindenbaum 2026, arXiv 2603.08914; gates after Yamada et al. 2020,
    arXiv 1810.04247.
    Published: a lambda that stays, weights frozen; in the end clip(mu, 0, 1) multiplies them.
    Departures: those of GateSeeker; lambda by dual ascent; K ones in the end.

    >>> seeker = RelaxedBernoulli(epochs=10)  # (key, problem, density) -> Found
    """

    learning_rate: float = option(0.01, above=0)
    sigma: float = option(0.5, above=0)

    name: ClassVar[str] = "relaxed_bernoulli"

    def method(self) -> Method:
        """Means of clipped draws, and a multiplier."""

        def init(key, size, density):
            del key, density
            return Gates(jnp.full(size, 0.5, jnp.float32), memory=jnp.float32(self.penalty))

        def relax(key, gates, moment):
            del moment
            noise = jax.random.normal(key, gates.values.shape, jnp.float32)
            return jnp.clip(gates.values + self.sigma * noise, 0, 1)

        def open_gates(gates, moment):
            del moment
            return jnp.sum(jax.scipy.stats.norm.cdf(gates.values / self.sigma))

        after_step = dual_ascent(open_gates, self.dual_rate, self.schedule, self.ramp)
        return Method(init, relax, priced(open_gates), after_step)
