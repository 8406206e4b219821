"""Networks as functions, and neuron by neuron: planted, permuted, rescaled, and wrong ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from tests.oracles.forward import forward
from tests.oracles.networks import he_network
from ticketjax.equivalence import (
    functionally_recovered,
    input_grid,
    match_neurons,
    target_error,
)
from ticketjax.masks import apply_mask
from ticketjax.models import mlp
from ticketjax.planting import plant
from ticketjax.tasks import get_task

error_of = jax.jit(target_error, static_argnums=0)


def test_grids_by_hand():
    np.testing.assert_allclose(input_grid(1, 3), [[-1], [0], [1]])
    assert input_grid(2, 8).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert input_grid(1).shape == (1024, 1) and input_grid(2).shape == (1024, 2)
    assert input_grid(3).shape == (1000, 3)
    with pytest.raises(ValueError, match=r"points must be at least the 2\^4 corners, got 15"):
        input_grid(4, 15)


def test_regression_error_by_hand():
    target = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    # The first output is half as large, the second beside the target: 2 * y fits it with 0.8 / 2.
    outputs = jnp.array([[0.5, 2.0], [0.0, 4.0]])
    got = error_of("regression", outputs, target)
    # 8 / 20 = 0.4 is the best factor of the second: 0.8 and 1.6 instead of 0 and 2.
    assert float(got.mean) == pytest.approx((0.8 + 0.4) / 4)
    assert float(got.largest) == pytest.approx(0.8)
    assert float(got.root_mean_square) == pytest.approx(np.sqrt((0.64 + 0.16) / 4))
    assert float(got.disagreement) == 0


def test_classification_error_by_hand():
    # Centred, the target's logits are -1 and 1, 1 and -1: root mean square 1.
    target = jnp.array([[0.0, 2.0], [5.0, 3.0]])
    # Centred: -3 and 3; -1 and 1, another class. Best factor: (6 - 2) / 20 = 0.2.
    outputs = jnp.array([[1.0, 7.0], [2.0, 4.0]])
    got = error_of("classification", outputs, target)
    assert float(got.disagreement) == 0.5
    assert float(got.mean) == pytest.approx((0.4 + 1.2) / 2)
    assert float(got.largest) == pytest.approx(1.2)
    # An output that is the wrong way round is no better than one that says nothing.
    wrong = error_of("classification", -target, target)
    assert float(wrong.mean) == float(wrong.largest) == 1
    assert float(wrong.disagreement) == 1


def test_a_classifier_that_puts_out_no_numbers_is_not_the_target():
    # All of its arg maxima are those of the target.
    target = jnp.array([[2.0, 0.0], [5.0, 3.0]])
    got = error_of("classification", jnp.full((2, 2), jnp.nan), target)
    assert np.isnan(got.disagreement)
    assert not functionally_recovered("classification", got.disagreement, 0.0, noise=0.01)


@pytest.mark.parametrize("name", ["relu", "circle", "helix"])
def test_a_planted_mask_is_the_target_and_its_complement_is_not(name):
    task = get_task(name)
    target, model, grid = task.ticket(depth=4), mlp(task, 4, 60), input_grid(task.inputs)

    @jax.jit
    def errors(key):
        planted = plant(target, model.init(key))
        wanted = model.apply(jax.tree.map(jnp.asarray, target), grid)
        rest = jax.tree.map(jnp.logical_not, planted.mask)
        return [
            target_error(task.kind, model.apply(apply_mask(planted.params, mask), grid), wanted)
            for mask in (planted.mask, rest)
        ]

    same, other = errors(jax.random.key(0))
    assert float(same.largest) < 1e-4 and float(same.disagreement) < 2e-3

    def recovered(error):
        return functionally_recovered(task.kind, error.disagreement, error.root_mean_square, 0.01)

    assert recovered(same) and not recovered(other)


def test_recovered_is_below_the_noise_or_a_thousandth():
    assert functionally_recovered("regression", 1.0, 0.01, 0.01)
    assert not functionally_recovered("regression", 0.0, 0.011, 0.01)
    assert functionally_recovered("classification", 0.01, 9.0, 0.01)
    assert not functionally_recovered("classification", 0.011, 0.0, 0.01)
    assert functionally_recovered("regression", 0.0, 1e-3, 0.0)
    assert not functionally_recovered("regression", 0.0, 1.1e-3, 0.0)


def permuted_and_rescaled(params, generator):
    """The same function: hidden neurons in another order, each with another positive scale."""
    names = list(params)
    order, scale = np.arange(params[names[0]]["kernel"].shape[0]), 1.0
    result, orders = {}, []
    for i, name in enumerate(names):
        kernel, bias = (
            params[name]["kernel"][order] / np.reshape(scale, (-1, 1)),
            params[name]["bias"],
        )
        order, scale = np.arange(bias.size), np.ones(bias.size)
        if i < len(names) - 1:
            order, scale = generator.permutation(bias.size), generator.uniform(0.1, 10, bias.size)
            orders.append(order)
        result[name] = {"kernel": kernel[:, order] * scale, "bias": bias[order] * scale}
    return jax.tree.map(np.float32, result), orders


def test_a_permuted_and_rescaled_network_is_matched_neuron_by_neuron():
    generator = np.random.default_rng(0)
    target = he_network(generator, (2, 7, 5, 3))
    other, orders = permuted_and_rescaled(target, generator)
    x = np.asarray(input_grid(2))
    np.testing.assert_allclose(forward(other, x), forward(target, x), rtol=1e-3, atol=1e-4)
    matching = jax.jit(match_neurons)(other, target, x)
    for neuron, similarity, order in zip(*matching, orders, strict=True):
        # Neuron i of the other network is neuron order[i] of the target. Silent ones match any.
        alive = np.asarray(similarity) > 0.5
        assert alive.sum() >= 3
        assert np.array_equal(order[np.asarray(neuron)][alive], np.flatnonzero(alive))
        np.testing.assert_allclose(similarity[alive], 1, atol=1e-4)
        assert len(set(np.asarray(neuron).tolist())) == neuron.size


def test_matches_are_the_best_assignment_of_scipy():
    generator = np.random.default_rng(1)
    target, found = he_network(generator, (2, 4, 1)), he_network(generator, (2, 9, 1))
    x = np.asarray(input_grid(2, 100))

    def unit(params):
        hidden = np.maximum(x @ params["layer_0"]["kernel"] + params["layer_0"]["bias"], 0)
        return hidden / np.maximum(np.linalg.norm(hidden, axis=0), 1e-30)

    cosine = unit(target).T @ unit(found)
    rows, columns = scipy.optimize.linear_sum_assignment(-cosine)
    (neuron,), (similarity,) = jax.jit(match_neurons)(found, target, x)
    assert float(similarity.sum()) == pytest.approx(cosine[rows, columns].sum(), rel=1e-5)
    np.testing.assert_allclose(similarity, cosine[np.arange(4), neuron], rtol=1e-5)


def test_a_narrower_network_cannot_be_matched():
    generator = np.random.default_rng(2)
    target, found = he_network(generator, (1, 4, 1)), he_network(generator, (1, 3, 1))
    with pytest.raises(ValueError, match="at least 4 neurons in hidden layer 0.*got 3"):
        match_neurons(found, target, np.zeros((5, 1), np.float32))
