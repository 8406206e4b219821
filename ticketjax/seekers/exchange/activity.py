"""Which neurons and parameters of a mask can matter, and masks made smaller or larger by that."""

import jax
import jax.numpy as jnp

from ticketjax.masks import top_k_mask
from ticketjax.seekers.exchange.vectors import join, layers_of


def active_neurons(mask: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """Which neurons can matter, layer by layer: not always 0, and read by an output."""
    layers = layers_of(mask, sizes)
    fed = [jnp.ones(sizes[0], bool)]
    for kernel, bias in layers:
        fed.append(jnp.any(kernel & fed[-1][:, None], axis=0) | bias)
    read = [jnp.ones(sizes[-1], bool)]
    for kernel, _ in reversed(layers):
        read.insert(0, jnp.any(kernel & read[0][None, :], axis=1))
    return [
        jnp.ones(sizes[0], bool),
        *(f & r for f, r in zip(fed[1:-1], read[1:-1], strict=True)),
        jnp.ones(sizes[-1], bool),
    ]


def useful(mask: jax.Array, sizes: tuple[int, ...], prunable: jax.Array) -> jax.Array:
    """The mask without what cannot matter: weights and biases of neurons that are not active."""
    active = active_neurons(mask, sizes)
    layers = [
        (kernel & source[:, None] & sink[None, :], bias & sink)
        for (kernel, bias), source, sink in zip(
            layers_of(mask, sizes), active, active[1:], strict=False
        )
    ]
    return jnp.where(prunable, join(layers), mask)


def pool(draws, mask, sizes, narrow):
    """Where the parameters of a narrower network are in the vector; whether it is wide enough.

    It has all active neurons and random other ones.
    """
    active = active_neurons(mask, sizes)
    neurons = []
    for among, n, width in zip(active, sizes, narrow, strict=True):
        first = jnp.argsort(-(draws.take(n) + among))[:width] if n > width else jnp.arange(n)
        neurons.append(first)
    counts = jnp.stack([jnp.sum(among) for among in active])
    where, at = [], 0
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        where.append((at + neurons[i][:, None] * n_out + neurons[i + 1][None]).ravel())
        where.append(at + n_in * n_out + neurons[i + 1])
        at += (n_in + 1) * n_out
    return jnp.concatenate(where), jnp.all(counts <= jnp.asarray(narrow))


def fill(mask, size, prunable, sizes):
    """The mask with exactly `size` prunable parameters: first added is what changes nothing."""
    layers = layers_of(mask, sizes)
    unread = [~jnp.any(kernel, axis=1) for kernel, _ in layers[1:]]
    unread.append(jnp.zeros(sizes[-1], bool))
    harmless = join(
        [
            (jnp.broadcast_to(sink[None, :], kernel.shape), sink)
            for (kernel, _), sink in zip(layers, unread, strict=True)
        ]
    )
    rank = jnp.where(mask, 2.0, jnp.where(harmless, 1.0, 0.0))
    chosen = top_k_mask(jnp.where(prunable, rank, -1.0), size)
    return jnp.where(prunable, chosen, mask)
