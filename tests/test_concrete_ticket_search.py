"""Concrete ticket search: GradBalance by hand, its start, whole searches in NumPy, its targets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests.oracles import backprop as oracle
from tests.oracles.problems import layers_of, problem_of
from tests.oracles.selection import top_k
from tests.oracles.vectors import flat, sigmoid, unflat
from ticketjax.base import CLASSIFICATION, REGRESSION, Task
from ticketjax.networks.activations import relu_outputs
from ticketjax.networks.images import vgg
from ticketjax.seekers.gates.concrete_ticket_search import (
    ConcreteTicketSearch,
    divergence_from_dense,
    feature_distance,
    next_price,
    standardised,
)
from ticketjax.seekers.gates.search import Gates, Moment

KEY = jax.random.key(3)
SIZE = 71


# GradBalance.


def test_a_step_of_gradbalance_by_hand():
    method = ConcreteTicketSearch().method()
    # Two gates, of which one is kept; sigmoid(log 3) = 3/4.
    moment = Moment(jnp.float32(0.5), jnp.float32(0.5))
    of_target = jnp.array([3.0, -4.0])
    open_ = jnp.full(2, np.log(3.0), jnp.float32)

    @jax.jit
    def compiled(gates, of_target):
        def penalty(values):
            return method.penalty(gates._replace(values=values), moment)

        of_count = jax.grad(penalty)(gates.values)
        return of_count, *method.balance(of_target, of_count, gates, moment)

    def step(values, price, of_target=of_target):
        of_count, slope, after = compiled(Gates(values, jnp.float32(price)), of_target)
        np.testing.assert_array_equal(after.values, values)
        return of_count, slope, float(after.memory)

    # 3/2 open is more than 1.1: c = 100 / 1.1 * 3/16 for either, |t| = 5, and
    # lambda* = 5 / (17.0455 sqrt 2) = 0.207418.
    c = 100 / 1.1 * 3 / 16
    of_count, slope, price = step(open_, -1.0)
    np.testing.assert_allclose(of_count, [c, c], rtol=1e-5)
    assert price == pytest.approx(0.207418, rel=1e-5)
    np.testing.assert_allclose(slope, [3 + 0.207418 * c, -4 + 0.207418 * c], rtol=1e-5)
    # Later it moves by a hundredth of the way, and to 0 once few enough are open.
    assert step(open_, 2.0)[2] == pytest.approx(0.99 * 2 + 0.01 * 0.207418, rel=1e-6)
    assert step(-open_, 2.0)[2] == pytest.approx(0.99 * 2, rel=1e-6)
    assert step(-open_, -1.0)[2] == 0
    # What is no number counts as nothing.
    for bad in (jnp.inf, jnp.nan):
        _, slope, price = step(open_, 2.0, jnp.array([bad, 1.0]))
        assert price == pytest.approx(0.99 * 2, rel=1e-6)
        np.testing.assert_allclose(slope, [0.99 * 2 * c] * 2, rtol=1e-5)


def test_prices_of_slopes_of_any_size():
    for size in (1e-30, 1.0, 1e30):
        price = next_price(-1.0, jnp.array([3.0, 4.0]) * size, jnp.array([0.0, 0.5]), True)
        assert float(price) == pytest.approx(10 * size, rel=1e-5)
    # Gates that are all shut or open for good have no slope, and no price.
    assert float(next_price(-1.0, jnp.array([3.0, 4.0]), jnp.zeros(2), True)) == 0


def test_the_expected_count_is_the_budget_at_the_start():
    method = ConcreteTicketSearch().method()
    for size, density in ((SIZE, 0.3), (SIZE, 0.5), (1000, 0.001), (100_000, 0.0123)):
        gates = method.init(KEY, size, jnp.float32(density))
        expected = float(jnp.sum(jax.nn.sigmoid(gates.values.astype(jnp.float32))))
        assert expected == pytest.approx(round(density * size), rel=1e-4)
    for density in (1e-9, 1.0):
        assert np.all(np.isfinite(method.init(KEY, 20_000_000, jnp.float32(density)).values[:2]))
    # And P(m > 1/2) = sigmoid(a tau), of 40,000 draws within four standard deviations.
    for logit, temperature in ((-1.0, 2 / 3), (1.0, 0.25)):
        relax = ConcreteTicketSearch(temperature=temperature).method().relax
        mask = relax(KEY, Gates(jnp.full(40_000, logit)), None)
        share = float(jnp.mean(mask > 0.5))
        assert share == pytest.approx(sigmoid(logit * temperature), abs=4 * 0.5 / 200)


# Whole searches.

STEPS, RATE = 8, 0.3


def search_in_numpy(problem, key, density):
    """Adam on t + lambda c, its rate a tenth from 0.88 of the steps on; scores, and all prices."""
    x, y = (np.asarray(array) for array in problem.batch)
    layers = oracle.layers_of(problem.params)
    theta = flat(oracle.tree_of(layers))
    step_key = jax.random.split(key, 3)[2]
    kept = round(density * SIZE)
    a = np.full(SIZE, np.log(kept / (SIZE - kept)))
    first = second = np.zeros(SIZE)
    price, prices = None, []
    for i in range(STEPS):
        noise = jax.random.logistic(jax.random.fold_in(step_key, i), (SIZE,))
        mask = sigmoid(a + np.asarray(noise, np.float64) * 1.5)
        effective = oracle.combine(np.multiply, layers, unflat(mask))
        fit = oracle.followed(problem.kind, oracle.outputs(effective, x), y)
        g = oracle.gradient(problem.kind, effective, x, y, *fit)
        t = 100 * flat(oracle.tree_of(g)) * theta * mask * (1 - mask)
        c = 100 / (1.1 * kept) * sigmoid(a) * sigmoid(-a)
        is_over = sigmoid(a).sum() > 1.1 * kept
        wanted = np.linalg.norm(t) / np.linalg.norm(c) if is_over else 0.0
        price = wanted if price is None else 0.99 * price + 0.01 * wanted
        prices.append(price)
        g = t + price * c
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        move = first / (1 - 0.9 ** (i + 1)) / (np.sqrt(second / (1 - 0.999 ** (i + 1))) + 1e-8)
        a = a - (RATE if i < round(0.88 * STEPS) else RATE / 10) * move
    return a, prices


def test_whole_searches_over_densities_are_those_in_numpy():
    problem = problem_of(layers_of(4), REGRESSION, "rescaled")
    seek = ConcreteTicketSearch(epochs=STEPS, learning_rate=RATE)
    densities = np.array([0.1, 0.5], np.float32)
    found = jax.jit(jax.vmap(seek, (None, None, 0)))(KEY, problem, densities)
    all_prices = []
    for i, density in enumerate(densities):
        score, prices = search_in_numpy(problem, KEY, float(density))
        all_prices += prices
        one = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        np.testing.assert_allclose(flat(one.scores), score, atol=2e-3)
        kept = flat(one.mask)
        assert kept.sum() == round(density * SIZE)
        assert score[kept].min() >= score[~kept].max() - 4e-3
        assert np.ptp(score) > RATE
    assert min(all_prices) == 0 < max(all_prices)


# Targets.


@functools.cache
def networks():
    """A problem of a dense network, and another network of its shape."""
    problem = problem_of(layers_of(4), CLASSIFICATION)
    return problem, jax.tree.map(jnp.asarray, oracle.tree_of(layers_of(5)))


def test_divergence_is_scipys():
    problem, sparse = networks()
    p, dense = (
        oracle.softmax(oracle.outputs(oracle.layers_of(params), np.asarray(problem.batch.x)))
        for params in (sparse, problem.params)
    )
    expected = scipy.stats.entropy(p, dense, axis=1).mean()
    assert float(divergence_from_dense(problem, sparse)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence_from_dense(problem, problem.params)) == 0


@pytest.mark.parametrize("kind", [CLASSIFICATION, REGRESSION])
def test_distance_of_features_is_that_in_numpy(kind):
    problem, sparse = networks()
    problem = problem_of(layers_of(4), kind)

    def features(params):
        values = oracle.activations(oracle.layers_of(params), np.asarray(problem.batch.x))
        of_softmax = [oracle.softmax(values[-1])] if kind == CLASSIFICATION else []
        for each in [*values[1:-1], *of_softmax]:
            deviation = each.std(axis=1, ddof=1, keepdims=True)
            yield (each - each.mean(axis=1, keepdims=True)) / (deviation + 1e-9)

    pairs = zip(features(sparse), features(problem.params), strict=True)
    expected = np.mean([np.mean((a - b) ** 2) for a, b in pairs])
    got = jax.jit(feature_distance)(problem, sparse)
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_a_sample_whose_neurons_are_all_off_has_no_features_and_a_gradient():
    activations = jnp.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(standardised(activations), [[0, 0, 0], [-1, 0, 1]])
    slope = jax.grad(lambda a: jnp.sum(standardised(a) ** 2 @ jnp.arange(3.0)))(activations)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("target", ["kl", pytest.param("features", marks=pytest.mark.long)])
def test_a_search_approaches_the_dense_network(target):
    """The mask found is nearer to it than nine in ten random ones."""
    problem, _ = networks()
    distance = divergence_from_dense if target == "kl" else feature_distance
    seek = ConcreteTicketSearch(target=target, epochs=300)
    found = flat(jax.jit(seek)(KEY, problem, jnp.float32(0.3)).mask)
    rng = np.random.default_rng(0)
    masks = [found, *(top_k(rng.random(SIZE), round(0.3 * SIZE)) for _ in range(100))]
    kept = [oracle.tree_of(unflat(flat(problem.params) * mask)) for mask in masks]
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), jnp.float32), *kept)
    first, *others = jax.jit(jax.vmap(distance, (None, 0)))(problem, stacked)
    assert first < np.quantile(np.array(others), 0.1)


def test_targets_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="target must be one of loss, kl, features"):
        ConcreteTicketSearch(target="losses")

    def seek(target, problem):
        return jax.eval_shape(lambda k: ConcreteTicketSearch(target=target)(k, problem, 0.3), KEY)

    with pytest.raises(ValueError, match="'kl' needs a classification.*regression"):
        seek("kl", problem_of(layers_of(4), REGRESSION))
    with pytest.raises(ValueError, match="'features' needs a network with ReLUs"):
        seek("features", problem_of(layers_of(4, (2, 3)), CLASSIFICATION))


# Activations of any network.


def test_relus_of_every_form_are_seen_once():
    weights = jnp.array([[1.0, -1.0], [2.0, 0.5]])

    def apply(params, x):
        first = jax.nn.relu(x @ params)
        second = jax.jit(lambda v: jnp.maximum(v - 1, 0.0))(first)
        bounded = jnp.maximum(second, -1.0)  # no ReLU
        return jax.nn.silu(bounded) + jax.jit(jax.nn.relu)(bounded - 2)

    @jax.jit
    def both(params, x):
        def size(of):
            return lambda params: jnp.sum(jnp.sin(of(params)))

        seen = jax.grad(size(lambda params: relu_outputs(apply, params, x)[0]))(params)
        own = jax.grad(size(lambda params: apply(params, x)))(params)
        return *relu_outputs(apply, params, x), apply(params, x), seen, own

    x = jnp.array([[1.0, 1.0], [-1.0, 2.0], [0.5, -3.0]])
    outputs, rectified, expected, *slopes = both(weights, x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)
    np.testing.assert_allclose(*slopes, rtol=1e-5)
    first = np.maximum(np.asarray(x) @ np.asarray(weights), 0)
    second = np.maximum(first - 1, 0)
    assert len(rectified) == 3
    for got, wanted in zip(rectified, (first, second, np.maximum(second - 2, 0)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_relus_of_convolutions_are_seen():
    task = Task("images", (32, 32, 3), 4, CLASSIFICATION, None, None)
    model = vgg(task, 11, 1 / 64)
    params = jax.eval_shape(model.init, KEY)
    x = jax.ShapeDtypeStruct((3, *task.inputs), jnp.float32)
    outputs, rectified = jax.eval_shape(lambda p, x: relu_outputs(model.apply, p, x), params, x)
    assert outputs.shape == (3, task.outputs)
    assert [leaf.shape[0] for leaf in rectified] == [3] * 8
    assert rectified[0].shape[1] == 32 * 32 * 1
