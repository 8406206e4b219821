"""Draws that are the same on every machine: their distribution, and values against oracles."""

import hashlib

import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests.example_networks import network
from tests.oracles.forward import forward
from ticketjax.sharing import exact_draws


def test_uniform_numbers_are_those_of_shake():
    content = hashlib.shake_256((3).to_bytes(8, "little") + b"keypurpose").digest(48)
    words = [int.from_bytes(content[i : i + 8], "little") >> 12 for i in range(0, 48, 8)]
    found = exact_draws.uniform(b"key", "purpose", (2, 3))
    np.testing.assert_array_equal(found.ravel(), [(2 * word + 1) / 2**53 for word in words])
    # Key and purpose are separated: moving letters from one to the other gives other numbers.
    assert not np.any(found == exact_draws.uniform(b"keyp", "urpose", (2, 3)))


def test_quantiles_and_logarithms_agree_with_scipy():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 9_999), 2.0 ** -np.arange(2.0, 53), [2.0**-53]])
    np.testing.assert_allclose(
        exact_draws.normal_quantile(p), scipy.special.ndtri(p), rtol=2e-14, atol=1e-16
    )
    np.testing.assert_allclose(exact_draws._log(p), np.log(p), rtol=1e-15, atol=2e-16)


def test_draws_are_uniform_and_normal():
    u = exact_draws.uniform(b"k", "u", (20_000,))
    z = exact_draws.normal(b"k", "z", (20_000,))
    for values, distribution in ((u, "uniform"), (z, "norm")):
        assert scipy.stats.kstest(values, distribution).pvalue > 0.01
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(u, z)[0, 1]) < 0.03


def test_mothers_have_the_sizes_of_the_initialisation():
    params = exact_draws.mother_network(b"k", (2, 400, 300, 4))
    scale = 1.0
    for layer, n_in in zip(params.values(), (2, 400, 300), strict=True):
        scale *= (2 / n_in) ** 0.5
        assert layer["kernel"].std() == pytest.approx((2 / n_in) ** 0.5, rel=0.1)
        if layer["bias"].size > 100:
            assert layer["bias"].std() == pytest.approx(scale, rel=0.15)
        assert {leaf.dtype for leaf in layer.values()} == {np.dtype(np.float32)}


def test_outputs_are_a_matrix_product_in_another_order():
    rng = np.random.default_rng(0)
    params, x = network(rng, (3, 8, 5, 2)), rng.uniform(-1, 1, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(exact_draws.outputs(params, x), forward(params, x), rtol=1e-11)
