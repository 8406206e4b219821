"""Paths of kept weights from an input to an output: how many are left, and where they end."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params
from ticketjax.masks import count_prunable, layer_names, prunable_leaves, share


def live_neurons(mask: Params) -> list[jax.Array]:
    """Which neurons lie on a path of kept weights from an input to an output.

    Returns one bool vector per layer of neurons, the input included.
    """
    kernels = [mask[name]["kernel"] != 0 for name in layer_names(mask)]
    reached = [jnp.ones(kernels[0].shape[0], bool)]
    for kernel in kernels:
        reached.append(jnp.any(kernel & reached[-1][:, None], axis=0))
    reaching = [jnp.ones(kernels[-1].shape[1], bool)]
    for kernel in reversed(kernels):
        reaching.insert(0, jnp.any(kernel & reaching[0][None, :], axis=1))
    return [a & b for a, b in zip(reached, reaching, strict=True)]


def collapsed(mask: Params) -> jax.Array:
    """Whether no path of kept weights is left from any input to any output; () bool."""
    return ~jnp.any(live_neurons(mask)[-1])


def first_dead_layer(mask: Params) -> jax.Array:
    """First layer that no path of kept weights from an input gets through; -1 if none; () int32.

    Layers of parameters are counted from 0. A network is collapsed exactly if there is one.
    """
    reached = jnp.ones(mask["layer_0"]["kernel"].shape[0], bool)
    dead = []
    for name in layer_names(mask):
        reached = jnp.any((mask[name]["kernel"] != 0) & reached[:, None], axis=0)
        dead.append(~jnp.any(reached))
    ends = jnp.stack(dead)
    return jnp.where(jnp.any(ends), jnp.argmax(ends), -1).astype(jnp.int32)


def log10_paths(mask: Params) -> jax.Array:
    """Decimal logarithm of the number of kept paths from an input to an output; -inf for none.

    Counted layer by layer, each count divided by the largest, so that 10^24 paths overflow
    nothing; () float32.
    """
    count = jnp.ones(mask["layer_0"]["kernel"].shape[0])
    total = jnp.float32(0)
    for name in layer_names(mask):
        count = count @ (mask[name]["kernel"] != 0).astype(jnp.float32)
        largest = jnp.max(count)
        total += jnp.log10(largest)
        count /= jnp.where(largest > 0, largest, 1)
    return jnp.where(jnp.any(count > 0), total + jnp.log10(jnp.sum(count)), -jnp.inf)


def effective_density(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Share of the prunable parameters that are kept and on a live path; () float32.

    A weight counts if both its neurons lie on an input-output path, a bias if its neuron does.
    """
    live = live_neurons(mask)
    effective = {
        name: {
            "kernel": (mask[name]["kernel"] != 0) & source[:, None] & sink[None, :],
            "bias": (mask[name]["bias"] != 0) & sink,
        }
        for name, source, sink in zip(layer_names(mask), live, live[1:], strict=False)
    }
    kept = sum(jnp.sum(leaf) for layer in prunable_leaves(effective, prune_bias) for leaf in layer)
    return share(kept, count_prunable(mask, prune_bias))
