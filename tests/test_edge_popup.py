"""Edge-popup against its formulas: gradient, whole searches, annealing, biases, normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles.problems import APPLY, SAMPLES, layers_of, problem_of
from tests.oracles.selection import select
from tests.oracles.selection import top_k as top
from tests.oracles.vectors import flat
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch
from ticketjax.problem import Problem
from ticketjax.seekers import edge_popup as MODULE
from ticketjax.seekers.edge_popup import EdgePopup, layer_normalised, popup_params

KEY = jax.random.key(3)
# 24 samples in batches of 8: three steps per epoch.
BATCH_SIZE = 8


def assert_close(tree, layers, tolerance):
    for leaf, wanted in zip(
        jax.tree.leaves(tree), jax.tree.leaves(oracle.tree_of(layers)), strict=True
    ):
        np.testing.assert_allclose(leaf, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("objective", ["raw", "rescaled"])
@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_gradient_of_a_score_is_sign_times_parameter_times_gradient(kind, objective):
    layers, scores, mask = layers_of(0), layers_of(1), layers_of(2)
    mask = oracle.combine(lambda m: m > 0, mask)
    for kernel, bias in scores:
        # sgn(0) is 0, though the derivative of jnp.abs is 1 there.
        kernel[0, 0] = bias[0] = 0.0
    problem = problem_of(layers, kind, objective)

    @jax.jit
    def slope(s):
        kept = jax.tree.map(jnp.asarray, oracle.tree_of(mask))
        return jax.grad(lambda s: problem.descent_loss(popup_params(problem.params, s, kept)))(s)

    got = slope(jax.tree.map(jnp.asarray, oracle.tree_of(scores)))
    x, y = (np.asarray(array) for array in problem.batch)
    effective = oracle.combine(np.multiply, layers, mask)
    fit = 1.0, 0.0
    if objective == "rescaled":
        fit = oracle.followed(kind, oracle.outputs(effective, x), y)
    gradient = oracle.gradient(kind, effective, x, y, *fit)
    expected = oracle.combine(lambda s, p, g: np.sign(s) * p * g, scores, layers, gradient)
    assert any(np.any((g != 0) & ~m) for g, m in zip(gradient[1], mask[1], strict=True))
    assert_close(got, expected, 2e-4)


def search_in_numpy(problem, layers, scores, order, density, annealed, scope):
    """SGD with momentum 0.9, weight decay 5e-4 and a cosine from 0.1 to 0, step by step."""
    x, y = (np.asarray(array) for array in problem.batch)
    momentum = oracle.combine(np.zeros_like, scores)
    epochs, steps, _ = order.shape

    def keep(target):
        magnitudes = oracle.tree_of(oracle.combine(np.abs, scores))
        return oracle.layers_of(select(magnitudes, target, scope))

    for t in range(epochs * steps):
        i, rows = t // steps + 1, order[t // steps, t % steps]
        mask = keep(density ** (i / epochs) if annealed else density)
        effective = oracle.combine(np.multiply, layers, mask)
        g = oracle.gradient(problem.kind, effective, x[rows], y[rows])
        g = oracle.combine(lambda s, p, g: np.sign(s) * p * g + 5e-4 * s, scores, layers, g)
        momentum = oracle.combine(lambda m, g: 0.9 * m + g, momentum, g)
        rate = 0.1 * (1 + np.cos(np.pi * t / (epochs * steps))) / 2
        scores = oracle.combine(lambda s, m, r=rate: s - r * m, scores, momentum)
    return scores, keep(density)


@pytest.mark.parametrize(
    ("annealed", "scope", "kind"),
    [(False, "local", CLASSIFICATION), (True, "local", REGRESSION), (True, "global", REGRESSION)],
)
def test_a_whole_search_is_the_one_in_numpy(annealed, scope, kind, monkeypatch):
    layers, start, epochs, density = layers_of(4), layers_of(5), 3, 0.4
    order = np.random.default_rng(6).permuted(np.tile(np.arange(SAMPLES), (epochs, 1)), axis=1)
    order = order.reshape(epochs, -1, BATCH_SIZE)
    monkeypatch.setattr(
        MODULE, "_initial_scores", lambda *_: jax.tree.map(jnp.asarray, oracle.tree_of(start))
    )
    monkeypatch.setattr(MODULE, "shuffles", lambda *_: jnp.asarray(order))
    problem = problem_of(layers, kind)
    seek = EdgePopup(annealed=annealed, scope=scope, epochs=epochs, batch_size=BATCH_SIZE)
    found = jax.jit(seek, static_argnums=2)(KEY, problem, density)
    scores, mask = search_in_numpy(problem, layers, start, order, density, annealed, scope)
    assert_close(found.scores, oracle.combine(np.abs, scores), 1e-4)
    assert_close(found.mask, mask, 0)


@pytest.mark.parametrize("epochs", [1, 2])
def test_annealing_is_plain_in_one_epoch_and_only_there(epochs):
    problem = problem_of(layers_of(8), CLASSIFICATION)

    @jax.jit
    def both(key):
        return [
            EdgePopup(annealed=how, epochs=epochs, batch_size=BATCH_SIZE)(key, problem, 0.3)
            for how in (False, True)
        ]

    plain, annealed = both(KEY)
    pairs = zip(jax.tree.leaves(plain), jax.tree.leaves(annealed), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs) == (epochs == 1)


def test_scores_of_biases_start_away_from_zero_and_learn():
    problem = problem_of(layers_of(9), REGRESSION)
    start = jax.jit(MODULE._initial_scores)(jax.random.split(KEY)[0], problem.params)
    found = jax.jit(EdgePopup(epochs=2, batch_size=BATCH_SIZE))(KEY, problem, 0.7)
    # Weight decay alone would shrink every score by the same factor.
    for name, layer in start.items():
        bias = np.abs(np.asarray(layer["bias"]))
        assert bias.min() > 0
        factors = np.asarray(found.scores[name]["bias"]) / bias
        assert np.ptp(factors) > 1e-3, name


@pytest.mark.long
def test_a_mask_learned_on_regression_is_better_than_the_one_it_starts_from():
    layers = layers_of(11)
    problem = problem_of(layers, REGRESSION, "rescaled")
    target = APPLY(problem.params, problem.batch.x)
    batch = Batch(problem.batch.x, target + 0.1)
    problem = Problem(problem.params, batch, APPLY, REGRESSION, "rescaled")
    losses = []
    for rate in (0.0, 0.1):
        seek = EdgePopup(epochs=40, batch_size=BATCH_SIZE, learning_rate=rate, scope="global")
        mask = jax.jit(seek)(KEY, problem, 0.6).mask
        kept = jax.tree.map(lambda p, m: p * m, problem.params, mask)
        losses.append(float(problem.loss(kept)))
    assert losses[1] < losses[0] / 2, losses


# Edge-popup with one threshold over layers of different scores.


def test_layers_are_normalised_by_the_mean_of_what_is_prunable():
    magnitudes = {
        "layer_0": {"kernel": jnp.array([[1.0, 3.0]]), "bias": jnp.array([5.0, 7.0])},
        "layer_1": {"kernel": jnp.array([[0.0], [0.0]]), "bias": jnp.array([0.0])},
    }
    with_bias = layer_normalised(magnitudes)
    np.testing.assert_array_equal(with_bias["layer_0"]["kernel"], [[0.25, 0.75]])
    np.testing.assert_array_equal(with_bias["layer_0"]["bias"], [1.25, 1.75])
    np.testing.assert_array_equal(with_bias["layer_1"]["bias"], [0])
    without = layer_normalised(magnitudes, prune_bias=False)
    np.testing.assert_array_equal(without["layer_0"]["kernel"], [[0.5, 1.5]])


def test_normalised_edge_popup_ranks_what_it_says():
    problem = problem_of(layers_of(4), CLASSIFICATION)
    options = {"scope": "global", "epochs": 1, "batch_size": 8, "learning_rate": 0.0}
    found = jax.jit(EdgePopup(normalise=True, **options))(KEY, problem, 0.3)
    start = jax.jit(MODULE._initial_scores)(jax.random.split(KEY)[0], problem.params)
    ranked = []
    for name in ("layer_0", "layer_1", "layer_2"):
        scores = np.abs(flat(start[name]))
        ranked.append(scores / scores.mean())
    np.testing.assert_allclose(flat(found.scores), np.concatenate(ranked), rtol=1e-5)
    np.testing.assert_array_equal(flat(found.mask), top(np.concatenate(ranked), round(0.3 * 71)))
