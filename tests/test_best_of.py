"""The best of several searches of one seeker."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.oracles import backprop as oracle
from tests.oracles.problems import APPLY, layers_of, problem_of
from tests.oracles.vectors import flat
from ticketjax.base import REGRESSION, Found
from ticketjax.masks import count_prunable
from ticketjax.problem import Problem
from ticketjax.seekers.best_of import BestOf
from ticketjax.seekers.registry import get_seeker

KEY = jax.random.key(3)
LAYERS = layers_of(4)


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_the_best_of_several_searches_is_kept(validation):
    problem = problem_of(LAYERS, REGRESSION, "rescaled")
    # A parameter that is NaN: a mask that keeps it has the loss NaN.
    broken = problem.params["layer_2"]["bias"].at[0].set(jnp.nan)
    layer = {**problem.params["layer_2"], "bias": broken}
    problem = Problem(
        {**problem.params, "layer_2": layer}, problem.batch, APPLY, REGRESSION, "rescaled"
    )

    unravel = ravel_pytree(problem.params)[1]

    def draw(key, problem, density):
        scores = unravel(jax.random.uniform(key, (71,)))
        mask = jax.tree.map(lambda s: s < density, scores)
        info = {"key": jax.random.key_data(key), "seen": problem.batch.x}
        return Found(mask, scores, info)

    found = jax.jit(BestOf(draw, restarts=8, validation=validation))(KEY, problem, 0.7)
    x, y = (np.asarray(array) for array in problem.batch)
    if validation:
        assert len(found.info["seen"]) == 18
        np.testing.assert_array_equal(found.info["seen"], x[:18])
        x, y = x[18:], y[18:]
    keys = jax.random.split(KEY, 8)
    masks = jax.jit(jax.vmap(lambda key: draw(key, problem, 0.7).mask))(keys)
    losses = []
    for i in range(8):
        mask = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), masks)
        kept = jax.tree.map(lambda p, m: np.where(m, p, 0), problem.params, mask)
        kept = oracle.layers_of(kept)
        out = oracle.outputs(kept, x)
        bad = np.isnan(out).any()
        scaled = 0 if bad else out * oracle.fitted_scale(REGRESSION, out, y)
        losses.append(np.inf if bad else oracle.loss(REGRESSION, scaled, y))
    assert 0 < np.isinf(losses).sum() < 8
    np.testing.assert_allclose(found.info["restart_losses"], losses, rtol=1e-4)
    best = np.argmin(losses)
    np.testing.assert_array_equal(found.info["key"], jax.random.key_data(keys)[best])
    np.testing.assert_array_equal(flat(found.mask), flat(jax.tree.map(lambda m: m[best], masks)))


def test_validation_of_no_sample_is_refused():
    with pytest.raises(ValueError, match=r"validation=0\.01 of 24 training samples is 0 samples"):
        BestOf(get_seeker("snip"), validation=0.01)(KEY, problem_of(LAYERS, REGRESSION), 0.5)
    with pytest.raises(ValueError, match=r"validation must be at most 0\.9"):
        BestOf(get_seeker("snip"), validation=0.95)


@pytest.mark.parametrize(
    "name",
    [
        "probabilistic",
        "gem_miner",
        "concrete",
        "relaxed_bernoulli",
        "continuous_sparsification",
        "concrete_ticket_search",
        "supermask",
        "edge_popup",
        "biprop",
    ],
)
def test_every_trained_seeker_restarts(name):
    problem = problem_of(LAYERS, REGRESSION)
    seek = get_seeker(name, epochs=2, batch_size=8, restarts=3)
    found = jax.eval_shape(lambda key: seek(key, problem, 0.3), KEY)
    assert found.info["restart_losses"].shape == (3,)
    assert count_prunable(found.mask) == 71
    with pytest.raises(ValueError, match="restarts"):
        get_seeker(name, restarts=0)
