"""Gem-Miner: rounded scores, trained straight through, the lowest of which die for good."""

import jax
import jax.numpy as jnp

from ticketjax.base import Seeker
from ticketjax.seekers.gates import BATCH_SIZE, Gates, Method, gate_seeker, round_straight_through
from ticketjax.strategies import round_density
from ticketjax.training import check_count

EPOCHS = 170


def gem_miner(
    *,
    scope: str = "global",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 0.03,
    decay: bool = True,
    unit_gradients: bool = True,
    penalty: float = 1e-4,
    period: int = 1,
    restarts: int = 1,
) -> Seeker:
    """A seeker that rounds a score in [0, 1] per parameter and lets the lowest die, epoch by epoch.

    The scores start as U(0, 1). In every step m = alive * 1[s > 1/2] multiplies the parameters,
    Adam moves s by the gradient of the loss by m (straight through) and of penalty * sum s^2 over
    the alive, and s is clipped to [0, 1]. After every epoch i that is a multiple of `period`, and
    after the last, all but the share density^(i / epochs) of the parameters are dead: the lowest
    scores die and never come back. Those that are left in the end are kept, whether above 1/2 or
    not: exactly K.

    epochs: 170, about 6,000 steps at 9,000 samples.
    scope: also that of every death.
    Other options as in gate_seeker().

    Source: Sreenivasan et al. 2022, arXiv 2202.12002, the weights frozen (before its fine-tuning).
    Departures: Adam, gradients of norm 1, and the budget, which need not agree with s > 1/2.
    Raises ValueError for options that are not allowed.
    """
    check_count("period", period, 1)
    if not penalty >= 0:
        raise ValueError(f"penalty must be at least 0, got {penalty!r}")

    def init(key, size):
        return Gates(jax.random.uniform(key, (size,), jnp.float32), memory=jnp.ones(size, bool))

    def relax(key, gates, moment):
        del key, moment
        return jnp.where(gates.memory, round_straight_through(gates.values), 0.0)

    def squares(gates, moment):
        del moment
        return penalty * jnp.sum(jnp.where(gates.memory, gates.values, 0.0) ** 2)

    def after_step(gates, moment):
        del moment
        return gates._replace(values=jnp.clip(gates.values, 0, 1))

    def score(gates):
        return jnp.where(gates.memory, gates.values, -jnp.inf)

    def after_epoch(gates, moment, keep):
        epoch = jnp.round(moment.progress * epochs).astype(jnp.int32)
        died_last = jnp.where(epoch == epochs, epochs, epoch // period * period)
        return gates._replace(
            memory=keep(score(gates), round_density(moment.density, died_last, epochs))
        )

    return gate_seeker(
        Method(init, relax, squares, after_step, after_epoch, score),
        scope=scope,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        decay=decay,
        unit_gradients=unit_gradients,
        restarts=restarts,
    )
