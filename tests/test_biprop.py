"""Biprop: binary weights by hand and by least squares, its gradient, where it is edge-popup."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from tests.oracles import backprop as oracle
from tests.oracles.problems import layers_of, problem_of
from tests.oracles.vectors import flat
from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.seekers.biprop import Biprop, binarised
from ticketjax.seekers.edge_popup import EdgePopup

KEY = jax.random.key(3)


def trees(*networks):
    return [jax.tree.map(jnp.asarray, oracle.tree_of(layers)) for layers in networks]


def test_binary_weights_are_the_nearest_to_what_is_kept():
    layers, mask = layers_of(0), oracle.combine(lambda m: m > 0, layers_of(2))
    mask[1] = (np.zeros_like(mask[1][0]), mask[1][1])  # a layer of which no weight is kept
    got = binarised(*trees(layers, mask))
    for i, ((kernel, bias), (kept, kept_bias)) in enumerate(zip(layers, mask, strict=True)):
        signs = (np.sign(kernel) * kept).ravel()
        (alpha,) = np.linalg.lstsq(signs[:, None], (kernel * kept).ravel(), rcond=None)[0]
        expected = {"kernel": (alpha * signs).reshape(kernel.shape), "bias": bias * kept_bias}
        for part, leaf in expected.items():
            np.testing.assert_allclose(got[f"layer_{i}"][part], leaf, rtol=1e-5)


def test_gradient_of_a_score_is_sign_times_parameter_times_that_of_the_binary_network():
    layers, scores = layers_of(0), layers_of(1)
    mask = oracle.combine(lambda m: m > 0, layers_of(2))
    problem = problem_of(layers, CLASSIFICATION)
    _, of_scores, of_mask = trees(layers, scores, mask)

    @jax.jit
    def slope(s):
        return jax.grad(lambda s: problem.loss(Biprop().effective(problem.params, s, of_mask)))(s)

    binary = oracle.layers_of(binarised(problem.params, of_mask))
    x, y = (np.asarray(array) for array in problem.batch)
    gradient = oracle.gradient(problem.kind, binary, x, y)
    expected = oracle.combine(lambda s, p, g: np.sign(s) * p * g, scores, layers, gradient)
    assert any(np.any((g != 0) & ~m) for g, m in zip(gradient[1], mask[1], strict=True))
    for got, wanted in zip(
        jax.tree.leaves(slope(of_scores)), jax.tree.leaves(oracle.tree_of(expected)), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)


def test_with_weights_of_one_magnitude_it_is_edge_popup():
    sizes = (0.5, 2.0, 0.25)  # a mean of equal powers of two is exact
    layers = [
        (np.sign(kernel) * np.float32(size), bias)
        for (kernel, bias), size in zip(layers_of(4), sizes, strict=True)
    ]
    problem = problem_of(layers, REGRESSION)
    options = {"epochs": 3, "batch_size": 8, "weight_decay": 1e-4, "annealed": True}

    @jax.jit
    def both(key, problem):
        return [kind(**options)(key, problem, 0.4) for kind in (Biprop, EdgePopup)]

    biprop, popup = both(KEY, problem)
    for own, other in zip(jax.tree.leaves(biprop), jax.tree.leaves(popup), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5)
    # Of other weights it is not.
    biprop, popup = both(KEY, dataclasses.replace(problem, params=trees(layers_of(4))[0]))
    assert np.max(np.abs(flat(biprop.scores) - flat(popup.scores))) > 1e-3
