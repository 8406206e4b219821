"""Run grids into results directories or into memory, for sweep() and the commands."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import pyarrow as pa

from ticketjax import progress as bars
from ticketjax.records.store import Store, load_records
from ticketjax.runs.engine import Step, Stopwatch, run
from ticketjax.runs.grid import Grid, make_grid
from ticketjax.runs.record import RUN


def run_into(
    wanted: Grid,
    parts: Store,
    done: set[tuple],
    shown: bars.Progress,
    devices: Sequence[jax.Device] | None = None,
    share: tuple[int, int] = (0, 1),
    on_chunk: Callable[[int, float], None] | None = None,
) -> None:
    """Run what is missing of a grid, and write every chunk as soon as it is finished.

    Args:
        wanted, done, devices, share: as in run().
        parts: where records are written.
        shown: the progress bar.
        on_chunk: called after every chunk with its number of runs, and the seconds that its
            compiled programs took.

    Raises:
        BudgetError, OSError: as run() and Store.write().
    """
    on_step, watch = _teller(wanted, shown), Stopwatch()
    for records in run(wanted, done, devices, share, on_step, watch):
        parts.write(records)
        shown.add(records.num_rows)
        if on_chunk:
            on_chunk(records.num_rows, watch.seconds)
        watch.seconds = 0.0


def _teller(wanted: Grid, shown: bars.Progress) -> Callable[[Step], None]:
    """Shows each step of a grid: its place, if there are several, its name and the progress."""
    axes = [axis for axis in ("depth", "width") if len(wanted.axis(axis)) > 1]

    def tell(step: Step) -> None:
        where = " ".join([step.task, *(f"{axis} {getattr(step, axis)}" for axis in axes)])
        if step.at_once:
            shown.say(f"{where}: short of memory, continuing with {step.at_once} runs at once")
        doing = "compiling " * step.compiles + step.program
        shown.tell(f"{where}: {doing}, {step.number} of {step.of}")

    return tell


def sweep(
    *,
    out: str | os.PathLike | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: bool = False,
    wait: bool = False,
    **fields: Any,
) -> pa.Table:
    """Run a grid and return its records, one row per run, as an Arrow table.

    Args:
        out: a results directory. Runs that are finished there are not computed again; seeds,
            densities and seekers may be added to it. None keeps the records in memory only.
        devices: the devices to share the work among; all by default.
        progress: whether to show a bar.
        wait: whether to wait for another process that has the directory open, instead of refusing.
        **fields: fields of Grid, of Planting and Training, and options of seekers that are given by
            name, as in make_grid(). docs/protocol.md defines the columns of the records.

    Returns:
        The records of this grid; if the directory holds more, only the ones of this grid.

    Raises:
        ValueError: a value cannot be run (raised before any work; the message names the field);
            the directory holds another grid; or, as BudgetError, a seeker keeps another number of
            parameters than the density allows.
        OSError: the directory cannot be written.

    >>> records = sweep(task="relu", depth=3, width=10, seekers="snip", densities="ticket",
    ...                 seeds=1, samples=100, epochs=0)
    >>> records.num_rows, records["seeker"][0].as_py()
    (1, 'snip')
    """
    wanted = make_grid(**fields)
    if out is None:
        with bars.progress(wanted.runs, 0, quiet=not progress) as shown:
            tables = []
            for records in run(wanted, (), devices, on_step=_teller(wanted, shown)):
                tables.append(records)
                shown.add(records.num_rows)
        return pa.concat_tables(tables)
    parts = Store(out, wanted, wait=wait)
    names = wanted.run_names()
    done = parts.done()
    with bars.progress(len(names), len(names & done), quiet=not progress) as shown:
        run_into(wanted, parts, done, shown, devices)
    return records_of(wanted, out)


def records_of(wanted: Grid, directory: str | os.PathLike) -> pa.Table:
    """The records of a directory that belong to a grid, in the order of the directory."""
    records, names = load_records(directory), wanted.run_names()
    rows = zip(*records.select(RUN).to_pydict().values(), strict=True)
    chosen = [row in names for row in rows]
    return records if all(chosen) else records.filter(pa.array(chosen))
