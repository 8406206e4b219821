"""Parallel tempering: chains at several temperatures, and neighbours exchange what they have."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

# The axis of the vmap over the chains.
AXIS = "chains"

State = TypeVar("State")


def heats_of(chains: int, hottest: float) -> np.ndarray:
    """Temperatures of the chains in units of the first one's: geometric, from 1 to `hottest`."""
    return hottest ** (np.arange(chains) / max(chains - 1, 1))


def exchanged(
    u: jax.Array, state: State, energy: jax.Array, temperature: jax.Array, odd: jax.Array
) -> State:
    """A chain's state, or that of its neighbour; under a vmap over AXIS.

    Chains 0 and 1, 2 and 3 and so on are pairs, or 1 and 2, 3 and 4 if `odd`. The pair (i, j)
    exchanges its states with probability min(1, exp((E_i - E_j) (1 / T_i - 1 / T_j))), as in Geyer
    1991.

    Args:
        u: () uniform; that of the lower chain decides for both.
        state: a tree of arrays.
        energy, temperature: () of this chain.
        odd: () which pairs.
    """
    index, count = jax.lax.axis_index(AXIS), jax.lax.axis_size(AXIS)
    partner = index + jnp.where((index + odd) % 2 == 0, 1, -1)
    paired = (partner >= 0) & (partner < count)
    partner = jnp.where(paired, partner, index)
    decisive = jax.lax.all_gather(u, AXIS)[jnp.minimum(index, partner)]
    energies, temperatures = (jax.lax.all_gather(each, AXIS) for each in (energy, temperature))
    gain = (energy - energies[partner]) * (1 / temperature - 1 / temperatures[partner])
    exchange = paired & (jnp.log1p(-decisive) < gain)
    return jax.tree.map(
        lambda leaf: jnp.where(exchange, jax.lax.all_gather(leaf, AXIS)[partner], leaf), state
    )
