"""Planting: hide a sparse target network inside a random one, exactly."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Layer, Model, Params, Planted, Tree, Wire
from ticketjax.checks import check_choice
from ticketjax.choices import MATCHES
from ticketjax.contract import check_parameters
from ticketjax.masks import layer_names
from ticketjax.networks.layers import (
    chain_layers,
    layer_title,
    restore,
    target_view,
    view,
    why_no_planting,
    wires,
)
from ticketjax.networks.wiring import by_tap, is_dense_chain, space_widths, wiring_of

EQUAL_COSINES = 1e-6  # a few float32 roundings

# There are fewer biases than weights, so each that stands out says more.
BIAS_IMPORTANCE = 3.0
# What is all planted has no background to stand out from, but is to keep about the size it had.
LEAST_IMPORTANCE = 0.01
# Of neurons' scales: the tickets' are then settled to rounding at depth 5, and within a few percent
# for nearly all at depth 10. Any scales are exact.
SWEEPS = 100
OVER_RELAXATION = 1.6


class _Placed(NamedTuple):
    """Where a layer's target neurons went: indices in the mother, and target output / its own."""

    neurons: jax.Array  # (target neurons,) int32
    scale: jax.Array  # (target neurons,) float32


def _check_shapes(target: Params, params: Params, layers: tuple[Layer, ...]) -> None:
    if len(target) != len(params):
        raise ValueError(
            f"the ticket has {len(target)} layers and the network {len(params)}: "
            f"{'too shallow' if len(params) < len(target) else 'too deep'} by "
            f"{abs(len(params) - len(target))}"
        )
    wiring = wiring_of(params, wires(layers))
    needed, there = space_widths(target, wiring), space_widths(params, wiring)
    for wire, layer in zip(wiring, layers, strict=True):
        name, reads, writes = layer_title(layer), wire.reads, wire.writes
        ours, others = target[wire.layer]["kernel"].shape, params[wire.layer]["kernel"].shape
        if reads == 0 and needed[0] != there[0]:
            raise ValueError(f"{name}: the ticket has {needed[0]} inputs, the network {there[0]}")
        if ours[:-2] != others[:-2] or ours[-2] * there[reads] != others[-2] * needed[reads]:
            raise ValueError(
                f"{name}: the ticket's kernel {ours} and the network's {others} are not of one "
                "kind: windows and places of the image must agree"
            )
        if writes == wiring[-1].writes and needed[writes] != there[writes]:
            raise ValueError(
                f"{name}: the ticket has {needed[writes]} outputs, the network {there[writes]}"
            )
        if there[writes] < needed[writes]:
            raise ValueError(
                f"{name} is too narrow: the ticket needs {needed[writes]} neurons, the network "
                f"has {there[writes]}, {needed[writes] - there[writes]} too few"
            )


def _with_biases(seen: Params) -> Params:
    """A view whose layers all have a bias, 0 where there was none."""

    def zeros(layer):
        return jnp.zeros(layer["kernel"].shape[-1], jnp.float32)

    return {name: {"bias": zeros(layer), **layer} for name, layer in seen.items()}


def _check_biases(target: Params, params: Params, layers: tuple[Layer, ...]) -> None:
    """Refuse a ticket with a bias where the network has none; a traced one is not looked at."""
    for (name, wanted), layer in zip(target.items(), layers, strict=True):
        bias = wanted.get("bias")
        if "bias" in params[name] or bias is None or isinstance(bias, jax.core.Tracer):
            continue
        if np.any(bias):
            raise ValueError(f"{layer_title(layer)} has no bias, and the ticket needs one there")


def planting_views(target: Tree, params: Tree, layers: tuple[Layer, ...]) -> tuple[Params, Params]:
    """The views of target and network that planting works on, every layer with a bias.

    Raises ValueError, naming the layer, where the one cannot be planted into the other.
    """
    wanted, seen = target_view(target, layers), view(params, layers)
    if len(wanted) == len(seen):
        # A tree like the network's own is a network of its structure; any other one is a chain.
        same = bool(jax.tree.structure(target) == jax.tree.structure(params))  # type: ignore[operator]
        reason = why_no_planting(layers, as_chain=not same)
        if reason:
            raise ValueError(f"nothing can be planted: {reason}")
        _check_biases(wanted, seen, layers)
    _check_shapes(wanted, seen, layers)
    return _with_biases(wanted), _with_biases(seen)


def give_back(planted: Planted, params: Tree, layers: tuple[Layer, ...]) -> Planted:
    """A planted view as the network's own tree; its mask is False for what belongs to no layer."""
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), params)
    return planted._replace(
        params=restore(params, planted.params, layers), mask=restore(nothing, planted.mask, layers)
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
    bits = jax.lax.bitcast_convert_type(_rows(kernel, bias), jnp.uint32)
    lot = jnp.sum(bits, axis=0, dtype=jnp.uint32)
    # The last steps of MurmurHash3: every bit of the sum moves every bit of the lot.
    lot = (lot ^ (lot >> 16)) * jnp.uint32(0x85EBCA6B)
    lot = (lot ^ (lot >> 13)) * jnp.uint32(0xC2B2AE35)
    return lot ^ (lot >> 16)


def _choose(
    wanted: jax.Array, support: jax.Array, candidates: jax.Array, lots: jax.Array
) -> jax.Array:
    """Give each target neuron the unused mother neuron whose incoming parameters fit it best.

    wanted: (k, target neurons) incoming parameters times the scales of their sources, the bias
        as last row; support: which of them the target has; candidates: (k, mother neurons);
        lots: (mother neurons,), the highest of equally good ones is taken.
    Returns the neurons chosen, (target neurons,) int32.
    """
    size = _norm(wanted, axis=0)
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

    wanted, support: as in _choose(); there: (k, target neurons), the parameters to be replaced.
    """
    in_degree = jnp.sum(support, axis=0)
    size, matching_size = _norm(wanted, axis=0), _norm(jnp.where(support, there, 0.0), axis=0)
    size = jnp.where(size > 0, size, 1.0)
    matching_size = jnp.where(matching_size > 0, matching_size, 1.0)
    fit = jnp.sum(wanted / size[None] * there, axis=0) / matching_size
    # The paper's factor theta.m / |m|^2; it must be positive for relu, so where nothing of the
    # right direction was left, the one that keeps the size of the mother's parameters.
    factor = size * jnp.where(fit > 0, fit, 1.0) / matching_size
    # A single parameter of the right sign is matched by a scale alone: it stays as it is.
    unchanged = (in_degree == 1) & (fit > 0)
    factor = jnp.where(unchanged, factor, _power_of_two(factor))
    factor = jnp.where(in_degree > 0, factor, 1.0)
    return factor, jnp.where(unchanged[None, :], there, wanted / factor[None, :])


def _write(
    mother: dict[str, jax.Array],
    support: jax.Array,
    values: jax.Array,
    sources: jax.Array,
    neurons: jax.Array,
    zero_path_biases: bool,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """A layer's parameters and mask, the target's values written where it has any.

    support, values: (taps * sources + 1, neurons), the bias as last row; sources, neurons: indices.
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


def _rows(kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """What comes into every neuron, (taps * sources + 1, neurons), the bias as last row."""
    return jnp.concatenate([kernel.reshape(-1, bias.size), bias[None]])


# Compiled here, because a loop that runs outside of jit is compiled again at every call.
@functools.partial(
    jax.jit, static_argnames=("normalised", "one_scale", "is_last", "zero_path_biases")
)
def _plant_layer(
    target: dict[str, jax.Array],
    mother: dict[str, jax.Array],
    sources: _Placed,
    there: _Placed | None,
    normalised: bool,
    one_scale: bool,
    is_last: bool,
    zero_path_biases: bool,
) -> tuple[dict[str, jax.Array], dict[str, jax.Array], _Placed]:
    """One layer's parameters and mask, and where its target neurons went.

    there: where they are already, as another layer writes to the same ones. normalised: whether the
    layer's own scale is taken out behind it. one_scale: whether the neurons' scale has to be one.
    """
    kernel, bias = mother["kernel"], mother["bias"]
    target_kernel = jnp.asarray(target["kernel"], jnp.float32)
    target_bias = jnp.asarray(target["bias"], jnp.float32)
    target_kernel = by_tap(target_kernel, sources.neurons.size)
    taps = target_kernel.shape[0]
    read = by_tap(kernel, kernel.size // (taps * bias.size))[:, sources.neurons]
    support = _rows(target_kernel, target_bias) != 0
    wanted = _rows(target_kernel * sources.scale[None, :, None], target_bias)
    candidates = _rows(read, bias)
    if is_last:
        # One factor for all outputs, the one that keeps the layer's size: arg max and the
        # ratios of the outputs are the target's without any correction.
        size, matching_size = _norm(wanted), _norm(jnp.where(support, candidates, 0.0))
        ratio = size / jnp.where(matching_size > 0, matching_size, 1.0)
        factor = _power_of_two(jnp.where(ratio > 0, ratio, 1.0))
        placed = _Placed(jnp.arange(bias.size), jnp.full(bias.size, factor))
        values = wanted / factor
    else:
        if there is None:
            index = _choose(wanted, support, candidates, _lots(kernel, bias))
        else:
            index = there.neurons
        ones = jnp.ones(index.size, jnp.float32)
        if normalised or (there is None and not one_scale):
            factor, values = _fit(wanted, support, candidates[:, index])
        else:
            factor = ones if there is None else there.scale
            values = wanted / factor[None]
        placed = _Placed(index, ones if one_scale else factor)
    params, mask = _write(
        mother, support, values, sources.neurons, placed.neurons, zero_path_biases
    )
    return params, mask, placed


def _root(incoming: jax.Array, outgoing: jax.Array, surplus: jax.Array) -> jax.Array:
    """The t > 0 with incoming / t - outgoing * t == surplus; 1 where there is none."""
    half = jnp.sqrt(surplus**2 / 4 + incoming * outgoing)
    numerator = jnp.where(surplus > 0, incoming, half - surplus / 2)
    denominator = jnp.where(surplus > 0, half + surplus / 2, outgoing)
    exists = (numerator > 0) & (denominator > 0)
    return jnp.where(exists, numerator / jnp.where(exists, denominator, 1.0), 1.0)


def _even_scales(wanted: list[jax.Array], there: list[jax.Array]) -> list[jax.Array]:
    """Scales of all neurons, that change the sizes of the mother's parameters least.

    wanted, there: for each layer (sources + 1, neurons), the bias as last row: the roots of the
        sizes of the target's and of the mother's parameters, 0 where the target has none.

    The change from m to v is the generalised Kullback-Leibler divergence of their roots,
    sum sqrt(m) log(sqrt(m / v)) - sqrt(m) + sqrt(v), which is convex in the scales' logarithms and
    least where at each neuron sqrt(v) - sqrt(m) adds up to the same over what comes in and what
    goes out. With all others given, a neuron's own scale is the root of a quadratic equation.

    Returns for each layer its neurons' target output / planted output, that of the inputs first.
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
    surplus = surplus - jnp.append(leaving_there[1:], jnp.zeros((1, widest), jnp.float32), axis=0)
    is_last = (jnp.arange(len(wanted)) == len(wanted) - 1)[:, None]
    is_even = (jnp.arange(len(wanted)) % 2 == 0)[:, None]

    def update(roots, chosen):
        incoming = jnp.sum(weights * roots[:-1, :, None], axis=1) + biases
        outgoing = jnp.sum(weights[1:] / roots[2:, None, :], axis=2)
        outgoing = jnp.append(outgoing, jnp.zeros((1, widest), jnp.float32), axis=0)
        # The outputs have one scale: what comes in is then all that does.
        incoming = jnp.where(is_last, jnp.sum(incoming, axis=1, keepdims=True), incoming)
        ours = jnp.where(is_last, jnp.sum(surplus, axis=1, keepdims=True), surplus)
        best = _root(incoming, outgoing, ours)
        beyond = roots[1:] * (best / roots[1:]) ** OVER_RELAXATION
        return roots.at[1:].set(jnp.where(chosen, beyond, roots[1:]))

    def sweep(_, roots):
        # Neighbouring layers in turn: no two neurons of a turn share a parameter.
        return update(update(roots, is_even), ~is_even)

    roots = jax.lax.fori_loop(0, SWEEPS, sweep, jnp.ones((len(sizes), widest), jnp.float32))
    return [root[:size] ** 2 for root, size in zip(roots, sizes, strict=True)]


@functools.partial(jax.jit, static_argnames="zero_path_biases")
def _plant_hidden(
    target: Params, params: Params, zero_path_biases: bool
) -> tuple[Planted, list[jax.Array]]:
    """Plant where lots say, with the scales that make the ticket stand out least."""
    names = layer_names(target)
    places = [jnp.arange(target[names[0]]["kernel"].shape[0])]
    for name in names[:-1]:
        by_lot = jnp.argsort(_lots(params[name]["kernel"], params[name]["bias"]))
        places.append(by_lot[: target[name]["bias"].size])
    places.append(jnp.arange(target[names[-1]]["bias"].size))

    parameters: list[jax.Array] = []
    wanted: list[jax.Array] = []
    there: list[jax.Array] = []
    for name, sources, neurons in zip(names, places, places[1:], strict=False):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        parts = [
            (target[name]["kernel"], kernel, kernel[sources[:, None], neurons[None, :]], 1.0),
            (target[name]["bias"][None], bias, bias[neurons][None], BIAS_IMPORTANCE),
        ]
        rows = []
        for ours, whole, replaced, weight in parts:
            ours = jnp.asarray(ours, jnp.float32)
            size = _norm(whole.ravel()) / whole.size**0.5
            size = jnp.where(size > 0, size, 1.0)
            background = 1 - jnp.sum(ours != 0, dtype=jnp.float32) / whole.size
            importance = weight * jnp.maximum(background, LEAST_IMPORTANCE)
            root = importance * jnp.sqrt(jnp.abs(ours) / size)
            rows.append((ours, root, importance * jnp.sqrt(jnp.abs(replaced) / size) * (ours != 0)))
        for collected, row in zip(
            (parameters, wanted, there), zip(*rows, strict=True), strict=True
        ):
            collected.append(jnp.concatenate(row))

    scales = _even_scales(wanted, there)
    planted_params, planted_mask = {}, {}
    for i, (name, ours) in enumerate(zip(names, parameters, strict=True)):
        factor = jnp.append(scales[i], 1.0)[:, None] / scales[i + 1][None, :]
        planted_params[name], planted_mask[name] = _write(
            params[name], ours != 0, ours * factor, places[i], places[i + 1], zero_path_biases
        )
    return Planted(planted_params, planted_mask, scales[-1][0]), places


def plant(
    target: Tree,
    params: Tree,
    *,
    model: Model | None = None,
    match: str = "cosine",
    zero_path_biases: bool = False,
) -> Planted:
    """Write a target network into a random one of the same depth, and say where it went.

    Layer by layer from the input, hardest neuron (highest in-degree) first, each target neuron
    takes the unused neuron whose incoming parameters have the largest cosine with its own (equally
    good ones draw lots). Those parameters are overwritten up to a positive factor, which the next
    layer makes good for (relu is positively homogeneous). The output layer stays in place, with one
    factor for all outputs. Everything that is not the ticket's stays bit for bit. (Fischer and
    Burkholz 2022, Algorithm 1 and appendix A.3; there, each output has a factor of its own.)

    Convolutions alike: a filter is a neuron, and pooling commutes with positive factors. Where
    residual branches add to one stream, its channels have one place and one factor, chosen by the
    first layer that writes to it and kept to by all the others. Behind a normalisation, which takes
    the factor out, it is one.

    Pure; works under jit and vmap, for either argument.

    Args:
        target: a tree {"layer_0": {"kernel", "bias"}, ...} of layers one after the other, kernels
            (n_in, n_out) or (height, width, n_in, n_out) and biases (n_out,), without padding; or a
            tree like params, for a network that is no such chain. Zeros are no parameters.
        params: the mother network; same layers and inputs and outputs, at least as wide.
        model: the mother network's, whose layers say where things lie; None for a tree of layer_0,
            layer_1, ...
        match: "cosine", the above, or "hidden", which makes the ticket inconspicuous instead: lots
            choose the neurons, and then all factors together, those that change the sizes of the
            mother's parameters least (not in the paper; docs/protocol.md has the formulas and
            ticketjax.audit the measure). The result is the same for any positive rescaling of the
            target's neurons and any order of the mother's, but for rounding. Of dense chains only.
        zero_path_biases: also set to zero the biases that planted neurons have in the mother but
            not in the target: needed where masks cannot prune biases.

    Returns:
        params, mask and output_scale () > 0 with apply(params * mask, x) * output_scale == the
        target's output. Both are trees like params.

    Raises:
        ValueError: naming the layer, if the network is too narrow or not of the same depth or kind,
            if something stands between two layers that planting cannot be carried through, or if
            the target has a bias where the network has none; for an unknown match.

    >>> import numpy as np
    >>> target = {"layer_0": {"kernel": np.array([[2.0]]), "bias": np.array([0.0])}}
    >>> params = {"layer_0": {"kernel": jnp.array([[0.5]]), "bias": jnp.array([0.1])}}
    >>> float(plant(target, params).output_scale)
    4.0
    """
    check_parameters(params)
    layers = layers_of_tree(model, params)
    wanted, seen = planting_views(target, params, layers)
    planted, _ = plant_view(
        wanted, seen, wires(layers), match=match, zero_path_biases=zero_path_biases
    )
    return give_back(planted, params, layers)


def layers_of_tree(model: Model | None, params: Tree) -> tuple[Layer, ...]:
    """The layers that a model says, those of a chain without any.

    Raises ValueError for another tree than a chain whose layers nobody says.
    """
    return chain_layers(params) if model is None or model.layers is None else model.layers


def plant_view(
    target: Params,
    params: Params,
    wiring: tuple[Wire, ...],
    *,
    match: str = "cosine",
    zero_path_biases: bool = False,
) -> tuple[Planted, list[jax.Array]]:
    """Plant one view, as planting_views() gives them, into another, and tell where.

    Returns:
        The planted view, and for each space of neurons from the inputs to the outputs, which of the
        network's neurons the target's are: (target neurons,) integers.
    """
    check_choice("match", match, MATCHES)
    if match == "hidden":
        if not is_dense_chain(params, wiring):
            raise ValueError('match "hidden" is for dense layers one after the other, not for this')
        return _plant_hidden(target, params, zero_path_biases)
    inputs = space_widths(target, wiring)[0]
    placed = {0: _Placed(jnp.arange(inputs), jnp.ones(inputs, jnp.float32))}
    of_one_scale = {wire.writes for wire in wiring if wire.normalised}
    planted_params, planted_mask = {}, {}
    for wire in wiring:
        planted_params[wire.layer], planted_mask[wire.layer], placed[wire.writes] = _plant_layer(
            target[wire.layer],
            params[wire.layer],
            placed[wire.reads],
            placed.get(wire.writes),
            normalised=wire.normalised,
            one_scale=wire.writes in of_one_scale,
            is_last=wire is wiring[-1],
            zero_path_biases=zero_path_biases,
        )
    planted = Planted(planted_params, planted_mask, placed[wiring[-1].writes].scale[0])
    return planted, [placed[space].neurons for space in sorted(placed)]
