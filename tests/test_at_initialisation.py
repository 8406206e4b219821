"""Pruning at initialisation: newer scores and seekers against NumPy, and what they come down to."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles import backprop as oracle
from tests.oracles import paths, problems
from tests.oracles.selection import select
from tests.user_networks import model_of
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.masks import count_kept, full_mask, prunable_leaves
from ticketjax.networks.copied_gates import with_gates_of
from ticketjax.networks.layers import wires
from ticketjax.networks.paths import effective_density
from ticketjax.seekers.drawn import phew
from ticketjax.seekers.drawn.walks import parts_of
from ticketjax.seekers.registry import SCORES
from ticketjax.seekers.scores.prospr import LEARNING_RATE, MOMENTUM, after_steps

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


@pytest.mark.parametrize("scope", ["global", pytest.param("local", marks=pytest.mark.long)])
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


def test_flags_of_scores_are_those_of_force():
    grid = tj.make_grid(
        task="relu", depth=3, width=6, densities=0.5, seekers="force", rounds=3, score_samples=7
    )
    assert dict(grid.seekers) == {"force": tj.Force(rounds=3, score_samples=7)}


# ProsPr.


def test_prospr_without_steps_is_snip():
    problem = problem_of(CLASSIFICATION)
    mask = mask_of(5)
    ours, snip = (
        jax.jit(score)(KEY, problem, problem.params, mask)
        for score in (after_steps(0, LEARNING_RATE, MOMENTUM), SCORES["snip"])
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(snip), strict=True):
        np.testing.assert_array_equal(a, b)


def mask_of(seed, share=0.7):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.random(leaf.shape) < share), tree_of(LAYERS))


def tree_of(layers):
    return jax.tree.map(jnp.asarray, oracle.tree_of(layers))


def test_prospr_is_the_slope_of_the_trained_loss_by_differences():
    """The loss after three steps of NumPy's SGD, at mask entries a little above and below 1."""
    problem, mask = problem_of(CLASSIFICATION), mask_of(6)
    x, y = (np.asarray(array).reshape(4, 6, -1).squeeze() for array in problem.batch)
    alive = oracle.layers_of(mask)

    def trained_loss(gates):
        theta = oracle.combine(lambda p, m, c: p * m * c, LAYERS, alive, gates)
        velocity = oracle.combine(np.zeros_like, theta)
        for i in range(3):
            g = oracle.gradient(CLASSIFICATION, theta, x[i], y[i])
            g = oracle.combine(np.multiply, g, alive)
            velocity = oracle.combine(lambda v, g: 0.9 * v + g, velocity, g)
            theta = oracle.combine(lambda p, v: p - 0.01 * v, theta, velocity)
        return oracle.loss(CLASSIFICATION, oracle.outputs(theta, x[3]), y[3])

    got = jax.jit(SCORES["prospr"])(KEY, problem, problem.params, mask)
    gates = oracle.combine(lambda p: np.ones(p.shape), LAYERS)
    step, seen = 1e-5, 0
    for layer, parts in zip(gates, oracle.layers_of(got), strict=True):
        for gate, score in zip(layer, parts, strict=True):
            for place in [*np.ndindex(gate.shape)][::4]:
                losses = []
                for gate[place] in (1 + step, 1 - step):
                    losses.append(trained_loss(gates))
                gate[place] = 1
                slope = abs(losses[0] - losses[1]) / (2 * step)
                assert score[place] == pytest.approx(slope, rel=2e-3, abs=1e-5)
                seen += slope > 1e-4
    assert seen > 5


def test_prospr_needs_a_batch_for_every_step():
    problem = problem_of(samples=3)
    with pytest.raises(ValueError, match="score_samples must be at least 4 for prospr.*got 3"):
        jax.eval_shape(tj.Singleshot(tj.prospr), KEY, problem, 0.5)


# NTK-SAP.


def test_ntk_sap_sees_neither_parameters_nor_data():
    one, other = problem_of(), problem_of(layers=problems.layers_of(9))
    batch = jax.tree.map(lambda leaf: leaf + 1, other.batch)
    a, b = (
        scores_of("ntk_sap", problem) for problem in (one, dataclasses.replace(other, batch=batch))
    )
    for leaf, wanted in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(leaf, wanted)


@pytest.mark.long
def test_ntk_sap_of_a_linear_layer_follows_its_inputs():
    """y = w x + b: the outputs differ by 0.01 m (n x + n_b), whatever w is."""
    layers = [(np.full((1, 1), 7.0, np.float32), np.full(1, 3.0, np.float32))]
    problem = problems.problem_of(layers, REGRESSION, samples=4000)
    score = jax.jit(SCORES["ntk_sap"])
    total = np.zeros(2)
    for i in range(20):
        got = score(jax.random.key(i), problem, problem.params, full_mask(problem.params))
        total += [got["layer_0"]["kernel"].item(), got["layer_0"]["bias"].item()]
    # d/dm sum (0.01 (m n x + m_b n_b))^2 is on average 2 * 1e-4 * 4000 for either, five times.
    np.testing.assert_allclose(total / 20, [4.0, 4.0], rtol=0.6)


RECALL_SEEDS = 64


def beyond_chance(*names):
    """Student's t of the planted parameters found, less those expected by chance, over networks."""
    task = tj.get_task("circle")
    model = tj.mlp(task, 4, 32)

    @jax.jit
    @jax.vmap
    def excess(key):
        init_key, data_key, seek_key = jax.random.split(key, 3)
        planted = tj.plant(task.ticket(4), model.init(init_key))
        problem = tj.make_problem(task, model, planted.params, task.sample(data_key, 40, 0.0))

        def of(name):
            found = tj.Singleshot(SCORES[name])(seek_key, problem, 0.3).mask
            # In each kernel and each bias, the part that is kept of the part that is planted.
            pairs = zip(jax.tree.leaves(found), jax.tree.leaves(planted.mask), strict=True)
            return sum(jnp.sum(f & p) - jnp.mean(f) * jnp.sum(p) for f, p in pairs)

        return jnp.stack([of(name) for name in names])

    values = np.asarray(excess(jax.random.split(jax.random.key(11), RECALL_SEEDS)))
    return values.mean(axis=0) / values.std(axis=0, ddof=1) * np.sqrt(RECALL_SEEDS)


def test_ntk_sap_finds_a_planted_ticket_by_chance_alone():
    blind, seeing = beyond_chance("ntk_sap", "magnitude")
    assert abs(blind) < 3.5
    # The same test of a score that sees the parameters.
    assert seeing > 5


# PX.


def active_weights(x, mask):
    """The sum of x^2 over the active paths to each output, over all samples."""
    kept = oracle.combine(np.multiply, LAYERS, mask)
    values, counted = np.asarray(x, np.float64), np.square(np.asarray(x, np.float64))
    for i, ((kernel, bias), (edges, _)) in enumerate(zip(kept, mask, strict=True)):
        values, counted = values @ kernel + bias, counted @ edges
        if i < len(kept) - 1:
            counted = counted * (values > 0)
            values = np.maximum(values, 0)
    return counted.sum(axis=0)


def test_px_weighs_outputs_by_the_paths_that_are_active():
    problem, mask = problem_of(CLASSIFICATION), mask_of(7)
    alive = oracle.layers_of(mask)
    weights = active_weights(problem.batch.x, alive)
    assert weights.min() < 0.9 * weights.max()
    squares = oracle.combine(np.square, LAYERS)
    expected = oracle.synflow(squares, alive, weights / weights.max())
    got = jax.jit(SCORES["px"])(KEY, problem, problem.params, mask)
    assert_close(got, oracle.tree_of(expected))


def test_px_is_synflow_l2_where_all_outputs_have_equal_paths():
    """Of a single output, and of a complete last layer: one shot sees nothing of the data."""
    single, complete = problem_of(layers=problems.layers_of(8, (2, 6, 5, 1))), problem_of()
    for problem in (single, complete):
        one, other = (scores_of(name, problem) for name in ("px", "synflow_l2"))
        assert_close(one, jax.device_get(other), 1e-5)


@pytest.mark.parametrize("name", ["residual", pytest.param("by hand", marks=pytest.mark.long)])
def test_copied_gates_are_those_of_the_derivative(name):
    """With the network's own parameters, what passes of v is the derivative along v."""
    apply, params = model_of(name).apply, model_of(name).init(KEY)
    x, v = jax.random.normal(KEY, (2, 9, 2))

    @jax.jit
    def both(x, v):
        passed, biases = (with_gates_of(apply, params, x, params, w) for w in (v, 0 * v))
        return passed - biases, jax.jvp(lambda x: apply(params, x), (x,), (v,))[1]

    passed, derivative = both(x, v)
    assert np.abs(derivative).max() > 0.1
    np.testing.assert_allclose(passed, derivative, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", ["px", "ntk_sap", "prospr", "force", "phew"])
def test_a_residual_network_of_convolutions_is_pruned(name):
    task = tj.Task("images", (8, 8, 3), 4, CLASSIFICATION, None, no_ticket)
    model = tj.resnet18(task, 1 / 16)
    batch = tj.Batch(jax.random.normal(KEY, (8, 8, 8, 3)), jnp.arange(8) % 4)
    problem = tj.make_problem(task, model, model.init(KEY), batch)
    found = jax.jit(tj.get_seeker(name))(KEY, problem, 0.3)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(found.scores))
    assert int(count_kept(problem.view(found.mask))) == round(0.3 * problem.prunable)
    if name == "phew":
        wiring = wires(problem.known_layers)
        density = effective_density(problem.view(found.mask), wiring=wiring)
        assert float(density) == pytest.approx(round(0.3 * problem.prunable) / problem.prunable)


def no_ticket(depth):
    raise ValueError(f"no ticket of depth {depth}")


def test_px_refuses_what_is_no_network_of_relus():
    def squashed(params, x):
        hidden = jnp.tanh(x @ params["layer_0"]["kernel"])
        return hidden @ params["layer_1"]["kernel"]

    shapes = {"layer_0": (2, 3), "layer_1": (3, 4)}
    params = {name: {"kernel": jnp.ones(shape)} for name, shape in shapes.items()}
    task = tj.get_task("circle")
    model = tj.Model(lambda key: params, squashed)
    layers = tj.follow(squashed, params, jnp.ones((5, 2)))
    model = dataclasses.replace(model, layers=layers)
    problem = tj.make_problem(task, model, params, task.sample(KEY, 8, 0.0))
    with pytest.raises(ValueError, match="px needs a network with only ReLU.*layer_1.*tanh"):
        jax.eval_shape(tj.Singleshot(tj.px), KEY, problem, 0.5)


# PHEW.


def flat_of(problem):
    leaves = prunable_leaves(problem.params)
    return np.concatenate([np.ravel(leaf) for layer in leaves for leaf in layer])


def test_walks_follow_weights_in_proportion_to_their_magnitude():
    layers = problems.layers_of(4, (2, 3, 2))
    problem = problem_of(layers=layers)
    flat, parts = flat_of(problem), parts_of(problem)
    count = 30_000
    draw = jax.jit(
        lambda key: phew.draw_weighted_walks(
            key, parts, phew.chances_of(jnp.asarray(flat), parts), flat.size, count, 0
        )
    )
    weights = np.asarray(draw(KEY).weights)
    first, second = (np.abs(kernel) for kernel, _ in layers)
    there, back = np.zeros((2, 3, 2)), np.zeros((2, 3, 2))
    for a, b, c in np.ndindex(2, 3, 2):
        forward = first[a, b] / first[a].sum() * second[b, c] / second[b].sum()
        backward = second[b, c] / second[:, c].sum() * first[a, b] / first[:, b].sum()
        # Half of the walks of a direction begin at each end.
        there[a, b, c], back[a, b, c] = forward / 2, backward / 2
    for direction, chances in ((0, there), (1, back)):
        edge, other = weights[:, direction::2] - np.array([[parts[0].kernel], [parts[1].kernel]])
        assert np.array_equal(edge % 3, other // 2)  # the same neuron between
        got = np.zeros((2, 3, 2))
        np.add.at(got, (edge // 3, edge % 3, other % 2), 1 / count)
        np.testing.assert_allclose(got, chances, atol=4 * np.sqrt(0.25 / count))
    # Inputs and outputs take turns.
    assert (weights[0, ::2] // 3).tolist() == [0, 1] * (count // 2)
    assert ((weights[1, 1::2] - parts[1].kernel) % 2).tolist() == [0, 1] * (count // 2)


def test_everything_that_phew_keeps_lies_on_a_path():
    problem = problem_of()
    seek = jax.jit(jax.vmap(tj.Phew(), (0, None, 0)))
    densities = np.repeat(np.array([0.15, 0.3, 0.6, 0.9], np.float32), 5)
    masks = jax.device_get(seek(jax.random.split(KEY, 20), problem, densities).mask)
    for i, density in enumerate(densities):
        mask = jax.tree.map(lambda leaf, i=i: leaf[i], masks)
        assert paths.on_paths(mask) == round(float(density) * problem.prunable)


# Criteria of supermasks.


def test_criteria_by_hand():
    initial = {"layer_0": {"kernel": jnp.array([[1.0, -2.0, 3.0, 0.5]])}}
    trained = {"layer_0": {"kernel": jnp.array([[1.5, 4.0, 0.0, 0.25]])}}
    problem = dataclasses.replace(problem_of(), params=initial)
    by_hand = {
        "magnitude": [1.5, 4, 0, 0.25],
        "magnitude_same_sign": [1.5, 0, 0, 0.25],
        "magnitude_increase": [0.5, 2, -3, -0.25],
        "magnitude_increase_same_sign": [0.5, 0, 0, -0.25],
        "movement": [0.5, 6, 3, 0.25],
        "movement_same_sign": [0.5, 0, 0, 0.25],
    }
    for name, expected in by_hand.items():
        scores = SCORES[name](KEY, problem, trained, full_mask(initial))
        assert scores["layer_0"]["kernel"].tolist() == [expected]
