"""Audit of how well a ticket is hidden, by simple statistics without data or search."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Model, Planted
from ticketjax.networks.layers import view, wires
from ticketjax.networks.wiring import by_tap, space_widths
from ticketjax.planting.plant import layers_of_tree

# The series of the Kolmogorov distribution: exact to float32 above the smallest argument, below
# which the p-value is 1 to float32.
_TERMS, _SMALLEST_ARGUMENT = 20, 0.3


class Traces(NamedTuple):
    """Simple statistics that may reveal a ticket; each entry is (layers,) float32, or () overall.

    Each *_auc is the probability that a planted entry has a larger value than an entry of the same
    layer that is not planted (the background). Ties count half. It is 0.5 where the ticket is
    hidden, and in a layer without planted entries or without a background.

    Args:
        weight_auc, bias_auc: of the sizes |w| and |b|.
        weight_sign_auc, bias_sign_auc: of w and b with their signs. The signs are the target's,
            and no planting can choose them.
        zero_bias_auc: of "the bias is 0".
        round_weight_auc, round_bias_auc: of the number of zero bits at the end of the float32's
            significand. Powers of two have the most.
        index_auc: of a neuron's index. A neuron counts as planted if its bias or any incoming
            weight is.
        row_norm_auc: of the norm of a neuron's outgoing weights. The neuron counts as planted if
            any of them is.
        column_norm_auc: of the norm of a neuron's incoming weights, planted as in index_auc.
        largest_weight, largest_bias: the largest planted |w| and |b|, in standard deviations (about
            0) of the background, or of the initialisation by mlp() if there is no background; 0 if
            nothing is planted.
        weight_distance, bias_distance: Kolmogorov-Smirnov statistic between the sizes of the
            planted entries and of the background, 0..1.
        weight_p_value, bias_p_value: asymptotic p-value of that statistic; too large for fewer
            than about five planted entries.
    """

    weight_auc: jax.Array
    bias_auc: jax.Array
    weight_sign_auc: jax.Array
    bias_sign_auc: jax.Array
    zero_bias_auc: jax.Array
    round_weight_auc: jax.Array
    round_bias_auc: jax.Array
    index_auc: jax.Array
    row_norm_auc: jax.Array
    column_norm_auc: jax.Array
    largest_weight: jax.Array
    largest_bias: jax.Array
    weight_distance: jax.Array
    bias_distance: jax.Array
    weight_p_value: jax.Array
    bias_p_value: jax.Array


class Audit(NamedTuple):
    """How well a ticket is hidden.

    Args:
        layers: all statistics within each layer.
        overall: the AUCs averaged over the planted entries of layers that have a background; the
            largest entry and distance of all layers; the smallest p-value times the number of
            layers that were tested (Bonferroni), at most 1.
        pooled_weight_auc, pooled_bias_auc: () AUC of |w| and |b| over the whole network, as in a
            global ranking by magnitude. Layers differ in size, so these values also depend on how
            the target's parameters are distributed over the layers, which no planting can choose.
    """

    layers: Traces
    overall: Traces
    pooled_weight_auc: jax.Array
    pooled_bias_auc: jax.Array


def _p_value(distance: jax.Array, planted: jax.Array, background: jax.Array) -> jax.Array:
    """Asymptotic two-sided p-value of the two-sample statistic (Stephens 1970)."""
    size = jnp.sqrt(planted * background / jnp.maximum(planted + background, 1))
    argument = (size + 0.12 + 0.11 / jnp.maximum(size, 1e-6)) * distance
    j = jnp.arange(1, _TERMS + 1)
    series = 2 * jnp.sum((-1.0) ** (j - 1) * jnp.exp(-2 * (j * argument) ** 2))
    return jnp.where(argument < _SMALLEST_ARGUMENT, 1.0, jnp.clip(series, 0.0, 1.0))


def _compare(values: jax.Array, planted: jax.Array, there: jax.Array) -> tuple[jax.Array, ...]:
    """AUC, Kolmogorov-Smirnov statistic and its p-value of (n,) arrays; padding has there=False."""
    background = there & ~planted
    count, others = jnp.sum(planted), jnp.sum(background)
    both = (count > 0) & (others > 0)
    ordered, planted, background = jax.lax.sort(
        (jnp.where(there, values, jnp.inf), planted, background), num_keys=1
    )
    # Shares of entries up to each value, valid at the last of equal values: steps of the ROC curve.
    step = jnp.append(ordered[1:] != ordered[:-1], True)
    ours = jnp.cumsum(planted) / jnp.maximum(count, 1)
    theirs = jnp.cumsum(background) / jnp.maximum(others, 1)

    def before(shares):
        return jnp.append(0.0, jax.lax.cummax(jnp.where(step, shares, 0.0))[:-1])

    area = (ours - before(ours)) * (theirs + before(theirs)) / 2
    auc = jnp.where(both, jnp.sum(jnp.where(step, area, 0.0)), 0.5)
    gap = jnp.max(jnp.where(step, jnp.abs(ours - theirs), 0.0))
    distance = jnp.where(both, gap, 0.0)
    return auc, distance, _p_value(distance, count, others)


def _largest(values: jax.Array, planted: jax.Array, there: jax.Array, drawn: jax.Array):
    """(layers,) largest planted |value| in standard deviations of the background, or of drawn."""
    background = there & ~planted
    others = jnp.sum(background, axis=1)
    squares = jnp.sum(jnp.where(background, values**2, 0.0), axis=1)
    deviation = jnp.where(others > 0, jnp.sqrt(squares / jnp.maximum(others, 1)), drawn)
    largest = jnp.max(jnp.where(planted, jnp.abs(values), 0.0), axis=1)
    return jnp.where(jnp.any(planted, axis=1), largest / deviation, 0.0)


def _zero_bits(values: jax.Array) -> jax.Array:
    """The number of zero bits at the end of each float32's significand, 23 at most, as float32."""
    bits = jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.uint32)
    significand = bits & jnp.uint32(0x7FFFFF) | jnp.uint32(0x800000)
    lowest = significand & (~significand + 1)
    return jax.lax.population_count(lowest - 1).astype(jnp.float32)


@functools.partial(jax.jit, static_argnames="model")
def audit(planted: Planted, *, model: Model | None = None) -> Audit:
    """Measure how far simple statistics reveal a planted ticket.

    The statistics use neither data nor gradients, and one layer at a time. Rankings by size, sign,
    index or norm are based on them. Relations between parameters have to be learned from several
    networks: relational_audit() does this, and known_rows_auc() measures an attacker who knows the
    task. In convolutions, a filter is a neuron, and its window has a weight for every place and
    channel. Pure; works under jit and vmap.

    Args:
        planted: from plant(); only its params and mask are used.
        model: the network's model, whose layers give the places of kernels and biases; None for a
            tree of layer_0, layer_1, ...

    Returns:
        An Audit.

    Raises:
        ValueError: no model is given, and the tree is not layer_0, layer_1, ...

    Source: AUC: Mann and Whitney 1947; two-sample test: Smirnov 1948, with the p-value of Stephens
    1970.

    >>> params = {"layer_0": {"kernel": jnp.array([[3.0, 1.0, 2.0]]), "bias": jnp.zeros(3)}}
    >>> mask = jax.tree.map(lambda leaf: leaf == 3, params)
    >>> float(audit(Planted(params, mask, jnp.ones(()))).layers.weight_auc[0])
    1.0
    """
    layers = layers_of_tree(model, planted.params)
    params, mask = view(planted.params, layers), view(planted.mask, layers)
    wiring = wires(layers)
    widths = space_widths(params, wiring)
    read = {wire.layer: widths[wire.reads] for wire in wiring}
    fan_in = {name: math.prod(layer["kernel"].shape[:-1]) for name, layer in params.items()}
    most_taps = max(fan_in[name] // read[name] for name in read)
    widest = max(widths.values())

    def stack(leaves, *shape):
        """All layers in one array, padded with zeros or False, which shortens compilation."""
        missing = [[(0, n - m) for n, m in zip(shape, leaf.shape, strict=True)] for leaf in leaves]
        return jnp.stack(list(map(jnp.pad, leaves, missing)))

    def stack_kernels(tree):
        """(layers, taps, sources, neurons)."""
        kernels = [by_tap(layer["kernel"], read[name]) for name, layer in tree.items()]
        return stack(kernels, most_taps, widest, widest)

    def stack_biases(tree):
        """(layers, neurons), all padding for a layer without biases."""
        nothing = jnp.zeros(0, bool)
        return stack([layer.get("bias", nothing) for layer in tree.values()], widest)

    there = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
    marks = jax.tree.map(lambda leaf: leaf != 0, mask)
    kernels, kernel_masks, kernels_there = map(stack_kernels, (params, marks, there))
    biases, bias_masks, biases_there = map(stack_biases, (params, marks, there))
    columns = jnp.any(kernel_masks, axis=(1, 2)) | bias_masks
    neurons_there = jnp.any(kernels_there, axis=(1, 2))

    def compare(*statistics):
        """Each statistic consists of values, planted and there, all (layers, n)."""
        values, masks, there = (jnp.stack(part) for part in zip(*statistics, strict=True))
        masks = masks & there
        counts = jnp.sum(masks, axis=2) * jnp.any(there & ~masks, axis=2)
        return *jax.vmap(jax.vmap(_compare))(values, masks, there), counts

    def flat(stacked):
        return stacked.reshape(len(layers), -1)

    weights, weight_masks, weights_there = flat(kernels), flat(kernel_masks), flat(kernels_there)
    weight_aucs, weight_gaps, weight_ps, weight_counts = compare(
        *(
            (values, weight_masks, weights_there)
            for values in (jnp.abs(weights), weights, _zero_bits(weights))
        )
    )
    is_zero = (biases == 0).astype(jnp.float32)
    index = jnp.broadcast_to(jnp.arange(widest, dtype=jnp.float32), biases.shape)
    neuron_aucs, neuron_gaps, neuron_ps, neuron_counts = compare(
        *(
            (values, bias_masks, biases_there)
            for values in (jnp.abs(biases), biases, is_zero, _zero_bits(biases))
        ),
        (index, columns, neurons_there),
        (
            jnp.linalg.norm(kernels, axis=(1, 3)),
            jnp.any(kernel_masks, axis=(1, 3)),
            jnp.any(kernels_there, axis=(1, 3)),
        ),
        (jnp.linalg.norm(kernels, axis=(1, 2)), columns, neurons_there),
    )
    drawn = jnp.sqrt(2 / jnp.array(list(fan_in.values()), jnp.float32))
    largest_weight = _largest(weights, weight_masks, weights_there, drawn)
    largest_bias = _largest(biases, bias_masks, biases_there, jnp.cumprod(drawn))

    def traces(weights, neurons, largest, gaps, ps):
        return Traces(
            weight_auc=weights[0],
            bias_auc=neurons[0],
            weight_sign_auc=weights[1],
            bias_sign_auc=neurons[1],
            zero_bias_auc=neurons[2],
            round_weight_auc=weights[2],
            round_bias_auc=neurons[3],
            index_auc=neurons[4],
            row_norm_auc=neurons[5],
            column_norm_auc=neurons[6],
            largest_weight=largest[0],
            largest_bias=largest[1],
            weight_distance=gaps[0],
            bias_distance=gaps[1],
            weight_p_value=ps[0],
            bias_p_value=ps[1],
        )

    def average(aucs, counts):
        total = jnp.sum(counts, axis=1)
        mean = jnp.sum(aucs * counts, axis=1) / jnp.maximum(total, 1)
        return jnp.where(total > 0, mean, 0.5)

    def pooled(values, masks, there):
        """AUC over all layers."""
        return _compare(values.ravel(), masks.ravel(), there.ravel())[0]

    largest = jnp.stack([largest_weight, largest_bias])
    gaps = jnp.stack([weight_gaps[0], neuron_gaps[0]])
    ps = jnp.stack([weight_ps[0], neuron_ps[0]])
    tested = jnp.stack([weight_counts[0], neuron_counts[0]]) > 0
    return Audit(
        layers=traces(weight_aucs, neuron_aucs, largest, gaps, ps),
        overall=traces(
            average(weight_aucs, weight_counts),
            average(neuron_aucs, neuron_counts),
            jnp.max(largest, axis=1),
            jnp.max(gaps, axis=1),
            jnp.minimum(1.0, jnp.min(ps, axis=1) * jnp.maximum(jnp.sum(tested, axis=1), 1)),
        ),
        pooled_weight_auc=pooled(jnp.abs(weights), weight_masks, weights_there),
        pooled_bias_auc=pooled(jnp.abs(biases), bias_masks, biases_there),
    )
