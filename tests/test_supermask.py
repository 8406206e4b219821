"""Supermasks: draws, rescaling and gradient by hand, its identity, whole searches in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.oracles import backprop as oracle
from tests.oracles.problems import layers_of, problem_of
from tests.oracles.vectors import flat, sigmoid, unflat
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch
from ticketjax.problem import Problem
from ticketjax.seekers.gates.search import Gates, Moment
from ticketjax.seekers.gates.supermask import Supermask, draw, rescaled_kernels
from ticketjax.seekers.prunable import Prunable

KEY = jax.random.key(3)
SIZE = 71


def test_draws_are_binary_and_as_often_open_as_said():
    logits = jnp.repeat(jnp.array([-2.0, 0.0, 3.0]), 10_000)
    mask, pull = jax.vjp(lambda s: draw(KEY, s), logits)
    assert set(np.unique(mask)) == {0.0, 1.0}
    # Within four standard deviations.
    shares = np.asarray(mask).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(shares, sigmoid(np.array([-2.0, 0.0, 3.0])), atol=4 * 0.5 / 100)
    (slope,) = pull(jnp.full(30_000, 2.0))
    p = sigmoid(np.asarray(logits))
    np.testing.assert_allclose(slope, 2 * p * (1 - p), rtol=1e-5)


def test_a_step_with_rescaling_by_hand():
    # Three inputs, of which two are kept, and a bias: y = 3/2 (w1 x1 + w3 x3) + b.
    params = {"layer_0": {"kernel": jnp.array([[1.0], [4.0], [-2.0]]), "bias": jnp.array([0.5])}}
    batch = Batch(jnp.array([[2.0, 9.0, 1.0]]), jnp.array([[1.0]]))

    def affine(params, x):
        return x @ params["layer_0"]["kernel"] + params["layer_0"]["bias"][None]

    problem = Problem(params, batch, affine, REGRESSION, "raw")
    prunable = Prunable(problem, "global")
    mask = prunable.vector(
        {"layer_0": {"kernel": jnp.array([[1.0], [0.0], [1.0]]), "bias": jnp.array([1.0])}}
    )
    loss, slope = jax.value_and_grad(Supermask().loss, argnums=2)(problem, prunable, mask)
    # The output is 1.5 (2 - 2) + 0.5 = 0.5, the error (0.5 - 1)^2 and its slope -1.
    assert float(loss) == 0.25
    # The ones' number, 2, counts in the derivative: 1.5 w x - 1.5 / 2 * (2 - 2).
    by_layer = prunable.layers(slope)["layer_0"]
    np.testing.assert_allclose(by_layer["kernel"], [[-3.0], [-54.0], [3.0]])
    np.testing.assert_allclose(by_layer["bias"], [-0.5])
    # Without rescaling it is 0.5 too, and the slopes are -w x.
    plain = jax.grad(Supermask(rescale=False).loss, argnums=2)(problem, prunable, mask)
    np.testing.assert_allclose(prunable.layers(plain)["layer_0"]["kernel"], [[-2], [-36], [2]])


def test_a_layer_without_a_single_one_stays_empty():
    masks = {"layer_0": {"kernel": jnp.zeros((2, 3)), "bias": jnp.ones(3)}}
    assert not np.any(rescaled_kernels(masks)["layer_0"]["kernel"])
    slope = jax.grad(lambda m: jnp.sum(rescaled_kernels(m)["layer_0"]["kernel"]))(masks)
    assert np.all(np.isfinite(slope["layer_0"]["kernel"]))


def test_without_biases_rescaling_changes_nothing_that_the_rescaled_objective_sees():
    layers = [(kernel, np.zeros_like(bias)) for kernel, bias in layers_of(4)]
    problem = problem_of(layers, REGRESSION, "rescaled")
    relax = Supermask().method().relax
    moment = Moment(jnp.float32(0.5), jnp.float32(0.5))

    @jax.jit
    def slopes(problem):
        prunable = Prunable(problem, "global")

        def slope(seeker):
            def loss(s):
                return seeker.loss(problem, prunable, relax(KEY, Gates(s), moment))

            return jax.grad(loss)(jnp.linspace(-1.0, 1.0, SIZE))

        return slope(Supermask()), slope(Supermask(rescale=False))

    rescaled, plain = slopes(problem)
    assert np.max(np.abs(plain)) > 1e-2
    np.testing.assert_allclose(rescaled, plain, rtol=1e-3, atol=1e-5)
    # With biases it does.
    rescaled, plain = slopes(problem_of(layers_of(4), REGRESSION, "rescaled"))
    assert np.max(np.abs(rescaled - plain)) > 1e-2


STEPS, RATE, START = 6, 2.0, 1.0


def search_in_numpy(problem, key):
    """Gradient descent with momentum 0.9 on s, in batches of all samples."""
    x, y = (np.asarray(array) for array in problem.batch)
    layers = oracle.layers_of(problem.params)
    step_key = jax.random.split(key, 3)[2]
    s, momentum = np.full(SIZE, START), np.zeros(SIZE)
    for i in range(STEPS):
        p = sigmoid(s)
        uniform = jax.random.uniform(jax.random.fold_in(step_key, i), (SIZE,))
        masks = unflat((np.asarray(uniform) < p) * 1.0)
        factors = [kernel.size / kernel.sum() for kernel, _ in masks]
        kernels = [
            (f * kernel * mask, bias * mask_of_bias)
            for f, (kernel, bias), (mask, mask_of_bias) in zip(factors, layers, masks, strict=True)
        ]
        gradient = oracle.gradient(problem.kind, kernels, x, y)
        slopes = []
        for f, (kernel, bias), (mask, _), (of_kernel, of_bias) in zip(
            factors, layers, masks, gradient, strict=True
        ):
            through_sum = np.sum(of_kernel * f * kernel * mask) / mask.sum()
            of_mask = of_kernel * f * kernel - through_sum
            slopes.append((of_mask, of_bias * bias))
        slope = flat(oracle.tree_of(slopes))
        momentum = 0.9 * momentum + slope * p * (1 - p)
        s = s - RATE * momentum
    return s


def test_a_whole_search_is_the_one_in_numpy():
    problem = problem_of(layers_of(4), CLASSIFICATION)
    seeker = Supermask(epochs=STEPS, learning_rate=RATE, start=START, objective="raw")
    found = jax.jit(seeker)(KEY, problem, jnp.float32(0.3))
    score = search_in_numpy(problem, KEY)
    assert np.ptp(score) > 0.5
    np.testing.assert_allclose(flat(found.scores), score, rtol=1e-3, atol=1e-3)
    kept = flat(found.mask)
    assert kept.sum() == round(0.3 * SIZE)
    assert score[kept].min() >= score[~kept].max() - 2e-3
