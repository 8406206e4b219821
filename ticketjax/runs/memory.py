"""Memory of devices: what a compiled program will need, as its compiler reports, and what fits.

Only accelerators report a limit. On a CPU nothing is checked, and the operating system reports when
memory is short.
"""

from typing import Any

import jax

# Share of a device's limit for one program, because results of other programs are there too.
MEMORY_SHARE = 0.8
# A program's memory does not decrease quite in proportion to its runs.
MARGIN = 0.9


class OutOfMemory(MemoryError):
    """A program needs more memory than a device has for it.

    Args:
        needed, limit: bytes.
    """

    def __init__(self, needed: int, limit: int):
        super().__init__(
            f"a compiled program needs {needed / 2**20:,.0f} MiB on each device, which has "
            f"{limit / 2**20:,.0f}"
        )
        self.needed, self.limit = needed, limit


def is_short(error: BaseException) -> bool:
    """Whether an error means that memory is short, as reported by the compiler or by a device."""
    return isinstance(error, OutOfMemory) or "RESOURCE_EXHAUSTED" in str(error)


def limit_of(device: jax.Device) -> int | None:
    """Bytes of a device that one program may use; None if the device does not report them."""
    try:
        limit = (device.memory_stats() or {}).get("bytes_limit")
    except jax.errors.JaxRuntimeError:  # a device to compile for that is not present
        return None
    return None if limit is None else int(MEMORY_SHARE * limit)


def needed_by(analysis: Any) -> int:
    """Bytes on each device while a program runs: arguments, results, temporaries and the code.

    Args:
        analysis: what memory_analysis() of a compiled program returns.

    Returns:
        Bytes; a result in the memory of an argument counts once.
    """
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        + analysis.generated_code_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def check_memory(compiled: jax.stages.Compiled, device: jax.Device) -> None:
    """Check that a program fits, before it is called.

    Args:
        compiled: the program.
        device: any that it runs on.

    Raises:
        OutOfMemory: it needs more than limit_of() says.
    """
    limit = limit_of(device)
    if limit is None:
        return
    needed = needed_by(compiled.memory_analysis())
    if needed > limit:
        raise OutOfMemory(needed, limit)


def runs_after(error: BaseException, runs: int) -> int:
    """How many runs at once to continue with after an error for which is_short().

    Args:
        error: of a program for this many runs at once.
        runs: at least 2.

    Returns:
        As many as fit by the compiler's report, or half as many if a device ran out of memory while
        compiling or running; fewer than before, at least 1.

    >>> runs_after(OutOfMemory(needed=4000, limit=2000), 512)
    230
    >>> runs_after(RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 512)
    256
    """
    if isinstance(error, OutOfMemory):
        return max(1, min(runs - 1, int(MARGIN * runs * error.limit / error.needed)))
    return runs // 2
