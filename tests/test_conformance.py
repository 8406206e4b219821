"""What every seeker promises, under every strategy and scope: a new one is tested by its row."""

import dataclasses
import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from ticketjax import masks
from ticketjax.seekers.registry import LIFTS, SCORES, STRATEGIES

# Criteria of trained parameters: at initialisation, there is nothing to compare.
CRITERIA = tuple(name for name in SCORES if name.startswith(("magnitude_", "movement")))
# Scores whose gradients take long to compile; their rounds of training are those of the others.
LONG = ("synflow_l2", "px", "ntk_sap", "prospr")
# Scores whose rounds of training are tested by `make test-long` alone.
LONG_ROUNDS = {*LONG, *CRITERIA, "erk", "balanced", "grasp"} - {"movement"}
PAIRS = [
    (name, strategy)
    for name in SCORES
    for strategy in LIFTS
    if not (name in CRITERIA and strategy == "singleshot")
]
PAIRS += [(name, strategy) for name, own in STRATEGIES.items() for strategy in own]
# The same, those marked as long whose parts are tested in others.
MARKED = [
    pytest.param(
        *pair,
        marks=[pytest.mark.long]
        * (
            pair[1] == "multishot"
            and pair[0] in LONG_ROUNDS
            or pair[1] == "refined"
            and pair[0] != "probabilistic"
        ),
    )
    for pair in PAIRS
]
DENSITIES = np.array([0.07, 0.5, 1.0], np.float32)
KEYS = jax.random.split(jax.random.key(7), 2)


def seeker_of(name, strategy, scope):
    """The seeker, in small sizes of what its strategy does."""
    options = {
        "singleshot": {},
        # Further rounds are the same for both scopes, and take their time to compile.
        "multishot": {"rounds": 2 if scope == "global" else 1, "round_epochs": 1},
        "plain": {"epochs": 2},
        "annealed": {"epochs": 2},
        "refined": {
            "epochs": 2,
            "refinement": 2,
            "refinement_samples": 20,
            "refinement_temperature": 0.05,
        },
    }[strategy]
    if name in ("random_paths", "random_masks"):
        options = {"draws": 3}
    if name in ("force", "phew"):
        options = {"rounds": 3} if name == "force" else {}
    if name == "path_pursuit":
        options = {"rounds": 3, "samples": 20, "width": 4}
    if name == "annealed":
        options = {"steps": 2, "proposals": 16, "batch": 8, "width": 4}
    if name in ("rigl", "sparse_evolutionary_training") and strategy == "plain":
        options = {"epochs": 2, "interval": 1}
    if name == "combinatorial_brain_surgeon" and strategy == "plain":
        options = {"rounds": 2, "candidates": 4}
    if name == "chita" and strategy == "plain":
        options = {"iterations": 2}
    if name == "genetic" and strategy == "plain":
        options = {"generations": 2, "population": 10, "newcomers": "random_masks"}
    if name == "genetic" and strategy == "refined":
        options |= {"generations": options.pop("epochs")}
    if scope == "oracle":
        scope = tj.LayerBudgets(masks.count_ticket_layers(tj.get_task("relu").ticket(depth=3)))
    return tj.get_seeker(name, strategy=strategy, scope=scope, **options)


def assert_same(found, expected):
    """Equal masks, and scores equal but for the order in which a compiler adds."""
    chex.assert_trees_all_equal(found.mask, expected.mask)
    chex.assert_trees_all_close(found.scores, expected.scores, rtol=1e-4, atol=1e-6)


@functools.cache
def problem():
    task = tj.get_task("relu")
    model = tj.mlp(task, depth=3, width=9)
    params = model.init(jax.random.key(1))
    return tj.make_problem(task, model, params, task.sample(jax.random.key(0), 64, noise=0.01))


def traced(seeker):
    """The program that a seeker is traced to: its text, its constants and its effects."""
    closed = jax.make_jaxpr(seeker)(KEYS[0], problem(), DENSITIES[1])
    # Functions that have derivatives of their own are written with their address.
    return re.sub("0x[0-9a-f]+", "", str(closed)), jax.device_get(closed.consts), closed.effects


@functools.cache
def compiled(name, strategy, scope):
    return jax.jit(seeker_of(name, strategy, scope))


def budgets(density, scope):
    """Parameters to keep in each layer, or in the whole network."""
    sizes = [18, 10]  # 1 * 9 weights and 9 biases, 9 * 1 weights and 1 bias
    if scope == "oracle":  # as in the ticket, half of them in either layer
        return [min(round(density * 14), size) for size in sizes]
    return [round(density * n) for n in (sizes if scope == "local" else [sum(sizes)])]


def kept(mask, scope):
    layers = [sum(int(leaf.sum()) for leaf in jax.tree.leaves(layer)) for layer in mask.values()]
    return [sum(layers)] if scope == "global" else layers


def test_every_name_is_tested():
    assert {name for name, _ in PAIRS} == set(tj.SEEKERS)


@pytest.mark.parametrize(
    ("name", "strategy", "scope"),
    # What is refined is so by one function; other scopes differ in the selection alone.
    [
        pytest.param(*pair.values, "global", marks=pair.marks)
        for pair in MARKED
        if pair.values[1] != "refined" or pair.values[0] == "probabilistic"
    ]
    + [
        pytest.param(
            *(name, strategy, "local"),
            marks=[pytest.mark.long] * (strategy == "multishot" and name != "snip"),
        )
        for name in SCORES
        for strategy in LIFTS
        if name not in (*LONG, *CRITERIA)
    ]
    + [("phew", "plain", "oracle")]
    + [("edge_popup", "plain", "local"), ("probabilistic", "plain", "local")]
    + [("random_paths", "plain", "local"), ("random_masks", "plain", "local")]
    + [("random_paths", "plain", "oracle")]
    + [("iterative_hard_thresholding", "plain", "local"), ("rewinding", "multishot", "local")]
    + [("snip", "singleshot", "oracle"), ("edge_popup", "annealed", "oracle")]
    + [
        pytest.param(name, "plain", "local", marks=pytest.mark.long)
        for name in ("rigl", "acdc", "chita")
    ],
)
def test_found_is_exact_and_of_the_promised_form(name, strategy, scope):
    seeker, params = compiled(name, strategy, scope), problem().params
    for density in DENSITIES:
        found = seeker(KEYS[0], problem(), density)
        assert isinstance(found, tj.Found)
        assert isinstance(found.info, dict)
        chex.assert_trees_all_equal_shapes(found.mask, found.scores, params)
        assert {leaf.dtype for leaf in jax.tree.leaves(found.mask)} == {jnp.dtype(bool)}
        assert {leaf.dtype for leaf in jax.tree.leaves(found.scores)} == {jnp.dtype(jnp.float32)}
        assert not any(jnp.any(jnp.isnan(leaf)) for leaf in jax.tree.leaves(found.scores))
        assert kept(found.mask, scope) == budgets(float(density), scope)


@pytest.mark.parametrize(("name", "strategy"), MARKED)
def test_seekers_are_pure(name, strategy):
    """Two of them, made and traced one after the other, are one program without effects."""
    (text, constants, effects), again = (
        traced(seeker_of(name, strategy, "global")) for _ in range(2)
    )
    assert not effects
    assert text == again[0]
    chex.assert_trees_all_equal(constants, again[1])


@pytest.mark.parametrize(
    ("name", "strategy", "scope"),
    [
        pytest.param(
            name,
            "singleshot",
            "global",
            marks=[pytest.mark.long] * (name in LONG),
        )
        for name in SCORES
        if name not in CRITERIA
    ]
    + [("random", "multishot", "local")],
)
def test_devices_times_keys_times_densities_are_the_loop(name, strategy, scope):
    seeker = seeker_of(name, strategy, scope)
    over_densities = jax.vmap(seeker, (None, None, 0))
    over_keys = jax.vmap(over_densities, (0, None, None))
    devices = jax.devices()[:2]
    on_devices = jax.pmap(over_keys, in_axes=(0, None, None), devices=devices)
    keys = jax.random.split(jax.random.key(8), (len(devices), 2))
    all_found = jax.device_get(on_devices(keys, problem(), DENSITIES))
    for device, key, density in np.ndindex(*keys.shape, DENSITIES.size):
        found = jax.tree.map(lambda leaf, at=(device, key, density): leaf[at], all_found)
        alone = compiled(name, strategy, scope)(keys[device, key], problem(), DENSITIES[density])
        assert_same(found, alone)


@pytest.mark.parametrize(
    ("name", "strategy", "scope"),
    [
        pytest.param("synflow", "singleshot", "local", marks=pytest.mark.long),
        ("magnitude", "multishot", "global"),
    ],
)
def test_eager_is_compiled(name, strategy, scope):
    seeker = seeker_of(name, strategy, scope)
    expected = compiled(name, strategy, scope)(KEYS[0], problem(), 0.2)
    assert_same(seeker(KEYS[0], problem(), 0.2), expected)


@pytest.mark.parametrize("strategy", LIFTS)
def test_densities_that_are_none_are_refused(strategy):
    seeker = tj.get_seeker("magnitude", strategy=strategy)
    for density in (0, 0.0, -0.1, 1.01, float("nan"), np.float32(2.0), 0.01, "tickets"):
        with pytest.raises(ValueError, match="density"):
            jax.eval_shape(lambda p, d=density: seeker(KEYS[0], p, d), problem())
    nameless = dataclasses.replace(problem(), ticket_density=None)
    with pytest.raises(ValueError, match='"ticket".*no ticket'):
        jax.eval_shape(lambda p: seeker(KEYS[0], p, "ticket"), nameless)


def test_densities_by_word_and_by_any_kind_of_number():
    seeker = tj.get_seeker("magnitude")

    def count(density):
        return int(masks.count_kept(seeker(KEYS[0], problem(), density).mask))

    assert count("ticket") == 2  # one weight per layer
    assert count(1) == count(1.0) == count(jnp.float32(1)) == 28
    assert count(2 / 28) == count(np.float32(2 / 28)) == count(jnp.float32(2 / 28)) == 2
