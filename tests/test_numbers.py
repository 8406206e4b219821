"""The range of float32: the deepest and widest networks of the paper, 8 million parameters."""

import jax
import jax.numpy as jnp
import pytest

from ticketjax.masks import full_mask
from ticketjax.networks.mlp import mlp
from ticketjax.problem import make_problem
from ticketjax.seekers.registry import SCORES
from ticketjax.tasks import get_task

DEPTH, WIDTH, SAMPLES = 10, 1000, 8


@pytest.mark.long
def test_outputs_and_scores_of_deep_and_wide_networks_neither_overflow_nor_vanish():
    task = get_task("circle")
    model = mlp(task, DEPTH, WIDTH)
    batch = task.sample(jax.random.key(1), SAMPLES, noise=0.0)

    @jax.jit
    def extremes(key):
        params = model.init(key)
        problem = make_problem(task, model, params, batch)
        arrays = {
            name: SCORES[name](key, problem, params, full_mask(params))
            for name in ("snip", "grasp", "synflow")
        }
        arrays["output"] = {"output": model.apply(params, batch.x)}
        return {
            name: jnp.stack(
                [
                    jnp.array([jnp.min(big), jnp.max(big), jnp.mean(leaf != 0)])
                    for leaf in jax.tree.leaves(tree)
                    for big in [jnp.abs(leaf)]
                ]
            )
            for name, tree in arrays.items()
        }

    for name, found in jax.device_get(extremes(jax.random.key(0))).items():
        least, most, share = found.T
        # NaN fails both comparisons. SNIP and GraSP are 0 at neurons that no sample activates.
        assert (least >= 0).all() and (most < 1e20).all() and (most > 1e-20).all(), name
        assert (share > 0.1).all(), name
