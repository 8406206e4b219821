"""A progress bar that shows the current step, and the time of all runs at the end."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from ticketjax.compiling import Compiling

# tqdm's default is a lock between processes, which leaks a resource if a command is stopped.
tqdm.set_lock(threading.RLock())
# Whether the cursor is on the line of a bar: code that prints must then begin a new line.
line_is_begun = False


class Progress:
    """The progress of runs: how many are finished, and the current step."""

    def __init__(self, bar: tqdm):
        self._bar = bar

    def name(self, what: str) -> None:
        """Set the title of the bar."""
        self._bar.set_description(what)

    def tell(self, step: str) -> None:
        """Show the current step."""
        self._bar.set_postfix_str(step)

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar, if a bar is shown."""
        if not self._bar.disable:
            self._bar.write(line, file=sys.stderr)

    def add(self, runs: int) -> None:
        """Count runs that are finished."""
        self._bar.update(runs)


@contextlib.contextmanager
def progress(
    total: int, finished: int, quiet: bool = False, smoothing: float = 0.1
) -> Iterator[Progress]:
    """Show a bar while the block runs, and then how long its runs took.

    Args:
        total: runs in all.
        finished: runs that were finished before.
        quiet: whether to show nothing.
        smoothing: smoothing of the rate, from 0 (the mean of all runs) to 1 (the rate of the
            latest).
    """
    global line_is_begun
    with Compiling() as compiling:
        began = time.perf_counter()
        line_is_begun = not quiet
        try:
            with tqdm(
                total=total, initial=finished, unit="run", smoothing=smoothing, disable=quiet
            ) as bar:
                yield Progress(bar)
                bar.set_postfix_str("")
        finally:
            line_is_begun = False
        if total > finished and not quiet:
            seconds = time.perf_counter() - began
            print(summary(total - finished, seconds, compiling.total()), file=sys.stderr)


def summary(runs: int, seconds: float, compiling: float) -> str:
    """Runs, seconds, runs per second, and the seconds of compilation, in one line."""
    return (
        f"{runs} run{'s' * (runs > 1)} in {seconds:.1f} s, {runs / seconds:.3g} per second; "
        f"{compiling:.1f} s of it compiling"
    )
