"""The precision of training's products: all of them have it, and no others."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from benchmarks.passes import product_in_passes
from ticketjax.masks import full_mask
from ticketjax.precision import at_precision
from ticketjax.records.manifest import configuration
from ticketjax.training import shuffles, train


def precisions(function, *arguments):
    """The precisions of all products of a function and of the functions that it calls."""
    return set(re.findall(r"Precision\.(\w+), ", str(jax.make_jaxpr(function)(*arguments))))


def everywhere(x):
    """Products in a called function, a loop, a branch, a custom derivative, a convolution."""
    product = jax.custom_jvp(lambda a: jnp.matmul(a, a, precision="highest"))
    product.defjvps(lambda t, out, a: jnp.matmul(t, a, precision="highest"))
    x = jax.jit(product)(x)
    x = jax.lax.fori_loop(0, 2, lambda _, a: jnp.matmul(a, a, precision="highest"), x)
    x = jax.lax.cond(x[0, 0] > 0, product, lambda a: a, x)
    windows = (1, 1), "SAME"
    return jax.lax.conv(x[None, None], x[None, None], *windows, precision="highest")


def test_every_product_has_it_and_the_values_stay():
    x = jnp.array(np.random.default_rng(0).normal(size=(4, 4)), jnp.float32)
    gradient = jax.grad(lambda a: jnp.sum(everywhere(a)))
    for function in (everywhere, gradient):
        assert precisions(function, x) == {"HIGHEST"}
        lower = at_precision(function, "high")
        assert precisions(lower, x) == {"HIGH"}
        # A CPU has only one precision.
        np.testing.assert_array_equal(lower(x), function(x))


@pytest.mark.parametrize("precision", ["network", "default"])
def test_only_training_has_it(precision):
    task = tj.get_task("relu")
    model = tj.mlp(task, 3, 8)
    params, batch = model.init(jax.random.key(0)), task.sample(jax.random.key(1), 32, 0.0)
    problem, order = tj.make_problem(task, model, params, batch), shuffles(jax.random.key(2), 1, 32)

    def trained(p):
        return train(problem, full_mask(p), order, precision=precision)

    expected = {"network": {"HIGHEST"}, "default": {"DEFAULT"}}[precision]
    assert precisions(trained, params) == expected
    np.testing.assert_array_equal(
        trained(params)["layer_0"]["kernel"],
        train(problem, full_mask(params), order)["layer_0"]["kernel"],
    )


def test_it_is_a_field_of_its_own_and_of_the_manifest_where_it_says_something():
    assert tj.make_grid(seeds=1).training == tj.Training()
    grid = tj.make_grid(seeds=1, precision="high", training_precision="default")
    assert (grid.precision, grid.training.training_precision) == ("high", "default")
    assert configuration(grid)["training"]["training_precision"] == "default"
    assert "training_precision" not in configuration(tj.make_grid(seeds=1))["training"]
    with pytest.raises(ValueError, match="training_precision must be one of network, highest"):
        tj.Training(training_precision="low")


@pytest.mark.parametrize(("passes", "bits"), [(1, 8), (3, 16)])
def test_the_emulation_keeps_so_many_bits(passes, bits):
    draw = np.random.default_rng(passes)
    a, b = (draw.normal(size=(50, 50)) for _ in range(2))
    exact, size = a @ b, np.abs(a) @ np.abs(b)
    given = jnp.float32(a), jnp.float32(b)
    error = np.max(np.abs(product_in_passes(*given, passes) - exact) / size)
    # Each operand is rounded by at most half a unit of its last bit, 2^-bits in all.
    assert 2.0 ** -(bits + 6) < error < 2.0**-bits
    (own,) = jax.vjp(lambda x: product_in_passes(x, given[1], passes), given[0])[1](given[1])
    np.testing.assert_allclose(own, product_in_passes(given[1], given[1].T, passes), rtol=1e-6)
