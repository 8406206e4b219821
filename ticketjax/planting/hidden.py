"""The inconspicuous planting: lots choose the neurons, and scales keep the parameters' sizes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Planted
from ticketjax.masks import layer_names
from ticketjax.networks.wiring import by_tap
from ticketjax.planting.writing import lots_of, norm, write

# There are fewer biases than weights, so each bias that stands out carries more information.
BIAS_IMPORTANCE = 3.0
# A fully planted array has no background to stand out from, but should about keep its size.
LEAST_IMPORTANCE = 0.01
# Sweeps over the neurons' scales. The tickets' scales have then converged to rounding at depth 5,
# and nearly all of them to a few percent at depth 10. Planting is exact with any scales.
SWEEPS = 100
OVER_RELAXATION = 1.6
# Of scales that are the same everywhere: far above what machines differ by, and not conspicuous, as
# only products and quotients with the target's parameters are seen.
SCALE_BITS = 16


def _root(incoming: jax.Array, outgoing: jax.Array, surplus: jax.Array) -> jax.Array:
    """The t > 0 with incoming / t - outgoing * t == surplus; 1 where there is none."""
    half = jnp.sqrt(surplus**2 / 4 + incoming * outgoing)
    numerator = jnp.where(surplus > 0, incoming, half - surplus / 2)
    denominator = jnp.where(surplus > 0, half + surplus / 2, outgoing)
    exists = (numerator > 0) & (denominator > 0)
    return jnp.where(exists, numerator / jnp.where(exists, denominator, 1.0), 1.0)


def _even_scales(wanted: list[jax.Array], there: list[jax.Array]) -> list[jax.Array]:
    """Scales of all neurons that change the sizes of the mother's parameters least.

    The change from m to v is the generalised Kullback-Leibler divergence of their roots, sum
    sqrt(m) log(sqrt(m / v)) - sqrt(m) + sqrt(v). It is convex in the scales' logarithms, and least
    where at each neuron the sum of sqrt(v) - sqrt(m) over the incoming parameters equals that over
    the outgoing ones. With all others given, a neuron's own scale is the root of a quadratic
    equation.

    Args:
        wanted, there: for each layer (sources + 1, neurons), the bias as last row: the roots of the
            sizes of the target's and of the mother's parameters, 0 where the target has none. The
            roots of several parameters between the same two neurons are added up.

    Returns:
        For each layer its neurons' target output / planted output, that of the inputs first.
    """
    sizes = [wanted[0].shape[0] - 1, *(layer.shape[1] for layer in wanted)]
    # Padded to one shape, so that a sweep is compiled once and not once for every layer.
    widest = max(sizes)

    def stack(layers):
        def pad(layer):
            missing = widest - layer.shape[0] + 1, widest - layer.shape[1]
            weights = jnp.pad(layer[:-1], ((0, missing[0]), (0, missing[1])))
            return weights, jnp.pad(layer[-1], (0, missing[1]))

        weights, biases = zip(*map(pad, layers), strict=True)
        return jnp.stack(weights), jnp.stack(biases)

    (weights, biases), (weights_there, biases_there) = stack(wanted), stack(there)
    leaving_there = jnp.sum(weights_there, axis=2)
    surplus = jnp.sum(weights_there, axis=1) + biases_there
    nothing = jnp.zeros((1, widest), weights.dtype)
    surplus = surplus - jnp.append(leaving_there[1:], nothing, axis=0)
    is_last = (jnp.arange(len(wanted)) == len(wanted) - 1)[:, None]
    is_even = (jnp.arange(len(wanted)) % 2 == 0)[:, None]

    def update(roots, chosen):
        incoming = jnp.sum(weights * roots[:-1, :, None], axis=1) + biases
        outgoing = jnp.sum(weights[1:] / roots[2:, None, :], axis=2)
        outgoing = jnp.append(outgoing, nothing, axis=0)
        # The outputs have one scale: their incoming sums are added over all outputs.
        incoming = jnp.where(is_last, jnp.sum(incoming, axis=1, keepdims=True), incoming)
        ours = jnp.where(is_last, jnp.sum(surplus, axis=1, keepdims=True), surplus)
        best = _root(incoming, outgoing, ours)
        beyond = roots[1:] * (best / roots[1:]) ** OVER_RELAXATION
        return roots.at[1:].set(jnp.where(chosen, beyond, roots[1:]))

    def sweep(_, roots):
        # Neighbouring layers in turn: no two neurons of a turn share a parameter.
        return update(update(roots, is_even), ~is_even)

    roots = jax.lax.fori_loop(0, SWEEPS, sweep, jnp.ones((len(sizes), widest), weights.dtype))
    return [root[:size] ** 2 for root, size in zip(roots, sizes, strict=True)]


def _places(target: Params, lots: list[jax.Array]) -> list[jax.Array]:
    """Which of the mother's neurons the target's are, space by space: those of the least lots."""
    names = layer_names(target)
    places = [jnp.arange(target[names[0]]["kernel"].shape[-2])]
    for name, of_layer in zip(names[:-1], lots, strict=True):
        places.append(jnp.argsort(of_layer)[: target[name]["bias"].size])
    places.append(jnp.arange(target[names[-1]]["bias"].size))
    return places


def _scales(
    target: Params, params: Params, places: list[jax.Array], dtype: Any
) -> tuple[list[jax.Array], list[jax.Array]]:
    """The target's parameters, (taps * sources + 1, neurons) by layer, and the scales by space."""
    parameters: list[jax.Array] = []
    wanted: list[jax.Array] = []
    there: list[jax.Array] = []
    for name, sources, neurons in zip(layer_names(target), places, places[1:], strict=False):
        kernel, bias = (params[name][part].astype(dtype) for part in ("kernel", "bias"))
        ours = by_tap(target[name]["kernel"], sources.size)
        taps = by_tap(kernel, kernel.size // (ours.shape[0] * bias.size))
        parts = [
            (ours, taps, taps[:, sources[:, None], neurons[None, :]], 1.0),
            (target[name]["bias"][None, None], bias, bias[neurons][None, None], BIAS_IMPORTANCE),
        ]
        rows = []
        for ours, whole, replaced, weight in parts:
            ours = jnp.asarray(ours, dtype)
            size = norm(whole.ravel()) / whole.size**0.5
            size = jnp.where(size > 0, size, 1.0)
            background = 1 - jnp.sum(ours != 0, dtype=dtype) / whole.size
            importance = weight * jnp.maximum(background, LEAST_IMPORTANCE)
            root = importance * jnp.sqrt(jnp.abs(ours) / size)
            root_there = importance * jnp.sqrt(jnp.abs(replaced) / size) * (ours != 0)
            roots = jnp.sum(root, axis=0), jnp.sum(root_there, axis=0)
            rows.append((ours.reshape(-1, neurons.size), *roots))
        for collected, row in zip(
            (parameters, wanted, there), zip(*rows, strict=True), strict=True
        ):
            collected.append(jnp.concatenate(row))
    return parameters, _even_scales(wanted, there)


def _planted(
    params: Params,
    parameters: list[jax.Array],
    places: list[jax.Array],
    scales: list[jax.Array],
    zero_path_biases: bool,
) -> Planted:
    planted_params, planted_mask = {}, {}
    for i, (name, ours) in enumerate(zip(layer_names(params), parameters, strict=True)):
        taps = (ours.shape[0] - 1) // scales[i].size
        sources = jnp.append(jnp.tile(scales[i], taps), 1.0)
        factor = sources[:, None] / scales[i + 1][None, :]
        values = (ours * factor).astype(jnp.float32)
        planted_params[name], planted_mask[name] = write(
            params[name], ours != 0, values, places[i], places[i + 1], zero_path_biases
        )
    return Planted(planted_params, planted_mask, scales[-1][0].astype(jnp.float32))


@functools.partial(jax.jit, static_argnames="zero_path_biases")
def plant_hidden(
    target: Params, params: Params, lots: dict[str, jax.Array] | None, zero_path_biases: bool
) -> tuple[Planted, list[jax.Array]]:
    """Plant at neurons chosen by lots, with the scales that make the ticket stand out least.

    Args:
        target: the target's view, every layer with a bias.
        params: the mother's view, layers one after the other, each with a bias.
        lots: for each layer (neurons,) numbers; the neurons of the least ones are planted. None for
            a hash of their parameters.
        zero_path_biases: as in plant().

    Returns:
        The planted view, and for each space of neurons from the inputs to the outputs, which of the
        mother's neurons the target's are: (target neurons,) integers.
    """
    if lots is None:
        lots = {name: lots_of(layer["kernel"], layer["bias"]) for name, layer in params.items()}
    places = _places(target, [lots[name] for name in layer_names(target)[:-1]])
    parameters, scales = _scales(target, params, places, jnp.float32)
    return _planted(params, parameters, places, scales, zero_path_biases), places


def _rounded(values: jax.Array) -> jax.Array:
    """Positive float64 numbers rounded to SCALE_BITS bits behind the leading one."""
    dropped = 52 - SCALE_BITS
    words = jax.lax.bitcast_convert_type(values, jnp.uint64) + jnp.uint64(1 << (dropped - 1))
    kept = words & jnp.uint64(2**64 - (1 << dropped))
    return jax.lax.bitcast_convert_type(kept, jnp.float64)


@jax.jit
@jax.vmap
def _plant_alike(target: Params, params: Params, lots: list[jax.Array]) -> Planted:
    places = _places(target, lots)
    parameters, scales = _scales(target, params, places, jnp.float64)
    return _planted(params, parameters, places, [_rounded(scale) for scale in scales], False)


def plant_hidden_alike(targets: Params, params: Params, lots: list[Any]) -> Planted:
    """plant_hidden() for many networks, in bits that do not depend on processor or compiler.

    The scales are computed in float64 and rounded to 16 bits. Machines differ in the last of a
    float64's 53 bits: a scale lies so near to where rounding changes in about one of 10^9. All else
    is exact: lots are compared, and products and quotients are single, correctly rounded steps.

    Args:
        targets, params: as plant_hidden() takes them, (networks, ...) in every leaf, float32.
        lots: for each hidden layer (networks, neurons) random numbers; the neurons of the least
            ones are planted.

    Returns:
        The planted networks, (networks, ...) in every leaf; the ticket is in them to float32
        rounding.
    """
    with jax.enable_x64(True):
        return _plant_alike(targets, params, lots)
