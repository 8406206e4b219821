"""Networks as functions: planted, and wrong ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax.masks import apply_mask
from ticketjax.measure.equivalence import (
    functionally_recovered,
    input_grid,
    is_found,
    target_error,
)
from ticketjax.networks.mlp import mlp
from ticketjax.planting.plant import plant
from ticketjax.tasks import get_task

error_of = jax.jit(target_error, static_argnums=0)


def test_grids_by_hand():
    np.testing.assert_allclose(input_grid(1, 3), [[-1], [0], [1]])
    assert input_grid(2, 8).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert input_grid(1).shape == (4096, 1) and input_grid(2).shape == (4096, 2)
    assert input_grid(3, 1024).shape == (1000, 3)
    with pytest.raises(ValueError, match=r"points must be at least the 2\^4 corners, got 15"):
        input_grid(4, 15)


def test_regression_error_by_hand():
    target = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    # The first output is half the target's, the second is not proportional to the target's.
    outputs = jnp.array([[0.5, 2.0], [0.0, 4.0]])
    got = error_of("regression", outputs, target)
    # 8 / 20 = 0.4 is the best factor of the second: 0.8 and 1.6 instead of 0 and 2.
    assert float(got.mean) == pytest.approx((0.8 + 0.4) / 4)
    assert float(got.largest) == pytest.approx(0.8)
    assert float(got.root_mean_square) == pytest.approx(np.sqrt((0.64 + 0.16) / 4))
    # The target's outputs span 1 and 2.
    assert float(got.relative) == pytest.approx(0.4)
    assert float(got.disagreement) == 0
    # One point in a thousand that is wrong leaves a small mean squared error, and is no ticket.
    target = jnp.linspace(-1, 1, 1000)[:, None]
    wrong = target.at[500].add(0.02)
    assert float(jnp.mean((wrong - target) ** 2)) < 1e-6
    assert is_found("regression", error_of("regression", target, target))
    assert not is_found("regression", error_of("regression", wrong, target))


def test_classification_error_by_hand():
    # Centred, the target's logits are -1 and 1, 1 and -1: root mean square 1.
    target = jnp.array([[0.0, 2.0], [5.0, 3.0]])
    # Centred: -3 and 3; -1 and 1, another class. Best factor: (6 - 2) / 20 = 0.2.
    outputs = jnp.array([[1.0, 7.0], [2.0, 4.0]])
    got = error_of("classification", outputs, target)
    assert float(got.disagreement) == 0.5
    assert float(got.mean) == pytest.approx((0.4 + 1.2) / 2)
    assert float(got.largest) == pytest.approx(1.2)
    # An output of the wrong sign is no better than 0.
    wrong = error_of("classification", -target, target)
    assert float(wrong.mean) == float(wrong.largest) == 1
    assert float(wrong.disagreement) == 1


def test_a_classifier_that_puts_out_no_numbers_is_not_the_target():
    # All its arg maxima are those of the target.
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
    assert is_found(task.kind, same) and not is_found(task.kind, other)

    def recovered(error):
        return functionally_recovered(task.kind, error.disagreement, error.largest, 0.01)

    assert recovered(same) and not recovered(other)


def test_recovered_is_below_the_noise_or_a_thousandth():
    assert functionally_recovered("regression", 1.0, 0.01, 0.01)
    assert not functionally_recovered("regression", 0.0, 0.011, 0.01)
    assert functionally_recovered("classification", 0.01, 9.0, 0.01)
    assert not functionally_recovered("classification", 0.011, 0.0, 0.01)
    assert functionally_recovered("regression", 0.0, 1e-3, 0.0)
    assert not functionally_recovered("regression", 0.0, 1.1e-3, 0.0)
