"""A small problem for seekers: a random network, and unrelated data."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.oracles import backprop
from ticketjax.base import REGRESSION, Batch
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.tasks import get_task

WIDTHS = (2, 6, 5, 3)
SAMPLES = 24
APPLY = mlp(get_task("circle"), depth=3, width=1).apply


def layers_of(seed, widths=WIDTHS):
    """Kernel and bias of each layer, float32."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.normal(0, np.sqrt(2 / m), (m, n)).astype(np.float32),
            rng.normal(0, 0.5, n).astype(np.float32),
        )
        for m, n in zip(widths, widths[1:], strict=False)
    ]


def problem_of(layers, kind, objective="raw", prune_bias=True, samples=SAMPLES):
    """The problem of a network given by its layers; the data are always the same."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(samples, layers[0][0].shape[0])).astype(np.float32)
    outputs = layers[-1][1].size
    if kind == REGRESSION:
        y = rng.normal(size=(samples, outputs)).astype(np.float32)
    else:
        y = rng.integers(0, outputs, samples).astype(np.int32)
    params = jax.tree.map(jnp.asarray, backprop.tree_of(layers))
    batch = Batch(jnp.asarray(x), jnp.asarray(y))
    return Problem(params, batch, APPLY, kind, objective, prune_bias)
