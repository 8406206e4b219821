"""A dense network whose parameters are one vector, as the search among its masks needs them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names


def sizes_of(params: Params) -> tuple[int, ...]:
    """Inputs, neurons of every hidden layer, outputs; ValueError for layers that are not dense."""
    kernels = [params[name]["kernel"] for name in layer_names(params)]
    if any(kernel.ndim != 2 for kernel in kernels):
        raise ValueError(
            "params must be those of a dense ReLU network, with kernels (n_in, n_out); got shapes "
            f"{[kernel.shape for kernel in kernels]}"
        )
    return (kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels))


def flatten(tree: Params) -> jax.Array:
    """One vector: layers from input to output, the kernel row-major before the bias."""
    names = layer_names(tree)
    return jnp.concatenate(
        [tree[name][part].ravel() for name in names for part in ("kernel", "bias")]
    )


class Start(NamedTuple):
    """Where a layer's kernel and bias begin in the vector."""

    kernel: int
    bias: int


def starts_of(sizes: tuple[int, ...]) -> list[Start]:
    """Where the layers begin in the vector."""
    starts, at = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        starts.append(Start(at, at + n_in * n_out))
        at += (n_in + 1) * n_out
    return starts


def layers_of(flat: jax.Array, sizes: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    """The kernels and biases of a vector."""
    return [
        (
            flat[start.kernel : start.bias].reshape(n_in, n_out),
            flat[start.bias : start.bias + n_out],
        )
        for start, n_in, n_out in zip(starts_of(sizes), sizes, sizes[1:], strict=False)
    ]


def unflatten(flat: jax.Array, params: Params) -> Params:
    """The tree that flatten() made a vector of; params: any tree of its shapes."""
    layers = layers_of(flat, sizes_of(params))
    return {
        name: {"kernel": kernel, "bias": bias}
        for name, (kernel, bias) in zip(layer_names(params), layers, strict=True)
    }


def join(layers: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
    """The vector of these kernels and biases."""
    return jnp.concatenate([part.ravel() for layer in layers for part in layer])


def is_bias(sizes: tuple[int, ...]) -> np.ndarray:
    """Which parameters of the vector are biases."""
    pairs = zip(sizes, sizes[1:], strict=False)
    return np.concatenate([np.repeat([False, True], [m * n, n]) for m, n in pairs])


def sinks_of(sizes: tuple[int, ...]) -> np.ndarray:
    """The neuron that each parameter feeds, counted over all layers but the input."""
    sinks, first = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        sinks.append(np.tile(np.arange(first, first + n_out), n_in + 1))
        first += n_out
    return np.concatenate(sinks)


def forward(flat: jax.Array, x: jax.Array, sizes: tuple[int, ...]):
    """What each layer receives and its pre-activations; samples in the last axis."""
    received, before = [x], []
    layers = layers_of(flat, sizes)
    for kernel, bias in layers:
        before.append(jnp.matmul(kernel.T, received[-1], precision="highest") + bias[:, None])
        received.append(jnp.maximum(before[-1], 0))
    return received[:-1], before
