"""NTK-SAP: sensitivity of the neural tangent kernel's trace, of the architecture alone."""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Tree
from ticketjax.networks.mlp import initial_parameters
from ticketjax.problem import Problem
from ticketjax.seekers.scores.random import random

# Networks that are drawn, and how far their parameters are moved.
DRAWS, EPSILON = 5, 0.01


def ntk_sap(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |d/dm sum (f(z; m w) - f(z; m (w + 0.01 N)))^2|, with w, N and z drawn at random.

    The sum over samples and outputs is, to first order, 0.01^2 times the trace of the neural
    tangent kernel. Parameters w are drawn as initial values are, N and the inputs z are N(0, 1);
    there are as many inputs as samples. The gradients by the mask are added over five draws. So the
    score sees neither the parameters nor the data, and knows nothing of a planted ticket: it is a
    negative control. What it finds beyond chance is due to its layer densities.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer, which keep their values.

    Source: Wang, Li and Sun 2023, arXiv 2304.02840, "NTK-SAP".
    Published: 20 rounds to density^(k / 20), five draws of the parameters, epsilon 0.01 (CIFAR-10);
        of kernels.
    Departures: one round unless told otherwise, see Singleshot; biases are scored too where they
        are prunable, and drawn as mlp() draws them; all layers have weights N(0, 2 / n_in).

    >>> from ticketjax.seekers.registry import get_seeker
    >>> seeker = get_seeker("singleshot(ntk_sap, rounds=20)")
    """
    seen = problem.view(params)
    shapes = {name: layer["kernel"].shape for name, layer in seen.items()}
    alive = jax.tree.map(lambda m: m.astype(jnp.float32), problem.view(mask))

    def change(masked: Params, draw_key: jax.Array) -> jax.Array:
        weight_key, noise_key, input_key = jax.random.split(draw_key, 3)
        drawn = initial_parameters(weight_key, shapes)
        theta = {name: {part: drawn[name][part] for part in own} for name, own in seen.items()}
        noise = random(noise_key, problem, theta, masked)
        moved = jax.tree.map(lambda w, n: w + EPSILON * n, theta, noise)
        inputs = jax.random.normal(input_key, problem.batch.x.shape, jnp.float32)
        one, other = (
            problem.apply(problem.restore(jax.tree.map(jnp.multiply, masked, w), params), inputs)
            for w in (theta, moved)
        )
        return jnp.sum((one - other) ** 2)

    def add(total: Params, draw_key: jax.Array) -> tuple[Params, None]:
        return jax.tree.map(jnp.add, total, jax.grad(change)(alive, draw_key)), None

    zeros = jax.tree.map(jnp.zeros_like, alive)
    total, _ = jax.lax.scan(add, zeros, jax.random.split(key, DRAWS))
    scores = jax.tree.map(lambda m, g: jnp.abs(m * g), alive, total)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    return problem.restore(scores, nothing)
