"""Scores against NumPy oracles and numbers worked by hand; names and functions of one's own."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from ticketjax import masks
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Found
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.seekers import registry as seekers
from ticketjax.seekers.registry import LIFTS, SEEKERS, get_seeker
from ticketjax.seekers.strategies import Singleshot
from ticketjax.tasks import get_task

# Neurons of every layer, the input included.
WIDTHS = (2, 7, 6, 5, 3)
KEY = jax.random.key(0)
# The model's apply takes any widths; compiled once for all networks of the same form.
APPLY = mlp(get_task("circle"), depth=3, width=1).apply
SCORES = {name: jax.jit(score) for name, score in seekers.SCORES.items()}
# These compare two trees of parameters, and have a test by hand.
CRITERIA = [name for name in SCORES if name.startswith(("magnitude_", "movement"))]


def random_layers(widths, seed, scale=1.0):
    """Parameters that float32 holds exactly, so that both sides compute with the same."""
    rng = np.random.default_rng(seed)
    return [
        (
            (scale * rng.normal(0, np.sqrt(2 / m), (m, n))).astype(np.float32),
            (scale * rng.normal(0, 0.5, n)).astype(np.float32),
        )
        for m, n in zip(widths, widths[1:], strict=False)
    ]


def random_mask(widths, seed, density):
    rng = np.random.default_rng(seed + 1000)
    return [
        (rng.random((m, n)) < density, rng.random(n) < density)
        for m, n in zip(widths, widths[1:], strict=False)
    ]


def random_data(kind, widths, seed, n=40):
    rng = np.random.default_rng(seed + 2000)
    x = rng.normal(size=(n, widths[0])).astype(np.float32)
    if kind == REGRESSION:
        return x, rng.normal(size=(n, widths[-1])).astype(np.float32)
    return x, rng.integers(0, widths[-1], n).astype(np.int32)


def tree(layers):
    return jax.tree.map(jnp.asarray, oracle.tree_of(layers))


def problem_of(layers, kind=CLASSIFICATION, data=None, objective="rescaled"):
    if data is None:
        data = random_data(kind, (layers[0][0].shape[0], layers[-1][0].shape[1]), seed=0)
    return Problem(tree(layers), Batch(*map(jnp.asarray, data)), APPLY, kind, objective)


def assert_scores_close(got, expected, tolerance=1e-4, rounding=1e-7):
    """Relative, but for entries that are what is left of much larger terms that cancel."""
    expected = oracle.tree_of(expected)
    largest = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(expected))
    assert largest > 0
    for leaf, wanted in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, wanted, rtol=tolerance, atol=rounding * largest)


def flat(tree):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("density", [1.0, 0.6])
@pytest.mark.parametrize(
    ("widths", "kind", "objective"),
    [
        (WIDTHS, REGRESSION, "raw"),
        (WIDTHS, REGRESSION, "rescaled"),
        (WIDTHS, CLASSIFICATION, "raw"),
        (WIDTHS, CLASSIFICATION, "rescaled"),
        ((3, 9, 2), REGRESSION, "raw"),
        ((3, 9, 2), CLASSIFICATION, "rescaled"),
    ],
    ids=str,
)
def test_gradient_scores_are_those_of_the_oracle(widths, kind, objective, density):
    for seed in range(4):
        layers = random_layers(widths, seed)
        mask = random_mask(widths, seed, density)
        x, y = random_data(kind, widths, seed)
        out = oracle.outputs(oracle.combine(np.multiply, layers, mask), x)
        if kind == CLASSIFICATION:
            # Labels that follow the logits, or else the best temperature is infinite.
            noise = np.random.default_rng(seed).gumbel(size=out.shape)
            y = np.argmax(out / out.std() + noise, axis=1).astype(np.int32)
        problem = problem_of(layers, kind, (x, y), objective)
        scale, shift = (1.0, 0.0) if objective == "raw" else oracle.followed(kind, out, y)
        arguments = KEY, problem, problem.params, tree(mask)
        # At the best scale the gradients of the samples may nearly cancel.
        rounding = 1e-4 if objective == "rescaled" else 1e-7

        expected = oracle.snip(kind, layers, mask, x, y, scale, shift)
        assert_scores_close(SCORES["snip"](*arguments), expected, rounding=rounding)

        # GraSP divides logits by 200, which a fitted temperature makes good for; a regression
        # output is not divided. The scale is held constant in the second derivative.
        divisor = 200.0 if kind == CLASSIFICATION and objective == "raw" else 1.0
        expected = oracle.grasp(kind, layers, mask, x, y, scale / divisor, shift)
        assert_scores_close(SCORES["grasp"](*arguments), expected, rounding=rounding)


@pytest.mark.parametrize("density", [1.0, 0.6])
@pytest.mark.parametrize("widths", [WIDTHS, (3, 9, 2)], ids=str)
def test_synflow_and_magnitude_are_those_of_the_oracle(widths, density):
    layers, mask = random_layers(widths, seed=3), random_mask(widths, 3, density)
    problem = problem_of(layers)
    kept = oracle.combine(np.multiply, layers, mask)
    arguments = KEY, problem, tree(kept), tree(mask)
    assert_scores_close(SCORES["synflow"](*arguments), oracle.synflow(layers, mask))
    assert_scores_close(SCORES["magnitude"](*arguments), oracle.combine(np.abs, kept), 0)


def test_synflow_sees_no_data_and_no_objective():
    layers = random_layers(WIDTHS, seed=0)
    mask = masks.full_mask(tree(layers))
    by_problem = [
        SCORES["synflow"](KEY, problem, problem.params, mask)
        for problem in (
            problem_of(layers, REGRESSION, objective="raw"),
            problem_of(layers, CLASSIFICATION, objective="rescaled"),
        )
    ]
    np.testing.assert_array_equal(flat(by_problem[0]), flat(by_problem[1]))


@pytest.mark.parametrize(
    ("name", "kernel_score", "bias_score"),
    [("magnitude", 2.0, 1.0), ("snip", 24.0, 6.0), ("grasp", 240.0, -60.0), ("synflow", 2.0, 1.0)],
)
def test_scores_of_one_neuron_worked_by_hand(name, kernel_score, bias_score):
    # Output 2 x - 1 at x = 2, target 0: residual 3. By (w, b): g = 6 (2, 1), H = 2 (4, 2; 2, 1),
    # H g = (120, 60).
    layers = [(np.array([[2.0]], np.float32), np.array([-1.0], np.float32))]
    x, y = np.array([[2.0]], np.float32), np.array([[0.0]], np.float32)
    problem = problem_of(layers, REGRESSION, (x, y), "raw")
    scores = SCORES[name](KEY, problem, problem.params, masks.full_mask(problem.params))
    assert scores["layer_0"]["kernel"].item() == pytest.approx(kernel_score, rel=1e-6)
    assert scores["layer_0"]["bias"].item() == pytest.approx(bias_score, rel=1e-6)


@pytest.mark.long
def test_synflow_fills_deep_wide_networks():
    layers = random_layers((2, *[1000] * 8, 4), seed=4)
    problem = problem_of(layers, data=(np.ones((1, 2), np.float32), np.zeros(1, np.int32)))
    found = jax.jit(get_seeker("synflow"))(KEY, problem, 0.01)
    assert_scores_close(found.scores, oracle.synflow(layers, oracle.combine(np.ones_like, layers)))
    assert masks.count_kept(found.mask) == round(0.01 * masks.count_prunable(problem.params))


@pytest.mark.parametrize("exponent", [-100, -60, -20, 20, 60, 100])
def test_synflow_beyond_the_range_of_floats_is_the_oracle_up_to_a_factor(exponent):
    widths = (2, 9, 9, 9, 9, 3)
    # Biases of the order of their layer's signal, but no larger or smaller than float32 takes.
    layers = [
        (
            np.ldexp(kernel, exponent),
            np.ldexp(bias, int(np.clip((i + 1) * exponent, -100, 100))),
        )
        for i, (kernel, bias) in enumerate(random_layers(widths, seed=5))
    ]
    mask = random_mask(widths, 5, 0.8)
    expected = flat(oracle.tree_of(oracle.synflow(layers, mask)))
    problem = problem_of(layers)
    got = flat(SCORES["synflow"](KEY, problem, problem.params, tree(mask)))
    assert np.all(np.isfinite(got))
    assert np.max(got) > 0
    factor = expected.max() / float(got.max())
    visible = expected > 1e-25 * expected.max()
    np.testing.assert_allclose(got[visible] * factor, expected[visible], rtol=1e-4)
    assert np.all(got[expected == 0] == 0)


def test_synflow_ranks_networks_of_tiny_kernels_and_usual_biases():
    layers = [(kernel * np.float32(1e-20), bias) for kernel, bias in random_layers((2, 5, 5, 2), 6)]
    mask = oracle.combine(np.ones_like, layers)
    problem = problem_of(layers)
    got = SCORES["synflow"](KEY, problem, problem.params, tree(mask))
    assert_scores_close(got, oracle.synflow(layers, mask))


def dead(mask):
    """Whether no input reaches an output, by multiplying the layers' path counts."""
    paths = np.ones(mask["layer_0"]["kernel"].shape[0])
    for i in range(len(mask)):
        paths = paths @ np.asarray(mask[f"layer_{i}"]["kernel"], np.float64)
    return not paths.any()


def test_a_hundred_rounds_of_synflow_keep_paths_that_one_round_loses():
    layers = random_layers((2, 20, 20, 20, 20, 3), seed=7)
    problem = problem_of(layers)
    size = masks.count_prunable(problem.params)
    density = 12 / size
    scores = oracle.synflow(layers, oracle.combine(np.ones_like, layers))
    threshold = np.sort(flat(oracle.tree_of(scores)))[-12]
    once = oracle.tree_of(oracle.combine(lambda s: s >= threshold, scores))
    gradually = jax.jit(get_seeker("synflow", rounds=100))(KEY, problem, density).mask
    assert flat(once).sum() == flat(gradually).sum() == 12
    assert dead(once)
    assert not dead(gradually)


def test_random_scores_are_standard_normal():
    params = tree(random_layers((100, 300, 100), seed=0))
    scores = SCORES["random"](KEY, problem_of([(np.ones((1, 1)), np.ones(1))]), params, params)
    arrays = [np.sort(np.asarray(leaf).ravel()) for leaf in jax.tree.leaves(scores)]
    for values in [*arrays, np.sort(flat(scores))]:
        normal = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in values])
        ranks = np.arange(values.size)
        distance = max(
            np.max(normal - ranks / values.size), np.max((ranks + 1) / values.size - normal)
        )
        # Kolmogorov and Smirnov: larger than this in one of 10^5 draws.
        assert distance < 2.5 / np.sqrt(values.size)
    # Different arrays are different draws.
    kernels = [np.asarray(scores[name]["kernel"]).ravel() for name in ("layer_0", "layer_1")]
    assert abs(np.mean(kernels[0] * kernels[1])) < 5 / np.sqrt(kernels[0].size)
    assert not np.array_equal(scores["layer_0"]["bias"], kernels[0][:300])


def test_random_scores_depend_on_the_key_alone():
    layers, others = random_layers(WIDTHS, 0), random_layers(WIDTHS, 1)
    mask = random_mask(WIDTHS, 0, 0.5)
    problem = problem_of(layers)
    other_problem = problem_of(others, data=random_data(CLASSIFICATION, WIDTHS, seed=1))
    a = SCORES["random"](KEY, problem, problem.params, masks.full_mask(problem.params))
    b = SCORES["random"](KEY, other_problem, other_problem.params, tree(mask))
    c = SCORES["random"](
        jax.random.key(1), problem, problem.params, masks.full_mask(problem.params)
    )
    np.testing.assert_array_equal(flat(a), flat(b))
    assert not np.any(flat(a) == flat(c))


@pytest.mark.parametrize(
    "name", sorted(SCORES.keys() - {"random", "erk", "balanced", "ntk_sap"} - {*CRITERIA})
)
def test_only_random_looks_at_the_key(name):
    problem = problem_of(random_layers(WIDTHS, 0))
    mask = masks.full_mask(problem.params)
    a, b = (SCORES[name](jax.random.key(i), problem, problem.params, mask) for i in range(2))
    np.testing.assert_array_equal(flat(a), flat(b))


@pytest.mark.parametrize("name", ["snip", "grasp", "synflow"])
def test_scores_of_pruned_entries_are_zero_whatever_stands_there(name):
    layers, mask = random_layers(WIDTHS, 2), random_mask(WIDTHS, 2, 0.5)
    kept = oracle.combine(np.multiply, layers, mask)
    dense, sparse = (
        flat(SCORES[name](KEY, problem_of(layers), tree(network), tree(mask)))
        for network in (layers, kept)
    )
    assert np.all(dense[~flat(tree(mask))] == 0)
    assert np.any(dense != 0)
    np.testing.assert_array_equal(dense, sparse)


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {*CRITERIA}))
def test_scores_of_a_network_without_a_path_are_numbers(name):
    layers = random_layers(WIDTHS, 2)
    layers[1] = np.zeros_like(layers[1][0]), layers[1][1]
    problem = problem_of(layers)
    nothing = jax.tree.map(lambda p: jnp.zeros(p.shape, bool), problem.params)
    for mask in (masks.nonzero_mask(problem.params), nothing):
        scores = SCORES[name](KEY, problem, masks.apply_mask(problem.params, mask), mask)
        assert np.all(np.isfinite(flat(scores)))


# Names, and functions of one's own.


def small_problem():
    return problem_of(random_layers(WIDTHS, 0))


def test_a_score_of_ones_own_is_taken_in_place_of_a_name():
    def smallest(key, problem, params, mask):
        return jax.tree.map(lambda p: -jnp.abs(p), params)

    found = jax.jit(get_seeker(smallest, scope="global"))(KEY, small_problem(), 0.4)
    magnitudes, kept = np.abs(flat(small_problem().params)), flat(found.mask)
    assert kept.sum() == round(0.4 * kept.size)
    assert magnitudes[kept].max() < magnitudes[~kept].min()


def test_a_seeker_of_ones_own_is_returned_as_it_is():
    def keep_everything(key, problem, density):
        mask = masks.full_mask(problem.params)
        return Found(mask, problem.params, {})

    assert get_seeker(keep_everything) is keep_everything
    lifted = Singleshot(SCORES["snip"])
    assert get_seeker(lifted) is lifted
    partial = functools.partial(lifted, density=0.5)
    assert get_seeker(functools.partial(keep_everything)).func is keep_everything
    with pytest.raises(ValueError, match="2 arguments"):
        get_seeker(partial)


def test_a_score_of_ones_own_may_be_any_callable():
    @dataclasses.dataclass
    class Power:  # dataclasses that can change have no hash
        power: float

        def __call__(self, key, problem, params, mask):
            return jax.tree.map(lambda p: jnp.abs(p) ** self.power, params)

    found = jax.eval_shape(get_seeker(Power(2.0), rounds=2), KEY, small_problem(), 0.3)
    assert isinstance(found, Found)


def test_the_same_arguments_give_the_same_seeker():
    one, same, other = (get_seeker("snip", rounds=rounds) for rounds in (2, 2, 3))
    assert one == same and hash(one) == hash(same) and one is not same
    assert one != other
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(seeker, problem):
        traced.append(seeker)
        return seeker(KEY, problem, 0.5).mask

    for seeker in (one, same, other, get_seeker("singleshot(snip, rounds=2)")):
        run(seeker, small_problem())
    assert traced == [one, other]
    with pytest.raises(ValueError, match="rounds must be .*got 2.0"):
        get_seeker("snip", rounds=2.0)


def test_optional_arguments_do_not_make_a_score_a_seeker():
    def score(key, problem, params, mask, power=1.0, *, sign=1.0):
        return jax.tree.map(lambda p: sign * jnp.abs(p) ** power, params)

    seeker = get_seeker(score)
    assert seeker is not score
    found = jax.eval_shape(seeker, KEY, small_problem(), 0.3)
    assert isinstance(found, Found)


def test_what_is_no_seeker_is_refused():
    with pytest.raises(ValueError, match=r"synflow.*'synflo'.*did you mean 'synflow'"):
        get_seeker("synflo")
    with pytest.raises(ValueError, match=r"must be a name or a call .*, got ''$"):
        get_seeker("")
    with pytest.raises(ValueError, match="a name, a seeker or a function, got 3"):
        get_seeker(3)
    with pytest.raises(ValueError, match=r"a name, a seeker or a function, got \['snip'\]"):
        get_seeker(["snip"])
    with pytest.raises(ValueError, match="2 arguments"):
        get_seeker(lambda key, problem: None)
    with pytest.raises(ValueError, match=r"strategy.*singleshot, multishot.*'oneshot'"):
        get_seeker("snip", strategy="oneshot")
    with pytest.raises(ValueError, match=r"singleshot.*options.*'round_epochs'"):
        get_seeker("snip", round_epochs=5)
    with pytest.raises(ValueError, match=r"multishot.*options.*'score'"):
        get_seeker("snip", strategy="multishot", score=None)


def test_registries_hold_what_they_promise():
    assert {"random", "magnitude", "snip", "grasp", "synflow"} <= SEEKERS.keys()
    assert {"singleshot", "multishot"} <= LIFTS.keys()
