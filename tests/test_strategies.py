"""Rounds, budgets and resets, observed by a score."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles import backprop as oracle
from ticketjax.seekers.registry import SCORES
from ticketjax.seekers.strategies import Multishot, Singleshot, round_density
from ticketjax.training import train

KEY = jax.random.key(3)
SAMPLES = 48
TASK = tj.get_task("relu")
MODEL = tj.mlp(TASK, depth=3, width=33)  # 1 * 33 + 33 + 33 * 1 + 1 = 100 parameters
PROBLEM = tj.make_problem(
    TASK,
    MODEL,
    MODEL.init(jax.random.key(1)),
    TASK.sample(jax.random.key(2), SAMPLES, noise=0.01),
)


def flat(tree):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def rising(key, problem, params, mask):
    """Scores 0, 1, 2, ... in the order of the leaves."""
    leaves, structure = jax.tree.flatten(params)
    starts = np.cumsum([0] + [leaf.size for leaf in leaves])
    return jax.tree.unflatten(
        structure,
        [
            (start + jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
            for start, leaf in zip(starts, leaves, strict=False)
        ],
    )


class Spy:
    """A score that records its arguments, and then returns another one's scores."""

    def __init__(self, score=SCORES["magnitude"]):
        self.score, self.calls = score, []

    def __call__(self, key, problem, params, mask):
        seen = {
            "params": params,
            "mask": mask,
            "batch": problem.batch,
            "key": jax.random.key_data(key),
        }
        jax.debug.callback(
            lambda s: self.calls.append(jax.tree.map(np.array, s)), seen, ordered=True
        )
        return self.score(key, problem, params, mask)


def watch(strategy, density, score=SCORES["magnitude"], problem=PROBLEM, **options):
    """What a strategy found, and all arguments of its score."""
    spy = Spy(score)
    found = jax.jit(strategy(spy, **options))(KEY, problem, density)
    jax.effects_barrier()
    return found, spy.calls


def test_round_densities_worked_by_hand():
    # 0.01 = 10^-2, and 4 rounds: 10^-0.5, 10^-1, 10^-1.5, 10^-2.
    by_hand = [0.31622777, 0.1, 0.031622777, 0.01]
    for density in (0.01, jnp.float32(0.01)):
        got = [float(round_density(density, k, 4)) for k in (1, 2, 3, 4)]
        np.testing.assert_allclose(got, by_hand, rtol=1e-6)
    traced = jax.jit(jax.vmap(lambda k: round_density(0.01, k, 4)))(jnp.arange(1, 5))
    np.testing.assert_allclose(traced, by_hand, rtol=1e-6)
    np.testing.assert_allclose([round_density(0.25, k, 2) for k in (1, 2)], [0.5, 0.25])
    assert round_density(0.3, 1, 1) == np.float32(0.3)
    # The last round is the density itself, not a power that rounds.
    densities = np.random.default_rng(0).uniform(1e-4, 1, 1000).astype(np.float32)
    np.testing.assert_array_equal(jax.vmap(lambda d: round_density(d, 7, 7))(densities), densities)
    assert [float(round_density(1.0, k, 5)) for k in range(1, 6)] == [1.0] * 5


@pytest.mark.parametrize(
    ("strategy", "options"),
    [(Singleshot, {}), (Multishot, {"round_epochs": 1})],
)
def test_every_round_keeps_what_the_schedule_says(strategy, options):
    # 100 parameters to 0.2 in 4 rounds: 0.2^(1/4) = 0.66874, 0.44721, 0.29907, 0.2.
    found, calls = watch(strategy, 0.2, rounds=4, **options)
    given = [int(flat(call["mask"]).sum()) for call in calls]
    assert given == [100, 67, 45, 30]
    assert flat(found.mask).sum() == 20


def test_every_round_tells_what_it_left():
    found, calls = watch(Singleshot, 0.2, score=rising, rounds=4)
    after = [call["mask"] for call in calls[1:]] + [found.mask]
    densities = [np.asarray(tj.layer_densities(mask)) for mask in after]
    np.testing.assert_allclose(found.info["round_layer_kept"], densities, rtol=1e-6)
    # The 100 scores rise through the layers, of 66 and 34: the last 67, 45, 30 and 20 are kept.
    kept = np.array([[33, 34], [11, 34], [0, 30], [0, 20]]) / [66, 34]
    np.testing.assert_allclose(found.info["round_layer_kept"], kept, rtol=1e-6)
    assert found.info["round_first_dead_layer"].tolist() == [-1, -1, 0, 0]


def test_local_rounds_keep_the_schedule_in_every_layer():
    # Layers of 66 and 34 parameters; 0.1 in 2 rounds: 0.31623, then 0.1.
    found, calls = watch(Singleshot, 0.1, rounds=2, scope="local")
    given = [
        [int(flat(call["mask"][name]).sum()) for name in ("layer_0", "layer_1")] for call in calls
    ]
    assert given == [[66, 34], [21, 11]]
    assert [int(flat(found.mask[name]).sum()) for name in ("layer_0", "layer_1")] == [7, 3]


def nan_but_first(key, problem, params, mask):
    """Prunes from the front in the first round; then all scores are NaN."""
    first = jnp.all(jnp.stack([jnp.all(leaf) for leaf in jax.tree.leaves(mask)]))
    return jax.tree.map(lambda s: jnp.where(first, s, jnp.nan), rising(key, problem, params, mask))


def infinite_but_first(key, problem, params, mask):
    scores = nan_but_first(key, problem, params, mask)
    return jax.tree.map(lambda s: jnp.where(jnp.isnan(s), -jnp.inf, s), scores)


def reviving(key, problem, params, mask):
    """Rates pruned parameters far above the others."""
    scores = SCORES["random"](key, problem, params, mask)
    return jax.tree.map(lambda s, m: jnp.where(m, s, 100 + s), scores, mask)


@pytest.mark.parametrize(
    ("score", "scope"),
    [
        (SCORES["random"], "global"),
        (reviving, "global"),
        (reviving, "local"),
        (nan_but_first, "global"),
        (nan_but_first, "local"),
        (infinite_but_first, "global"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_pruned_parameter_never_returns(score, scope):
    found, calls = watch(Singleshot, 0.15, score, rounds=3, scope=scope)
    history = [flat(call["mask"]) for call in calls] + [flat(found.mask)]
    for before, after in zip(history, history[1:], strict=False):
        assert not np.any(after & ~before)
        assert after.sum() < before.sum()
    pruned_before = ~history[-2]
    np.testing.assert_array_equal(flat(found.scores) == -np.inf, pruned_before)


def test_a_pruned_parameter_never_returns_in_multishot():
    found, calls = watch(Multishot, 0.15, reviving, rounds=3, round_epochs=1)
    history = [flat(call["mask"]) for call in calls] + [flat(found.mask)]
    assert len(history) == 4
    for before, after in zip(history, history[1:], strict=False):
        assert not np.any(after & ~before)


@pytest.mark.parametrize("name", ["random", "snip", "synflow"])
def test_multishot_of_one_round_without_training_is_singleshot(name):
    score = SCORES[name]

    @jax.jit
    def both(key, problem, density):
        return (
            Multishot(score, rounds=1, round_epochs=0)(key, problem, density),
            Singleshot(score)(key, problem, density),
        )

    a, b = both(KEY, PROBLEM, 0.3)
    np.testing.assert_array_equal(flat(a.mask), flat(b.mask))
    np.testing.assert_array_equal(flat(a.scores), flat(b.scores))


def test_a_round_without_training_shows_the_initial_values_bit_for_bit():
    for options in ({"round_epochs": 0}, {"round_epochs": 2, "optimizer": "adam(0.0)"}):
        _, calls = watch(Multishot, 0.1, rounds=3, **options)
        for call in calls:
            expected = np.where(flat(call["mask"]), flat(PROBLEM.params), 0)
            np.testing.assert_array_equal(flat(call["params"]), expected)


def test_every_round_trains_from_the_initial_values():
    # With all samples in one batch, the shuffles change only the order of sums.
    epochs, rate = 30, 0.01
    order = jnp.broadcast_to(jnp.arange(SAMPLES), (epochs, 1, SAMPLES))
    x, y = (np.asarray(array, np.float64) for array in PROBLEM.batch)
    layers = oracle.layers_of(PROBLEM.params)
    _, calls = watch(
        Multishot, 0.1, rounds=3, round_epochs=epochs, batch_size=SAMPLES, optimizer=f"adam({rate})"
    )
    for call in calls:
        rows = [np.arange(SAMPLES)] * epochs
        mask = oracle.layers_of(call["mask"])
        expected = oracle.tree_of(oracle.adam("regression", layers, mask, x, y, rows, rate))
        np.testing.assert_allclose(flat(call["params"]), flat(expected), rtol=1e-3, atol=2e-4)
    # Training that continued from the round before would give other values.
    resumed = dataclasses.replace(PROBLEM, params=jax.tree.map(jnp.asarray, calls[0]["params"]))
    went_on = train(resumed, calls[1]["mask"], order, optimizer=f"adam({rate})")
    assert np.max(np.abs(flat(went_on) - flat(calls[1]["params"]))) > 0.02


def test_problem_is_left_alone_between_rounds_bit_for_bit(monkeypatch):
    starts = []

    def spying_train(problem, mask, order, **options):
        jax.debug.callback(lambda p: starts.append(flat(p)), problem.params, ordered=True)
        return train(problem, mask, order, **options)

    monkeypatch.setattr("ticketjax.training.train", spying_train)
    watch(Multishot, 0.1, rounds=4, round_epochs=1)
    assert len(starts) == 4
    for start in starts:
        np.testing.assert_array_equal(start, flat(PROBLEM.params))


def test_scores_see_the_first_samples_and_training_sees_all():
    options = {"rounds": 1, "round_epochs": 1, "batch_size": 24}
    _, [alone] = watch(Multishot, 0.3, SCORES["snip"], score_samples=None, **options)
    _, [by_default] = watch(Multishot, 0.3, SCORES["snip"], **options)
    found, [call] = watch(Multishot, 0.3, SCORES["snip"], score_samples=10, **options)
    np.testing.assert_array_equal(call["batch"].x, PROBLEM.batch.x[:10])
    np.testing.assert_array_equal(call["batch"].y, PROBLEM.batch.y[:10])
    np.testing.assert_array_equal(alone["batch"].x, PROBLEM.batch.x)
    np.testing.assert_array_equal(by_default["batch"].x, PROBLEM.batch.x[:40])
    np.testing.assert_array_equal(by_default["batch"].y, PROBLEM.batch.y[:40])
    np.testing.assert_array_equal(flat(call["params"]), flat(alone["params"]))
    layers, mask = (oracle.layers_of(call[name]) for name in ("params", "mask"))
    x, y = (np.asarray(array[:10], np.float64) for array in PROBLEM.batch)
    expected = flat(oracle.tree_of(oracle.snip("regression", layers, mask, x, y)))
    np.testing.assert_allclose(flat(found.scores), expected, rtol=1e-4, atol=1e-6 * expected.max())


def test_every_round_has_a_key_of_its_own():
    _, calls = watch(Singleshot, 0.3, rounds=4)
    assert len({tuple(call["key"]) for call in calls}) == 4


def test_biases_that_are_not_prunable_stay_and_do_not_count():
    problem = dataclasses.replace(PROBLEM, prune_bias=False)
    found, calls = watch(
        Multishot, 0.1, SCORES["random"], problem=problem, rounds=2, round_epochs=1
    )
    # 66 weights: 0.31623 of them, then 0.1; and 34 biases.
    assert int(flat(calls[1]["mask"]).sum()) == 21 + 34
    assert int(flat(found.mask).sum()) == 7 + 34
    for layer in found.mask.values():
        assert np.all(layer["bias"])


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        (Singleshot, {"scope": "layer"}, r"scope must be .*global, local.*got 'layer'"),
        (Singleshot, {"rounds": 0}, "rounds must be at least 1.*, got 0"),
        (Singleshot, {"rounds": 2.5}, "rounds must be at least 1.*, got 2.5"),
        (Singleshot, {"score_samples": 0}, "score_samples must be at least 1.*, got 0"),
        (Singleshot, {"score_samples": -5}, "score_samples must be at least 1.*, got -5"),
        (Multishot, {"scope": None}, "scope must be .*got None"),
        (Multishot, {"rounds": -1}, "rounds must be at least 1.*, got -1"),
        (Multishot, {"round_epochs": -1}, "round_epochs must be at least 0.*, got -1"),
        (Multishot, {"round_epochs": 1.5}, "round_epochs must be at least 0.*, got 1.5"),
        (Multishot, {"batch_size": 0}, "batch_size must be at least 1.*, got 0"),
    ],
)
def test_options_that_make_no_strategy_are_refused_at_once(strategy, options, message):
    with pytest.raises(ValueError, match=message):
        strategy(SCORES["magnitude"], **options)


def test_a_batch_larger_than_the_data_is_refused():
    seeker = Multishot(SCORES["magnitude"], batch_size=SAMPLES + 1)
    with pytest.raises(ValueError, match="batch_size must be .*48.*got 49"):
        jax.eval_shape(seeker, KEY, PROBLEM, 0.5)
