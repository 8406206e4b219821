"""Masked networks in NumPy; masks are trees, or vectors as the search has them."""

import jax
import numpy as np

from tests.oracles import backprop as oracle
from tests.oracles import problems
from tests.oracles.problems import WIDTHS
from ticketjax.base import REGRESSION
from ticketjax.seekers.exchange import vectors


def problem_of(layers, kind=REGRESSION, objective="rescaled", prune_bias=True):
    return problems.problem_of(layers, kind, objective, prune_bias, samples=40)


def mask_of(seed, widths=WIDTHS, share=0.5):
    rng = np.random.default_rng(seed)
    return {
        f"layer_{i}": {
            "kernel": rng.random((m, n)) < share,
            "bias": rng.random(n) < share,
        }
        for i, (m, n) in enumerate(zip(widths, widths[1:], strict=False))
    }


def flat_of(tree):
    """One vector, in NumPy, where splitting and joining compile nothing."""
    layers = [jax.device_get(tree[f"layer_{i}"]) for i in range(len(tree))]
    return np.concatenate([layer[part].ravel() for layer in layers for part in ("kernel", "bias")])


def masked_outputs(layers, flat_mask, x):
    tree = vectors.unflatten(np.asarray(flat_mask), oracle.tree_of(layers))
    return oracle.outputs(oracle.combine(np.multiply, layers, oracle.layers_of(tree)), x)


def loss_in_numpy(problem, layers, flat_mask):
    x, y = (np.asarray(array) for array in problem.batch)
    out = masked_outputs(layers, flat_mask, x)
    scale = oracle.fitted_scale(problem.kind, out, y) if problem.objective == "rescaled" else 1.0
    return oracle.loss(problem.kind, out * scale, y)
