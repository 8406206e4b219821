"""Run grids into results directories, with a progress bar; interrupted grids resume."""

import itertools
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

import jax
import pyarrow as pa

from ticketjax.commands import job
from ticketjax.commands.flags import FLAGS, FlagError, grid, running
from ticketjax.figures import draw_quality, draw_rounds, lowest_in_rounds, panels_of
from ticketjax.progress import progress
from ticketjax.records import store
from ticketjax.records.lock import InUse
from ticketjax.records.summaries import WHERE
from ticketjax.records.tables import table
from ticketjax.records.titles import place_name
from ticketjax.runs.engine import BudgetError
from ticketjax.runs.grid import Grid, make_grid
from ticketjax.sweeping import records_of, run_into

# Seconds between two checks of what the other processes have finished.
SECONDS_BETWEEN_LOOKS = 2


def is_first() -> bool:
    """Whether this is the process that prints and draws; the only one, unless distributed."""
    return jax.process_index() == 0


def grid_of(**fields: Any) -> Grid:
    """The grid of these fields, as make_grid() takes them.

    Args:
        **fields: as in make_grid().

    Returns:
        The grid.

    Raises:
        FlagError: the grid cannot be run.
    """
    try:
        return make_grid(**fields)
    except ValueError as error:
        raise FlagError(str(error)) from None


def run_grids(
    grids: dict[str, Grid], on_chunk: Callable[[str, int, float], None] | None = None
) -> pa.Table | None:
    """Run what is missing of each grid in its directory.

    With several processes, each runs its share and waits for the shares of the others.

    Args:
        grids: by directory.
        on_chunk: called after every chunk with its directory, its number of runs, and the seconds
            that its compiled programs took.

    Returns:
        The grids' records in the first process, None in the others.

    Raises:
        FlagError: a directory cannot be opened, or a seeker does not keep to its budget.
        ConnectionError: another process has ended before all runs were done.
    """
    # The other processes wait until the first one has opened the directories, or has ended.
    if not is_first():
        job.wait_until_opened()
    # Sorted, so that two commands that share directories do not wait for each other.
    opened = {directory: _open(directory, grids[directory]) for directory in sorted(grids)}
    if is_first():
        job.tell_opened()
    results = [(wanted, opened[directory]) for directory, wanted in grids.items()]
    done = {directory: opened[directory].done() for directory in grids}
    share = jax.process_index(), jax.process_count()
    own = {directory: wanted.run_names(share) for directory, wanted in grids.items()}
    total = sum(map(len, own.values()))
    finished = sum(len(runs & done[directory]) for directory, runs in own.items())
    # Only the first process shows a bar; the others are about as far.
    with progress(total, finished, quiet=not is_first()) as shown:
        for directory, wanted in grids.items():
            shown.name(_name(wanted))

            def finish_chunk(runs: int, seconds: float, directory: str = directory) -> None:
                if on_chunk:
                    on_chunk(directory, runs, seconds)
                _stop_if_one_is_gone(results)

            try:
                run_into(
                    wanted,
                    opened[directory],
                    done[directory],
                    shown,
                    share=share,
                    on_chunk=finish_chunk,
                )
            except BudgetError as error:
                raise FlagError(f"{error}; the flag is --nocheck_budget") from None
    while jax.process_count() > 1 and not _all_done(results):
        _stop_if_one_is_gone(results)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if not is_first():
        return None
    return pa.concat_tables([records_of(wanted, directory) for directory, wanted in grids.items()])


def _name(wanted: Grid) -> str:
    """The name of a grid on the bar: the kind of its seekers, if they are of one kind."""
    kinds = {getattr(type(seeker), "name", "own") for _, seeker in wanted.seekers}
    return kinds.pop() if len(kinds) == 1 else "seekers"


def _open(directory: str, wanted: Grid) -> store.Store:
    share = jax.process_index(), jax.process_count()
    try:
        try:
            return store.Store(directory, wanted, share=share)
        except InUse as error:
            if not FLAGS.wait:
                raise ValueError(f"{error}; --wait waits for it to end") from None
            print(f"{error}; waiting for it to end", file=sys.stderr)
            return store.Store(directory, wanted, share=share, wait=True)
    except (ValueError, OSError) as error:
        raise FlagError(f"--out={FLAGS.out}: {error}") from None


def _all_done(results: Collection[tuple[Grid, store.Store]]) -> bool:
    return all(wanted.run_names() <= parts.done() for wanted, parts in results)


def _stop_if_one_is_gone(results: Collection[tuple[Grid, store.Store]]) -> None:
    gone = job.gone()
    # In this order, because a process that has ended writes nothing more.
    if gone is not None and not _all_done(results):
        raise job.has_ended(gone)


def places(wanted: Grid, names: Collection[str] = WHERE) -> list[dict[str, Any]]:
    """The places of a grid, in its order: each the values of these columns of its records."""
    found = {}
    for named, noise in itertools.product(wanted.settings(), wanted.axis("noise")):
        place = {
            "task": named.setting.task.name,
            "model": named.model,
            "depth": named.depth,
            "width": named.width,
            "noise": noise,
        }
        chosen = {name: place[name] for name in names}
        found[tuple(chosen.values())] = chosen
    return list(found.values())


def run_and_show(strategy: str, **options: Any) -> int:
    """Run the grid of the flags, print its table, write its figure; a command's exit status."""
    wanted = grid_of(**grid(), **running(), strategy=strategy, **options)
    records = run_grids({FLAGS.out: wanted})
    if records is None:
        return 0
    draw_quality(records, panels_of(places(wanted)), f"{FLAGS.out}/figure.png")
    print(table(records))
    print(f"\nfigure: {FLAGS.out}/figure.png\nrecords: {FLAGS.out}/parts")
    for path in _draw_rounds(records):
        print(f"layer densities over the rounds: {path}")
    return 0


def _draw_rounds(records: pa.Table) -> list[str]:
    """Draw what pruning in rounds left of the layers, at the lowest density of every place."""
    paths = []
    for where in lowest_in_rounds(records):
        paths.append(f"{FLAGS.out}/rounds-{place_name(where)}.png")
        draw_rounds(records, where, paths[-1])
    return paths
