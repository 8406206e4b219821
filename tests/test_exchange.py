"""The parts of the exchange search against NumPy: estimates, screening, activity."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles import paths
from tests.oracles.masked import flat_of, loss_in_numpy, mask_of, masked_outputs, problem_of
from tests.oracles.problems import WIDTHS, layers_of
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.networks.mlp import mlp
from ticketjax.problem import make_problem
from ticketjax.seekers.exchange import (
    activity,
    neighbourhood,
    neurons,
    screening,
    slopes,
    vectors,
)
from ticketjax.tasks import get_task

KEY = jax.random.key(11)
useful_of = jax.jit(activity.useful, static_argnums=1)


def network_of(widths, theta, mask, prunable):
    """The input of a round, in which everything may be added or removed."""
    free = jnp.ones(mask.shape, bool)
    return neighbourhood.Network(widths, theta, mask, jnp.asarray(prunable), free)


def test_effects_of_single_flips_are_those_in_numpy():
    layers, mask = layers_of(0), flat_of(mask_of(1))
    problem = problem_of(layers)
    theta, x = flat_of(problem.params), np.asarray(problem.batch.x)

    @jax.jit
    def effects(theta, x):
        received, before = vectors.forward(theta * mask, x.T, WIDTHS)
        outputs = WIDTHS[-1]
        identity = jnp.broadcast_to(jnp.eye(outputs)[:, None], (outputs, x.shape[0], outputs))
        influence = slopes.pulled_back(theta * mask, before, WIDTHS, identity)
        changes = slopes.flips(theta, mask, received, before, WIDTHS)
        sinks = vectors.sinks_of(WIDTHS)
        return before[-1].T, changes[:, :, None] * jnp.concatenate(influence)[sinks]

    out, got = effects(theta, x)
    plain = masked_outputs(layers, mask, x)
    np.testing.assert_allclose(out, plain, atol=1e-5)
    # It is exact in the last two layers, and in the first layer if no ReLU changes its state.
    wanted = []
    for i in range(mask.size):
        flipped = mask.copy()
        flipped[i] = not flipped[i]
        wanted.append(masked_outputs(layers, flipped, x) - plain)
    first = WIDTHS[0] * WIDTHS[1] + WIDTHS[1]
    np.testing.assert_allclose(got[first:], wanted[first:], atol=1e-5)
    exact = np.isclose(got[:first], wanted[:first], atol=1e-5)
    assert exact.mean() > 0.6
    assert np.abs(wanted[:first]).max() > 0.1


def test_estimates_of_a_batch_of_one_are_those_of_no_batch():
    """Of sizes for which XLA compiles sums over an identity wrongly; sweeps run batches of one."""
    task = get_task("circle")
    model = mlp(task, 4, 12)
    problem = make_problem(
        task,
        model,
        model.init(jax.random.key(0)),
        task.sample(jax.random.key(1), 256),
        objective="rescaled",
    )
    theta, widths = jnp.asarray(flat_of(problem.params)), (2, 12, 12, 4)
    mask = jnp.asarray(np.random.default_rng(0).random(theta.size) < 0.3)
    prunable, weights = np.ones(theta.size, bool), jnp.ones(256)

    def own(theta, mask):
        network = network_of(widths, theta, mask, prunable)
        samples = screening.Samples(problem.batch.x.T, problem.batch.y, weights)
        return screening._look(problem, network, samples).own

    wanted = jax.jit(own)(theta, mask)
    most = np.abs(wanted).max()
    assert most > 0
    for count in (1, 2):
        many = [jnp.broadcast_to(each, (count, theta.size)) for each in (theta, mask)]
        got = jax.jit(jax.vmap(own))(*many)
        np.testing.assert_allclose(got, np.broadcast_to(wanted, got.shape), atol=1e-4 * most)


@pytest.mark.parametrize("objective", ["raw", "rescaled"])
@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_slope_and_curvature_are_those_in_closed_form(kind, objective):
    layers = layers_of(2)
    problem = problem_of(layers, kind, objective)
    x, y = (np.asarray(array) for array in problem.batch)
    out = oracle.outputs(layers, x)
    scale, shift = (1.0, 0.0) if objective == "raw" else oracle.followed(kind, out, y)
    scale = np.broadcast_to(scale, 3)
    slope_and_root = jax.jit(lambda out: slopes.slope_and_root(problem, out, problem.batch.y))
    slope, root = slope_and_root(np.float32(out.T))
    np.testing.assert_allclose(
        slope, oracle.loss_slope(kind, out * scale - shift, y) * scale, atol=1e-6
    )
    got = np.einsum("nop,nqp->noq", root, root)
    if kind == REGRESSION:
        wanted = np.broadcast_to(np.eye(3) * 2 / out.size, got.shape)
    else:
        share = oracle.softmax(out * scale)
        wanted = share[:, :, None] * np.eye(3) - share[:, :, None] * share[:, None]
        wanted = wanted / len(y)
    np.testing.assert_allclose(got, wanted * scale[:, None] * scale, atol=1e-6)


def test_samples_are_drawn_by_slope_and_weighted_back():
    # Four samples, one of which has all the slope: shares 1/8, 1/8, 1/8, 5/8.
    slope = jnp.zeros((4, 2)).at[3].set(jnp.array([3.0, -4.0]))
    draw = jax.jit(slopes.draw_samples, static_argnums=2)
    # Marks at 0.2 and 0.7 of the cumulative shares, which are 0.125, 0.25, 0.375 and 1.
    drawn, weights = draw(0.4, slope, 2)
    assert drawn.tolist() == [1, 3]
    np.testing.assert_allclose(weights, [2, 0.4], rtol=1e-6)

    # For any values, the weighted mean over all draws is the mean of all samples.
    values = jnp.array([1.0, -2.0, 5.0, 10.0])

    def mean(u):
        drawn, weights = slopes.draw_samples(u, slope, 3)
        return jnp.mean(weights * values[drawn])

    means = jax.vmap(mean)((jnp.arange(4000) + 0.5) / 4000)
    np.testing.assert_allclose(jnp.mean(means), 3.5, rtol=1e-3)
    for other, count in [(jnp.zeros((4, 2)), 2), (jnp.full((4, 2), jnp.nan), 2), (slope, 4)]:
        np.testing.assert_allclose(draw(0.5, other, count)[1], 1)


def test_segments_are_pieces_of_path_that_matter():
    widths = (2, 8, 7, 6, 3)
    tree = mask_of(0, widths, 0.15)
    tree["layer_1"]["bias"] = np.zeros(7, bool)
    prunable = np.ones(flat_of(tree).size, bool)
    mask = np.asarray(useful_of(flat_of(tree), widths, prunable))
    active = [
        np.sum(layer) for layer in jax.jit(activity.active_neurons, static_argnums=1)(mask, widths)
    ]
    assert min(active) > 0 and active[1] < 8

    theta = jnp.asarray(np.random.default_rng(0).normal(size=mask.size))
    x = jnp.ones((2, 5))

    @jax.jit
    def draw(mask):
        draws = neighbourhood.draw(KEY, neighbourhood.shapes_of_pieces(2000, len(widths) - 1))
        received, _ = vectors.forward(theta * mask, x, widths)
        segments = neighbourhood.segments(
            draws, network_of(widths, theta, mask, prunable), received
        )
        return segments, jax.vmap(lambda m: activity.useful(m, widths, prunable))(segments)

    more, useful = map(np.asarray, draw(mask))
    assert np.all(more[:, mask])
    np.testing.assert_array_equal(useful, more)
    assert np.unique(more, axis=0).shape[0] > 150
    added = more.sum(axis=1) - int(mask.sum())
    assert set(added) <= set(range(8)) and added.max() == 7  # four weights, three biases


@pytest.mark.parametrize("prune_bias", [True, False])
def test_segments_of_a_deep_network_are_alive(prune_bias):
    """With uniform draws, one path in 128 through seven hidden neurons would be alive."""
    widths = (1, 9, 9, 9, 9, 9, 9, 9, 1)
    rng = np.random.default_rng(3)
    layers = [
        (rng.normal(size=shape), rng.normal(size=shape[1]))
        for shape in zip(widths, widths[1:], strict=False)
    ]
    params = oracle.tree_of(layers)
    x, theta = np.linspace(-1, 1, 20)[:, None], jnp.asarray(flat_of(params))
    prunable = ~vectors.is_bias(widths) | prune_bias
    nothing = ~prunable

    @jax.jit
    def draw(mask):
        draws = neighbourhood.draw(KEY, neighbourhood.shapes_of_pieces(300, len(widths) - 1))
        received, _ = vectors.forward(theta * mask, jnp.asarray(x.T), widths)
        return neighbourhood.segments(draws, network_of(widths, theta, mask, prunable), received)

    drawn = np.asarray(draw(nothing))
    masks_drawn = [oracle.layers_of(vectors.unflatten(mask, params)) for mask in drawn]
    whole = [
        kept
        for kept in masks_drawn
        if functools.reduce(np.matmul, [kernel for kernel, _ in kept]) > 0
    ]
    assert len(whole) > 20
    for kept in whole:
        hidden = oracle.activations(oracle.combine(np.multiply, layers, kept), x)[1:-1]
        assert all(np.any(values > 0) for values in hidden)


def state_of(problem, mask, widths):
    """The input for screening whole neurons, on all samples."""
    theta, prunable = flat_of(problem.params), ~vectors.is_bias(widths) | problem.prune_bias
    theta, prunable, mask = map(jnp.asarray, (theta, prunable, mask))

    @jax.jit
    def look(theta, mask):
        received, before = vectors.forward(theta * mask, problem.batch.x.T, widths)
        slope, root = slopes.slope_and_root(problem, before[-1], problem.batch.y)
        by_slope = slopes.pulled_back(theta * mask, before, widths, slope.T[:, :, None])
        by_root = slopes.pulled_back(theta * mask, before, widths, jnp.swapaxes(root, 0, 1))
        return received, before, [each[:, :, 0] for each in by_slope], by_root

    return neurons.state_of(network_of(widths, theta, mask, prunable), *look(theta, mask))


@pytest.mark.parametrize("prune_bias", [True, False])
def test_detours_and_replacements_are_the_best_of_all(prune_bias):
    # With one hidden layer and squared errors, slope and curvature are exact.
    widths, count = (3, 6, 2), 12
    layers = layers_of(4, widths)
    problem = problem_of(layers, objective="raw", prune_bias=prune_bias)
    kernels = [np.zeros((3, 6), bool), np.zeros((6, 2), bool)]
    kernels[0][[0, 1, 2, 0], [0, 0, 2, 4]] = True
    kernels[1][[0, 0, 2, 4], [0, 1, 1, 0]] = True
    biases = [np.arange(6) == 2, np.ones(2, bool)]
    if not prune_bias:
        biases[0][:] = True
    mask = flat_of({f"layer_{i}": {"kernel": kernels[i], "bias": biases[i]} for i in range(2)})
    before = loss_in_numpy(problem, layers, mask)

    def fall(kernel, bias, out):
        tree = {"layer_0": {"kernel": kernel, "bias": bias}}
        tree["layer_1"] = {"kernel": out, "bias": biases[1]}
        flat = flat_of(tree)
        return flat, before - loss_in_numpy(problem, layers, flat)

    more, moved = [], []
    for new in (1, 3, 5):
        for source, sink, biased in itertools.product(range(3), range(2), (False, True)):
            if not biased and not prune_bias:
                continue
            into, bias, out = kernels[0].copy(), biases[0].copy(), kernels[1].copy()
            into[source, new] = out[new, sink] = True
            bias[new] |= biased
            flat, gain = fall(into, bias, out)
            if gain != 0:
                more.append((gain / (2 + (biased and prune_bias)), flat))
        for one in (0, 2, 4):
            order = np.arange(6)
            order[[one, new]] = new, one
            flat, gain = fall(kernels[0][:, order], biases[0][order], kernels[1][order])
            moved.append((gain, flat))

    state = state_of(problem, mask, widths)
    detours = jax.jit(lambda: neurons.detours(state, count, prune_bias))
    replacements = jax.jit(lambda: neurons.replacements(state, 9))
    for found, wanted in ((detours(), more), (replacements(), moved)):
        found = np.asarray(found)
        assert np.unique(found, axis=0).shape == found.shape
        gain_of = {flat.tobytes(): gain for gain, flat in wanted}
        gains = [gain_of[row.tobytes()] for row in found]
        best = sorted(gain_of.values(), reverse=True)[: len(gains)]
        np.testing.assert_allclose(gains, best, atol=1e-6)
        assert gains[0] > gains[-1] + 0.01


def test_in_a_deep_network_a_replacement_moves_one_neuron_and_a_detour_adds_one():
    widths = (2, 8, 7, 6, 3)
    layers = layers_of(0, widths)
    tree = mask_of(2, widths, 0.3)
    prunable = np.ones(flat_of(tree).size, bool)
    mask = np.asarray(useful_of(flat_of(tree), widths, prunable))
    state = state_of(problem_of(layers), mask, widths)
    active = jax.jit(activity.active_neurons, static_argnums=1)

    @jax.jit
    def draw():
        return neurons.detours(state, 40, True), neurons.replacements(state, 20)

    more, moved = map(np.asarray, draw())
    here = [int(np.sum(layer)) for layer in active(mask, widths)]
    assert min(here) > 0 and here[1] < 8
    np.testing.assert_array_equal(moved.sum(axis=1), int(mask.sum()))
    like = oracle.tree_of(layers)
    for one in moved:
        got, start = vectors.unflatten(one, like), vectors.unflatten(mask, like)
        degrees = [
            [np.sort(np.sum(m[n]["kernel"], axis=0)).tolist() for n in like] for m in (got, start)
        ]
        assert degrees[0] == degrees[1] and np.any(one != mask)
    more = more[np.any(more != mask, axis=1)]
    assert 5 < more.shape[0] == np.unique(more, axis=0).shape[0]
    for one in more:
        assert np.all(one[mask]) and one.sum() - mask.sum() in (2, 3)
        there = [int(np.sum(layer)) for layer in active(one, widths)]
        assert sum(there) == sum(here) + 1


def test_useful_parameters_are_those_on_paths_and_a_narrow_network_computes_the_same():
    widths, narrow = (2, 9, 8, 3), (2, 4, 4, 3)
    layers = layers_of(5, widths)
    tree = mask_of(0, widths, 0.15)
    no_bias = ~vectors.is_bias(widths)
    mask = flat_of(tree) & no_bias
    useful = np.asarray(useful_of(mask, widths, no_bias))
    live = paths.on_paths(oracle.tree_of(oracle.layers_of(vectors.unflatten(mask, tree))), False)
    assert useful.sum() == sum(int(np.sum(leaf)) for leaf in jax.tree.leaves(live))
    assert 0 < useful.sum() < mask.sum()

    x = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
    theta = flat_of(oracle.tree_of(layers))
    shapes = neighbourhood.shapes_of_draws(widths, narrow, neighbourhood.Neighbourhood()).neurons
    draws = neighbourhood.draw(KEY, shapes)
    pool = jax.jit(lambda mask: activity.pool(draws, mask, widths, narrow))
    where, fits = jax.device_get(pool(useful))
    assert fits and np.unique(where).size == where.size
    forward = jax.jit(vectors.forward, static_argnums=2)
    small = forward((theta * useful)[where], x.T, narrow)[1][-1].T
    np.testing.assert_allclose(small, masked_outputs(layers, mask, x), atol=1e-5)
    assert np.abs(small).max() > 0.01
    assert not pool(np.ones_like(mask))[1]

    fill = jax.jit(activity.fill, static_argnums=3)
    for size in (int(useful.sum()), 30, 60):
        full = np.asarray(fill(useful, size, np.ones_like(mask), widths))
        assert full.sum() == size and np.all(full[useful])
        np.testing.assert_allclose(masked_outputs(layers, full, x), small, atol=1e-5)
