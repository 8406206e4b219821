"""Quality of a found mask before and after training, and its overlap with the planted ticket."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Params, Tree, Wire
from ticketjax.masks import prunable_leaves, share
from ticketjax.networks.paths import live_neurons
from ticketjax.networks.wiring import wiring_of
from ticketjax.objective import loss, metric, output_scale, output_sign, rescale
from ticketjax.problem import Problem, outputs_at, outputs_of
from ticketjax.selection import budget, check_scope, ordered_bits


class Quality(NamedTuple):
    """How well a network solves the task.

    Args:
        metric: () mean squared error, or accuracy in 0..1.
        loss: () the task's loss.
    """

    metric: jax.Array
    loss: jax.Array


class Untrained(NamedTuple):
    """Quality, losses and output sign of a network with frozen parameters.

    Args:
        quality: on the held-out data, after the best output scale.
        raw, rescaled: () losses on the training data, of the output as it is and at its best scale.
        output_sign: () int32, see objective.output_sign().
    """

    quality: Quality
    raw: jax.Array
    rescaled: jax.Array
    output_sign: jax.Array


class Recovery(NamedTuple):
    """Overlap of a found mask with the planted one, over the prunable parameters, each 0..1.

    Args:
        precision, recall, f1, jaccard: () over everything.
        layer_precision, layer_recall: (layers,).
        neuron_precision, neuron_recall: () of hidden neurons; the found ones lie on a path of kept
            weights from an input to an output, the planted ones have a planted parameter.
    """

    precision: jax.Array
    recall: jax.Array
    f1: jax.Array
    jaccard: jax.Array
    layer_precision: jax.Array
    layer_recall: jax.Array
    neuron_precision: jax.Array
    neuron_recall: jax.Array


def _quality(kind: str, outputs: jax.Array, y: jax.Array) -> Quality:
    return Quality(metric(kind, outputs, y), loss(kind, outputs, y))


def strong_quality(problem: Problem, params: Tree, held_out: Batch) -> Quality:
    """Quality of a network without training, whatever the scale of its output.

    The output scale (regression: one factor per output, at least 0, by least squares;
    classification: one temperature, which does not change the accuracy) is fitted on the problem's
    data and measured on the held-out data. A planted mask, whose output is the target's up to
    positive factors, therefore has the quality of the bare ticket; its negative does not.

    Args:
        problem: the scale is fitted on its data.
        params: a tree like the problem's parameters, masked.
        held_out: the quality is measured on these data.

    Returns:
        A Quality.
    """
    return untrained(problem, params, held_out).quality


def untrained(problem: Problem, params: Tree, held_out: Batch) -> Untrained:
    """The strong quality, the losses that seekers optimise, and the output's sign.

    They are computed together because they need the same outputs and the same scale.

    Args:
        problem, params, held_out: as in strong_quality().

    Returns:
        An Untrained.
    """
    outputs, held_out_outputs = outputs_at(problem, params, problem.batch.x, held_out.x)
    return untrained_of(problem, outputs, held_out_outputs, held_out)


def untrained_of(
    problem: Problem, outputs: jax.Array, held_out_outputs: jax.Array, held_out: Batch
) -> Untrained:
    """The same, from a network's outputs.

    Args:
        problem, held_out: as in untrained().
        outputs, held_out_outputs: (n, outputs) on the problem's data, and on the held-out data.

    Returns:
        An Untrained.
    """
    kind, y = problem.kind, problem.batch.y
    fitted = output_scale(kind, outputs, y)
    return Untrained(
        _quality(kind, rescale(held_out_outputs, fitted), held_out.y),
        loss(kind, outputs, y),
        loss(kind, rescale(outputs, fitted), y),
        output_sign(kind, outputs, y),
    )


def weak_quality(problem: Problem, params: Tree, held_out: Batch) -> Quality:
    """Quality of a trained network on the held-out data, with its output unscaled."""
    outputs = outputs_of(problem, params, held_out.x)
    return _quality(problem.kind, outputs, held_out.y)


def _flat(tree: Params, prune_bias: bool) -> jax.Array:
    leaves = [leaf for layer in prunable_leaves(tree, prune_bias) for leaf in layer]
    return jnp.concatenate([leaf.ravel() for leaf in leaves])


def _ratio(count: jax.Array, of: jax.Array) -> jax.Array:
    """The quotient of two integers of any types, float32; 0 / 0 is 0."""
    return count.astype(jnp.float32) / jnp.maximum(of, 1).astype(jnp.float32)


def _overlap(found: jax.Array, planted: jax.Array) -> tuple[jax.Array, jax.Array]:
    both = jnp.sum(found & planted)
    return _ratio(both, jnp.sum(found)), _ratio(both, jnp.sum(planted))


def _planted_neurons(planted: Params, wiring: tuple[Wire, ...] | None) -> list[jax.Array]:
    neurons: dict[int, jax.Array] = {}
    for wire in wiring_of(planted, wiring)[:-1]:
        layer = planted[wire.layer]
        kernel = layer["kernel"] != 0
        has_any = jnp.any(kernel.reshape(-1, kernel.shape[-1]), axis=0)
        if "bias" in layer:
            has_any = has_any | (layer["bias"] != 0)
        neurons[wire.writes] = neurons.get(wire.writes, False) | has_any
    return [neurons[space] for space in sorted(neurons)]


def recovery(
    found: Params,
    planted: Params,
    prune_bias: bool = True,
    wiring: tuple[Wire, ...] | None = None,
) -> Recovery:
    """How much of the planted mask the found mask contains.

    Args:
        found, planted: masks, views {"layer_0": {"kernel", "bias"}, ...}.
        prune_bias: whether biases are prunable, and count.
        wiring: the model's.

    Returns:
        A Recovery.
    """
    a, b = _flat(found, prune_bias) != 0, _flat(planted, prune_bias) != 0
    precision, recall = _overlap(a, b)
    layers = [
        _overlap(*(jnp.concatenate([leaf.ravel() for leaf in layer]) != 0 for layer in pair))
        for pair in zip(
            prunable_leaves(found, prune_bias), prunable_leaves(planted, prune_bias), strict=True
        )
    ]
    hidden = [jnp.zeros(0, bool)]  # a network of one layer has no hidden neuron
    neurons = _overlap(
        jnp.concatenate(hidden + live_neurons(found, wiring)[1:-1]),
        jnp.concatenate(hidden + _planted_neurons(planted, wiring)),
    )
    return Recovery(
        precision,
        recall,
        _ratio(2 * jnp.sum(a & b), jnp.sum(a) + jnp.sum(b)),
        _ratio(jnp.sum(a & b), jnp.sum(a | b)),
        jnp.stack([layer_precision for layer_precision, _ in layers]),
        jnp.stack([layer_recall for _, layer_recall in layers]),
        *neurons,
    )


class Ranking(NamedTuple):
    """How well scores separate planted parameters from the others; each () 0..1, 1 is perfect.

    Args:
        auc: chance that a planted parameter outranks one that is not, ties counting half.
        average_precision: mean over planted parameters of the precision of keeping all that rank at
            least as high.
        covering_density: the density needed to keep the whole ticket by these scores: the share of
            parameters that rank at least as high as the worst planted one. Here the ticket's
            density is perfect, and 1 is the worst.
    """

    auc: jax.Array
    average_precision: jax.Array
    covering_density: jax.Array


def ranking(scores: Params, planted: Params, prune_bias: bool = True) -> Ranking:
    """Rank all prunable parameters by their scores, and measure where the planted ones stand.

    The AUC is the Mann-Whitney statistic. The order is that of select(): NaN ranks lowest, and
    denormals are distinguished.

    Args:
        scores: a view {"layer_0": {"kernel", "bias"}, ...}.
        planted: the mask of the ticket, a tree like scores.
        prune_bias: whether biases are prunable, and ranked.

    Returns:
        A Ranking.
    """
    flat = ordered_bits(_flat(scores, prune_bias))
    positive = _flat(planted, prune_bias) != 0
    positives = jnp.sum(positive)
    ordered = jnp.sort(flat)
    below = jnp.searchsorted(ordered, flat, side="left")
    not_above = jnp.searchsorted(ordered, flat, side="right")
    # Twice the mean rank among equals, minus twice the middle rank. Sums of integers are exact in
    # any order. There are two sums, because a single one would overflow for large networks.
    doubled = jnp.where(positive, below + not_above - flat.size, 0)
    coarse = jnp.sum(doubled // 4096).astype(jnp.float32)
    excess = (coarse * 4096 + jnp.sum(doubled % 4096).astype(jnp.float32)) / 2
    negatives = flat.size - positives
    auc = 0.5 + excess / jnp.maximum(positives, 1) / jnp.maximum(negatives, 1)
    # The others are placed above all planted ones, where the next count excludes them.
    planted_first = jnp.sort(jnp.where(positive, flat, ~jnp.zeros_like(flat)))
    planted_below = jnp.searchsorted(planted_first, flat, side="left")
    kept = flat.size - below
    precision = _ratio(positives - planted_below, kept)
    average = jnp.sum(jnp.where(positive, precision, 0.0)) / jnp.maximum(positives, 1)
    covering = jnp.max(jnp.where(positive, kept, 0), initial=0)
    return Ranking(auc, average, share(covering, flat.size))


def score_auc(scores: Params, planted: Params, prune_bias: bool = True) -> jax.Array:
    """Chance that a planted parameter outranks one that is not, ties counting half; () 0..1."""
    return ranking(scores, planted, prune_bias).auc


def feasible_recall(
    density: float,
    params: Params,
    ticket_layers: Sequence[int],
    scope: str = "global",
    prune_bias: bool = True,
) -> float:
    """Largest recall of the planted ticket that any mask of this density and scope can have.

    Args:
        density: of the mask, in (0, 1].
        params: any tree of the network's shapes.
        ticket_layers: planted parameters per layer, from count_ticket_layers().
        scope: as in problem.select().
        prune_bias: whether biases are prunable.

    Returns:
        0..1; 1 means that the ticket fits. Scope "local" at the ticket's own density usually leaves
        part of it outside.

    Raises:
        ValueError: an unknown scope.
    """
    check_scope(scope)
    sizes = [sum(leaf.size for leaf in layer) for layer in prunable_leaves(params, prune_bias)]
    planted = sum(ticket_layers)
    if scope == "local":
        fits = [
            min(int(budget(density, size)), ticket)
            for size, ticket in zip(sizes, ticket_layers, strict=True)
        ]
        return sum(fits) / planted
    # One budget, or budgets in the proportions of the ticket's layers.
    return min(int(budget(density, sum(sizes))), planted) / planted
