"""The same sparse network in a narrower one: neurons that cannot matter are left out."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params
from ticketjax.masks import layer_names


def active_neurons(mask: Params) -> list[jax.Array]:
    """Which hidden neurons can matter to the output, one bool vector per hidden layer.

    A neuron matters if an output can be reached from it and if its own output can differ from 0:
    it is reached from an input or from a kept bias. Every other neuron leaves the output alone,
    before and during training: either its output is 0 or its parameters have gradient 0.
    """
    names = layer_names(mask)
    kernels = [mask[name]["kernel"] != 0 for name in names]
    fed = [jnp.ones(kernels[0].shape[0], bool)]
    for name, kernel in zip(names, kernels, strict=True):
        fed.append(jnp.any(kernel & fed[-1][:, None], axis=0) | (mask[name]["bias"] != 0))
    read = [jnp.ones(kernels[-1].shape[1], bool)]
    for kernel in reversed(kernels):
        read.insert(0, jnp.any(kernel & read[0][None, :], axis=1))
    return [a & b for a, b in zip(fed, read, strict=True)][1:-1]


def active_width(mask: Params) -> jax.Array:
    """Width that the hidden layers need to hold every neuron that can matter; () int32."""
    return jnp.max(jnp.stack([jnp.sum(layer) for layer in active_neurons(mask)] or [jnp.int32(0)]))


def compact(params: Params, mask: Params, width: int) -> tuple[Params, Params]:
    """Parameters and mask with hidden layers of `width` neurons that compute the same output.

    width: at least active_width(mask), which cannot be checked here, as the mask may be traced.
    Layers that are no wider than that stay as they are.
    """
    names = layer_names(params)
    kept = [
        jnp.argsort(~active, stable=True)[:width] if active.size > width else None
        for active in active_neurons(mask)
    ]

    def narrow(tree: Params) -> Params:
        narrowed = {}
        for name, sources, sinks in zip(names, [None, *kept], [*kept, None], strict=True):
            kernel, bias = tree[name]["kernel"], tree[name]["bias"]
            if sources is not None:
                kernel = kernel[sources]
            if sinks is not None:
                kernel, bias = kernel[:, sinks], bias[sinks]
            narrowed[name] = {"kernel": kernel, "bias": bias}
        return narrowed

    return narrow(params), narrow(mask)
