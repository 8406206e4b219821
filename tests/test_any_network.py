"""Users' networks: layers are found, and pruned within exact budgets."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import ticketjax as tj
from tests.user_networks import (
    CIRCLE,
    KEY,
    LAYERS,
    NETWORKS,
    UNPRUNED,
    Chain,
    Listed,
    Normed,
    Residual,
    counted,
    leaves_by_path,
    model_of,
    problem_of,
)
from ticketjax.seekers.registry import SCORES
from ticketjax.selection import LayerBudgets


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_found(name):
    got = [(layer.path, layer.reads, layer.writes, layer.bias) for layer in model_of(name).layers]
    assert got == LAYERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_that_are_said_by_hand_are_those_that_are_found(name):
    model = model_of(name)
    params = jax.eval_shape(model.init, KEY)
    found = tj.follow(model.apply, params, jax.ShapeDtypeStruct((3, 2), jnp.float32))
    assert [(layer.path, layer.reads, layer.writes, layer.bias) for layer in found] == LAYERS[name]


@pytest.mark.parametrize("name", ["bare", "residual", "layer norm"])
def test_a_model_keeps_the_modules_own_tree(name):
    module = {
        "bare": Chain((9, 7, 4), use_bias=False),
        "residual": Residual(),
        "layer norm": Normed(nn.LayerNorm()),
    }[name]
    x = jnp.ones((5, 2))
    variables = module.init(KEY, x)
    model = model_of(name)
    params = model.init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])
    for a, b in zip(*map(jax.tree.leaves, (params, variables["params"])), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.apply(params, x), module.apply(variables, x))


def test_an_nnx_model_computes_what_the_module_does():
    model, x = model_of("nnx"), jnp.ones((5, 2))
    np.testing.assert_array_equal(model.apply(model.init(KEY), x), Listed(nnx.Rngs(KEY))(x))


SMALL = {"batch_size": 8}
SEEKERS = {
    **{name: tj.Singleshot(score) for name, score in SCORES.items()},
    "local": tj.Singleshot(tj.snip, scope="local"),
    "multishot": tj.Multishot(tj.magnitude, rounds=2, round_epochs=1, **SMALL),
    "random_paths": tj.RandomPaths(draws=2),
    "force": tj.Force(rounds=2),
    "phew": tj.Phew(),
    "edge_popup": tj.EdgePopup(epochs=1, scope="global", normalise=True, **SMALL),
    "concrete": tj.Concrete(epochs=1, **SMALL),
    "features": tj.ConcreteTicketSearch(target="features", epochs=1, **SMALL),
    "hard": tj.IterativeHardThresholding(epochs=1, **SMALL),
    "rigl": tj.RigL(epochs=2, interval=1, **SMALL),
    "surgeon": tj.CombinatorialBrainSurgeon(rounds=2, samples=4),
    "chita": tj.CHITA(iterations=2, samples=4),
    "genetic": tj.Genetic(generations=2, population=10, samples=8),
    "acdc": tj.ACDC(epochs=3, **SMALL),
    "rewinding": tj.Rewinding(rounds=2, round_epochs=1, **SMALL),
}
FEW = ("snip", "balanced", "edge_popup", "concrete", "random_paths")
LONG = ("residual", "by hand", "bare", "layer norm", "batch norm", "nnx")


@pytest.mark.parametrize(
    ("name", "prune_bias"),
    [
        *((name, True) for name in NETWORKS if name not in LONG),
        *(pytest.param(name, True, marks=pytest.mark.long) for name in LONG),
        pytest.param("residual", False, marks=pytest.mark.long),
        pytest.param("by hand", False, marks=pytest.mark.long),
    ],
)
def test_every_network_is_pruned_within_its_budget(name, prune_bias):
    problem = problem_of(name, prune_bias)
    params = problem.params
    # All seekers on two kinds of trees: a user's containers, and a stream with branches.
    is_whole = prune_bias and name in ("by hand", "residual")
    seekers = {label: SEEKERS[label] for label in (SEEKERS if is_whole else FEW)}
    budgets = LayerBudgets(tuple(range(1, len(problem.layers) + 1)))
    seekers["budgets"] = tj.Singleshot(tj.random_score, scope=budgets)

    @jax.jit
    def run(key, problem, density):
        return {label: seeker(key, problem, density) for label, seeker in seekers.items()}

    found = jax.device_get(run(KEY, problem, np.float32(0.4)))
    biases = {f"{layer.path}/{layer.bias}" for layer in problem.layers if layer.bias}
    for label, (mask, scores, _) in found.items():
        for tree in (mask, scores):
            assert jax.tree.structure(tree) == jax.tree.structure(params), label
        kept, rated = leaves_by_path(mask), leaves_by_path(scores)
        assert all(leaf.dtype == bool for leaf in kept.values()), label
        assert all(leaf.dtype == np.float32 for leaf in rated.values()), label
        for path, leaf in leaves_by_path(params).items():
            assert kept[path].shape == rated[path].shape == leaf.shape
            assert not np.any(np.isnan(rated[path])), (label, path)
        always = UNPRUNED.get(name, set()) | (set() if prune_bias else biases)
        assert all(np.all(kept[path]) for path in always), label
        own, all_ = counted(problem, mask, prune_bias).T
        assert all_.sum() == problem.prunable
        if label == "local":
            assert own.tolist() == [round(0.4 * size) for size in all_]
        elif label == "budgets":
            shares = 0.4 * all_.sum() * np.array(budgets.counts) / sum(budgets.counts)
            assert np.all(np.abs(own - np.minimum(shares, all_)) <= 0.5 + 1e-4)
        else:
            assert own.sum() == round(0.4 * all_.sum()), label
    if is_whole:
        assert len({kept.tobytes() for kept in map(_flat, found.values())}) > 6


def _flat(found):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found.mask)])


@pytest.mark.parametrize("name", ["bare", "nnx", "by hand"])
def test_scores_are_those_of_the_same_network_as_a_plain_chain(name):
    """The tree's form changes nothing: its view is a network of the library's own form."""
    problem = problem_of(name)
    seen = problem.view(problem.params)
    with_biases = {
        layer: {"bias": jnp.zeros(own["kernel"].shape[1]), **own} for layer, own in seen.items()
    }
    plain = tj.make_problem(CIRCLE, tj.mlp(CIRCLE, 4, 9), with_biases, problem.batch)

    # For GraSP, a trainable bias of 0 is different from no bias.
    compared = ["magnitude", "snip", "synflow", *["grasp"] * (name == "nnx")]

    @jax.jit
    def both(problem, plain):
        everything = [jax.tree.map(lambda p: jnp.ones(p.shape, bool), p.params) for p in two]
        scores = [
            {s: SCORES[s](KEY, p, p.params, m) for s in compared}
            for p, m in zip((problem, plain), everything, strict=True)
        ]
        return {s: problem.view(one) for s, one in scores[0].items()}, scores[1]

    two = problem, plain
    ours, theirs = both(problem, plain)
    for score, layers in ours.items():
        largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(layers))
        for layer, parts in layers.items():
            for part, leaf in parts.items():
                np.testing.assert_allclose(
                    leaf, theirs[score][layer][part], rtol=2e-4, atol=1e-5 * largest
                )


def test_what_is_in_no_layer_is_rated_zero_and_still_used():
    problem = problem_of("layer norm")
    scores = jax.jit(SCORES["synflow"])(
        KEY,
        problem,
        problem.params,
        jax.tree.map(lambda p: jnp.ones(p.shape, bool), problem.params),
    )
    assert not np.any(leaves_by_path(scores)["norm/bias"])
    louder = {**problem.params, "norm": jax.tree.map(lambda p: 2 * p + 1, problem.params["norm"])}
    assert abs(float(problem.loss(louder)) - float(problem.loss(problem.params))) > 1e-3
