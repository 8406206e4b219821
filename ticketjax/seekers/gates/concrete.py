"""Concrete gates: relaxed draws, with the price of an open gate found by dual ascent."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.seekers.gates.search import Gates, Method, ScheduledGateSeeker, dual_ascent, priced


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Concrete(ScheduledGateSeeker):
    """A seeker that trains binary-concrete gates under a budget, by dual ascent.

    Logits a start at 0. In every step m = sigmoid((a + Logistic(0, 1)) / tau) multiplies the
    parameters, tau falls linearly from 1 to its final value, and Adam descends
    loss + lambda (sum sigmoid(a) - K_t); then lambda <- max(0, lambda + dual_rate
    log(sum sigmoid(a) / K_t)). K_t follows the density's schedule. The K largest a are kept.

    Args:
        epochs: 60 are about 2,100 steps at 9,000 samples.
        decay: off, because the multiplier would still move when the gates no longer can.
        schedule, ramp: of the budget K_t, see density_now().
        final_temperature: tau in the last step.
        dual_rate: how fast lambda, at first 0, answers to too many or too few open gates.
        scope, batch_size, learning_rate, unit_gradients, restarts, optimizer, objective: as in
            GateSeeker.

    Raises:
        ValueError: an option of another type or range, a ramp that does not rise.

    Source: Arora and Teuscher 2025, arXiv 2512.07142, whose own search is concrete_ticket_search;
    gates after Maddison et al. 2017, arXiv 1611.00712.
    Published: every a = logit(density) at first, so that the budget is met from the start; tau 2/3;
        a price that balances the two gradients' norms (GradBalance); Adam at the rate of training,
        a tenth of it after 88% of the epochs; the loss, or the divergence from the dense network's
        output or features; then the K largest a.
    Departures: those of GateSeeker; a = 0 at first; tau 1 to 0.1; dual ascent, on the logarithm; a
        budget that falls slowly; the task's own loss, as a planted network's dense output is noise.

    >>> seeker = Concrete(epochs=10)  # (key, problem, density) -> Found
    """

    learning_rate: float = option(0.05, above=0)
    decay: bool = option(False)
    final_temperature: float = option(0.1, above=0)
    dual_rate: float = option(1e-3, above=0)

    name: ClassVar[str] = "concrete"

    def method(self) -> Method:
        """Logits of relaxed draws, and a multiplier."""

        def init(key, size, density):
            del key, density
            return Gates(jnp.zeros(size, jnp.float32), memory=jnp.float32(0))

        def relax(key, gates, moment):
            temperature = 1 - (1 - self.final_temperature) * moment.progress
            noise = jax.random.logistic(key, gates.values.shape, jnp.float32)
            return jax.nn.sigmoid((gates.values + noise) / temperature)

        def open_gates(gates, moment):
            del moment
            return jnp.sum(jax.nn.sigmoid(gates.values))

        after_step = dual_ascent(open_gates, self.dual_rate, self.schedule, self.ramp)
        return Method(init, relax, priced(open_gates), after_step)
