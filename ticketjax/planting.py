"""Planting: hide a sparse target network inside a random one, exactly."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Planted
from ticketjax.masks import layer_names

EQUAL_COSINES = 1e-6  # a few float32 roundings


class _Placed(NamedTuple):
    """Where a layer's target neurons went: index in the mother, and target output / its own."""

    index: jax.Array  # (target neurons,) int32
    scale: jax.Array  # (target neurons,) float32


def _check_shapes(target: Params, params: Params) -> None:
    if len(target) != len(params):
        raise ValueError(
            f"the ticket has {len(target)} layers and the network {len(params)}: "
            f"{'too shallow' if len(params) < len(target) else 'too deep'} by "
            f"{abs(len(params) - len(target))}"
        )
    if set(target) != set(params):
        raise ValueError(
            f"layer names differ: {layer_names(target)} in the ticket, "
            f"{layer_names(params)} in the network"
        )
    names = layer_names(target)
    inputs = target[names[0]]["kernel"].shape[0], params[names[0]]["kernel"].shape[0]
    if inputs[0] != inputs[1]:
        raise ValueError(f"{names[0]}: the ticket has {inputs[0]} inputs, the network {inputs[1]}")
    for name in names:
        needed = target[name]["kernel"].shape[1]
        there = params[name]["kernel"].shape[1]
        if name == names[-1] and needed != there:
            raise ValueError(f"{name}: the ticket has {needed} outputs, the network {there}")
        if there < needed:
            raise ValueError(
                f"{name} is too narrow: the ticket needs {needed} neurons, the network has "
                f"{there}, {needed - there} too few"
            )


def _norm(x: jax.Array, axis: int | None = None) -> jax.Array:
    """Euclidean norm that neither over- nor underflows in its squares."""
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    safe = jnp.where(largest > 0, largest, 1.0)
    norm = safe * jnp.sqrt(jnp.sum((x / safe) ** 2, axis=axis, keepdims=True))
    return jnp.squeeze(norm, axis)


def _power_of_two(factor: jax.Array) -> jax.Array:
    """The power of two nearest to a positive factor (in logarithm).

    Dividing by it rounds nothing, so that planting costs none of float32's precision; the factor
    may be any positive number, and this one is within sqrt(2) of the one wanted.
    """
    exponent = jnp.clip(jnp.round(jnp.log2(factor)), -100, 100)
    return jnp.ldexp(jnp.float32(1.0), exponent.astype(jnp.int32))


def _lots(kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """A number per mother neuron, (n_out,) uint32, that says nothing of its place or parameters.

    Lone parameters fit every neuron of the right sign equally well. Were the first of them taken,
    low indices would betray the ticket, to every pruner whose ties go to low indices. So they draw
    lots: a hash of the bits of their incoming parameters, as there is no key to draw from.
    """
    bits = jax.lax.bitcast_convert_type(jnp.concatenate([kernel, bias[None]]), jnp.uint32)
    lot = jnp.sum(bits, axis=0, dtype=jnp.uint32)
    # The last steps of MurmurHash3: every bit of the sum moves every bit of the lot.
    lot = (lot ^ (lot >> 16)) * jnp.uint32(0x85EBCA6B)
    lot = (lot ^ (lot >> 13)) * jnp.uint32(0xC2B2AE35)
    return lot ^ (lot >> 16)


def _place(wanted: jax.Array, support: jax.Array, candidates: jax.Array, lots: jax.Array):
    """Give each target neuron the unused mother neuron whose incoming parameters fit it best.

    wanted: (k, target neurons) incoming parameters times the scales of their sources, the bias
        as last row; support: which of them the target has; candidates: (k, mother neurons);
        lots: (mother neurons,), the highest of equally good ones is taken.
    Returns the neurons chosen, their scales, and the parameters to write, (k, target neurons).
    """
    in_degree = jnp.sum(support, axis=0)
    size = _norm(wanted, axis=0)
    size = jnp.where(size > 0, size, 1.0)
    matching_size = jnp.sqrt(
        jnp.sum(jnp.where(support[:, :, None], candidates[:, None, :] ** 2, 0.0), axis=0)
    )
    matching_size = jnp.where(matching_size > 0, matching_size, 1.0)
    # Elementwise, because a matrix product may run in reduced precision; (k, target, mother).
    products = (wanted / size[None, :])[:, :, None] * candidates[:, None, :]
    cosine = jnp.sum(products, axis=0) / matching_size

    def choose(used, neuron):
        fit = jnp.where(used, -jnp.inf, cosine[neuron])
        equal = fit >= jnp.max(fit) - EQUAL_COSINES
        best = jnp.argmax(jnp.where(equal, lots | 1, 0))
        return used | (jnp.arange(used.size) == best), best

    hardest_first = jnp.argsort(-in_degree, stable=True)
    _, chosen = jax.lax.scan(choose, jnp.zeros(candidates.shape[1], bool), hardest_first)
    index = chosen[jnp.argsort(hardest_first)].astype(jnp.int32)

    neurons = jnp.arange(index.size)
    fit, matching_size = cosine[neurons, index], matching_size[neurons, index]
    # The paper's factor theta.m / |m|^2; it must be positive for relu, so where nothing of the
    # right direction was left, the one that keeps the size of the mother's parameters.
    factor = size * jnp.where(fit > 0, fit, 1.0) / matching_size
    # A single parameter of the right sign is matched by a scale alone: it stays as it is.
    unchanged = (in_degree == 1) & (fit > 0)
    factor = jnp.where(unchanged, factor, _power_of_two(factor))
    factor = jnp.where(in_degree > 0, factor, 1.0)
    values = jnp.where(unchanged[None, :], candidates[:, index], wanted / factor[None, :])
    return _Placed(index, factor), values


# Compiled here, because a loop that runs outside of jit is compiled again at every call.
@functools.partial(jax.jit, static_argnames=("is_last", "zero_path_biases"))
def _plant_layer(
    target: dict[str, jax.Array],
    mother: dict[str, jax.Array],
    sources: _Placed,
    is_last: bool,
    zero_path_biases: bool,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array], _Placed]:
    """One layer's parameters and mask, and where its target neurons went."""
    kernel, bias = mother["kernel"], mother["bias"]
    target_kernel = jnp.asarray(target["kernel"], jnp.float32)
    target_bias = jnp.asarray(target["bias"], jnp.float32)
    support = jnp.concatenate([target_kernel, target_bias[None]]) != 0
    wanted = jnp.concatenate([target_kernel * sources.scale[:, None], target_bias[None]])
    candidates = jnp.concatenate([kernel[sources.index], bias[None]])
    if is_last:
        # One factor for all outputs, the one that keeps the layer's size: arg max and the
        # ratios of the outputs are the target's without any correction.
        size, matching_size = _norm(wanted), _norm(jnp.where(support, candidates, 0.0))
        ratio = size / jnp.where(matching_size > 0, matching_size, 1.0)
        factor = _power_of_two(jnp.where(ratio > 0, ratio, 1.0))
        placed = _Placed(jnp.arange(bias.size), jnp.full(bias.size, factor))
        values = wanted / factor
    else:
        placed, values = _place(wanted, support, candidates, _lots(kernel, bias))
    weight_at = sources.index[:, None], placed.index[None, :]
    old_bias = jnp.zeros_like(target_bias) if zero_path_biases else bias[placed.index]
    params = {
        "kernel": kernel.at[weight_at].set(jnp.where(support[:-1], values[:-1], kernel[weight_at])),
        "bias": bias.at[placed.index].set(jnp.where(support[-1], values[-1], old_bias)),
    }
    mask = {
        "kernel": jnp.zeros(kernel.shape, bool).at[weight_at].set(support[:-1]),
        "bias": jnp.zeros(bias.shape, bool).at[placed.index].set(support[-1]),
    }
    return params, mask, placed


def plant(target: Params, params: Params, *, zero_path_biases: bool = False) -> Planted:
    """Write a target network into a random one of the same depth, and say where it went.

    Layer by layer from the input, hardest neuron (highest in-degree) first, each target neuron
    takes the unused neuron whose incoming parameters have the largest cosine with its own (equally
    good ones draw lots). Those parameters are overwritten up to a positive factor, which the next
    layer makes good for (relu is positively homogeneous). The output layer stays in place, with one
    factor for all outputs. Everything that is not the ticket's stays bit for bit. (Fischer and
    Burkholz 2022, Algorithm 1 and appendix A.3; there, each output has a factor of its own.)

    target: kernels (n_in, n_out) and biases (n_out,) without padding; zeros are no parameters.
    params: the mother network; same layers and inputs and outputs, at least as wide.
    zero_path_biases: also set to zero the biases that planted neurons have in the mother but not
        in the target: needed where masks cannot prune biases.

    Returns params, mask and output_scale () > 0 with
    apply(params * mask, x) * output_scale == the target's output.

    Pure; works under jit and vmap, for either argument.

    Raises ValueError, naming the layer, if the network is too narrow or not of the same depth.

    >>> import numpy as np
    >>> target = {"layer_0": {"kernel": np.array([[2.0]]), "bias": np.array([0.0])}}
    >>> params = {"layer_0": {"kernel": jnp.array([[0.5]]), "bias": jnp.array([0.1])}}
    >>> float(plant(target, params).output_scale)
    4.0
    """
    _check_shapes(target, params)
    names = layer_names(target)
    inputs = target[names[0]]["kernel"].shape[0]
    sources = _Placed(jnp.arange(inputs), jnp.ones(inputs, jnp.float32))
    planted_params, planted_mask = {}, {}
    for name in names:
        planted_params[name], planted_mask[name], sources = _plant_layer(
            target[name],
            params[name],
            sources,
            is_last=name == names[-1],
            zero_path_biases=zero_path_biases,
        )
    return Planted(planted_params, planted_mask, sources.scale[0])
