"""Python in a separate process, which finds this checkout and computes on the CPU."""

import os
import re
import subprocess
import sys


def python(*arguments, directory, **environment):
    """The result of `python arguments` in a directory: its status and its output."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd(), **environment},
    )


TINY = ["--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=1", "--seeds=2"]


def command(module, *flags, directory):
    # The tests' own, which compile fast, but for the number of devices, which is the command's.
    devices = r"--xla_force_host_platform_device_count=\d+"
    return python(
        "-m",
        f"experiments.{module}",
        *flags,
        directory=directory,
        XLA_FLAGS=re.sub(devices, "", os.environ["XLA_FLAGS"]),
        # What one command has compiled, the next ones need not.
        JAX_COMPILATION_CACHE_DIR=str(directory.parent / "compiled"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.2",
    )
