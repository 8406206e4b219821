"""Losses and fitted output scales against NumPy, SciPy and finite differences in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from tests.oracles.forward import forward
from tests.oracles.networks import he_network
from ticketjax import selection
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Task
from ticketjax.networks.mlp import mlp
from ticketjax.objective import loss, metric, output_scale, output_sign
from ticketjax.problem import Problem, make_problem
from ticketjax.tasks import get_task

POWERS = (-30, -25, -3, 0, 3, 25, 30)
fit = jax.jit(output_scale, static_argnums=0)


def cross_entropy(logits, y):
    """Mean over samples, in float64."""
    logits = np.asarray(logits, np.float64)
    return np.mean(scipy.special.logsumexp(logits, axis=1) - logits[np.arange(len(y)), y])


def best_temperature(logits, y, bounds=(-20.0, 40.0)):
    """Inverse temperature of least cross entropy, and this cross entropy, by SciPy."""
    found = scipy.optimize.minimize_scalar(
        lambda log_scale: cross_entropy(np.exp(log_scale) * logits, y),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-10},
    )
    return np.exp(found.x), found.fun


def labelled_logits(seed, samples=500, classes=4, sharpness=2.0):
    """Logits, and labels drawn from their softmax at the given inverse temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((samples, classes)).astype(np.float32)
    chances = scipy.special.softmax(sharpness * logits.astype(np.float64), axis=1)
    y = (generator.random((samples, 1)) > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    return logits, y.astype(np.int32)


# Loss and metric


def test_regression_loss_and_metric_by_hand():
    outputs = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    y = jnp.array([[1.0, 0.0], [0.0, 4.0]])
    assert float(loss(REGRESSION, outputs, y)) == (0 + 4 + 9 + 0) / 4
    assert float(metric(REGRESSION, outputs, y)) == (0 + 4 + 9 + 0) / 4


def test_classification_loss_and_metric_by_hand():
    outputs = jnp.log(jnp.array([[1.0, 2.0, 1.0], [1.0, 1.0, 8.0]]))
    y = jnp.array([1, 0])
    assert float(loss(CLASSIFICATION, outputs, y)) == pytest.approx((np.log(2) + np.log(10)) / 2)
    assert float(metric(CLASSIFICATION, outputs, y)) == 0.5
    assert float(metric(CLASSIFICATION, outputs, jnp.array([1, 2]))) == 1.0


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_network_with_an_output_that_is_not_finite_has_no_accuracy(bad):
    # The arg max of NaN is the first class, which would be correct for all of these.
    y = jnp.zeros(2, int)
    everywhere = jnp.full((2, 3), bad)
    assert np.isnan(metric(CLASSIFICATION, everywhere, y))
    once = jnp.array([[5.0, 1.0, 1.0], [5.0, 1.0, bad]])
    assert np.isnan(jax.jit(metric, static_argnums=0)(CLASSIFICATION, once, y))
    both = jnp.stack([once, jnp.zeros((2, 3))])
    values = jax.vmap(lambda outputs: metric(CLASSIFICATION, outputs, y))(both)
    np.testing.assert_array_equal(values, [np.nan, 1.0])


# Least squares


def test_regression_scale_against_least_squares_without_negative_factors():
    generator = np.random.default_rng(0)
    outputs = generator.standard_normal((200, 3)).astype(np.float32)
    y = (outputs * [2.0, -0.5, 0.0] + 0.3 * generator.standard_normal((200, 3))).astype(np.float32)
    expected = [scipy.optimize.nnls(outputs[:, [j]], y[:, j])[0][0] for j in range(3)]
    scale = fit(REGRESSION, outputs, y)
    assert scale.shape == (3,) and scale[1] == expected[1] == 0
    np.testing.assert_allclose(scale, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_the_sign_of_an_output_is_that_of_its_best_factor(kind):
    if kind == REGRESSION:
        outputs = np.random.default_rng(2).standard_normal((200, 2)).astype(np.float32)
        y = 3 * outputs
    else:
        outputs, y = labelled_logits(2)
    sign = jax.jit(output_sign, static_argnums=0)
    assert sign(kind, outputs, y) == sign(kind, 1e-20 * outputs, y) == 1
    assert sign(kind, -outputs, y) == sign(kind, -1e20 * outputs, y) == -1
    assert sign(kind, 0 * outputs, y) == 0
    if kind == REGRESSION:
        # One output of the wrong sign is enough.
        assert sign(kind, outputs * [1, -1], y) == -1


def test_descent_leads_from_the_wrong_sign_to_the_right_one():
    problem = problem_of(REGRESSION, "rescaled")
    shape = problem.batch.y.shape
    outputs = np.random.default_rng(3).standard_normal(shape).astype(np.float32)

    def loss_of(way):
        # The second and third outputs have the wrong sign, and the third almost vanishes.
        signs = jnp.array([1.0, -2.0, -1e-3])
        own = outputs * (signs + way)[None]
        here = dataclasses.replace(problem, apply=lambda params, x: own)
        here = dataclasses.replace(here, batch=Batch(problem.batch.x, jnp.asarray(outputs)))
        return here.loss({}), here.descent_loss({})

    zeros = jnp.zeros(3)
    flat, leading = loss_of(zeros)
    assert float(flat) == pytest.approx(2 / 3 * np.mean(outputs[:, 1:] ** 2), rel=1e-5)
    assert float(leading) == float(flat)
    exact, led = (jax.grad(lambda way, i=i: loss_of(way)[i])(zeros) for i in range(2))
    assert np.all(np.asarray(exact)[1:] == 0)
    assert np.all(np.asarray(led)[1:] < -0.1)
    # Where the factor is positive, the two are equal.
    assert float(exact[0]) == float(led[0])


@pytest.mark.parametrize("power", POWERS)
def test_regression_scale_undoes_any_magnitude(power):
    generator = np.random.default_rng(1)
    outputs = generator.standard_normal((200, 2)).astype(np.float32)
    y = (3 * outputs + generator.standard_normal((200, 2))).astype(np.float32)
    # A different magnitude for each output.
    scaled = (outputs * np.array([10.0**power, 10.0**-power])).astype(np.float32)
    np.testing.assert_allclose(
        scaled * np.asarray(fit(REGRESSION, scaled, y)),
        outputs * np.asarray(fit(REGRESSION, outputs, y)),
        rtol=1e-5,
    )


def test_an_output_that_is_always_zero_gets_the_factor_zero():
    y = np.array([[1.0, 1.0], [2.0, -1.0]], np.float32)
    outputs = np.array([[0.0, 2.0], [0.0, -2.0]], np.float32)
    assert fit(REGRESSION, outputs, y).tolist() == [0.0, 0.5]
    assert fit(REGRESSION, np.zeros_like(y), y).tolist() == [0.0, 0.0]


# Temperature


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0, 300.0])
def test_temperature_against_scipy(sharpness):
    logits, y = labelled_logits(2, sharpness=sharpness)
    expected, least = best_temperature(logits, y)
    scale = fit(CLASSIFICATION, logits, y)
    assert scale.shape == () and scale > 0
    assert float(scale) == pytest.approx(expected, rel=1e-3)
    assert cross_entropy(float(scale) * logits, y) == pytest.approx(least, rel=1e-6)
    # A fine grid, in case both are wrong.
    grid = np.exp(np.linspace(-5, 8, 400))
    assert least <= min(cross_entropy(factor * logits, y) for factor in grid) + 1e-9


@pytest.mark.parametrize("power", POWERS)
def test_temperature_undoes_any_magnitude(power):
    logits, y = labelled_logits(3)
    scaled = (logits * 10.0**power).astype(np.float32)
    scale, unscaled = float(fit(CLASSIFICATION, scaled, y)), float(fit(CLASSIFICATION, logits, y))
    assert scale * 10.0**power == pytest.approx(unscaled, rel=1e-4)
    assert float(loss(CLASSIFICATION, scaled * np.float32(scale), y)) == pytest.approx(
        float(loss(CLASSIFICATION, logits * np.float32(unscaled), y)), rel=1e-5
    )


@pytest.mark.parametrize("common", [10.0, 1000.0])
def test_temperature_is_blind_to_what_all_logits_have_in_common(common):
    logits, y = labelled_logits(4)
    shifted = logits + np.float32(common) * np.random.default_rng(4).choice(
        [-1, 1], (len(y), 1)
    ).astype(np.float32)
    _, least = best_temperature(logits, y)
    scale = fit(CLASSIFICATION, shifted, y)
    assert cross_entropy(float(scale) * shifted.astype(np.float64), y) == pytest.approx(
        least, rel=1e-4
    )


@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_a_sample_of_weight_two_counts_as_two_samples(kind):
    outputs, labels = labelled_logits(5, samples=60)
    y = labels if kind == CLASSIFICATION else np.float32(outputs[:, ::-1] + 1)
    weights = np.arange(60) % 3
    twice = np.repeat(np.arange(60), weights)
    factor = np.float32(twice.size / 60)  # the mean is over samples, not over weights
    scale = fit(kind, outputs, y, np.float32(weights))
    np.testing.assert_allclose(scale, fit(kind, outputs[twice], y[twice]), rtol=1e-4)
    np.testing.assert_allclose(
        loss(kind, outputs, y, np.float32(weights)),
        factor * loss(kind, outputs[twice], y[twice]),
        rtol=1e-5,
    )


def test_logits_that_tell_nothing_are_flattened_but_keep_their_order():
    logits, y = labelled_logits(5)
    scale = float(fit(CLASSIFICATION, -logits, y))
    assert scale > 0
    assert cross_entropy(-scale * logits, y) == pytest.approx(np.log(4), abs=2e-3)
    zeros = np.zeros_like(logits)
    scale = fit(CLASSIFICATION, zeros, y)
    assert np.isfinite(scale) and scale > 0
    assert float(loss(CLASSIFICATION, zeros * scale, y)) == pytest.approx(np.log(4))


def test_logits_without_error_become_certain():
    logits, _ = labelled_logits(6)
    y = np.argmax(logits, axis=1).astype(np.int32)
    scale = fit(CLASSIFICATION, logits, y)
    assert float(loss(CLASSIFICATION, logits * np.asarray(scale), y)) < 1e-4


# The objective


def problem_of(kind, objective, seed=0, samples=60):
    generator = np.random.default_rng(seed)
    task = get_task("circle" if kind == CLASSIFICATION else "helix")
    params = he_network(generator, (task.inputs, 5, 4, task.outputs))
    x = generator.uniform(-1, 1, (samples, task.inputs)).astype(np.float32)
    if kind == CLASSIFICATION:
        # The network's own logits, sharpened, so that the best temperature is in the interior.
        noise = generator.gumbel(size=(samples, task.outputs))
        y = np.argmax(3 * forward(params, x) + noise, axis=1).astype(np.int32)
    else:
        y = generator.standard_normal((samples, task.outputs)).astype(np.float32)
    return make_problem(task, mlp(task, 4, 5), params, Batch(x, y), objective=objective)


def loss_in_float64(problem, params):
    outputs, y = forward(params, problem.batch.x), problem.batch.y
    if problem.kind == CLASSIFICATION:
        if problem.objective == "raw":
            return cross_entropy(outputs, y)
        return best_temperature(outputs, y, bounds=(-3.0, 5.0))[1]
    if problem.objective == "rescaled":
        factor = (outputs * y).sum(axis=0) / (outputs**2).sum(axis=0)
        outputs = outputs * np.maximum(factor, 0)
    return np.mean((outputs - y) ** 2)


@pytest.mark.parametrize("objective", ["raw", "rescaled"])
@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_loss_and_gradient_against_finite_differences(kind, objective):
    problem = problem_of(kind, objective)
    value, gradients = jax.jit(jax.value_and_grad(Problem.loss, argnums=1))(problem, problem.params)
    assert float(value) == pytest.approx(loss_in_float64(problem, problem.params), rel=1e-5)
    # The scale is fitted again at every step of the differences.
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))
    step = 1e-4
    for name, layer in problem.params.items():
        for part, leaf in layer.items():
            for index in list(np.ndindex(leaf.shape))[:6]:
                params = jax.tree.map(lambda a: np.array(a, np.float64), problem.params)
                params[name][part][index] += step
                above = loss_in_float64(problem, params)
                params[name][part][index] -= 2 * step
                slope = (above - loss_in_float64(problem, params)) / (2 * step)
                assert float(gradients[name][part][index]) == pytest.approx(
                    slope, rel=2e-3, abs=2e-4 * float(largest)
                )


@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_the_rescaled_loss_is_blind_to_the_output_scale(kind):
    problem = problem_of(kind, "rescaled")
    value = float(problem.loss(problem.params))
    assert value < float(dataclasses.replace(problem, objective="raw").loss(problem.params))
    for power in (-20, 20):
        params = {name: dict(layer) for name, layer in problem.params.items()}
        params["layer_2"] = {
            k: leaf * np.float32(10.0**power) for k, leaf in params["layer_2"].items()
        }
        assert float(problem.loss(params)) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("objective", ["raw", "rescaled"])
@pytest.mark.parametrize("kind", [REGRESSION, CLASSIFICATION])
def test_a_network_that_outputs_zero_has_a_finite_loss_and_gradient(kind, objective):
    problem = problem_of(kind, objective)
    zeros = jax.tree.map(jnp.zeros_like, problem.params)
    value, gradients = jax.value_and_grad(problem.loss)(zeros)
    y = problem.batch.y
    expected = np.log(4) if kind == CLASSIFICATION else np.mean(y**2)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


# Problems


def test_a_problem_passes_through_jit_and_vmap():
    problem = problem_of(REGRESSION, "rescaled")
    expected = problem.loss(problem.params)
    compiled = jax.jit(Problem.loss)
    assert float(compiled(problem, problem.params)) == pytest.approx(float(expected), rel=1e-6)
    # Only parameters and data are traced; the rest is part of the structure.
    assert len(jax.tree.leaves(problem)) == 6 + 2
    changed = dataclasses.replace(problem, objective="raw")
    assert jax.tree.structure(changed) != jax.tree.structure(problem)
    assert float(compiled(changed, problem.params)) != pytest.approx(float(expected))

    back = jax.jit(lambda p: p)(problem)
    assert (back.kind, back.objective, back.prune_bias) == (REGRESSION, "rescaled", True)
    assert back.apply is problem.apply and back.ticket_density == problem.ticket_density

    two = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), problem)
    losses = jax.vmap(lambda p: p.loss(p.params))(two)
    for i in range(2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], two)
        assert float(losses[i]) == pytest.approx(float(one.loss(one.params)), rel=1e-5)


def test_make_problem_knows_the_ticket_density():
    task = get_task("circle")
    params = he_network(np.random.default_rng(0), (2, 30, 30, 30, 4))
    batch = Batch(jnp.zeros((3, 2)), jnp.zeros(3, jnp.int32))
    ticket = task.ticket(5)
    for prune_bias, parts in ((True, ("kernel", "bias")), (False, ("kernel",))):
        problem = make_problem(task, mlp(task, 5, 30), params, batch, prune_bias=prune_bias)
        kept = sum(np.count_nonzero(layer[part]) for layer in ticket.values() for part in parts)
        there = sum(layer[part].size for layer in params.values() for part in parts)
        assert problem.ticket_density == kept / there
        assert problem.prune_bias == prune_bias and problem.objective is None
        assert selection.budget(problem.ticket_density, there) == kept


def test_make_problem_without_a_ticket_of_this_depth():
    task = get_task("circle")
    params = he_network(np.random.default_rng(0), (2, 4))
    batch = Batch(jnp.zeros((3, 2)), jnp.zeros(3, jnp.int32))
    assert make_problem(task, mlp(task, 2, 1), params, batch).ticket_density is None


def make(task_name="circle", x_shape=(3, 2), y=None, **changes):
    task = dataclasses.replace(get_task(task_name), **changes.pop("task", {}))
    assert isinstance(task, Task)
    model = mlp(task, 3, 30)
    params = he_network(np.random.default_rng(0), (task.inputs, 30, task.outputs))
    batch = Batch(np.zeros(x_shape, np.float32), np.zeros(3, np.int32) if y is None else y)
    return make_problem(task, model, params, batch, **changes)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="objective must be one of raw, rescaled, got 'scaled'"):
        make(objective="scaled")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of regression, class.*got 'ranking'"):
        make(task={"kind": "ranking"})


@pytest.mark.parametrize(
    "name, x_shape, y, message",
    [
        # (3, 1) outputs against (3,) labels would broadcast to (3, 3) silently.
        ("relu", (3, 1), np.zeros(3, np.float32), r"y must be \(3, 1\).*\(3,\)"),
        ("relu", (3, 1), np.zeros((4, 1), np.float32), r"y must be \(3, 1\).*\(4, 1\)"),
        ("helix", (3, 1), np.zeros((3, 1), np.float32), r"y must be \(3, 3\).*\(3, 1\)"),
        ("circle", (3, 2), np.zeros((3, 4), np.int32), r"y must be \(3,\) int.*\(3, 4\)"),
        ("circle", (3, 2), np.zeros(3, np.float32), r"y must be \(3,\) int.*float32"),
        ("circle", (3, 1), np.zeros(3, np.int32), r"x must be \(n, 2\).*\(3, 1\)"),
        ("circle", (2,), np.zeros(3, np.int32), r"x must be \(n, 2\).*\(2,\)"),
    ],
)
def test_a_batch_that_does_not_fit_the_task_is_refused(name, x_shape, y, message):
    with pytest.raises(ValueError, match=message):
        make(name, x_shape, y)
