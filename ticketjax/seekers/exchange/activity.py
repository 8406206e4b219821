"""Which neurons and parameters of a mask can matter, and masks made smaller or larger by that."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ticketjax.networks.compaction import active_spaces
from ticketjax.seekers.exchange.vectors import join, layers_of, starts_of
from ticketjax.selection import top_k_mask


def active_neurons(mask: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """Which neurons can matter, layer by layer: not always 0, and read by an output."""
    return active_spaces(*zip(*layers_of(mask, sizes), strict=True))


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


def pool(
    draws: Sequence[jax.Array], mask: jax.Array, sizes: tuple[int, ...], narrow: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Choose a narrower network, of all active neurons and random other ones.

    Args:
        draws: numbers in [0, 1), one per neuron of every layer that is to become narrower; none of
            the others.
        mask: (parameters,), as flatten() makes it.
        sizes: neurons of every layer.
        narrow: neurons of every layer of the narrower network.

    Returns:
        Where its parameters are in the vector, and whether it is wide enough.
    """
    active = active_neurons(mask, sizes)
    neurons = []
    for drawn, among, width in zip(draws, active, narrow, strict=True):
        chosen = jnp.argsort(-(drawn + among))[:width] if drawn.size else jnp.arange(width)
        neurons.append(chosen)
    counts = jnp.stack([jnp.sum(among) for among in active])
    where = []
    for i, start in enumerate(starts_of(sizes)):
        rows = start.kernel + neurons[i][:, None] * sizes[i + 1] + neurons[i + 1][None]
        where += [rows.ravel(), start.bias + neurons[i + 1]]
    return jnp.concatenate(where), jnp.all(counts <= jnp.asarray(narrow))


def fill(
    mask: jax.Array, size: jax.Array | int, prunable: jax.Array, sizes: tuple[int, ...]
) -> jax.Array:
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
    rank = jnp.where(mask, 2.0, jnp.where(harmless, 1.0, 0.0)).astype(jnp.float32)
    chosen = top_k_mask(jnp.where(prunable, rank, -1.0), size)
    return jnp.where(prunable, chosen, mask)
