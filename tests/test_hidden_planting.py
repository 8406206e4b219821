"""Planting that hides: exact, balanced, independent of order and scale, and passing the audit."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles.forward import forward, layers, masked
from tests.oracles.networks import he_network, sparse_network
from ticketjax.base import Batch, Layer, Model
from ticketjax.measure.audit import audit
from ticketjax.measure.quality import strong_quality
from ticketjax.networks.mlp import mlp
from ticketjax.planting.hidden import BIAS_IMPORTANCE, LEAST_IMPORTANCE
from ticketjax.planting.plant import plant
from ticketjax.planting.several import plant_several
from ticketjax.planting.writing import lots_of
from ticketjax.problem import make_problem
from ticketjax.tasks import TASKS, get_task

SEEDS = 3
WIDTHS = (2, 4, 5, 3, 2)
GENERATOR = np.random.default_rng(0)
TARGET = sparse_network(GENERATOR, WIDTHS, 0.7)
MOTHER = he_network(GENERATOR, (2, 9, 8, 7, 2))
INPUTS = GENERATOR.uniform(-1, 1, (200, 2)).astype(np.float32)


plant_hidden = functools.partial(plant, match="hidden")
plant_once = jax.jit(plant_hidden)


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def hidden(target, mother):
    return as_numpy(plant_once(target, mother))


def relative_error(target, planted, inputs):
    wanted = forward(target, inputs)
    outputs = forward(masked(planted.params, planted.mask), inputs) * float(planted.output_scale)
    return np.abs(outputs - wanted).max() / np.abs(wanted).max()


def assert_rest_is_the_mother(mother, planted):
    for before, after, marks in zip(*map(jax.tree.leaves, (mother, *planted[:2])), strict=True):
        np.testing.assert_array_equal(after[~marks], before[~marks])


# The tasks' tickets


def padded(target, depth):
    """A ticket with neurons that have no parameters, so that all tasks have one shape."""
    widths = (2, *[30] * (depth - 2), 4)

    def pad(leaf, *sizes):
        return np.pad(leaf, [(0, size - n) for n, size in zip(leaf.shape, sizes, strict=True)])

    return {
        f"layer_{i}": {
            "kernel": pad(target[f"layer_{i}"]["kernel"], n_in, n_out),
            "bias": pad(target[f"layer_{i}"]["bias"], n_out),
        }
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths))
    }


def mothers_of(depth, count):
    generator = np.random.default_rng(depth)
    return [he_network(generator, (2, *[100] * (depth - 2), 4)) for _ in range(count)]


@pytest.mark.parametrize(
    "depth",
    [3, 10, *(pytest.param(depth, marks=pytest.mark.long) for depth in (4, 7))],
)
def test_every_ticket_is_planted_exactly(depth):
    inputs = np.random.default_rng(3).uniform(-1, 1, (1_000, 2)).astype(np.float32)
    for task in TASKS.values():
        target = padded(task.ticket(depth), depth)
        for mother in mothers_of(depth, SEEDS):
            planted = hidden(target, mother)
            assert planted.output_scale > 0
            assert relative_error(target, planted, inputs) < 5e-6
            assert_rest_is_the_mother(mother, planted)
            for name, layer in target.items():
                for part, values in layer.items():
                    signs = np.sign(planted.params[name][part][planted.mask[name][part]])
                    assert sorted(signs) == sorted(np.sign(values[values != 0]))


@pytest.mark.parametrize("name", ["circle", "helix"])
def test_the_planted_mask_scores_as_the_bare_ticket(name):
    task = get_task(name)
    model, target = mlp(task, 3, 40), jax.tree.map(jnp.asarray, task.ticket(3))
    batch = task.sample(jax.random.key(1), 500)

    @jax.jit
    def qualities(key):
        planted = plant_hidden(target, model.init(key))
        kept = jax.tree.map(lambda p, m: p * m, planted.params, planted.mask)
        problem = make_problem(task, model, planted.params, Batch(*batch))
        return [strong_quality(problem, params, batch) for params in (kept, target)]

    ticket_in_mother, bare = qualities(jax.random.key(0))
    np.testing.assert_allclose(ticket_in_mother.metric, bare.metric, rtol=1e-4)
    np.testing.assert_allclose(ticket_in_mother.loss, bare.loss, rtol=1e-3)


# What the scales are


def test_a_chain_of_lone_parameters_keeps_their_sizes():
    ones = {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    target = {f"layer_{i}": ones for i in range(3)}
    mother = {
        f"layer_{i}": {"kernel": np.full((1, 1), weight), "bias": np.full(1, 0.5, np.float32)}
        for i, weight in enumerate(np.array([4.0, -0.5, 0.25], np.float32))
    }
    planted = hidden(target, mother)
    weights = [planted.params[f"layer_{i}"]["kernel"].item() for i in range(3)]
    np.testing.assert_allclose(weights, [4.0, 0.5, 0.25], rtol=1e-4)
    np.testing.assert_allclose(planted.output_scale, 2.0, rtol=1e-4)


def filters(widths, density):
    """Two convolutions, then a dense layer that reads four places of the image."""
    generator = np.random.default_rng(7)
    shapes = [(3, 3, *widths[:2]), (3, 3, *widths[1:3]), (4 * widths[2], widths[3])]

    def draw(shape):
        kept = generator.uniform(size=shape) < density
        return np.where(kept, generator.normal(size=shape), 0).astype(np.float32)

    return {
        f"layer_{i}": {"kernel": draw(shape), "bias": draw(shape[-1:])}
        for i, shape in enumerate(shapes)
    }


@pytest.mark.parametrize(
    ("target", "mother"),
    [(TARGET, MOTHER), (filters((2, 4, 5, 2), 0.3), filters((2, 9, 8, 2), 1.0))],
    ids=["dense", "convolutions"],
)
def test_the_roots_sizes_change_as_much_before_as_after_every_neuron(target, mother):
    planted = hidden(target, mother)
    # (sources, neurons) and (neurons,): how much the root of each size grew, in deviations.
    growth = []
    channels = mother["layer_0"]["kernel"].shape[-2]
    for name in sorted(mother):
        parts = []
        for part, importance in (("kernel", 1.0), ("bias", BIAS_IMPORTANCE)):
            before = np.asarray(mother[name][part], np.float64)
            after, marks = planted.params[name][part], planted.mask[name][part]
            importance *= max(1 - marks.mean(), LEAST_IMPORTANCE)
            roots = np.sqrt(np.abs(after)) - np.sqrt(np.abs(before))
            parts.append(importance * roots * marks / np.mean(before**2) ** 0.25)
        kernel, bias = parts
        growth.append((kernel.reshape(-1, channels, bias.size).sum(axis=0), bias))
        channels = bias.size
    for (kernel, bias), (following, _) in itertools.pairwise(growth):
        incoming, outgoing = kernel.sum(axis=0) + bias, following.sum(axis=1)
        # A neuron of the target that nothing enters or nothing leaves has no scale to choose.
        free = (np.abs(kernel).sum(axis=0) + np.abs(bias) > 0) & (np.abs(following).sum(axis=1) > 0)
        assert free.sum() >= 3
        np.testing.assert_allclose(incoming[free], outgoing[free], atol=1e-4)
    kernel, bias = growth[-1]
    np.testing.assert_allclose(kernel.sum() + bias.sum(), 0.0, atol=1e-4)


def test_a_window_of_one_place_is_a_dense_layer():
    def windowed(params):
        return {
            name: {"kernel": layer["kernel"][None, None], "bias": layer["bias"]}
            for name, layer in params.items()
        }

    planted = hidden(TARGET, MOTHER)
    assert relative_error(TARGET, planted, INPUTS) < 1e-6
    one, other = windowed(planted.params), hidden(windowed(TARGET), windowed(MOTHER))
    for leaf, expected in zip(*map(jax.tree.leaves, (other.params, one)), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-6)


def test_a_normalisation_is_refused():
    # It removes a neuron's scale, which the next layer would compensate for all the same.
    layers = [Layer(f"layer_{i}", i, i + 1, normalised=i == 1) for i in range(4)]
    model = Model(None, None, tuple(layers))
    with pytest.raises(ValueError, match='without branches or normalisation.* "cosine"'):
        plant_hidden(TARGET, MOTHER, model=model)
    mother = he_network(np.random.default_rng(1), (2, 9, 10, 7, 2))
    several = plant_several(jax.random.key(0), TARGET, mother, tickets=2, model=model)
    assert several.tickets["layer_1"]["kernel"].shape == (2, 9, 10)


def test_the_targets_own_scales_do_not_matter():
    factors = np.array([0.01, 3.0, 1.0, 50.0], np.float32)
    rescaled = jax.tree.map(np.copy, TARGET)
    rescaled["layer_0"]["kernel"] *= factors
    rescaled["layer_0"]["bias"] *= factors
    rescaled["layer_1"]["kernel"] /= factors[:, None]
    one, other = hidden(TARGET, MOTHER), hidden(rescaled, MOTHER)
    for leaf, expected in zip(jax.tree.leaves(other), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-3)


def test_the_order_of_the_mothers_neurons_does_not_matter():
    order = np.random.default_rng(1).permutation(9)
    moved = jax.tree.map(np.copy, MOTHER)
    moved["layer_0"] = jax.tree.map(lambda leaf: leaf[..., order], MOTHER["layer_0"])
    moved["layer_1"]["kernel"] = MOTHER["layer_1"]["kernel"][order]
    one, other = hidden(TARGET, MOTHER), hidden(TARGET, moved)
    for tree in (one.params, one.mask):
        tree["layer_0"] = jax.tree.map(lambda leaf: leaf[..., order], tree["layer_0"])
        tree["layer_1"]["kernel"] = tree["layer_1"]["kernel"][order]
    for leaf, expected in zip(jax.tree.leaves(other), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-3)


@pytest.mark.parametrize("fill", [0.0, 1.0, 1e-6])
def test_mothers_without_any_variety(fill):
    mother = jax.tree.map(lambda leaf: np.full_like(leaf, fill), MOTHER)
    planted = hidden(TARGET, mother)
    assert relative_error(TARGET, planted, INPUTS) < 1e-6
    assert_rest_is_the_mother(mother, planted)


def test_a_target_without_parameters_is_planted_nowhere():
    nothing = jax.tree.map(np.zeros_like, TARGET)
    planted = hidden(nothing, MOTHER)
    assert not any(leaf.any() for leaf in jax.tree.leaves(planted.mask))
    assert_rest_is_the_mother(MOTHER, planted)


def test_vmap_is_a_loop():
    mothers = he_network(np.random.default_rng(2), (2, 9, 8, 7, 2), (2,))
    together = jax.jit(jax.vmap(plant_hidden, in_axes=(None, 0)))(TARGET, mothers)
    for i in range(2):
        one = hidden(TARGET, jax.tree.map(lambda leaf, i=i: leaf[i], mothers))
        for leaf, expected in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(leaf[i], expected, rtol=1e-4)


def share_planted_at_the_least_hash(planted):
    """How often the neuron of the least hash is planted, and how often any neuron is."""
    layer, mask = planted.params["layer_0"], planted.mask["layer_0"]
    used = np.asarray(mask["kernel"].any(axis=1) | mask["bias"])
    least = np.argmin(jax.vmap(lots_of)(layer["kernel"], layer["bias"]), axis=1)
    return used[np.arange(len(used)), least].mean(), used.mean()


def test_who_hashes_the_planted_network_learns_nothing_about_drawn_lots():
    networks = 200
    mothers = he_network(np.random.default_rng(3), (2, 9, 8, 7, 2), (networks,))
    keys = jax.random.split(jax.random.key(3), networks)

    def plant_run(key, mother):
        return plant_several(key, TARGET, mother, match="hidden").planted

    drawn = share_planted_at_the_least_hash(jax.jit(jax.vmap(plant_run))(keys, mothers))
    hashed = jax.jit(jax.vmap(plant_hidden, in_axes=(None, 0)))(TARGET, mothers)
    assert drawn[0] == pytest.approx(drawn[1], abs=0.1)  # three standard deviations
    assert share_planted_at_the_least_hash(hashed)[0] > 0.85


def test_path_biases_can_be_zeroed():
    planted = as_numpy(
        jax.jit(functools.partial(plant_hidden, zero_path_biases=True))(TARGET, MOTHER)
    )
    for name, marks in planted.mask.items():
        spare = marks["kernel"].any(axis=0) & ~marks["bias"]
        assert not planted.params[name]["bias"][spare].any()
        others = ~marks["kernel"].any(axis=0) & ~marks["bias"]
        before = MOTHER[name]["bias"]
        if name == "layer_3":
            others = np.zeros_like(others)  # every output is the target's
        np.testing.assert_array_equal(planted.params[name]["bias"][others], before[others])


def test_unknown_matches_are_refused():
    with pytest.raises(ValueError, match="match must be one of cosine, hidden, got 'best'"):
        plant(TARGET, MOTHER, match="best")


# The audit


audit_once = jax.jit(audit)


@pytest.mark.long
@pytest.mark.parametrize("name", TASKS)
def test_simple_statistics_do_not_see_the_ticket(name):
    target = padded(get_task(name).ticket(5), 5)
    audits = [as_numpy(audit_once(hidden(target, mother))) for mother in mothers_of(5, 50)]
    result = jax.tree.map(lambda *leaves: np.stack(leaves), *audits)
    overall = jax.tree.map(np.mean, result.overall)
    # ReLU has one planted weight per layer: the mean over 50 networks has a deviation of 0.02.
    slack = 0.1 if name == "relu" else 0.05
    for auc in (overall.weight_auc, overall.bias_auc):
        assert abs(auc - 0.5) < slack
    for auc in (
        overall.zero_bias_auc,
        overall.round_weight_auc,
        overall.round_bias_auc,
        result.layers.index_auc[:, :-1].mean(),  # outputs stay in place
        overall.row_norm_auc,
        overall.column_norm_auc,
    ):
        assert abs(auc - 0.5) < 0.1
    assert overall.largest_weight < 4
    assert result.layers.largest_bias[:, :-1].max(axis=1).mean() < 4
    # Circle's logits are farther apart than the biases of a random network's outputs.
    assert overall.largest_bias < (12 if name == "circle" else 4)


def test_layers_of_the_tests_target_are_not_trivial():
    assert all((kernel != 0).any() and (kernel == 0).any() for kernel, _ in layers(TARGET))
