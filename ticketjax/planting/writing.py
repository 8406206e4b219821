"""Functions of both methods of planting: norms, lots, and writing into a layer."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params
from ticketjax.mixing import mixed
from ticketjax.networks.wiring import by_tap


def norm(x: jax.Array, axis: int | None = None) -> jax.Array:
    """Euclidean norm whose squares neither overflow nor underflow."""
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    safe = jnp.where(largest > 0, largest, 1.0)
    norm = safe * jnp.sqrt(jnp.sum((x / safe) ** 2, axis=axis, keepdims=True))
    return jnp.squeeze(norm, axis)


def rows_of(kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Every neuron's incoming parameters, (taps * sources + 1, neurons), the bias as last row."""
    return jnp.concatenate([kernel.reshape(-1, bias.size), bias[None]])


def lots_of(kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """A pseudo-random number per mother neuron that reveals neither its place nor its parameters.

    Single parameters fit every neuron of the right sign equally well. If the first of these neurons
    were taken, low indices would reveal the ticket to every pruner whose ties go to low indices.
    Therefore a hash of the bits of the incoming parameters decides where there is no key for
    drawing. Anybody can compute it; drawn_lots() hides the choice itself.

    Args:
        kernel: the mother's kernel, (n_in, n_out) or (height, width, n_in, n_out).
        bias: (n_out,).

    Returns:
        (n_out,) uint32.
    """
    bits = jax.lax.bitcast_convert_type(rows_of(kernel, bias), jnp.uint32)
    return mixed(jnp.sum(bits, axis=0, dtype=jnp.uint32))


def drawn_lots(key: jax.Array, params: Params) -> dict[str, jax.Array]:
    """Lots that are drawn, and can therefore not be computed from the network.

    Args:
        key: decides them.
        params: the mother's view, {"layer_0": {"kernel", "bias"}, ...}.

    Returns:
        For each layer (n_out,) uint32, a lot per mother neuron.
    """
    return {
        name: jax.random.bits(jax.random.fold_in(key, i), layer["bias"].shape, jnp.uint32)
        for i, (name, layer) in enumerate(params.items())
    }


def write(
    mother: dict[str, jax.Array],
    support: jax.Array,
    values: jax.Array,
    sources: jax.Array,
    neurons: jax.Array,
    zero_path_biases: bool,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """A layer's parameters and mask, the target's values written where it has parameters.

    Args:
        mother: "kernel" and "bias" of the mother's layer.
        support: (taps * sources + 1, neurons) bool, the parameters that the target has, the bias as
            last row.
        values: (taps * sources + 1, neurons), their values.
        sources, neurons: indices of the mother's neurons that the target's sources and neurons
            take.
        zero_path_biases: as in plant().

    Returns:
        Parameters and mask of the layer, dicts like mother.
    """
    bias = mother["bias"]
    taps = (support.shape[0] - 1) // sources.size
    kernel = by_tap(mother["kernel"], mother["kernel"].size // (taps * bias.size))
    weight_at = slice(None), sources[:, None], neurons[None, :]
    kernel_support, kernel_values = (
        rows[:-1].reshape(taps, sources.size, neurons.size) for rows in (support, values)
    )
    old_bias = jnp.zeros(neurons.shape, bias.dtype) if zero_path_biases else bias[neurons]
    written = jnp.where(kernel_support, kernel_values, kernel[weight_at])
    shape = mother["kernel"].shape
    params = {
        "kernel": kernel.at[weight_at].set(written).reshape(shape),
        "bias": bias.at[neurons].set(jnp.where(support[-1], values[-1], old_bias)),
    }
    mask = {
        "kernel": jnp.zeros(kernel.shape, bool).at[weight_at].set(kernel_support).reshape(shape),
        "bias": jnp.zeros(bias.shape, bool).at[neurons].set(support[-1]),
    }
    return params, mask
