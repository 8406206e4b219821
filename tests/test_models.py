"""Networks: shapes, forward pass against float64, and how they are initialised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles.forward import forward
from ticketjax.masks import layer_names
from ticketjax.networks.mlp import mlp
from ticketjax.tasks import TASKS, get_task

CIRCLE = get_task("circle")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("depth", [2, 3, 5, 12])
def test_shapes(name, depth):
    task = TASKS[name]
    model = mlp(task, depth, 7)
    params = jax.eval_shape(model.init, jax.random.key(0))
    widths = [task.inputs] + [7] * (depth - 2) + [task.outputs]
    assert layer_names(params) == [f"layer_{i}" for i in range(depth - 1)]
    for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        layer = params[f"layer_{i}"]
        assert set(layer) == {"kernel", "bias"}
        assert layer["kernel"].shape == (n_in, n_out) and layer["bias"].shape == (n_out,)
        assert layer["kernel"].dtype == layer["bias"].dtype == jnp.float32
    outputs = jax.eval_shape(model.apply, params, jnp.ones((3, task.inputs)))
    assert outputs.shape == (3, task.outputs) and outputs.dtype == jnp.float32


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("depth", [2, 3, 5, 12])
def test_forward_against_float64(name, depth):
    task = TASKS[name]
    model = mlp(task, depth, 20)
    generator = np.random.default_rng(depth)
    x = generator.uniform(-1, 1, (50, task.inputs)).astype(np.float32)
    params = model.init(jax.random.key(depth))
    expected = forward(params, x)
    error = np.abs(model.apply(params, x) - expected).max()
    assert error < 1e-5 * np.abs(expected).max()


def test_relu_stands_between_layers_but_not_after_the_last():
    model = mlp(get_task("relu"), 3, 2)
    params = {
        "layer_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.array([0.0, -1.0])},
        "layer_1": {"kernel": jnp.array([[2.0], [-5.0]]), "bias": jnp.array([-0.5])},
    }
    x = jnp.array([[3.0], [-0.5], [-2.0]])
    # Hidden: (3, 0), (0, 0), (0, 1).
    assert model.apply(params, x).tolist() == [[5.5], [-0.5], [-5.5]]


def test_widths_follow_the_parameters():
    target = CIRCLE.ticket(depth=6)  # NumPy leaves, other widths in every layer
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    outputs = mlp(CIRCLE, depth=3, width=9).apply(target, x)
    np.testing.assert_allclose(outputs, forward(target, x), rtol=1e-4, atol=1e-4)


def test_initial_values_have_the_promised_spread():
    widths = [2, 300, 300, 4]
    params = jax.vmap(mlp(CIRCLE, 4, 300).init)(jax.random.split(jax.random.key(1), 50))
    bias_spread = 1.0
    for i, n_in in enumerate(widths[:-1]):
        weight_spread = np.sqrt(2 / n_in)
        bias_spread *= weight_spread
        for part, spread in (("kernel", weight_spread), ("bias", bias_spread)):
            values = np.asarray(params[f"layer_{i}"][part], np.float64).ravel() / spread
            # Five standard errors of each statistic of a standard normal.
            tolerance = 5 / np.sqrt(values.size)
            assert abs(values.mean()) < tolerance
            assert abs(values.std() - 1) < tolerance
            assert abs((values**4).mean() - 3) < np.sqrt(96) * tolerance  # not truncated


def test_seeds_and_layers_differ_and_a_seed_repeats():
    model = mlp(CIRCLE, 5, 10)
    one, again, other = (model.init(jax.random.key(seed)) for seed in (0, 0, 1))
    assert jax.tree.all(jax.tree.map(np.array_equal, one, again))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))
    assert not np.array_equal(one["layer_1"]["kernel"], one["layer_2"]["kernel"])


def test_jit_and_vmap_over_seeds_change_nothing():
    model = mlp(CIRCLE, 4, 10)
    keys = jax.random.split(jax.random.key(2), 3)
    x = jax.random.uniform(jax.random.key(3), (5, 2))
    batched = jax.jit(jax.vmap(model.init))(keys)
    outputs = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))(batched, x)
    for i, key in enumerate(keys):
        params = model.init(key)
        jax.tree.map(
            lambda leaf, one, i=i: np.testing.assert_allclose(leaf[i], one, rtol=1e-6),
            batched,
            params,
        )
        np.testing.assert_allclose(outputs[i], model.apply(params, x), rtol=1e-5, atol=1e-6)


def test_the_same_arguments_give_the_same_model():
    model = mlp(CIRCLE, 5, 100)
    assert mlp(CIRCLE, depth=5, width=100) is model
    assert mlp(width=100, depth=5, task=CIRCLE) is model
    assert mlp(CIRCLE, 5, width=100, precision="highest") is model
    for other in (
        mlp(CIRCLE, 5, 101),
        mlp(CIRCLE, 4, 100),
        mlp(get_task("helix"), 5, 100),
        mlp(CIRCLE, 5, 100, "default"),
    ):
        assert other is not model


@pytest.mark.parametrize(
    "precision, named",
    [("highest", True), ("default", False), (None, False)],
)
def test_products_ask_for_their_precision(precision, named):
    model = mlp(CIRCLE, 3, 4, precision)
    params = model.init(jax.random.key(0))
    assert ("HIGHEST" in str(jax.make_jaxpr(model.apply)(params, jnp.ones((1, 2))))) == named


@pytest.mark.parametrize("depth", [1, 0, -3])
def test_a_network_without_layers_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth must be at least 2.*got {depth}"):
        mlp(CIRCLE, depth, 10)


@pytest.mark.parametrize("width", [0, -1])
def test_a_network_without_neurons_is_refused(width):
    with pytest.raises(ValueError, match=f"width must be at least 1, got {width}"):
        mlp(CIRCLE, 3, width)
