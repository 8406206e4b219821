"""SynFlow: synaptic flow, a score that needs no data."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Problem, Wire
from ticketjax.masks import apply_mask
from ticketjax.wiring import wiring_of

# Scores keep their true size as long as the largest of a network lies between these two: safely
# below float32's largest number, and far enough above its smallest to leave room for the others.
LARGEST, SMALLEST = 1e37, 1e-10


def _scaled_layers(params: Params, wiring: tuple[Wire, ...] | None) -> tuple[Params, jax.Array]:
    """Non-negative parameters with each space scaled down, and the logarithm of the outputs' scale.

    A kernel is multiplied by the scale of what it reads and divided by that of what it writes, a
    bias divided by the latter; so the network's output is divided by the scale of the outputs. A
    space's scale is the product of the layers' largest column sums up to there (or, where that is
    more, the largest bias), added up where several layers write: so every activation stays of the
    order of one, at any depth, width and size of the parameters. theta * dR/dtheta is divided as
    the output is.
    """
    wires = wiring_of(params, wiring)
    log_scale = {0: jnp.float32(0.0)}
    for wire in wires:
        kernel, bias = params[wire.layer]["kernel"], params[wire.layer]["bias"]
        column_sums = jnp.sum(kernel, axis=tuple(range(kernel.ndim - 1)))
        read = log_scale[wire.reads]
        log_largest = jnp.maximum(jnp.log(jnp.max(column_sums)), jnp.log(jnp.max(bias)) - read)
        # Minus infinity where a layer has nothing left.
        written = read + jnp.where(jnp.isfinite(log_largest), log_largest, 0.0)
        there = log_scale.get(wire.writes)
        log_scale[wire.writes] = written if there is None else jnp.logaddexp(there, written)
    scaled = {
        wire.layer: {
            "kernel": params[wire.layer]["kernel"]
            * jnp.exp(log_scale[wire.reads] - log_scale[wire.writes]),
            # By the logarithm, because the scale itself may be beyond float32.
            "bias": jnp.exp(jnp.log(params[wire.layer]["bias"]) - log_scale[wire.writes]),
        }
        for wire in wires
    }
    return scaled, log_scale[wires[-1].writes]


def synflow(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Score |theta * dR/dtheta|, R the summed output of the network with |theta| on ones.

    Run with many rounds it avoids layer collapse. Normalisation is left out, which would undo the
    flow. Scores too large or too small for float32 are
    multiplied by a common factor, which changes no ranking.

    Source: Tanaka, Kunin, Yamins and Ganguli 2020, arXiv 2006.05467, equation 3 and algorithm 1.
    """
    del key
    positive = jax.tree.map(jnp.abs, apply_mask(params, mask))
    scaled, log_scale = _scaled_layers(positive, problem.wiring)
    apply = problem.flow or problem.apply
    ones = jnp.ones((1, *problem.batch.x.shape[1:]), jnp.float32)
    flow = jax.grad(lambda p: jnp.sum(apply(p, ones)))(scaled)
    scores = jax.tree.map(lambda p, f: jnp.abs(p * f), scaled, flow)
    largest = jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(scores)]))
    largest = jnp.where(largest > 0, largest, 1.0)
    log_size = jnp.clip(log_scale + jnp.log(largest), jnp.log(SMALLEST), jnp.log(LARGEST))
    return jax.tree.map(lambda s: s / largest * jnp.exp(log_size), scores)
