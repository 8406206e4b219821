"""Probabilistic masks: keep-probabilities whose sum is held to the budget in every step."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.seekers.gates.search import (
    Gates,
    Method,
    ScheduledGateSeeker,
    density_now,
    round_straight_through,
)

EPOCHS = 400
# The least probability within a logarithm: 0 would leave no gradient to come back by. Of 20,000
# parameters that are out, one comes up by chance in 50 steps.
LEAST_PROBABILITY = 1e-6
HALVINGS = 30


def keep_within(probabilities: jax.Array, budget: jax.Array | float) -> jax.Array:
    """The projection v >= 0 of s onto the budget: the least with sum clip(s - v, 0, 1) <= budget.

    Args:
        probabilities: s, (n,) of any size, before clipping.
        budget: at least 0.

    Returns:
        () v, from above and to within max(s) / 2^30: the sum never exceeds the budget but for
        rounding.
    """

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        fits = jnp.sum(jnp.clip(probabilities - middle, 0, 1)) <= budget
        return jnp.where(fits, low, middle), jnp.where(fits, middle, high)

    bounds = jnp.float32(0), jnp.maximum(jnp.max(probabilities), 0)
    shift = jax.lax.fori_loop(0, HALVINGS, halve, bounds)[1]
    return jnp.where(jnp.sum(jnp.clip(probabilities, 0, 1)) <= budget, 0.0, shift)


def sample(key: jax.Array, probabilities: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """A relaxed draw m = sigmoid((logit s + Logistic(0, 1)) / temperature); P(m > 1/2) = s.

    The gradient passes straight through the bounds that keep the logit finite.

    Args:
        key: of the noise.
        probabilities: s, (n,).
        temperature: above 0.

    Returns:
        (n,) m.
    """
    bounded = jnp.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    bounded = probabilities + jax.lax.stop_gradient(bounded - probabilities)
    noise = jax.random.logistic(key, probabilities.shape, jnp.float32)
    return jax.nn.sigmoid((jnp.log(bounded) - jnp.log1p(-bounded) + noise) / temperature)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Probabilistic(ScheduledGateSeeker):
    """A seeker that learns the probability s of keeping each parameter, their sum held to a budget.

    In every step m = sigmoid((logit s + Logistic(0, 1)) / tau) multiplies the parameters, tau
    falls linearly, Adam moves s, and s <- clip(s - v, 0, 1) with the least v >= 0 that has
    sum s <= K_t; K_t follows the density's schedule.

    Thousands of clipped probabilities tie at 0 and 1. The final ranking therefore uses s - v before
    the clipping: the same order wherever s differs, and among equals the order after the last step
    of Adam. Exactly K are kept, whatever ties.

    Args:
        epochs: 400 are about 14,000 steps at 9,000 samples.
        decay: on, to end without the noise that Adam's steps leave in the probabilities.
        schedule, ramp: "cubic" (as published) or "log" density, and the fractions of the search
            between which it falls; see density_now().
        start: every s at first, in (0, 1].
        temperatures: tau at first and in the last step, above 0.
        hard: multiply by 1[m > 1/2] instead, with the gradient of m. A soft mask may be a dense
            network of tiny entries, which an objective without a scale cannot distinguish from one
            of large entries.
        scope, batch_size, learning_rate, unit_gradients, restarts, optimizer, objective: as in
            GateSeeker.

    Raises:
        ValueError: an option of another type or range, a ramp that does not rise.

    Source: Zhou et al. 2021 (ProbMask), arXiv 2105.01571, and the authors' code.
    Published: s = 1 at first; Adam with 6e-3 that decays as a cosine, 300 epochs, batches of 256;
        K = 2 draws a step, gradients clipped at norm 3; tau 1 to 0.03; a cubic density from 0.16 to
        0.6 of the search; in the end the best of 10 drawn masks on training data.
    Departures: those of GateSeeker; s = 0.5 at first; one draw a step; the log density from 0 to
        0.8; the ranking above in place of drawn masks; tau and density change in every step, not
        every epoch; the bounds of the logit.

    >>> seeker = Probabilistic(epochs=50, hard=True)  # (key, problem, density) -> Found
    """

    epochs: int = option(EPOCHS, least=1)
    start: float = option(0.5, above=0, most=1)
    temperatures: tuple[float, float] = option((1.0, 0.03), above=0)
    hard: bool = option(False)

    name: ClassVar[str] = "probabilistic"

    def method(self) -> Method:
        """Probabilities, projected onto the budget after every step."""
        first, last = self.temperatures

        def init(key, size, density):
            del key, density
            values = jnp.full(size, self.start, jnp.float32)
            return Gates(values, memory=values)

        def relax(key, gates, moment):
            mask = sample(key, gates.values, first + (last - first) * moment.progress)
            return round_straight_through(mask) if self.hard else mask

        def after_step(gates, moment):
            budget = density_now(moment, self.schedule, self.ramp) * gates.values.size
            unclipped = gates.values - keep_within(gates.values, budget)
            return Gates(jnp.clip(unclipped, 0, 1), memory=unclipped)

        return Method(init, relax, after_step=after_step, score=lambda gates: gates.memory)
