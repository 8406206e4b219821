"""Continuous sparsification: sigmoid gates without noise, ever steeper until they are a step."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.seekers.gates.search import Gates, Method, PricedGateSeeker, dual_ascent, priced


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ContinuousSparsification(PricedGateSeeker):
    """A seeker that anneals sigmoid(beta s) from a soft mask to a binary one.

    Every s starts at s0. In every step m = sigmoid(beta s) / sigmoid(s0) multiplies the
    parameters, beta = final_steepness^t with t the fraction of the search that is done, and Adam
    descends loss + lambda sum m. lambda starts as `penalty`, and then lambda <- max(0, lambda +
    dual_rate log(sum sigmoid(beta s) / K_t)), K_t following the density's schedule. The K largest s
    are kept, in place of 1[s > 0].

    During the search an open gate multiplies its parameter by up to 1 / sigmoid(s0), 2 by default;
    the mask that is returned, and measured, has ones there. All open gates share this factor, so in
    a ReLU network without biases only the output's scale differs. With biases, their relative
    weight differs from the search, and the measured network computes a different function.

    Args:
        epochs: 60 are about 2,100 steps at 9,000 samples.
        decay: off, because the multiplier would still move when the gates no longer can.
        schedule, ramp: of the budget K_t, see density_now().
        start: s0.
        final_steepness: beta in the last step.
        penalty, dual_rate: with dual_rate=0, lambda stays the penalty, as published.
        restarts: as in GateSeeker. There is no noise: restarts differ in their batches alone.
        scope, batch_size, learning_rate, unit_gradients, optimizer, objective: as in
            GateSeeker.

    Raises:
        ValueError: an option of another type or range, a ramp that does not rise, a penalty and a
            dual_rate of 0.

    Source: Savarese et al. 2020, arXiv 1912.04427, and the authors' code.
    Published: s0 about 0, which sets the density; SGD with 0.1 and momentum 0.9 on s and weights;
        lambda 1e-8; beta 1 to 200, a step every epoch; in the end 1[s > 0] / sigmoid(s0).
    Departures: those of GateSeeker; beta grows in every step; lambda by dual ascent; Adam; the mask
        in the end has no factor 1 / sigmoid(s0).

    >>> seeker = ContinuousSparsification(epochs=10)  # (key, problem, density) -> Found
    """

    learning_rate: float = option(0.02, above=0)
    decay: bool = option(False)
    start: float = option(0.0)
    final_steepness: float = option(200.0, above=0)

    name: ClassVar[str] = "continuous_sparsification"

    def method(self) -> Method:
        """Sigmoids that get steeper, and a multiplier."""

        def init(key, size, density):
            del key, density
            values = jnp.full(size, self.start, jnp.float32)
            return Gates(values, memory=jnp.float32(self.penalty))

        def soft(gates, moment):
            return jax.nn.sigmoid(self.final_steepness**moment.progress * gates.values)

        def relax(key, gates, moment):
            del key
            return soft(gates, moment) / jax.nn.sigmoid(jnp.float32(self.start))

        def of_mask(gates, moment):
            return jnp.sum(relax(None, gates, moment))

        def open_gates(gates, moment):
            return jnp.sum(soft(gates, moment))

        after_step = dual_ascent(open_gates, self.dual_rate, self.schedule, self.ramp)
        return Method(init, relax, priced(of_mask), after_step)
