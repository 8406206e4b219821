"""Strong and weak quality of a network against NumPy and SciPy."""

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from tests.oracles.forward import forward
from tests.oracles.networks import he_network
from ticketjax.base import Batch
from ticketjax.measure.quality import (
    strong_quality,
    weak_quality,
)
from ticketjax.networks.mlp import mlp
from ticketjax.problem import make_problem
from ticketjax.tasks import get_task


def data_for(task, params, generator, samples):
    x = generator.uniform(-1, 1, (samples, task.inputs)).astype(np.float32)
    outputs = forward(params, x)
    if task.name == "circle":
        noise = 0.3 * generator.gumbel(size=outputs.shape)
        return Batch(x, np.argmax(outputs + noise, axis=1).astype(np.int32))
    noise = 0.3 * generator.standard_normal(outputs.shape)
    return Batch(x, (outputs * np.array([2.0, -1.0, 0.5]) + noise).astype(np.float32))


def drawn(name, seed):
    """A random network with data of its own outputs, and held-out data."""
    task, generator = get_task(name), np.random.default_rng(seed)
    params = he_network(generator, (task.inputs, 6, task.outputs))
    train, held_out = (data_for(task, params, generator, n) for n in (300, 100))
    problem = make_problem(task, mlp(task, 3, 6), params, train)
    return problem, held_out


@pytest.mark.parametrize("name", ["circle", pytest.param("helix", marks=pytest.mark.long)])
def test_strong_quality_fits_on_training_data_and_measures_on_held_out(name):
    problem, held_out = drawn(name, seed=3)
    params, train = problem.params, problem.batch
    quality, weak = (
        strong_quality(problem, params, held_out),
        weak_quality(problem, params, held_out),
    )

    fitted, outputs = forward(params, train.x), forward(params, held_out.x)
    if name == "helix":
        scale = (fitted * train.y).sum(axis=0) / (fitted**2).sum(axis=0)
        assert scale[1] < 0  # the second output has the wrong sign
        scale = np.maximum(scale, 0)
        expected = [np.mean((outputs * scale - held_out.y) ** 2)] * 2
        expected_weak = [np.mean((outputs - held_out.y) ** 2)] * 2
    else:

        def cross_entropy(logits, y):
            chosen = logits[np.arange(len(y)), y]
            return np.mean(scipy.special.logsumexp(logits, axis=1) - chosen)

        best = scipy.optimize.minimize_scalar(
            lambda log_scale: cross_entropy(np.exp(log_scale) * fitted, train.y),
            bounds=(-5, 5),
            method="bounded",
        )
        accuracy = np.mean(np.argmax(outputs, axis=1) == held_out.y)
        expected = [accuracy, cross_entropy(np.exp(best.x) * outputs, held_out.y)]
        expected_weak = [accuracy, cross_entropy(outputs, held_out.y)]
    np.testing.assert_allclose([quality.metric, quality.loss], expected, rtol=1e-4)
    np.testing.assert_allclose([weak.metric, weak.loss], expected_weak, rtol=1e-4)
    # The two differ, so that neither can replace the other.
    assert abs(expected[1] / expected_weak[1] - 1) > 0.05


@pytest.mark.parametrize("name", ["helix", "circle"])
def test_strong_quality_is_blind_to_the_output_scale(name):
    problem, held_out = drawn(name, seed=4)
    params = problem.params
    quality = strong_quality(problem, params, held_out)
    for power in (-20, 20):
        factor = np.float32(10.0**power)
        scaled = {**params, "layer_1": {k: v * factor for k, v in params["layer_1"].items()}}
        other = strong_quality(problem, scaled, held_out)
        assert float(other.metric) == pytest.approx(float(quality.metric), rel=1e-4)
        assert float(other.loss) == pytest.approx(float(quality.loss), rel=1e-4)


@pytest.mark.parametrize("name", ["helix", "circle"])
def test_quality_of_a_network_that_outputs_zero(name):
    problem, held_out = drawn(name, seed=5)
    params = problem.params
    zeros = jax.tree.map(np.zeros_like, params)
    quality = strong_quality(problem, zeros, held_out)
    if name == "helix":
        assert float(quality.metric) == pytest.approx(float(np.mean(held_out.y**2)), rel=1e-5)
    else:
        assert float(quality.metric) == pytest.approx(float(np.mean(held_out.y == 0)))
        assert float(quality.loss) == pytest.approx(np.log(4))
