"""The machine's best rates: products and copies per second, on all devices at once.

Devices are used as in a sweep, so that shares of these rates show how much can be gained.
"""

import jax
import jax.numpy as jnp

from benchmarks.timing import seconds
from ticketjax.runs.programs import sharded

PRODUCT_SIZES = (512, 1024, 2048, 4096)
# Smaller arrays do not use all of an accelerator.
MORE_PRODUCT_SIZES = (8192,)
# One size far larger than any cache, and one that fits into a second-level cache.
MEMORY_BYTES, CACHE_BYTES = 2**28, 2**20
TRAFFIC = 2**32
REPEATS = 5


def _best(function, *arguments) -> float:
    """Seconds of the fastest of some calls, without the first."""
    jax.block_until_ready(function(*arguments))
    return min(seconds(lambda: function(*arguments)) for _ in range(REPEATS))


def _on_all(function, *shapes):
    """A function on all devices, and its arrays on them."""
    devices = tuple(jax.local_devices())
    arrays = sharded(lambda _: tuple(jnp.full(s, 0.5) for s in shapes), devices)(
        jnp.zeros(len(devices))
    )
    return sharded(function, devices), arrays, len(devices)


def product_rate() -> tuple[float, int]:
    """FLOP/s of the best square product in full float32, and its size."""
    on_cpu = jax.default_backend() == "cpu"
    rates = {}
    for size in PRODUCT_SIZES if on_cpu else PRODUCT_SIZES + MORE_PRODUCT_SIZES:
        product, matrices, devices = _on_all(
            lambda a, b: jnp.matmul(a, b, precision="highest"), (size, size), (size, size)
        )
        rates[size] = 2 * size**3 * devices / _best(product, *matrices)
    best = max(rates, key=rates.get)
    return rates[best], best


def network_product_rate(width: int, samples: int, runs: int, steps: int = 200) -> float:
    """FLOP/s of a hidden layer's own product, (width, width) by (width, samples), run by run."""

    def chain(kernel, x):
        def step(x, _):
            return jax.vmap(lambda k, v: jnp.matmul(k, v, precision="highest"))(kernel, x), None

        return jax.lax.scan(step, x, length=steps)[0]

    program, arrays, devices = _on_all(chain, (runs, width, width), (runs, width, samples))
    flop = 2 * width * width * samples * runs * steps * devices
    return flop / _best(program, *arrays)


def copy_rate(size: int = MEMORY_BYTES) -> float:
    """Bytes/s of reading an array of `size` bytes and writing it back, repeatedly."""
    turns = max(1, TRAFFIC // (2 * size))

    def copies(x):
        return jax.lax.fori_loop(0, turns, lambda _, x: x + 1, x)

    program, arrays, devices = _on_all(copies, (size // 4,))
    return 2 * size * turns * devices / _best(program, *arrays)
