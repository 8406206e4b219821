"""SynFlow: synaptic flow, a score that needs no data."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Problem
from ticketjax.masks import apply_mask, layer_names

LARGEST = 1e37  # safely below float32's largest number


def _scaled_layers(params: Params) -> tuple[Params, jax.Array]:
    """Non-negative parameters with each layer scaled down, and the logarithm of the whole scale.

    Layer l's kernel is divided by its largest column sum c_l and its bias by c_1 ... c_l, which
    divides the network's output by the product of all c and keeps every activation of the order
    of one, at any depth and width. theta * dR/dtheta is divided by the same product.
    """
    scaled, log_scale = {}, jnp.float32(0.0)
    for name in layer_names(params):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        largest = jnp.max(jnp.sum(kernel, axis=tuple(range(kernel.ndim - 1))))
        largest = jnp.where(largest > 0, largest, 1.0)
        log_scale = log_scale + jnp.log(largest)
        scaled[name] = {"kernel": kernel / largest, "bias": bias * jnp.exp(-log_scale)}
    return scaled, log_scale


def synflow(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Score |theta * dR/dtheta|, R the summed output of the network with |theta| on ones.

    Run with many rounds it avoids layer collapse. Scores too large for float32 are divided by a
    common factor, which changes no ranking.

    Source: Tanaka, Kunin, Yamins and Ganguli 2020, arXiv 2006.05467, equation 3 and algorithm 1.
    """
    del key
    positive = jax.tree.map(jnp.abs, apply_mask(params, mask))
    scaled, log_scale = _scaled_layers(positive)
    ones = jnp.ones_like(problem.batch.x[:1])
    flow = jax.grad(lambda p: jnp.sum(problem.apply(p, ones)))(scaled)
    scores = jax.tree.map(lambda p, f: jnp.abs(p * f), scaled, flow)
    largest = jnp.max(jnp.stack([jnp.max(leaf) for leaf in jax.tree.leaves(scores)]))
    log_room = jnp.log(LARGEST) - jnp.log(jnp.where(largest > 0, largest, 1.0))
    factor = jnp.exp(jnp.minimum(log_scale, log_room))
    return jax.tree.map(lambda s: s * factor, scores)
