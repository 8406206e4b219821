"""Call a function in a separate process, with nothing compiled and its own peak memory.

    fresh.call("benchmarks.scaling", "measure", width=100)

The caller must not use JAX, because an accelerator serves one process at a time.
"""

import importlib
import json
import subprocess
import sys


class Failure(Exception):
    """The process ended without an answer; the message is its last line and its status."""


def call(module: str, function: str, **arguments):
    """Call a function in a new process and return its answer.

    Args:
        module: the name of the function's module.
        function: the name of the function.
        **arguments: its arguments, values that JSON can represent.

    Returns:
        The function's answer, which must be a value that JSON can represent.

    Raises:
        Failure: the process fails, for example because memory is short.
    """
    command = [sys.executable, "-m", "benchmarks.fresh", module, function, json.dumps(arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        last = answer.stderr.strip().splitlines()[-1:]
        raise Failure(", ".join([*last, f"exit status {answer.returncode}"]))
    return json.loads(answer.stdout.splitlines()[-1])


def peak_memory() -> int:
    """The most bytes of main memory that this process has used."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_device_memory() -> int | None:
    """The most bytes that a device has used; None if JAX does not report it, as on a CPU."""
    import jax

    peaks = [(d.memory_stats() or {}).get("peak_bytes_in_use") for d in jax.local_devices()]
    return None if None in peaks else max(peaks)


def _answer(module: str, function: str, arguments: str) -> None:
    from ticketjax.commands.launching import use_all_cores

    use_all_cores()
    try:
        answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    except Exception as error:  # of any kind, so that the caller can report it in one line
        sys.exit(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    print(json.dumps(answer))


if __name__ == "__main__":
    _answer(*sys.argv[1:])
