"""Settings of the whole session: CPU with several devices, strict broadcasting, nothing random."""

import importlib.metadata
import os

# All are read at the first import, so they come first. pmap needs several devices to mean
# anything; whoever sets the variables keeps their own values.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nothing is shown: figures go to files.
os.environ.setdefault("MPLBACKEND", "Agg")
FLAGS = {
    "xla_force_host_platform_device_count": 8,
    # The tests compile much and compute little: half of their time would be LLVM's optimisation,
    # and half of the rest the detour of every fusion through MLIR.
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": "false",
}
# XLA dies of a flag that it does not know, and the older emitters will not stay for ever.
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

# (n,) against (n, 1) is (n, n) without a word: the commonest silent mistake in a loss.
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
