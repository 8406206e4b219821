"""SynFlow: synaptic flow, a score that needs no data."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Problem
from ticketjax.masks import apply_mask, layer_names

# Scores keep their true size as long as the largest of a network lies between these two: safely
# below float32's largest number, and far enough above its smallest to leave room for the others.
LARGEST, SMALLEST = 1e37, 1e-10


def _scaled_layers(params: Params) -> tuple[Params, jax.Array]:
    """Non-negative parameters with each layer scaled down, and the logarithm of the whole scale.

    Layer l's kernel is divided by c_l and its bias by c_1 ... c_l, which divides the network's
    output by the product of all c. c_l is the largest column sum or, where that is more, what
    makes the largest bias one: so every activation stays of the order of one, at any depth, width
    and size of the parameters. theta * dR/dtheta is divided by the same product.
    """
    scaled, log_scale = {}, jnp.float32(0.0)
    for name in layer_names(params):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        column_sums = jnp.sum(kernel, axis=tuple(range(kernel.ndim - 1)))
        log_largest = jnp.maximum(jnp.log(jnp.max(column_sums)), jnp.log(jnp.max(bias)) - log_scale)
        # Minus infinity where a layer has nothing left.
        log_largest = jnp.where(jnp.isfinite(log_largest), log_largest, 0.0)
        log_scale = log_scale + log_largest
        scaled[name] = {
            "kernel": kernel * jnp.exp(-log_largest),
            # By the logarithm, because the scale itself may be beyond float32.
            "bias": jnp.exp(jnp.log(bias) - log_scale),
        }
    return scaled, log_scale


def synflow(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Score |theta * dR/dtheta|, R the summed output of the network with |theta| on ones.

    Run with many rounds it avoids layer collapse. Scores too large or too small for float32 are
    multiplied by a common factor, which changes no ranking.

    Source: Tanaka, Kunin, Yamins and Ganguli 2020, arXiv 2006.05467, equation 3 and algorithm 1.
    """
    del key
    positive = jax.tree.map(jnp.abs, apply_mask(params, mask))
    scaled, log_scale = _scaled_layers(positive)
    ones = jnp.ones_like(problem.batch.x[:1])
    flow = jax.grad(lambda p: jnp.sum(problem.apply(p, ones)))(scaled)
    scores = jax.tree.map(lambda p, f: jnp.abs(p * f), scaled, flow)
    largest = jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(scores)]))
    largest = jnp.where(largest > 0, largest, 1.0)
    log_size = jnp.clip(log_scale + jnp.log(largest), jnp.log(SMALLEST), jnp.log(LARGEST))
    return jax.tree.map(lambda s: s / largest * jnp.exp(log_size), scores)
