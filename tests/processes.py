"""Python in a separate process, which finds this checkout and computes on the CPU."""

import os
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
