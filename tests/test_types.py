"""Everything is float32, even with 64 bits enabled; other types are refused."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.processes import python
from tests.wide_records import records
from ticketjax.tasks.image_files import augment


def assert_same(found, expected):
    """Equal up to rounding, and exactly for integers."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        assert found == expected


@pytest.mark.long
def test_records_are_the_same_with_64_bits_enabled():
    arguments = "-W", "error", "-m", "tests.wide_records"
    wide = python(*arguments, directory=os.getcwd(), JAX_ENABLE_X64="1")
    assert wide.returncode == 0, wide.stderr
    assert_same(json.loads(wide.stdout), json.loads(json.dumps(records())))


TASK = tj.get_task("relu")
MODEL = tj.mlp(TASK, depth=3, width=6)
PARAMS = MODEL.init(jax.random.key(0))
BATCH = TASK.sample(jax.random.key(1), 20, noise=0.01)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
@pytest.mark.parametrize("match", ["cosine", "hidden"])
def test_parameters_of_another_type_are_refused_by_their_layer(dtype, match):
    kernel = PARAMS["layer_1"]["kernel"].astype(dtype)
    params = {**PARAMS, "layer_1": {**PARAMS["layer_1"], "kernel": kernel}}
    message = f"layer_1/kernel is {dtype}; the parameters must be float32"
    with pytest.raises(ValueError, match=message):
        tj.plant(TASK.ticket(depth=3), params, match=match)
    with pytest.raises(ValueError, match=message):
        tj.make_problem(TASK, MODEL, params, BATCH)


def test_float64_is_refused_where_it_would_stay_float64():
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), PARAMS)
    planted = tj.plant(TASK.ticket(depth=3), params)
    assert planted.params["layer_0"]["kernel"].dtype == jnp.float32
    with jax.enable_x64(True), pytest.raises(ValueError, match="layer_0/.* is float64"):
        tj.plant(TASK.ticket(depth=3), params)


def test_a_target_of_any_type_is_planted_in_float32():
    target = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), TASK.ticket(depth=3))
    planted, expected = (tj.plant(t, PARAMS) for t in (target, TASK.ticket(depth=3)))
    for found, wanted in zip(*map(jax.tree.leaves, (planted, expected)), strict=True):
        assert found.dtype == wanted.dtype
        assert jnp.array_equal(found, wanted)


@pytest.mark.parametrize("name", ["x", "y"])
def test_data_of_another_type_is_refused(name):
    batch = BATCH._replace(**{name: getattr(BATCH, name).astype(jnp.bfloat16)})
    with pytest.raises(ValueError, match=f"batch.{name} must be float32, got bfloat16"):
        tj.make_problem(TASK, MODEL, PARAMS, batch)


def test_augmentation_draws_the_same_with_64_bits_enabled():
    images = np.arange(3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4, 1)
    expected = augment(jax.random.key(0), images, flip=True)
    with jax.enable_x64(True):
        found = augment(jax.random.key(0), images, flip=True)
    assert found.dtype == jnp.float32
    assert np.array_equal(found, expected)
