"""Run grids into results directories, with a progress bar, from where they were left."""

import itertools
import sys
import time
from collections.abc import Callable, Collection, Iterator

import jax
import pyarrow as pa

from experiments import job
from experiments.flags import FLAGS, FlagError, grid, running
from ticketjax.progress import Progress, progress
from ticketjax import store
from ticketjax.figures import draw_quality, draw_rounds, lowest_in_rounds, panels_of
from ticketjax.grid import Grid
from ticketjax.lock import InUse
from ticketjax.summaries import WHERE
from ticketjax.sweep import BudgetError, Step, Stopwatch, run
from ticketjax.tables import table

# Between two looks at what the other processes have finished.
SECONDS_BETWEEN_LOOKS = 2


def is_first() -> bool:
    """Whether this is the process that prints and draws; the only one, unless distributed."""
    return jax.process_index() == 0


def run_grids(
    grids: dict[str, dict], on_chunk: Callable[[str, int, float], None] | None = None
) -> pa.Table | None:
    """Run what is missing of each grid (fields of Grid) in its directory; returns all records.

    Of several processes each runs its share, waits for the others', and only the first one
    returns the records, the rest None.

    on_chunk: called after every chunk with its directory, its runs and the seconds that
        its compiled programs took.

    Every grid is checked before the first one starts. Raises FlagError for what cannot be run, and
    for a seeker that does not keep to its budget; ConnectionError where another process has ended
    before all runs were done.
    """
    try:
        checked = {directory: Grid(**fields) for directory, fields in grids.items()}
    except ValueError as error:
        raise FlagError(str(error)) from None
    # The others find what the first one has opened, or the first one gone.
    if not is_first():
        job.wait_until_opened()
    # In one order, so that of two commands that share directories neither waits for the other.
    opened = {directory: _open(directory, checked[directory]) for directory in sorted(checked)}
    if is_first():
        job.tell_opened()
    results = {directory: (wanted, opened[directory]) for directory, wanted in checked.items()}
    done = {directory: parts.done() for directory, (_, parts) in results.items()}
    share = jax.process_index(), jax.process_count()
    total = finished = 0
    for directory, (wanted, _) in results.items():
        own = wanted.instance_names(share)
        total += len(own) * wanted.runs_per_instance
        finished += len(own & done[directory]) * wanted.runs_per_instance
    # One bar for all processes: theirs are as far.
    with progress(total, finished, quiet=not is_first()) as shown:
        for directory, (wanted, parts) in results.items():
            shown.name(wanted.strategy)
            watch = Stopwatch()
            chunks = run(
                wanted, done[directory], share=share, on_step=_teller(wanted, shown), watch=watch
            )
            for records in _within_budget(chunks):
                parts.write(records)
                shown.add(records.num_rows)
                if on_chunk:
                    on_chunk(directory, records.num_rows, watch.seconds)
                _stop_if_one_is_gone(results.values())
                watch.seconds = 0.0
    while jax.process_count() > 1 and not _all_done(results.values()):
        _stop_if_one_is_gone(results.values())
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if not is_first():
        return None
    return pa.concat_tables([store.load_records(directory) for directory in grids])


def _teller(wanted: Grid, shown: Progress) -> Callable[[Step], None]:
    """Shows each step of a grid: where, if there are several such places, what, and how far."""
    axes = [axis for axis in ("depth", "width") if len(wanted.axis(axis)) > 1]

    def tell(step: Step) -> None:
        where = " ".join([step.task, *(f"{axis} {getattr(step, axis)}" for axis in axes)])
        doing = "compiling " * step.compiles + step.program
        shown.tell(f"{where}: {doing}, {step.number} of {step.of}")

    return tell


def _within_budget(chunks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same chunks; a mask outside its budget is a refusal."""
    try:
        yield from chunks
    except BudgetError as error:
        raise FlagError(f"{error}; as a flag, --nocheck_budget") from None


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
    return all(wanted.instance_names() <= parts.done() for wanted, parts in results)


def _stop_if_one_is_gone(results: Collection[tuple[Grid, store.Store]]) -> None:
    gone = job.gone()
    # Looked at in this order: a process that is gone has written all that it ever will.
    if gone is not None and not _all_done(results):
        raise job.has_ended(gone)


def run_and_show(strategy: str, **options) -> int:
    """Run the grid of the flags, print its table, write its figure; a command's exit status."""
    fields = {**grid(), **running(), "strategy": strategy, **options}
    records = run_grids({FLAGS.out: fields})
    if records is None:
        return 0
    places = itertools.product(fields["task"], fields["depth"], fields["width"], fields["noise"])
    panels = panels_of(dict(zip(WHERE, place, strict=True)) for place in places)
    draw_quality(records, panels, f"{FLAGS.out}/figure.png")
    print(table(records))
    print(f"\nfigure: {FLAGS.out}/figure.png\nrecords: {FLAGS.out}/parts")
    for path in _draw_rounds(records):
        print(f"layers over the rounds: {path}")
    return 0


def _draw_rounds(records: pa.Table) -> list[str]:
    """Draw what pruning in rounds left of the layers, at the lowest density of every place."""
    paths = []
    for where in lowest_in_rounds(records):
        name = "rounds-{task}-depth{depth}-width{width}-noise{noise:g}".format(**where)
        paths.append(f"{FLAGS.out}/{name}.png")
        draw_rounds(records, where, paths[-1])
    return paths
