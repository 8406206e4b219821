"""Pruning at initialisation: newer scores and seekers against NumPy, and what they come down to."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles import backprop as oracle
from tests.oracles import paths, problems
from tests.oracles.selection import select
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.masks import full_mask
from ticketjax.seekers.registry import SCORES

KEY = jax.random.key(3)
LAYERS = problems.layers_of(4)
ONES = oracle.combine(np.ones_like, LAYERS)


def problem_of(kind=REGRESSION, layers=LAYERS, **options):
    return problems.problem_of(layers, kind, **options)


def scores_of(name, problem, mask=None):
    everything = full_mask(problem.params)
    score = jax.jit(SCORES[name])
    return score(KEY, problem, problem.params, everything if mask is None else mask)


def assert_close(tree, expected, tolerance=1e-4):
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for leaf, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=tolerance, atol=tolerance * largest)


def assert_same_mask(found, expected):
    for leaf, wanted in zip(jax.tree.leaves(found.mask), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(leaf, wanted)


# SynFlow-L2.


def test_synflow_l2_is_synflow_of_the_squares():
    squares = oracle.combine(np.square, LAYERS)
    got = scores_of("synflow_l2", problem_of())
    assert_close(got, oracle.tree_of(oracle.synflow(squares, ONES)))


def test_every_layer_of_synflow_l2_adds_up_to_the_squared_values_of_all_paths():
    layers = [(kernel, np.zeros_like(bias)) for kernel, bias in LAYERS]
    values = [
        np.prod([layers[i][0][a, b] for i, (a, b) in enumerate(zip(path, path[1:], strict=False))])
        for path in paths.paths(oracle.tree_of(ONES))
    ]
    assert len(values) == 2 * 6 * 5 * 3
    got = scores_of("synflow_l2", problem_of(layers=layers))
    for layer in got.values():
        np.testing.assert_allclose(layer["kernel"].sum(), np.sum(np.square(values)), rtol=1e-5)


# FORCE and iterative SNIP.


def in_rounds(problem, density, rounds, scope, returns):
    """Rounds of SNIP's score in NumPy: the masks of all."""
    x, y = map(np.asarray, problem.batch)
    masks = [oracle.tree_of(ONES)]
    for k in range(1, rounds + 1):
        alive = masks[-1]
        kept = oracle.combine(np.multiply, LAYERS, oracle.layers_of(alive))
        gradient = oracle.gradient(problem.kind, kept, x, y)
        rated = LAYERS if returns else kept
        scores = oracle.tree_of(oracle.combine(lambda p, g: np.abs(p * g), rated, gradient))
        alive = None if returns else alive
        masks.append(select(scores, density ** (k / rounds), scope, alive=alive))
    return masks[1:]


def returned(masks):
    """How often a parameter is there that the round before had pruned."""
    flat = [np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(mask)]) for mask in masks]
    return sum(np.sum(~a & b) for a, b in itertools.pairwise(flat))


@pytest.mark.parametrize("scope", ["global", "local"])
def test_force_and_iterative_snip_are_the_loop_in_numpy(scope):
    problem, rounds, density = problem_of(CLASSIFICATION), 4, 0.3
    for seeker, returns in (
        (tj.Force(rounds=rounds, scope=scope), True),
        (tj.Singleshot(tj.snip, rounds=rounds, scope=scope), False),
    ):
        masks = in_rounds(problem, density, rounds, scope, returns)
        assert_same_mask(jax.jit(seeker)(KEY, problem, jnp.float32(density)), masks[-1])
        assert returns == (returned(masks) > 0)


def test_force_in_one_round_is_snip():
    problem = problem_of(CLASSIFICATION, samples=50)
    force, snip = (
        jax.jit(seeker)(KEY, problem, 0.3)
        for seeker in (tj.Force(rounds=1), tj.Singleshot(tj.snip))
    )
    for a, b in zip(jax.tree.leaves(force), jax.tree.leaves(snip), strict=True):
        np.testing.assert_array_equal(a, b)
