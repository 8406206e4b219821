"""Masked Adam and its shuffles against NumPy in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.tasks import get_task
from ticketjax.training import shuffles, train

WIDTHS = (2, 6, 5, 3)
APPLY = mlp(get_task("circle"), depth=3, width=1).apply
TRAIN = jax.jit(train, static_argnames="optimizer")


def network(seed, widths=WIDTHS):
    rng = np.random.default_rng(seed)
    return [
        (
            rng.normal(0, np.sqrt(2 / m), (m, n)).astype(np.float32),
            rng.normal(0, 0.3, n).astype(np.float32),
        )
        for m, n in zip(widths, widths[1:], strict=False)
    ]


def masks_of(seed, density, widths=WIDTHS):
    rng = np.random.default_rng(seed + 1000)
    return [
        (rng.random((m, n)) < density, rng.random(n) < density)
        for m, n in zip(widths, widths[1:], strict=False)
    ]


def data(kind, seed, n=24, widths=WIDTHS):
    rng = np.random.default_rng(seed + 2000)
    x = rng.normal(size=(n, widths[0])).astype(np.float32)
    if kind == REGRESSION:
        return x, rng.normal(size=(n, widths[-1])).astype(np.float32)
    return x, rng.integers(0, widths[-1], n).astype(np.int32)


def tree(layers):
    return jax.tree.map(jnp.asarray, oracle.tree_of(layers))


def problem_of(layers, kind, x, y, **options):
    return Problem(tree(layers), Batch(jnp.asarray(x), jnp.asarray(y)), APPLY, kind, **options)


def flat(params):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)])


# Shuffles.


def test_epochs_are_permutations_of_their_own():
    order = np.asarray(shuffles(jax.random.key(0), epochs=5, size=24, batch_size=8))
    assert order.shape == (5, 3, 8)
    assert order.dtype == np.int32
    for epoch in order:
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(24))
    assert len({epoch.tobytes() for epoch in order}) == 5
    again = shuffles(jax.random.key(0), epochs=5, size=24, batch_size=8)
    np.testing.assert_array_equal(order, again)
    assert not np.array_equal(order, shuffles(jax.random.key(1), 5, 24, 8))


def test_the_short_batch_is_dropped_and_takes_other_samples_each_epoch():
    order = np.asarray(shuffles(jax.random.key(0), epochs=200, size=10, batch_size=4))
    assert order.shape == (200, 2, 4)
    seen = order.reshape(200, 8)
    assert seen.min() == 0
    assert seen.max() == 9
    assert all(len(set(epoch)) == 8 for epoch in seen)
    # Every sample is left out in a fifth of the epochs: 40 of 200, standard deviation 5.7.
    left_out = 200 - np.bincount(seen.ravel(), minlength=10)
    assert np.all(np.abs(left_out - 40) < 29)


def test_every_position_is_equally_likely():
    order = np.asarray(shuffles(jax.random.key(3), epochs=3000, size=6, batch_size=6))[:, 0]
    counts = np.array([np.bincount(order[:, place], minlength=6) for place in range(6)])
    # 500 expected in each of 36 cells, standard deviation 20.4; chi-squared with 25 degrees.
    assert np.sum((counts - 500) ** 2 / 500) < 65


def test_shuffles_under_jit_and_vmap_are_the_same():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: shuffles(key, 2, 11, 5)))(keys)
    for key, order in zip(keys, together, strict=True):
        np.testing.assert_array_equal(order, shuffles(key, 2, 11, 5))


def test_no_epoch_and_one_full_batch():
    assert shuffles(jax.random.key(0), epochs=0, size=10, batch_size=3).shape == (0, 3, 3)
    assert shuffles(jax.random.key(0), epochs=0, size=10, batch_size=3).dtype == jnp.int32
    assert shuffles(jax.random.key(0), epochs=2, size=7, batch_size=7).shape == (2, 1, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 11}, "batch_size must be at most the 10 .*got 11"),
        ({"batch_size": 0}, "batch_size must be at least 1.*got 0"),
        ({"batch_size": -4}, "batch_size must be at least 1.*got -4"),
        ({"epochs": -1}, "epochs must be at least 0.*got -1"),
        ({"epochs": 1.5}, "epochs must be at least 0.*got 1.5"),
    ],
)
def test_shuffles_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        shuffles(jax.random.key(0), **{"epochs": 1, "size": 10, "batch_size": 5, **options})


# Training.


@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
@pytest.mark.parametrize("density", [1.0, 0.6])
@pytest.mark.parametrize("steps", [1, 2, 15])
def test_steps_are_adams(kind, density, steps):
    for seed in range(2):
        layers, mask = network(seed), masks_of(seed, density)
        x, y = data(kind, seed)
        order = np.random.default_rng(seed).integers(0, len(x), (1, steps, 4)).astype(np.int32)
        trained = TRAIN(problem_of(layers, kind, x, y), tree(mask), jnp.asarray(order))
        expected = flat(oracle.tree_of(oracle.adam(kind, layers, mask, x, y, order[0])))
        # Each of the steps moves a parameter by about the learning rate of 1e-3.
        np.testing.assert_allclose(flat(trained), expected, rtol=0, atol=1e-6 * np.sqrt(steps))
        kept = flat(tree(mask))
        assert np.all(flat(trained)[~kept] == 0)
        assert np.max(np.abs(flat(trained) - flat(tree(layers)))[kept]) > 0.9e-3 * np.sqrt(steps)


def test_one_and_two_steps_worked_by_hand():
    # One neuron, w = 1, b = 0, no relu after it; x = 2, y = 0: g = 2 * 2 * (2, 1) = (8, 4), and
    # Adam's first step is lr * g / (|g| + 1e-8) = lr. Then the output is 2 * 0.9 - 0.1 = 1.7 and
    # g = 2 * 1.7 * (2, 1) = (6.8, 3.4), 0.85 of the first: with m = (0.09 + 0.085) g1 / 0.19 and
    # v = (0.000999 + 0.0007225) g1^2 / 0.001999 the step is 0.1 * 0.92105 / 0.92800 = 0.099251.
    layers = [(np.array([[1.0]], np.float32), np.array([0.0], np.float32))]
    x, y = np.array([[2.0]], np.float32), np.array([[0.0]], np.float32)
    everything = tree(oracle.combine(lambda a: np.ones(a.shape, bool), layers))
    problem = problem_of(layers, REGRESSION, x, y)
    once = TRAIN(problem, everything, jnp.zeros((1, 1, 1), jnp.int32), optimizer="adam(0.1)")
    twice = TRAIN(problem, everything, jnp.zeros((1, 2, 1), jnp.int32), optimizer="adam(0.1)")
    np.testing.assert_allclose(flat(once), [-0.1, 0.9], atol=1e-6)
    np.testing.assert_allclose(flat(twice), [-0.199251, 0.800749], atol=2e-6)


def test_epochs_go_on_where_the_one_before_ended():
    layers, mask = network(0), masks_of(0, 0.7)
    problem = problem_of(layers, REGRESSION, *data(REGRESSION, 0))
    order = jnp.asarray(np.random.default_rng(0).integers(0, 24, (1, 6, 4)), jnp.int32)
    in_one = TRAIN(problem, tree(mask), order)
    in_three = TRAIN(problem, tree(mask), order.reshape(3, 2, 4))
    np.testing.assert_allclose(flat(in_one), flat(in_three), atol=1e-6)


def test_what_is_pruned_is_never_looked_at():
    layers, mask = network(1), masks_of(1, 0.5)
    x, y = data(CLASSIFICATION, 1)
    order = shuffles(jax.random.key(0), 2, len(x), 6)
    clean = TRAIN(problem_of(layers, CLASSIFICATION, x, y), tree(mask), order)
    poisoned = oracle.combine(lambda p, m: np.where(m, p, np.nan), layers, mask)
    trained = TRAIN(problem_of(poisoned, CLASSIFICATION, x, y), tree(mask), order)
    np.testing.assert_array_equal(flat(trained), flat(clean))
    assert np.all(flat(trained)[~flat(tree(mask))] == 0)


def test_only_the_samples_of_the_order_are_seen():
    layers, mask = network(1), masks_of(1, 0.8)
    x, y = data(REGRESSION, 1)
    order = jnp.asarray([[[3, 7, 7, 20]]], jnp.int32)
    clean = TRAIN(problem_of(layers, REGRESSION, x, y), tree(mask), order)
    unseen = np.setdiff1d(np.arange(len(x)), [3, 7, 20])
    x[unseen] = y[unseen] = np.nan
    trained = TRAIN(problem_of(layers, REGRESSION, x, y), tree(mask), order)
    np.testing.assert_array_equal(flat(trained), flat(clean))


def test_no_epoch_leaves_the_masked_parameters_bit_for_bit():
    layers, mask = network(2), masks_of(2, 0.5)
    problem = problem_of(layers, REGRESSION, *data(REGRESSION, 2))
    trained = TRAIN(problem, tree(mask), shuffles(jax.random.key(0), 0, 24, 8))
    np.testing.assert_array_equal(flat(trained), flat(tree(layers)) * flat(tree(mask)))


def test_training_is_that_of_the_network_without_the_dead_neurons():
    # Neurons of both hidden layers lose all incoming and outgoing weights.
    layers, mask = network(3), masks_of(3, 1.0)
    dead = {1: [0, 4], 2: [1]}
    for layer, neurons in dead.items():
        mask[layer - 1][0][:, neurons] = False
        mask[layer - 1][1][neurons] = False
        mask[layer][0][neurons, :] = False
    alive = [np.setdiff1d(np.arange(n), dead.get(i, [])) for i, n in enumerate(WIDTHS)]

    def shrink(network):
        return [
            (kernel[np.ix_(alive[i], alive[i + 1])], bias[alive[i + 1]])
            for i, (kernel, bias) in enumerate(network)
        ]

    x, y = data(CLASSIFICATION, 3)
    order = shuffles(jax.random.key(1), 4, len(x), 6)
    small = TRAIN(problem_of(shrink(layers), CLASSIFICATION, x, y), tree(shrink(mask)), order)
    large = TRAIN(problem_of(layers, CLASSIFICATION, x, y), tree(mask), order)
    large_without = tree(shrink(oracle.layers_of(large)))
    np.testing.assert_allclose(flat(large_without), flat(small), atol=2e-6)
    assert np.max(np.abs(flat(small) - flat(tree(shrink(layers))))) > 5e-3


def test_a_kept_parameter_on_no_path_keeps_its_value():
    layers, mask = network(4), masks_of(4, 1.0)
    mask[1][0][2, :] = False  # neuron 2 of the first hidden layer leads nowhere
    problem = problem_of(layers, REGRESSION, *data(REGRESSION, 4))
    trained = TRAIN(problem, tree(mask), shuffles(jax.random.key(0), 2, 24, 8))
    kernel, bias = layers[0]
    np.testing.assert_array_equal(trained["layer_0"]["kernel"][:, 2], kernel[:, 2])
    assert trained["layer_0"]["bias"][2] == bias[2]


def test_training_is_the_raw_outputs_whatever_the_seekers_objective():
    layers, mask = network(5), masks_of(5, 0.8)
    problem = problem_of(layers, CLASSIFICATION, *data(CLASSIFICATION, 5))
    order = shuffles(jax.random.key(0), 1, 24, 8)
    rescaled = dataclasses.replace(problem, objective="rescaled")
    np.testing.assert_array_equal(
        flat(TRAIN(problem, tree(mask), order)), flat(TRAIN(rescaled, tree(mask), order))
    )


def test_eager_jit_and_vmap_over_masks_and_orders_agree():
    layers = network(6)
    problem = problem_of(layers, REGRESSION, *data(REGRESSION, 6))
    many = [tree(masks_of(seed, 0.5)) for seed in range(3)]
    orders = jnp.stack([shuffles(jax.random.key(seed), 1, 24, 8) for seed in range(3)])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    together = jax.jit(jax.vmap(train, (None, 0, 0)))(problem, stacked, orders)
    for i, mask in enumerate(many):
        alone = TRAIN(problem, mask, orders[i])
        of_many = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        np.testing.assert_allclose(flat(of_many), flat(alone), atol=1e-6)
    np.testing.assert_allclose(flat(train(problem, many[2], orders[2])), flat(alone), atol=1e-6)


def test_training_learns():
    task = get_task("relu")
    batch = task.sample(jax.random.key(0), 320, noise=0.0)
    model = mlp(task, depth=3, width=12)
    params = model.init(jax.random.key(1))
    problem = Problem(params, batch, model.apply, task.kind)
    everything = jax.tree.map(lambda p: jnp.ones(p.shape, bool), params)
    order = shuffles(jax.random.key(2), 20, 320, 32)
    trained = TRAIN(problem, everything, order, optimizer="adam(1e-2)")
    x, y = (np.asarray(array, np.float64) for array in batch)
    losses = [
        oracle.loss(REGRESSION, oracle.outputs(oracle.layers_of(p), x), y)
        for p in (params, trained)
    ]
    assert losses[1] < 1e-3 < losses[0]
