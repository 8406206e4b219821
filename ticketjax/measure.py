"""What was found: quality before and after training, recovery of the ticket, collapse."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Params, Problem
from ticketjax.masks import count_prunable, layer_names, ordered_bits, prunable_leaves, share
from ticketjax.objective import loss, metric, output_scale, rescale


class Quality(NamedTuple):
    """metric: mean squared error, or accuracy in 0..1; loss: the task's loss. Both ()."""

    metric: jax.Array
    loss: jax.Array


class Recovery(NamedTuple):
    """Overlap of a found mask with the planted one, over the prunable parameters, each () 0..1."""

    precision: jax.Array
    recall: jax.Array
    jaccard: jax.Array


def _quality(kind: str, outputs: jax.Array, y: jax.Array) -> Quality:
    return Quality(metric(kind, outputs, y), loss(kind, outputs, y))


def strong_quality(problem: Problem, params: Params, held_out: Batch) -> Quality:
    """Quality of a network as it stands, whatever the scale of its output.

    The output scale (regression: one factor per output by least squares; classification: one
    temperature, which leaves the accuracy alone) is fitted on the problem's data and measured
    on the held-out data. So a planted mask, whose output is the target's up to a factor, scores
    as the bare ticket does.
    """
    fitted = output_scale(problem.kind, problem.apply(params, problem.batch.x), problem.batch.y)
    outputs = rescale(problem.apply(params, held_out.x), fitted)
    return _quality(problem.kind, outputs, held_out.y)


def weak_quality(problem: Problem, params: Params, held_out: Batch) -> Quality:
    """Quality of a trained network: its output as it is, on the held-out data."""
    outputs = problem.apply(params, held_out.x)
    return _quality(problem.kind, outputs, held_out.y)


def _flat(tree: Params, prune_bias: bool) -> jax.Array:
    leaves = [leaf for layer in prunable_leaves(tree, prune_bias) for leaf in layer]
    return jnp.concatenate([leaf.ravel() for leaf in leaves])


def recovery(found: Params, planted: Params, prune_bias: bool = True) -> Recovery:
    """Precision, recall and Jaccard index of the found mask against the planted one."""
    a, b = _flat(found, prune_bias) != 0, _flat(planted, prune_bias) != 0
    both = jnp.sum(a & b)
    return Recovery(
        both / jnp.maximum(jnp.sum(a), 1),
        both / jnp.maximum(jnp.sum(b), 1),
        both / jnp.maximum(jnp.sum(a | b), 1),
    )


def score_auc(scores: Params, planted: Params, prune_bias: bool = True) -> jax.Array:
    """Chance that a planted parameter outranks one that is not, ties counting half; () 0..1.

    The area under the ROC curve of the scores for "planted", as the Mann-Whitney statistic.
    """
    # In select()'s own order: NaN ranks lowest, and denormals are told apart.
    flat = ordered_bits(_flat(scores, prune_bias))
    positive = _flat(planted, prune_bias) != 0
    ordered = jnp.sort(flat)
    below = jnp.searchsorted(ordered, flat, side="left")
    not_above = jnp.searchsorted(ordered, flat, side="right")
    # Mean rank among equals, counted from 1: half-integers, exact in float32 to 2^23.
    rank = (below + not_above + 1) / 2
    positives = jnp.sum(positive)
    negatives = flat.size - positives
    # Ranks are centred before they are added, so that the float32 sum keeps its precision.
    excess = jnp.sum(jnp.where(positive, rank - (flat.size + 1) / 2, 0.0))
    return 0.5 + excess / jnp.maximum(positives, 1) / jnp.maximum(negatives, 1)


def live_neurons(mask: Params) -> list[jax.Array]:
    """Which neurons lie on a path of kept weights from an input to an output.

    Returns one bool vector per layer of neurons, the input included.
    """
    kernels = [mask[name]["kernel"] != 0 for name in layer_names(mask)]
    reached = [jnp.ones(kernels[0].shape[0], bool)]
    for kernel in kernels:
        reached.append(jnp.any(kernel & reached[-1][:, None], axis=0))
    reaching = [jnp.ones(kernels[-1].shape[1], bool)]
    for kernel in reversed(kernels):
        reaching.insert(0, jnp.any(kernel & reaching[0][None, :], axis=1))
    return [a & b for a, b in zip(reached, reaching, strict=True)]


def collapsed(mask: Params) -> jax.Array:
    """Whether no path of kept weights is left from any input to any output; () bool."""
    return ~jnp.any(live_neurons(mask)[-1])


def effective_density(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Share of the prunable parameters that are kept and on a live path; () float32.

    A weight counts if both its neurons lie on an input-output path, a bias if its neuron does.
    """
    live = live_neurons(mask)
    effective = {
        name: {
            "kernel": (mask[name]["kernel"] != 0) & source[:, None] & sink[None, :],
            "bias": (mask[name]["bias"] != 0) & sink,
        }
        for name, source, sink in zip(layer_names(mask), live, live[1:], strict=False)
    }
    return share(jnp.sum(_flat(effective, prune_bias)), count_prunable(mask, prune_bias))
