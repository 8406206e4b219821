"""Which neurons of a network a narrow one is made of."""

import jax
import jax.numpy as jnp

from ticketjax.seekers.exchange.activity import active_neurons
from ticketjax.seekers.exchange.vectors import layers_of, starts_of

Neurons = tuple[jax.Array, ...]
"""(n,) int32 for every layer, the inputs and outputs among them."""


def places_of(neurons: Neurons, sizes: tuple[int, ...]) -> jax.Array:
    """Where the parameters between some neurons are in the whole network's vector.

    Args:
        neurons: of every layer.
        sizes: neurons of the whole network's layers.

    Returns:
        (parameters of the narrow network,) int32.
    """
    places = []
    for start, n_out, source, sink in zip(
        starts_of(sizes), sizes[1:], neurons, neurons[1:], strict=False
    ):
        rows = start.kernel + source[:, None] * n_out + sink[None]
        places += [rows.ravel(), start.bias + sink]
    return jnp.concatenate(places)


def _drawn(u: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """The numbers of every hidden layer's neurons."""
    ends = [sum(sizes[1:i]) for i in range(1, len(sizes))]
    return [u[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def most_connected(
    u: jax.Array, mask: jax.Array, sizes: tuple[int, ...], narrow: tuple[int, ...]
) -> Neurons:
    """The active neurons; of too many those with most connections, of too few others at random.

    Args:
        u: (hidden neurons,) in [0, 1).
        mask: (parameters,).
        sizes, narrow: neurons of the layers, and of the narrow network's.
    """
    layers, active = layers_of(mask, sizes), active_neurons(mask, sizes)
    neurons = [jnp.arange(sizes[0])]
    for i, drawn in enumerate(_drawn(u, sizes), 1):
        if narrow[i] == sizes[i]:
            neurons.append(jnp.arange(sizes[i]))
            continue
        connections = jnp.sum(layers[i - 1][0], axis=0) + jnp.sum(layers[i][0], axis=1)
        rank = jnp.where(active[i], connections, 0) + drawn
        neurons.append(jnp.argsort(-rank)[: narrow[i]])
    return (*neurons, jnp.arange(sizes[-1]))


def redrawn(
    u: jax.Array, neurons: Neurons, active: list[jax.Array], sizes: tuple[int, ...]
) -> Neurons:
    """The same neurons where they are active, and others in place of the rest.

    Args:
        u: (hidden neurons,) in [0, 1).
        neurons: of the narrow network.
        active: (n,) bool, which of them are.
        sizes: neurons of the whole network's layers.
    """
    new = list(neurons)
    for i, drawn in enumerate(_drawn(u, sizes), 1):
        if neurons[i].size < sizes[i]:
            in_use = jnp.zeros(sizes[i], bool).at[neurons[i]].set(active[i])
            others = jnp.argsort(drawn + in_use)
            new[i] = jnp.where(active[i], neurons[i], others[jnp.cumsum(~active[i]) - 1])
    return tuple(new)
