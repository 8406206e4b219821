"""Python in a process of its own, which finds this checkout and computes on the CPU."""

import os
import subprocess
import sys


def python(*arguments, directory, **environment):
    """What `python arguments` did in a directory: its status and what it printed."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd(), **environment},
    )
