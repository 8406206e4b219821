"""A dense network whose parameters are one vector, as the search among its masks needs them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names
from ticketjax.networks.layers import layer_title, leaf_paths, positions, why_no_planting
from ticketjax.problem import Problem


def check_dense(problem: Problem, search: str = "exchange") -> None:
    """Check that a network is a chain of dense layers with ReLU between.

    The search computes the network's output itself, so that nothing else may take part in it.

    Args:
        problem: of the network.
        search: its name in the message.

    Raises:
        ValueError: another network; the message names the layer.
    """
    refusal = f"{search} searches networks of dense layers one after the other, with ReLU between: "
    reason = why_no_planting(problem.known_layers, as_chain=True)
    if reason:
        raise ValueError(f"{refusal}{reason}")
    seen, width = problem.view(problem.params), math.prod(problem.batch.x.shape[1:])
    for name, layer in zip(layer_names(seen), problem.known_layers, strict=True):
        shape = seen[name]["kernel"].shape
        if len(shape) != 2 or shape[0] != width:
            raise ValueError(
                f"{refusal}{layer_title(layer)}: its kernel must be ({width}, outputs), got {shape}"
            )
        width = shape[1]
    taken = {
        at for parts in positions(problem.params, problem.known_layers) for at in parts.values()
    }
    for at, path in enumerate(leaf_paths(problem.params)):
        if at not in taken:
            raise ValueError(f"{refusal}{path} belongs to no layer")


def sizes_of(params: Params) -> tuple[int, ...]:
    """Inputs, neurons of every hidden layer, outputs."""
    kernels = [params[name]["kernel"] for name in layer_names(params)]
    return (kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels))


def biases_of(params: Params) -> tuple[bool, ...]:
    """Which layers have a bias."""
    return tuple("bias" in params[name] for name in layer_names(params))


def flatten(tree: Params) -> jax.Array:
    """One vector: layers from input to output, the kernel row-major before the bias.

    Args:
        tree: a view {"layer_0": {"kernel", "bias"}, ...}.

    Returns:
        (parameters,). A missing bias is one of zeros, and False in a mask.
    """
    parts = []
    for name in layer_names(tree):
        kernel = tree[name]["kernel"]
        bias = tree[name].get("bias")
        parts.append(kernel.ravel())
        parts.append(jnp.zeros(kernel.shape[1], kernel.dtype) if bias is None else bias.ravel())
    return jnp.concatenate(parts)


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
    """The view that flatten() made a vector of; params: any view of its shapes."""
    layers = layers_of(flat, sizes_of(params))
    view: Params = {}
    for name, (kernel, bias) in zip(layer_names(params), layers, strict=True):
        view[name] = {"kernel": kernel}
        if "bias" in params[name]:
            view[name]["bias"] = bias
    return view


def join(layers: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
    """The vector of these kernels and biases."""
    return jnp.concatenate([part.ravel() for layer in layers for part in layer])


def prunable_of(sizes: tuple[int, ...], biases: tuple[bool, ...], prune_bias: bool) -> np.ndarray:
    """Which parameters of the vector are prunable: weights, and biases that there are to prune."""
    pairs = zip(sizes, sizes[1:], strict=False)
    return np.concatenate(
        [
            np.repeat([True, prune_bias and bias], [m * n, n])
            for (m, n), bias in zip(pairs, biases, strict=True)
        ]
    )


def is_bias(sizes: tuple[int, ...]) -> np.ndarray:
    """Which parameters of the vector are biases."""
    return ~prunable_of(sizes, (False,) * (len(sizes) - 1), False)


def sinks_of(sizes: tuple[int, ...]) -> np.ndarray:
    """The neuron that each parameter feeds, counted over all layers but the input."""
    sinks, first = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        sinks.append(np.tile(np.arange(first, first + n_out), n_in + 1))
        first += n_out
    return np.concatenate(sinks)


def forward(
    flat: jax.Array, x: jax.Array, sizes: tuple[int, ...]
) -> tuple[list[jax.Array], list[jax.Array]]:
    """What each layer receives and its pre-activations; samples in the last axis."""
    received, before = [x], []
    layers = layers_of(flat, sizes)
    for kernel, bias in layers:
        before.append(jnp.matmul(kernel.T, received[-1], precision="highest") + bias[:, None])
        received.append(jnp.maximum(before[-1], 0))
    return received[:-1], before


def outputs_of(flat: jax.Array, x: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """The outputs alone, (outputs, n)."""
    return forward(flat, x, sizes)[1][-1]
