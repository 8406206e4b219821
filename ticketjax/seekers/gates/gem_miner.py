"""Gem-Miner: rounded scores, trained straight through, the lowest of which die for good."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.seekers.gates.search import Gates, GateSeeker, Method, round_straight_through
from ticketjax.seekers.strategies import round_density

EPOCHS = 170


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class GemMiner(GateSeeker):
    """A seeker that rounds a score in [0, 1] per parameter and removes the lowest, epoch by epoch.

    The scores start as U(0, 1). In every step m = alive * 1[s > 1/2] multiplies the parameters,
    Adam moves s by the gradient of the loss by m (straight through) and of penalty * sum s^2 over
    the alive, and s is clipped to [0, 1]. After every epoch i that is a multiple of `period`, and
    after the last, only the share density^(i / epochs) of the parameters stays alive. Those with
    the lowest scores are removed and never return. The parameters alive at the end are kept,
    whether above 1/2 or not: exactly K.

    Args:
        epochs: 170 are about 6,000 steps at 9,000 samples.
        scope: of the last selection and of every removal, as in problem.select().
        penalty: of the squares of the scores.
        period: epochs from one removal to the next; 5 as published.
        batch_size, learning_rate, decay, unit_gradients, restarts, optimizer, objective: as in
            GateSeeker.

    Raises:
        ValueError: an option of another type or range.

    Source: Sreenivasan et al. 2022, arXiv 2202.12002, algorithm 1, before its fine-tuning.
    Published: a period of 5 in 150 epochs (ResNet-20), batches of 128, SGD with 0.1 that decays as
        a cosine and momentum 0.9, a penalty chosen for each network; alive * 1[s >= 1/2] in the
        end, which may be fewer than K.
    Departures: those of GateSeeker; a period of 1; Adam; what is dead has no penalty; all K that
        are alive in the end are kept.

    >>> seeker = GemMiner(epochs=10, period=5)  # (key, problem, density) -> Found
    """

    epochs: int = option(EPOCHS, least=1)
    penalty: float = option(1e-4, least=0)
    period: int = option(1, least=1)

    name: ClassVar[str] = "gem_miner"

    def method(self) -> Method:
        """Scores, and which of them are alive."""
        epochs, period = self.epochs, self.period

        def init(key, size, density):
            del density
            values = jax.random.uniform(key, (size,), jnp.float32)
            return Gates(values, memory=jnp.ones(size, bool))

        def relax(key, gates, moment):
            del key, moment
            return jnp.where(gates.memory, round_straight_through(gates.values), 0.0)

        def squares(gates, moment):
            del moment
            return self.penalty * jnp.sum(jnp.where(gates.memory, gates.values, 0.0) ** 2)

        def after_step(gates, moment):
            del moment
            return gates._replace(values=jnp.clip(gates.values, 0, 1))

        def score(gates):
            return jnp.where(gates.memory, gates.values, -jnp.inf)

        def after_epoch(gates, moment, keep):
            epoch = jnp.round(moment.progress * epochs).astype(jnp.int32)
            died_last = jnp.where(epoch == epochs, epochs, epoch // period * period)
            alive = keep(score(gates), round_density(moment.density, died_last, epochs))
            return gates._replace(memory=alive)

        return Method(init, relax, squares, after_step, after_epoch, score)
