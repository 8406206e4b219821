"""SynFlow and SynFlow-L2: synaptic flow, scores that need no data."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Tree, Wire
from ticketjax.masks import apply_mask
from ticketjax.networks.layers import wires
from ticketjax.problem import Problem

# Scores keep their true size as long as the largest of a network lies between these two: safely
# below float32's largest number, and far enough above its smallest to leave room for the others.
LARGEST, SMALLEST = 1e37, 1e-10


def scaled_layers(params: Params, wiring: tuple[Wire, ...]) -> tuple[Params, jax.Array]:
    """Non-negative parameters with each space scaled down, and the logarithm of the outputs' scale.

    A kernel is multiplied by the scale of what it reads and divided by that of what it writes, a
    bias divided by the latter; so the network's output is divided by the scale of the outputs. A
    space's scale is the product of the layers' largest column sums up to there (or, where that is
    more, the largest bias), added up where several layers write: so every activation stays of the
    order of one, at any depth, width and size of the parameters. theta * dR/dtheta is divided as
    the output is.
    """
    log_scale = {0: jnp.float32(0.0)}
    for wire in wiring:
        layer = params[wire.layer]
        read = log_scale[wire.reads]
        column_sums = jnp.sum(layer["kernel"], axis=tuple(range(layer["kernel"].ndim - 1)))
        log_largest = jnp.log(jnp.max(column_sums))
        if "bias" in layer:
            log_largest = jnp.maximum(log_largest, jnp.log(jnp.max(layer["bias"])) - read)
        # Minus infinity where a layer has nothing left.
        written = read + jnp.where(jnp.isfinite(log_largest), log_largest, 0.0)
        there = log_scale.get(wire.writes)
        log_scale[wire.writes] = written if there is None else jnp.logaddexp(there, written)
    scaled: Params = {}
    for wire in wiring:
        layer, there = params[wire.layer], log_scale[wire.writes]
        scaled[wire.layer] = {"kernel": layer["kernel"] * jnp.exp(log_scale[wire.reads] - there)}
        if "bias" in layer:
            # By the logarithm, because the scale itself may be beyond float32.
            scaled[wire.layer]["bias"] = jnp.exp(jnp.log(layer["bias"]) - there)
    return scaled, log_scale[wiring[-1].writes]


def _may_be_scaled(problem: Problem) -> bool:
    """Whether the output of the network that is followed is known to scale with every layer."""
    layers = problem.known_layers
    normalised = problem.flow is None and any(layer.normalised for layer in layers)
    return not normalised and not any(layer.obstacle for layer in layers)


def synaptic_flow(
    problem: Problem,
    positive: Tree,
    total: Callable[[jax.Array], jax.Array] = jnp.sum,
) -> Tree:
    """What synflow computes, of any parameters that are not negative.

    Args:
        problem: whose network it is; its own parameters and data count for nothing.
        positive: p, a tree like the problem's params.
        total: (outputs) -> R; increasing and homogeneous, as the sum is.

    Returns:
        p * dR/dp, R of the output on ones; a tree like params, float32, 0 for parameters of no
        layer.
    """
    scaled, log_scale = problem.view(positive), jnp.float32(0.0)
    if _may_be_scaled(problem):
        scaled, log_scale = scaled_layers(scaled, wires(problem.known_layers))
    apply = problem.flow or problem.apply
    ones = jnp.ones((1, *problem.batch.x.shape[1:]), jnp.float32)
    flow = jax.grad(lambda seen: total(apply(problem.restore(seen, positive), ones)))(scaled)
    scores = jax.tree.map(lambda p, f: jnp.abs(p * f).astype(jnp.float32), scaled, flow)
    largest = jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(scores)]))
    largest = jnp.where(largest > 0, largest, 1.0)
    log_size = jnp.clip(log_scale + jnp.log(largest), jnp.log(SMALLEST), jnp.log(LARGEST))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), positive)
    return problem.restore(jax.tree.map(lambda s: s / largest * jnp.exp(log_size), scores), zeros)


def synflow(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta * dR/dtheta|, R the summed output of the network with |theta| on ones.

    With many rounds it avoids layer collapse. Normalisation is left out if the model has a `flow`
    without it, because it would undo the flow. Scores too large or too small for float32 are
    multiplied by a common factor, which changes no ranking. In a network of which something is not
    positively homogeneous, activations are not kept in the range of float32, as they otherwise are.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer.

    Source: Tanaka, Kunin, Yamins and Ganguli 2020, arXiv 2006.05467, algorithm 1.
    Published: 100 rounds to density^(k / 100), no training between them, no data; of kernels.
    Departures: one round unless told otherwise, see Singleshot; biases are scored too where they
        are prunable; what is pruned stays so, where the authors' code lets a pruned score of 0 tie.
    """
    del key
    return synaptic_flow(problem, jax.tree.map(jnp.abs, apply_mask(params, mask)))


def synflow_l2(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score theta^2 * dR/d(theta^2), R the summed output of the network with theta^2 on ones.

    It is SynFlow of the squared parameters, which the sum of squared path values over all paths
    (the trace of the path kernel) leads to. What is said of synflow holds here; a parameter whose
    square float32 cannot tell from 0, below 1e-19, scores 0.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer.

    Source: Gebhart, Saxena and Schrater 2021, arXiv 2101.10552, "SynFlow-L2".
    Published: 100 rounds to density^(k / 100), no training between them, no data; of kernels.
    Departures: those of synflow.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> seeker = get_seeker("singleshot(synflow_l2, rounds=100)")
    """
    del key
    return synaptic_flow(problem, jax.tree.map(jnp.square, apply_mask(params, mask)))
