"""Callbacks on the host: arrays arrive whole, and calls at the same time do not block others."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax.seekers.annealing.compiled.callback import MOST_BYTES, call_on_host

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from ticketjax.seekers.annealing.compiled.callback import call_on_host
devices = jax.device_count()
real = jax.ShapeDtypeStruct((), jnp.float32)
def total(x):
    for _ in range(20):
        x = x + call_on_host(lambda a: np.float32(a.sum()), real, x)
    return x[0, 0]
x = np.zeros((devices, 500, 1000), np.float32)
print("sums", jax.device_get(jax.pmap(total)(x)))
"""


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.int32])
def test_arrays_of_any_size_arrive_as_they_are(dtype):
    of_a_piece = MOST_BYTES // np.dtype(dtype).itemsize
    numbers = np.random.default_rng(0).integers(0, 2, (3, 2 * of_a_piece + 5)).astype(dtype)
    seen = []

    def twice(array, number):
        seen.append((array.dtype, array.shape, number.dtype))
        return np.where(array, number, 0).astype(np.int32)

    def call(array):
        shape = jax.ShapeDtypeStruct(array.shape, jnp.int32)
        return call_on_host(twice, shape, array, 2)

    wanted = np.where(numbers, 2, 0)
    np.testing.assert_array_equal(jax.jit(call)(numbers), wanted)
    np.testing.assert_array_equal(jax.jit(jax.vmap(call))(numbers), wanted)
    assert set(seen) == {
        (np.dtype(dtype), shape, np.dtype(np.int32)) for shape in (numbers.shape, numbers.shape[1:])
    }


def test_calls_on_all_devices_at_once_end():
    """Each thread that could copy an array runs a callback that waits for one."""
    cores = os.cpu_count()
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={cores}"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert "sums" in done.stdout, done.stderr
