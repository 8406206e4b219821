"""The published planting: each target neuron takes the mother neuron of the largest cosine."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.networks.wiring import by_tap
from ticketjax.planting.writing import lots_of, norm, rows_of, write

EQUAL_COSINES = 1e-6  # a few float32 roundings


class Placed(NamedTuple):
    """The places of a layer's target neurons in the mother network.

    Args:
        neurons: (target neurons,) int32, indices of the mother's neurons.
        scale: (target neurons,) float32, the target neuron's output divided by the planted one's.
    """

    neurons: jax.Array  # (target neurons,) int32
    scale: jax.Array  # (target neurons,) float32


def _power_of_two(factor: jax.Array) -> jax.Array:
    """The power of two nearest to a positive factor (in logarithm).

    Dividing by it rounds nothing, so that planting loses none of float32's precision. Any positive
    factor would be valid; this one is within sqrt(2) of the intended one.
    """
    exponent = jnp.clip(jnp.round(jnp.log2(factor)), -100, 100)
    return jnp.ldexp(jnp.float32(1.0), exponent.astype(jnp.int32))


def _choose(
    wanted: jax.Array, support: jax.Array, candidates: jax.Array, lots: jax.Array
) -> jax.Array:
    """Give each target neuron the unused mother neuron whose incoming parameters fit it best.

    Args:
        wanted: (k, target neurons) incoming parameters times the scales of their sources, the bias
            as last row.
        support: (k, target neurons) bool, which of them the target has.
        candidates: (k, mother neurons), the mother's incoming parameters.
        lots: (mother neurons,) uint32; the highest lot wins among equally good neurons.

    Returns:
        The neurons chosen, (target neurons,) int32.
    """
    size = norm(wanted, axis=0)
    size = jnp.where(size > 0, size, 1.0)

    def product(a, b):
        return jnp.matmul(a.T, b, precision="highest")

    matching_size = jnp.sqrt(product(support.astype(jnp.float32), candidates**2))
    matching_size = jnp.where(matching_size > 0, matching_size, 1.0)
    cosine = product(wanted / size[None, :], candidates) / matching_size

    def choose(used, neuron):
        fit = jnp.where(used, -jnp.inf, cosine[neuron])
        equal = fit >= jnp.max(fit) - EQUAL_COSINES
        best = jnp.argmax(jnp.where(equal, lots | 1, 0))
        return used | (jnp.arange(used.size) == best), best

    hardest_first = jnp.argsort(-jnp.sum(support, axis=0), stable=True)
    _, chosen = jax.lax.scan(choose, jnp.zeros(candidates.shape[1], bool), hardest_first)
    return chosen[jnp.argsort(hardest_first)].astype(jnp.int32)


def _fit(wanted: jax.Array, support: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each neuron's positive factor, and its parameters divided by it.

    Args:
        wanted, support: as in _choose().
        there: (k, target neurons), the parameters to be replaced.
    """
    in_degree = jnp.sum(support, axis=0)
    size, matching_size = norm(wanted, axis=0), norm(jnp.where(support, there, 0.0), axis=0)
    size = jnp.where(size > 0, size, 1.0)
    matching_size = jnp.where(matching_size > 0, matching_size, 1.0)
    fit = jnp.sum(wanted / size[None] * there, axis=0) / matching_size
    # The paper's factor theta.m / |m|^2; it must be positive for ReLU. If no neuron of the right
    # direction is left, the factor keeps the size of the mother's parameters.
    factor = size * jnp.where(fit > 0, fit, 1.0) / matching_size
    # A single parameter of the right sign needs only a scale, so it is not changed.
    unchanged = (in_degree == 1) & (fit > 0)
    factor = jnp.where(unchanged, factor, _power_of_two(factor))
    factor = jnp.where(in_degree > 0, factor, 1.0)
    return factor, jnp.where(unchanged[None, :], there, wanted / factor[None, :])


# Compiled here, because a loop that runs outside of jit is compiled again at every call.
@functools.partial(
    jax.jit, static_argnames=("normalised", "one_scale", "is_last", "zero_path_biases")
)
def plant_layer(
    target: dict[str, jax.Array],
    mother: dict[str, jax.Array],
    sources: Placed,
    there: Placed | None,
    lots: jax.Array | None,
    normalised: bool,
    one_scale: bool,
    is_last: bool,
    zero_path_biases: bool,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array], Placed]:
    """One layer's parameters and mask, and the places of its target neurons.

    Args:
        target: "kernel" and "bias" of the target's layer.
        mother: "kernel" and "bias" of the mother's layer.
        sources: the places of the neurons that the layer reads.
        there: the places of its own neurons if another layer has already written to the same ones,
            else None.
        lots: (mother neurons,) uint32, which decide between equally good neurons; None for a hash
            of their parameters.
        normalised: whether a normalisation after the layer removes the layer's own scale.
        one_scale: whether the neurons' scale must be one.
        is_last: whether this is the output layer, whose neurons stay in place.
        zero_path_biases: as in plant().

    Returns:
        Parameters and mask of the layer, dicts like mother, and the places of its neurons.
    """
    kernel, bias = mother["kernel"], mother["bias"]
    target_kernel = jnp.asarray(target["kernel"], jnp.float32)
    target_bias = jnp.asarray(target["bias"], jnp.float32)
    target_kernel = by_tap(target_kernel, sources.neurons.size)
    taps = target_kernel.shape[0]
    read = by_tap(kernel, kernel.size // (taps * bias.size))[:, sources.neurons]
    support = rows_of(target_kernel, target_bias) != 0
    wanted = rows_of(target_kernel * sources.scale[None, :, None], target_bias)
    candidates = rows_of(read, bias)
    if is_last:
        # One factor for all outputs, which keeps the layer's size: the arg max and the ratios of
        # the outputs are then the target's without any correction.
        size, matching_size = norm(wanted), norm(jnp.where(support, candidates, 0.0))
        ratio = size / jnp.where(matching_size > 0, matching_size, 1.0)
        factor = _power_of_two(jnp.where(ratio > 0, ratio, 1.0))
        placed = Placed(jnp.arange(bias.size), jnp.full(bias.size, factor))
        values = wanted / factor
    else:
        if there is None:
            lots = lots_of(kernel, bias) if lots is None else lots
            index = _choose(wanted, support, candidates, lots)
        else:
            index = there.neurons
        ones = jnp.ones(index.size, jnp.float32)
        if normalised or (there is None and not one_scale):
            factor, values = _fit(wanted, support, candidates[:, index])
        else:
            factor = ones if there is None else there.scale
            values = wanted / factor[None]
        placed = Placed(index, ones if one_scale else factor)
    params, mask = write(mother, support, values, sources.neurons, placed.neurons, zero_path_biases)
    return params, mask, placed
