"""Sparse networks of two layers whose gates are known: linear models with planted weights."""

import jax
import jax.numpy as jnp

from ticketjax.base import REGRESSION, Batch
from ticketjax.measure.quality import recovery
from ticketjax.problem import Problem

INPUTS, GATES, NEURONS, WEIGHTS = 20, 20, 4, 3


def draw_problem(key, samples):
    """A sparse network of two layers as a linear model, and its weights.

    Args:
        key: of the gates, weights and inputs.
        samples: number of Gaussian inputs.

    Returns:
        The problem, whose parameters are 0, and the (INPUTS, GATES) weights that make its y.
    """
    key_gates, key_places, key_weights, key_x = jax.random.split(key, 4)
    order = jax.random.uniform(key_places, (INPUTS, NEURONS)).argsort(axis=0)
    weights = jax.random.normal(key_weights, (INPUTS, NEURONS)) * (order < WEIGHTS)
    signs = jnp.array([1.0, -1.0] * (NEURONS // 2))
    gates = jax.random.normal(key_gates, (INPUTS, GATES)).at[:, :NEURONS].set(weights)
    x = jax.random.normal(key_x, (samples, INPUTS))
    y = jax.nn.relu(x @ weights) @ signs[:, None]
    scale = jnp.std(y)
    truth = jnp.zeros((INPUTS, GATES)).at[:, :NEURONS].set(weights * signs[None] / scale)

    def apply(params, x):
        return jnp.sum((x @ gates > 0) * (x @ params["layer_0"]["kernel"]), axis=1, keepdims=True)

    batch = Batch(x, y / scale)
    return Problem({"layer_0": {"kernel": jnp.zeros_like(truth)}}, batch, apply, REGRESSION), truth


def recovered(seeker, key, samples):
    """Share of the planted parameters that a seeker's mask of as many parameters keeps.

    Args:
        seeker: (key, problem, density) -> Found.
        key: of the problem and the search.
        samples: number of samples.

    Returns:
        () float32 in [0, 1].
    """
    key_problem, key_search = jax.random.split(key)
    problem, truth = draw_problem(key_problem, samples)
    found = seeker(key_search, problem, NEURONS * WEIGHTS / truth.size).mask
    return recovery(found, {"layer_0": {"kernel": truth}}).recall
