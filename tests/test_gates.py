"""Seekers with gates: every search against NumPy, their schedules and projection."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles.problems import layers_of
from tests.oracles.problems import problem_of as problem_of_layers
from tests.oracles.selection import top_k as top
from tests.oracles.vectors import flat, sigmoid, unflat
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.masks import count_kept
from ticketjax.runs.grid import make_grid
from ticketjax.seekers.gates.probabilistic import keep_within, sample
from ticketjax.seekers.gates.search import (
    Moment,
    density_now,
    raised_multiplier,
    round_straight_through,
    unit_norm,
)
from ticketjax.seekers.registry import get_seeker

STEPS = 4
KEY = jax.random.key(3)
GATED = (
    "probabilistic",
    "gem_miner",
    "concrete",
    "relaxed_bernoulli",
    "continuous_sparsification",
)


@functools.cache
def problem_of(kind, objective="raw", prune_bias=True):
    return problem_of_layers(layers_of(4), kind, objective, prune_bias)


def shift_by_sorting(s, budget):
    """v with sum clip(s - v, 0, 1) = budget: the sum is linear between the sorted s and s - 1."""
    if np.clip(s, 0, 1).sum() <= budget:
        return 0.0
    knots = np.sort(np.concatenate([s, s - 1, [0.0]]))
    sums = np.array([np.clip(s - v, 0, 1).sum() for v in knots])
    return np.interp(-budget, -sums, knots)


# The searches in NumPy: Adam updates s, score ranks at the end, t runs from 1 / STEPS to 1, and
# budget is the scheduled one.


class Probabilistic:
    def start(self, key, n):
        self.s = self.score = np.full(n, 0.5)

    def mask(self, key, t):
        noise = np.asarray(jax.random.logistic(key, self.s.shape), np.float64)
        s, tau = np.clip(self.s, 1e-6, 1 - 1e-6), 1 - 0.97 * t
        m = sigmoid((np.log(s / (1 - s)) + noise) / tau)
        return m, m * (1 - m) / tau / (s * (1 - s))

    def penalty_slope(self, t):
        return 0.0

    def after(self, t, budget, density):
        self.score = self.s - shift_by_sorting(self.s, budget)
        self.s = np.clip(self.score, 0, 1)


class GemMiner:
    def start(self, key, n):
        self.s = self.score = np.asarray(jax.random.uniform(key, (n,)), np.float64)
        self.alive = np.ones(n, bool)

    def mask(self, key, t):
        return self.alive * (self.s > 0.5), self.alive

    def penalty_slope(self, t):
        return 2 * 0.01 * self.s * self.alive

    def after(self, t, budget, density):
        self.s = np.clip(self.s, 0, 1)
        # Every step is an epoch, and in every second one some parameters die.
        died_last = {0.25: 0, 0.5: 0.5, 0.75: 0.5, 1: 1}[t]
        self.alive = top(self.score_of_the_living(), round(density**died_last * self.s.size))
        self.score = self.score_of_the_living()

    def score_of_the_living(self):
        return np.where(self.alive, self.s, -np.inf)


class Dual:
    price = 0.0

    def raise_price(self, size, budget):
        self.price = max(0.0, self.price + 0.1 * np.log(size / budget))


class Concrete(Dual):
    def start(self, key, n):
        self.s = self.score = np.zeros(n)

    def mask(self, key, t):
        noise = np.asarray(jax.random.logistic(key, self.s.shape), np.float64)
        tau = 1 - 0.9 * t
        m = sigmoid((self.s + noise) / tau)
        return m, m * (1 - m) / tau

    def penalty_slope(self, t):
        return self.price * sigmoid(self.s) * sigmoid(-self.s)

    def after(self, t, budget, density):
        self.score = self.s
        self.raise_price(sigmoid(self.s).sum(), budget)


class RelaxedBernoulli(Dual):
    def start(self, key, n):
        self.s = self.score = np.full(n, 0.5)

    def mask(self, key, t):
        z = self.s + 0.5 * np.asarray(jax.random.normal(key, self.s.shape), np.float64)
        return np.clip(z, 0, 1), (z > 0) & (z < 1)

    def penalty_slope(self, t):
        return self.price * np.exp(-((self.s / 0.5) ** 2) / 2) / np.sqrt(2 * np.pi) / 0.5

    def after(self, t, budget, density):
        self.score = self.s
        opened = [(1 + math.erf(s / 0.5 / math.sqrt(2))) / 2 for s in self.s]
        self.raise_price(sum(opened), budget)


class ContinuousSparsification(Dual):
    def start(self, key, n):
        self.s = self.score = np.full(n, -0.1)

    def mask(self, key, t):
        m, scale = sigmoid(20**t * self.s), sigmoid(-0.1)
        return m / scale, 20**t * m * (1 - m) / scale

    def penalty_slope(self, t):
        return self.price * self.mask(None, t)[1]

    def after(self, t, budget, density):
        self.score = self.s
        self.raise_price(sigmoid(20**t * self.s).sum(), budget)


SEARCHES = {
    "probabilistic": (Probabilistic, {"schedule": "cubic"}),
    "gem_miner": (GemMiner, {"penalty": 0.01, "period": 2}),
    "concrete": (Concrete, {"dual_rate": 0.1, "schedule": "cubic"}),
    "relaxed_bernoulli": (RelaxedBernoulli, {"dual_rate": 0.1, "schedule": "cubic"}),
    "continuous_sparsification": (
        ContinuousSparsification,
        {"dual_rate": 0.1, "schedule": "cubic", "start": -0.1, "final_steepness": 20.0},
    ),
}
DECAYING = ("probabilistic", "relaxed_bernoulli")


def search_in_numpy(search, problem, key, density, rate, decay):
    """Adam (Kingma and Ba 2015, algorithm 1) on gates; without price the gradient has norm 1."""
    x, y = (np.asarray(array) for array in problem.batch)
    layers = oracle.layers_of(problem.params)
    theta = flat(oracle.tree_of(layers))
    init_key, _, step_key = jax.random.split(key, 3)
    search.start(init_key, theta.size)
    first = second = np.zeros(theta.size)
    for i in range(STEPS):
        t = (i + 1) / STEPS
        mask, slope = search.mask(jax.random.fold_in(step_key, i), t)
        effective = oracle.combine(np.multiply, layers, unflat(mask * 1.0))
        fit = 1.0, 0.0
        if problem.objective == "rescaled":
            fit = oracle.followed(problem.kind, oracle.outputs(effective, x), y)
        g = oracle.gradient(problem.kind, effective, x, y, *fit)
        g = flat(oracle.tree_of(g)) * theta * slope
        g = g / np.linalg.norm(g) + search.penalty_slope(t)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        steps = first / (1 - 0.9 ** (i + 1)) / (np.sqrt(second / (1 - 0.999 ** (i + 1))) + 1e-8)
        now = rate * (1 + np.cos(np.pi * i / STEPS)) / 2 if decay else rate
        search.s = search.s - now * steps
        remaining = (1 - min(t / 0.8, 1)) ** 3
        budget = (density + (1 - density) * remaining) * theta.size
        search.after(t, budget, density)
    return search.score


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.long] * (n != "probabilistic")) for n in GATED],
)
def test_whole_searches_over_keys_and_densities_are_those_in_numpy(name):
    search, options = SEARCHES[name]
    kind, objective = (
        (REGRESSION, "rescaled")
        if name in ("probabilistic", "concrete")
        else (CLASSIFICATION, "raw")
    )
    problem, rate, decay = problem_of(kind, objective), 0.05, name in DECAYING
    keys, densities = jax.random.split(KEY, 2), np.array([0.3, 0.6], np.float32)
    # A batch of all samples: one step per epoch, for any order.
    seek = get_seeker(name, epochs=STEPS, learning_rate=rate, decay=decay, **options)
    seek = jax.jit(jax.vmap(jax.vmap(seek, (None, None, 0)), (0, None, None)))
    found = seek(keys, problem, densities)
    for i, j in ((0, 0), (1, 1)):
        score = search_in_numpy(search(), problem, keys[i], float(densities[j]), rate, decay)
        one = jax.tree.map(lambda leaf, at=(i, j): leaf[at], found)
        # A saturated gate's slope is 0 in float32, and almost 0 in float64.
        np.testing.assert_allclose(flat(one.scores), score, atol=1e-3)
        assert np.ptp(score[np.isfinite(score)]) > rate, "all alike, it would show nothing"
        kept = flat(one.mask)
        assert kept.sum() == round(densities[j] * 71)
        assert score[kept].min() >= score[~kept].max() - 2e-3

    # No parameter has an effect, so all gradients are equal: ties everywhere.
    nothing = jax.tree.map(jnp.zeros_like, problem.params)
    tied = seek(keys, dataclasses.replace(problem, params=nothing), densities)
    if name != "gem_miner":  # which draws its scores
        assert np.unique(flat(tied.scores)).size <= 2, "one score for each density"
    kept = jax.vmap(jax.vmap(count_kept))(tied.mask)
    np.testing.assert_array_equal(kept, [[round(0.3 * 71), round(0.6 * 71)]] * 2)


# Projection and gates.


@pytest.mark.parametrize("budget", [0.5, 4.0, 20.0, 45.0, 60.0])
def test_projection_by_bisection_is_the_one_by_sorting(budget):
    rng = np.random.default_rng(0)
    vectors = [
        rng.normal(0.5, 0.6, 60),
        np.full(60, 0.8),
        np.repeat([0.0, 1.0], 30),
        np.where(rng.random(60) < 0.1, 1.3, 0.01),
    ]
    s = np.stack(vectors).astype(np.float32)
    shifts = jax.jit(jax.vmap(keep_within, (0, None)))(jnp.asarray(s), budget)
    expected = [shift_by_sorting(row.astype(np.float64), budget) for row in s]
    sums = np.clip(s - np.asarray(shifts)[:, None], 0, 1).sum(axis=1)
    assert np.all(sums <= budget + 1e-4)
    # On a plateau of the sum, any shift is valid.
    wanted = np.clip(s - np.array(expected)[:, None], 0, 1).sum(axis=1)
    np.testing.assert_allclose(sums, wanted, atol=1e-4)


def test_draws_are_open_as_often_as_their_probability_says():
    probabilities = jnp.repeat(jnp.array([0.0, 0.1, 0.5, 0.9, 1.0]), 4000)
    for temperature in (1.0, 0.03):
        opened = np.asarray(sample(KEY, probabilities, temperature)) > 0.5
        shares = opened.reshape(5, -1).mean(axis=1)
        # Four standard deviations of 4,000 draws.
        np.testing.assert_allclose(shares, [0, 0.1, 0.5, 0.9, 1], atol=4 * 0.5 / np.sqrt(4000))


def test_a_probability_of_zero_or_one_still_has_a_gradient():
    slope = jax.grad(lambda s: jnp.sum(sample(KEY, s, 1.0)))(jnp.array([0.0, 0.5, 1.0]))
    assert np.all(np.isfinite(slope))
    assert np.all(slope > 0)


def test_rounding_passes_the_gradient_straight_through():
    values = jnp.array([0.0, 0.5, 0.51, 1.0])
    rounded, slopes = jax.vjp(round_straight_through, values)
    np.testing.assert_array_equal(rounded, [0, 0, 1, 1])
    np.testing.assert_array_equal(slopes(jnp.arange(4.0))[0], [0, 1, 2, 3])


# Schedules, worked by hand.


def test_density_falls_from_one_to_the_target_along_the_ramp():
    def at(progress, schedule):
        return float(
            density_now(Moment(jnp.float32(progress), jnp.float32(0.01)), schedule, (0.2, 0.6))
        )

    for schedule in ("cubic", "log"):
        assert at(0.1, schedule) == at(0.2, schedule) == 1
        assert at(0.6, schedule) == pytest.approx(0.01, rel=1e-6)
        assert at(1.0, schedule) == pytest.approx(0.01, rel=1e-6)
    # Half-way, an eighth remains: 0.01 + 0.99 / 8, and 0.01^(7/8).
    assert at(0.4, "cubic") == pytest.approx(0.13375, rel=1e-5)
    assert at(0.4, "log") == pytest.approx(0.017783, rel=1e-4)


def test_multiplier_rises_above_the_budget_and_never_below_zero():
    assert float(raised_multiplier(0.5, 0.1, jnp.e * 10.0, 10.0)) == pytest.approx(0.6)
    assert float(raised_multiplier(0.5, 0.1, 10.0 / jnp.e, 10.0)) == pytest.approx(0.4)
    assert float(raised_multiplier(0.05, 0.1, 10.0 / jnp.e, 10.0)) == 0
    assert np.isfinite(raised_multiplier(0.05, 0.1, 0.0, 10.0))


def test_gradients_of_any_size_become_unit_vectors_and_bad_ones_nothing():
    for size in (1e-35, 1.0, 1e35):
        np.testing.assert_allclose(unit_norm(jnp.array([3.0, -4.0]) * size), [0.6, -0.8], rtol=1e-5)
    for bad in (0.0, np.inf, np.nan):
        np.testing.assert_array_equal(unit_norm(jnp.array([bad, bad])), [0, 0])
    np.testing.assert_array_equal(unit_norm(jnp.array([1.0, np.nan])), [0, 0])


# Guarantees of the shared search.


def test_biases_that_are_not_pruned_are_kept_and_not_counted():
    problem = problem_of(CLASSIFICATION, prune_bias=False)
    seek = get_seeker("gem_miner", epochs=2, batch_size=8)
    found = jax.jit(seek)(KEY, problem, 0.25)
    assert count_kept(found.mask, prune_bias=False) == round(0.25 * (12 + 30 + 15))
    assert all(layer["bias"].all() for layer in found.mask.values())


def test_options_that_make_no_search_are_refused():
    for name in GATED:
        for option, value in (("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0)):
            with pytest.raises(ValueError, match=option):
                get_seeker(name, **{option: value})
        with pytest.raises(ValueError, match="scope"):
            get_seeker(name, scope="layer")
    for name, option, value in (
        ("probabilistic", "schedule", "linear"),
        ("probabilistic", "ramp", (0.5, 0.5)),
        ("probabilistic", "start", 0.0),
        ("probabilistic", "temperatures", (1.0, 0.0)),
        ("gem_miner", "penalty", -1.0),
        ("gem_miner", "period", 0),
        ("concrete", "dual_rate", 0.0),
        ("relaxed_bernoulli", "sigma", 0.0),
        ("relaxed_bernoulli", "dual_rate", 0.0),
        ("continuous_sparsification", "final_steepness", -1.0),
        ("concrete_ticket_search", "temperature", 0.0),
        ("supermask", "momentum", -0.1),
    ):
        with pytest.raises(ValueError, match=option):
            get_seeker(name, **{option: value})


def test_seekers_say_how_long_they_search_and_a_grid_tells_them():
    epochs = {"edge_popup": 10, "gem_miner": 170, "concrete": 60, "relaxed_bernoulli": 60}
    size = {"depth": 3, "width": 9, "samples": 40, "densities": 0.5}

    def searching(**options):
        grid = make_grid(task="relu", seekers=list(epochs), strategy="plain", **size, **options)
        return {label: seeker.epochs for label, seeker in grid.seekers}

    assert searching() == epochs
    assert searching(search_epochs=3) == dict.fromkeys(epochs, 3)
