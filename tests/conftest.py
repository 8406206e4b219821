"""Settings of the whole session: CPU with several devices, strict broadcasting, nothing random."""

import gc
import importlib.metadata
import os

# These are read at the first import, so they come first. pmap is only tested with several devices.
# Variables that are already set are kept.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# No display: figures are written to files.
os.environ.setdefault("MPLBACKEND", "Agg")
FLAGS = {
    "xla_force_host_platform_device_count": 8,
    # The tests compile much and compute little: half of their time would be LLVM's optimisation,
    # and half of the rest the translation of every fusion through MLIR.
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": "false",
}
# XLA aborts on an unknown flag, and later versions will not have the older emitters.
if not importlib.metadata.version("jaxlib").startswith("0.10."):
    del FLAGS["xla_cpu_use_fusion_emitters"]
present = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join(
    [present, *(f"--{flag}={value}" for flag, value in FLAGS.items() if flag not in present)]
)

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

from tests.forks import Forks  # noqa: E402

# JAX's traces are many objects, hardly any of which are garbage. With Python's own thresholds, an
# eighth of the time of the tests is spent looking through them.
gc.set_threshold(50_000, 20, 100)

# (n,) with (n, 1) broadcasts to (n, n) silently, which is the most common mistake in a loss.
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, max_examples=100
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """Starts commands that end before they compile anything."""
    server = Forks(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()
