"""Refinement: a mask becomes neither larger nor worse; a tiny network's best mask is found."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles.masked import flat_of, loss_in_numpy, mask_of, problem_of
from tests.oracles.problems import APPLY, layers_of
from ticketjax import masks
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Found
from ticketjax.problem import Problem
from ticketjax.seekers.exchange import Neighbourhood, search, vectors
from ticketjax.seekers.exchange.refined import Refined, refine

KEY = jax.random.key(11)


@pytest.mark.parametrize(
    ("kind", "objective", "temperature", "prune_bias"),
    [
        pytest.param(REGRESSION, "raw", 0.1, True, marks=pytest.mark.long),
        # Random labels: all masks are similar, so at a higher temperature all would be accepted.
        pytest.param(CLASSIFICATION, "rescaled", 0.003, False, marks=pytest.mark.long),
    ],
)
def test_the_budget_stays_and_the_loss_never_rises(kind, objective, temperature, prune_bias):
    layers = layers_of(6)
    problem = problem_of(layers, kind, objective, prune_bias=prune_bias)
    starts = [mask_of(seed, share=0.3) for seed in range(4)]
    if not prune_bias:
        for start in starts:
            for layer in start.values():
                layer["bias"] = np.ones_like(layer["bias"])
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *starts)

    def polish(mask, key):
        return refine(problem, mask, key, rounds=30, samples=32, temperature=temperature)

    keys = jax.random.split(KEY, 4)
    found = jax.device_get(jax.jit(jax.vmap(polish))(stacked, keys))
    falls = []
    for i, start in enumerate(starts):
        mask = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        assert {leaf.dtype for leaf in jax.tree.leaves(mask)} == {jnp.dtype(bool)}
        assert flat_of(mask).sum() == flat_of(start).sum()
        assert prune_bias or all(bool(layer["bias"].all()) for layer in mask.values())
        before, after = (loss_in_numpy(problem, layers, flat_of(m)) for m in (start, mask))
        assert after <= before * (1 + 1e-5)
        falls.append(after < 0.99 * before)
    assert sum(falls) >= 3


@pytest.mark.long
def test_every_accepted_round_of_a_greedy_search_lowers_the_loss():
    problem = problem_of(layers_of(6))
    start = mask_of(1, share=0.3)

    @jax.jit
    def run(mask, key):
        return search(problem, mask, masks.count_kept(mask), key, rounds=40, samples=1000)

    mask, moves = run(start, KEY)
    losses = np.asarray(moves.loss)
    assert np.all(np.diff(losses) <= 0) and losses[-1] < losses[0]
    assert np.all(np.asarray(moves.accepted)[1:] == (np.diff(losses) < 0))
    assert np.all(np.asarray(moves.kept) <= flat_of(start).sum())
    exact = loss_in_numpy(problem, layers_of(6), flat_of(mask))
    np.testing.assert_allclose(losses[-1], exact, rtol=1e-4)


def linear_problem(theta, unlike=1.0):
    """Labels are the second of three inputs; the first is similar to it, the third is not."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    x[:, 0] = x[:, 1] + 0.3 * x[:, 0]
    x[:, 2] *= unlike
    layers = [(np.float32(theta[:3])[:, None], np.float32(theta[3:]))]
    params = jax.tree.map(jnp.asarray, oracle.tree_of(layers))
    return Problem(params, Batch(jnp.asarray(x), jnp.asarray(x[:, 1:2])), APPLY, REGRESSION)


def test_a_change_that_overflows_keeps_no_other_from_being_looked_at():
    # The third input times its weight is infinite, with both signs, so its estimate is NaN.
    problem = linear_problem([1, 1, 3e38, 5], unlike=10)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), problem.params)
    around = Neighbourhood(singles=2, segments=1, removals=0, candidates=2)

    @jax.jit
    @jax.vmap
    def first_round(key):
        return search(problem, empty, 1, key, rounds=1, samples=40, neighbourhood=around)

    mask, moves = first_round(jax.random.split(KEY, 16))
    np.testing.assert_array_equal(moves.loss, np.zeros((16, 1)))
    np.testing.assert_array_equal(mask["layer_0"]["kernel"][:, :, 0], [[False, True, False]] * 16)


def test_with_room_for_one_a_parameter_is_still_exchanged():
    # With the first input kept, any addition makes it worse; replacing it by the second is exact.
    problem = linear_problem([1, 1, 1, 5])
    start = {"layer_0": {"kernel": np.array([[1], [0], [0]], bool), "bias": np.zeros(1, bool)}}
    _, moves = jax.jit(lambda mask: search(problem, mask, 2, KEY, rounds=4, samples=40))(start)
    np.testing.assert_allclose(moves.loss[-1], 0, atol=1e-12)
    assert moves.kept[-1] == 1 and moves.accepted.sum() == 1


@pytest.mark.long
def test_the_best_of_all_masks_is_found_in_a_tiny_network():
    widths = (1, 3, 2, 1)
    layers = layers_of(12, widths)
    problem = problem_of(layers)
    flat = np.array(list(itertools.combinations(range(17), 4)))
    rows = np.zeros((flat.shape[0], 17), bool)
    rows[np.arange(flat.shape[0])[:, None], flat] = True
    losses = np.array([loss_in_numpy(problem, layers, row) for row in rows])
    wanted = losses.min()

    def polish(mask, key):
        tree = vectors.unflatten(mask, problem.params)
        found = refine(problem, tree, key, rounds=30, samples=100, temperature=0.1)
        return problem.loss(masks.apply_mask(problem.params, found))

    starts = jnp.asarray(rows[::300])
    got = jax.jit(jax.vmap(polish))(starts, jax.random.split(KEY, starts.shape[0]))
    assert np.all(got >= wanted * (1 - 1e-4))
    assert np.mean(got <= wanted * (1 + 1e-3)) > 0.5
    assert np.mean(losses[::300] <= wanted * (1 + 1e-3)) < 0.2


def test_beyond_the_width_the_mask_is_returned_as_it_is():
    problem, mask = problem_of(layers_of(6)), mask_of(2)
    found = jax.jit(lambda m: refine(problem, m, KEY, rounds=3, width=1))(mask)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(mask), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_refined_seeker_is_the_seeker_and_then_the_refinement():
    problem, start = problem_of(layers_of(6)), mask_of(2, share=0.3)

    def given(key, problem, density):
        del key, density
        return Found(start, problem.params, {"told": jnp.float32(3)})

    found = jax.jit(Refined(given, rounds=20, samples=40))(KEY, problem, 0.3)
    for mask, score in zip(*map(jax.tree.leaves, (found.mask, found.scores)), strict=True):
        np.testing.assert_array_equal(score, np.asarray(mask, np.float32))
    assert found.info["told"] == 3
    assert flat_of(found.mask).sum() == flat_of(start).sum()
    before, after = (loss_in_numpy(problem, layers_of(6), flat_of(m)) for m in (start, found.mask))
    assert after < 0.99 * before


def test_what_cannot_be_refined_is_refused():
    problem, mask = problem_of(layers_of(6)), mask_of(2)
    for options, message in [
        ({"rounds": -1}, "rounds"),
        ({"samples": 0}, "samples"),
        ({"candidates": 0}, "candidates"),
        ({"width": 0}, "width"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
    ]:
        with pytest.raises(ValueError, match=message):
            refine(problem, mask, KEY, **options)
    image = {"layer_0": {"kernel": jnp.ones((3, 3, 1, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(ValueError, match="dense"):
        search(Problem(image, problem.batch, APPLY, REGRESSION), image, 3, KEY, rounds=1, samples=4)
