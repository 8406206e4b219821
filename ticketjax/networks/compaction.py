"""The same sparse network with fewer neurons: those that cannot affect the output are left out."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from ticketjax.base import Params
from ticketjax.masks import layer_names


def active_spaces(
    kernels: Sequence[jax.Array], biases: Sequence[jax.Array | None]
) -> list[jax.Array]:
    """Which neurons can affect the output, for the inputs and for every layer.

    A neuron can affect the output if an output can be reached from it and if its own output can
    differ from 0: it is reached from an input or from a kept bias. No other neuron changes the
    output, before or during training: either its output is 0 or its parameters have gradient 0.
    Inputs and outputs count as active.

    Args:
        kernels, biases: bool masks of dense layers one after the other, (n_in, n_out) and (n_out,);
            None for no bias.

    Returns:
        Bool vectors, the inputs first.
    """
    inputs = jnp.ones(kernels[0].shape[0], bool)
    outputs = jnp.ones(kernels[-1].shape[1], bool)
    fed = [inputs]
    for kernel, bias in zip(kernels, biases, strict=True):
        reached = jnp.any(kernel & fed[-1][:, None], axis=0)
        fed.append(reached if bias is None else reached | bias)
    read = [outputs]
    for kernel in reversed(kernels):
        read.insert(0, jnp.any(kernel & read[0][None, :], axis=1))
    return [inputs, *(a & b for a, b in zip(fed[1:-1], read[1:-1], strict=True)), outputs]


def active_neurons(mask: Params) -> list[jax.Array]:
    """Which hidden neurons can affect the output, one bool vector per hidden layer."""
    layers = [mask[name] for name in layer_names(mask)]
    kernels = [layer["kernel"] != 0 for layer in layers]
    biases = [layer["bias"] != 0 if "bias" in layer else None for layer in layers]
    return active_spaces(kernels, biases)[1:-1]


def active_width(mask: Params) -> jax.Array:
    """Least width of hidden layers with room for all active neurons of each; () int32."""
    return jnp.max(jnp.stack([jnp.sum(layer) for layer in active_neurons(mask)] or [jnp.int32(0)]))


def compact(params: Params, mask: Params, width: int) -> tuple[Params, Params]:
    """Parameters and mask with hidden layers of `width` neurons that compute the same output.

    Args:
        params, mask: views of dense layers one after the other.
        width: at least active_width(mask), which is not checked, because the mask may be traced.
            Layers that are no wider than that stay as they are.

    Returns:
        (params, mask) of the narrower network.
    """
    names = layer_names(params)
    kept = [
        jnp.argsort(~active, stable=True)[:width] if active.size > width else None
        for active in active_neurons(mask)
    ]

    def narrow(tree: Params) -> Params:
        narrowed = {}
        for name, sources, sinks in zip(names, [None, *kept], [*kept, None], strict=True):
            layer = dict(tree[name])
            if sources is not None:
                layer["kernel"] = layer["kernel"][sources]
            if sinks is not None:
                layer["kernel"] = layer["kernel"][:, sinks]
                if "bias" in layer:
                    layer["bias"] = layer["bias"][sinks]
            narrowed[name] = layer
        return narrowed

    return narrow(params), narrow(mask)
