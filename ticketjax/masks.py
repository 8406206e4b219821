"""Mask algebra: a mask applied, counted, compared, and how dense it is."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.mixing import mixed


def layer_names(params: Mapping[str, Any]) -> list[str]:
    """Names of the layers from input to output ("layer_10" stands after "layer_9")."""
    return sorted(params, key=lambda name: ([int(n) for n in re.findall(r"\d+", name)], name))


def depth(params: Params) -> int:
    """Layers of neurons, including the input: one more than there are kernels."""
    return len(params) + 1


def apply_mask(params: Params, mask: Params) -> Params:
    """Parameters with everything outside the mask set to zero.

    Args:
        params: tree of any shapes and float type.
        mask: bool tree of the same shapes.

    Returns:
        A tree like params.

    >>> params = {"layer_0": {"kernel": jnp.array([[3.0, 1.0]]), "bias": jnp.array([2.0, 2.0])}}
    >>> mask = jax.tree.map(lambda p: p > 1, params)
    >>> apply_mask(params, mask)["layer_0"]["kernel"].tolist()
    [[3.0, 0.0]]
    """
    return jax.tree.map(lambda p, m: jnp.where(m, p, jnp.zeros_like(p)), params, mask)


def full_mask(params: Params) -> Params:
    """The mask that keeps everything."""
    return jax.tree.map(lambda p: jnp.ones(p.shape, bool), params)


def nonzero_mask(params: Params) -> Params:
    """The mask of a sparse network: True where a parameter is not zero."""
    return jax.tree.map(lambda p: jnp.asarray(p) != 0, params)


def prunable_leaves(tree: Params, prune_bias: bool = True) -> list[list[jax.Array]]:
    """The prunable arrays, layer by layer: the kernel, then the bias if there is one to prune."""
    parts = ("kernel", "bias") if prune_bias else ("kernel",)
    return [
        [tree[name][part] for part in parts if part in tree[name]] for name in layer_names(tree)
    ]


def count_prunable(params: Params, prune_bias: bool = True) -> int:
    """How many parameters a density refers to."""
    return sum(leaf.size for layer in prunable_leaves(params, prune_bias) for leaf in layer)


def count_kept(mask: Params, prune_bias: bool = True) -> jax.Array:
    """How many of the prunable parameters a mask keeps, int32."""
    leaves = itertools.chain.from_iterable(prunable_leaves(mask, prune_bias))
    return jnp.asarray(sum(jnp.sum(leaf != 0) for leaf in leaves))


def share(count: jax.Array | int, size: int) -> jax.Array:
    """Return count / size, float32, exactly 1 if count equals size.

    The divisor is chosen at run time, because XLA would replace a constant divisor by its rounded
    inverse, but not for every number of devices.

    Args:
        count: number of parameters counted, may be traced.
        size: number of all parameters.

    Returns:
        () float32.
    """
    return count / jnp.where(jnp.asarray(count) < 0, jnp.float32(1), jnp.float32(size))


def density(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Fraction of the prunable parameters that a mask keeps, float32."""
    return share(count_kept(mask, prune_bias), count_prunable(mask, prune_bias))


def layer_densities(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Kept fraction of the prunable parameters of every layer.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        prune_bias: False leaves biases out of the count.

    Returns:
        (layers,) float32, in 0..1.

    >>> layer_densities({"layer_0": {"kernel": jnp.array([[True, False]]), "bias": jnp.ones(2)}})
    Array([0.75], dtype=float32)
    """
    return jnp.stack(
        [
            share(sum(jnp.sum(leaf != 0) for leaf in layer), sum(leaf.size for leaf in layer))
            for layer in prunable_leaves(mask, prune_bias)
        ]
    )


def count_ticket_layers(target: Params, prune_bias: bool = True) -> tuple[int, ...]:
    """How many prunable parameters a sparse target has in each layer."""
    return tuple(
        sum(int(np.count_nonzero(leaf)) for leaf in layer)
        for layer in prunable_leaves(target, prune_bias)
    )


def ticket_density(target: Params, params: Params, prune_bias: bool = True) -> float:
    """Density that a sparse target has inside a network of the shape of `params`."""
    return sum(count_ticket_layers(target, prune_bias)) / count_prunable(params, prune_bias)


def digest(mask: Params) -> jax.Array:
    """Four words that distinguish the masks of one network.

    Every place has four fixed 32-bit numbers, mixed from its index. The numbers of the kept places
    are added. Two different masks have the same words with a chance of about 2^-128.

    Args:
        mask: bool tree of a network's layers.

    Returns:
        (4,) uint32.

    >>> mask = {"layer_0": {"kernel": jnp.array([[True, False]]), "bias": jnp.array([True, True])}}
    >>> digest(mask).shape
    (4,)
    """
    words, start = jnp.zeros(4, jnp.uint32), 0
    for leaf in jax.tree.leaves(mask):
        place = jnp.arange(start, start + leaf.size, dtype=jnp.uint32)
        own = mixed(place[None] * 4 + jnp.arange(1, 5, dtype=jnp.uint32)[:, None])
        words = words + jnp.sum(jnp.where(leaf.ravel()[None], own, 0), axis=1, dtype=jnp.uint32)
        start += leaf.size
    return words


def shuffle(key: jax.Array, mask: Params) -> Params:
    """The mask with the entries of every kernel and of every bias in a random order.

    Args:
        key: determines the order.
        mask: tree of a network's layers.

    Returns:
        A tree like mask. Every kernel and every bias keeps as many parameters as before, at random
        places.
    """
    leaves, structure = jax.tree.flatten(mask)
    keys = jax.random.split(key, len(leaves))
    shuffled = [
        jax.random.permutation(leaf_key, leaf.ravel()).reshape(leaf.shape)
        for leaf_key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shuffled)
