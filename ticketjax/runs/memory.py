"""Memory of devices: what a compiled program will need, by its compiler's account, and what fits.

Only accelerators report a limit. On a CPU nothing is checked, and the system says when it is short.
"""

from typing import Any

import jax

# Of a device's limit, for one program: what other programs return is on the device too.
MEMORY_SHARE = 0.8
# A program's memory does not fall quite as its runs do.
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
    """Whether an error says that memory is short: by the compiler's account, or by a device's."""
    return isinstance(error, OutOfMemory) or "RESOURCE_EXHAUSTED" in str(error)


def limit_of(device: jax.Device) -> int | None:
    """Bytes that one program may use of a device; None where it does not say what it has."""
    try:
        limit = (device.memory_stats() or {}).get("bytes_limit")
    except jax.errors.JaxRuntimeError:  # a device that is compiled for, and is not there
        return None
    return None if limit is None else int(MEMORY_SHARE * limit)


def needed_by(analysis: Any) -> int:
    """Bytes on each device while a program runs: what it reads, returns, holds and consists of.

    Args:
        analysis: what memory_analysis() of a compiled program returns.

    Returns:
        Bytes; what is returned in the place of an argument counts once.
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
    """How many runs at once to go on with after an error for which is_short().

    Args:
        error: of a program for so many runs at once.
        runs: at least 2.

    Returns:
        As many as fit by the compiler's account, or half of them where a device has run out while
        it compiled or ran; fewer than before, at least 1.

    >>> runs_after(OutOfMemory(needed=4000, limit=2000), 512)
    230
    >>> runs_after(RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 512)
    256
    """
    if isinstance(error, OutOfMemory):
        return max(1, min(runs - 1, int(MARGIN * runs * error.limit / error.needed)))
    return runs // 2
