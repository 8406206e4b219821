"""Iterative hard thresholding, rewinding and layer densities against NumPy and hand-worked sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import known_gates
from tests.oracles import backprop as oracle
from tests.oracles import problems
from tests.oracles.problems import SAMPLES, layers_of
from tests.oracles.selection import select
from ticketjax import training
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.seekers import iterative_hard_thresholding
from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
from ticketjax.seekers.rewinding import Rewinding
from ticketjax.seekers.scores.layer_densities import balanced, erk
from ticketjax.seekers.strategies import Singleshot

KEY = jax.random.key(3)
BATCH_SIZE = 8


def problem_of(layers, kind=CLASSIFICATION, prune_bias=True):
    return problems.problem_of(layers, kind, prune_bias=prune_bias)


def magnitudes(layers):
    return oracle.tree_of(oracle.combine(np.abs, layers))


def kept_of(layers, density, scope):
    return oracle.layers_of(select(magnitudes(layers), density, scope))


def assert_close(tree, layers, tolerance):
    wanted = oracle.tree_of(layers)
    for leaf, expected in zip(jax.tree.leaves(tree), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=tolerance, atol=tolerance)


def counts(mask):
    return [sum(int(leaf.sum()) for leaf in jax.tree.leaves(layer)) for layer in mask.values()]


def fixed_order(monkeypatch, module):
    """Make a seeker use a fixed order of samples: 3 epochs of 3 steps."""
    order = np.random.default_rng(6).permuted(np.tile(np.arange(SAMPLES), (3, 1)), axis=1)
    order = order.reshape(3, -1, BATCH_SIZE)
    monkeypatch.setattr(module, "shuffles", lambda *_: jnp.asarray(order))
    return order


@pytest.mark.parametrize(
    ("annealed", "scope", "kind", "rate"),
    [(False, "global", CLASSIFICATION, 0.2), (True, "local", REGRESSION, 0.05)],
)
def test_hard_thresholding_is_the_loop_in_numpy(annealed, scope, kind, rate, monkeypatch):
    layers, density = layers_of(4), 0.4
    order = fixed_order(monkeypatch, iterative_hard_thresholding)
    problem = problem_of(layers, kind)
    seek = IterativeHardThresholding(
        annealed=annealed, scope=scope, epochs=3, batch_size=BATCH_SIZE, learning_rate=rate
    )
    found = jax.jit(seek, static_argnums=2)(KEY, problem, density)

    x, y = (np.asarray(array) for array in problem.batch)
    theta, first, second = layers, *(oracle.combine(np.zeros_like, layers) for _ in range(2))
    supports = []
    for t in range(9):
        here = density ** ((t // 3 + 1) / 3) if annealed else density
        supports.append(kept_of(theta, here, scope))
        theta = oracle.combine(np.multiply, theta, supports[-1])
        # All parameters have a gradient, even those that are 0.
        g = oracle.gradient(kind, theta, x[order[t // 3, t % 3]], y[order[t // 3, t % 3]])
        first = oracle.combine(lambda m, g: 0.9 * m + 0.1 * g, first, g)
        second = oracle.combine(lambda v, g: 0.999 * v + 0.001 * g * g, second, g)
        scale = np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        theta = oracle.combine(
            lambda p, m, v, s=scale: p - rate * s * m / (np.sqrt(v) + 1e-8), theta, first, second
        )
    assert_close(found.scores, oracle.combine(np.abs, theta), 1e-3)
    last = kept_of(theta, density, scope)
    assert_close(found.mask, last, 0)
    # Some parameter that was 0 has returned.
    pairs = [zip(a, b, strict=True) for a, b in zip(supports[-1], last, strict=True)]
    returned = sum(np.sum((b > 0) & (a == 0)) for pair in pairs for a, b in pair)
    assert annealed or returned > 0


def test_hard_thresholding_recovers_a_sparse_linear_network_exactly():
    # As Fridovich-Keil and Pilanci prove of two-layer networks with known gates.
    samples, count = 300, known_gates.NEURONS * known_gates.WEIGHTS
    seek = IterativeHardThresholding(
        annealed=True, epochs=600, learning_rate=0.1, batch_size=samples
    )

    @jax.jit
    @jax.vmap
    def search(key):
        problem, truth = known_gates.draw_problem(key, samples)
        found = seek(key, problem, count / truth.size)
        kernels = (tree["layer_0"]["kernel"] for tree in (found.mask, found.info["params"]))
        return truth, *kernels

    truth, mask, weights = search(jax.random.split(KEY, 3))
    np.testing.assert_array_equal(mask, truth != 0)
    np.testing.assert_allclose(weights, truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_rewinding_goes_on_from_trained_weights(scope, monkeypatch):
    layers, density, rate = layers_of(5), 0.3, 0.05
    order = fixed_order(monkeypatch, training)
    problem = problem_of(layers)
    x, y = (np.asarray(array) for array in problem.batch)

    @jax.jit
    def both(key):
        options = {"scope": scope, "rounds": 2, "round_epochs": 3, "learning_rate": rate}
        return Rewinding(**options, batch_size=BATCH_SIZE)(key, problem, density)

    found = both(KEY)
    steps = order.reshape(-1, BATCH_SIZE)
    full = oracle.combine(np.ones_like, layers)
    theta = oracle.adam(problem.kind, layers, full, x, y, steps, rate)
    alive = kept_of(theta, np.sqrt(density), scope)
    again = oracle.adam(problem.kind, theta, alive, x, y, steps, rate)
    assert_close(found.mask, kept_of(again, density, scope), 0)
    # From the initial values instead, the second round has another result.
    reset = oracle.adam(problem.kind, layers, alive, x, y, steps, rate)
    differences = []
    rows = zip(oracle.layers_of(found.scores), alive, again, reset, strict=True)
    for row in rows:
        for score, kept, wanted, unwanted in zip(*row, strict=True):
            assert np.all(np.isneginf(score[kept == 0]))
            np.testing.assert_allclose(score[kept > 0], np.abs(wanted[kept > 0]), rtol=2e-3)
            differences.append(np.abs(wanted - unwanted).max())
    assert max(differences) > 0.01


def test_rewinding_without_training_is_magnitude_pruning():
    layers = layers_of(8)
    seek = Rewinding(rounds=3, round_epochs=0, batch_size=BATCH_SIZE)
    found = seek(KEY, problem_of(layers), 0.25)
    assert_close(found.mask, kept_of(layers, 0.25, "global"), 0)


# Layers of 4 * 10 + 10 = 50, 10 * 10 + 10 = 110 and 10 * 3 + 3 = 33 parameters.
LAYERED, SIZES = (4, 10, 10, 3), [50, 110, 33]
BY_HAND = {
    # 60 / 3 of each; of 121, the last layer has only 33 and the others take 44 each.
    "balanced": (balanced, [1, 1, 1], {60: [20, 20, 20], 121: [44, 44, 33]}),
    # In proportion to 50 * 14/40 = 17.5, 110 * 20/100 = 22 and 33 * 13/30 = 14.3: of 54, 17.57 to
    # 22.08 to 14.35; of 140, once the last layer has its 33, 107 are 47.4 to 59.6.
    "erk": (erk, [17.5, 22, 14.3], {54: [18, 22, 14], 140: [47, 60, 33]}),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_layer_densities_by_hand_and_handed_out_one_by_one(name):
    score, shares, by_hand = BY_HAND[name]
    problem = problem_of(layers_of(9, LAYERED))
    densities = jnp.arange(1, 194) / 193
    masks = jax.jit(jax.vmap(lambda d: Singleshot(score)(KEY, problem, d)))(densities).mask
    flat = [
        np.concatenate([layer["kernel"].reshape(193, -1), layer["bias"]], axis=1)
        for layer in masks.values()
    ]
    got = np.stack([layer.sum(axis=1) for layer in flat], axis=1)
    for total, wanted in by_hand.items():
        assert got[total - 1].tolist() == wanted
    given = np.zeros(3, int)
    for total in got:
        quotients = [
            (-1 if given[i] == SIZES[i] else shares[i] / (given[i] + 0.5)) for i in range(3)
        ]
        given[int(np.argmax(quotients))] += 1
        assert total.tolist() == given.tolist()


def test_random_layer_densities_are_random_within_a_layer_and_leave_biases_when_told():
    problem = problem_of(layers_of(9, LAYERED), prune_bias=False)
    seek = jax.jit(Singleshot(balanced))
    one, other = (seek(key, problem, 0.3).mask for key in jax.random.split(KEY))
    # 51 of 170 weights.
    assert [int(layer["kernel"].sum()) for layer in one.values()] == [17, 17, 17]
    assert all(bool(layer["bias"].all()) for layer in one.values())
    overlap = sum(int((one[n]["kernel"] & other[n]["kernel"]).sum()) for n in one)
    assert 8 < overlap < 40


def test_settings_that_make_no_search_are_refused():
    for make in (IterativeHardThresholding, Rewinding):
        with pytest.raises(ValueError, match="scope must be one of"):
            make(scope="layer")
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            make(batch_size=0)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        IterativeHardThresholding(epochs=0)
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        Rewinding(rounds=0)
