"""Run grids into results directories, with a progress bar, from where they were left."""

import itertools

import pyarrow as pa
from tqdm import tqdm

from experiments.flags import FLAGS, FlagError, grid, running
from ticketjax import report, store
from ticketjax.grid import Grid
from ticketjax.sweep import run


def run_grids(grids: dict[str, dict]) -> pa.Table:
    """Run what is missing of each grid (fields of Grid) in its directory; returns all records.

    Every grid is checked before the first one starts. Raises FlagError for what cannot be run.
    """
    try:
        checked = {directory: Grid(**fields) for directory, fields in grids.items()}
    except ValueError as error:
        raise FlagError(str(error)) from None
    try:
        results = {
            directory: (wanted, store.Store(directory, wanted))
            for directory, wanted in checked.items()
        }
    except (ValueError, OSError) as error:
        raise FlagError(f"--out={FLAGS.out}: {error}") from None
    done = {directory: parts.done() for directory, (_, parts) in results.items()}
    finished = sum(
        len(wanted.instance_names & done[directory]) * wanted.runs_per_instance
        for directory, (wanted, _) in results.items()
    )
    total = sum(wanted.runs for wanted in checked.values())
    with tqdm(total=total, initial=finished, unit="run", smoothing=0.1) as bar:
        for directory, (wanted, parts) in results.items():
            bar.set_description(f"{wanted.strategy}")
            for records in run(wanted, done[directory]):
                parts.write(records)
                bar.update(records.num_rows)
    return pa.concat_tables([store.load_records(directory) for directory in grids])


def run_and_show(strategy: str, **options) -> int:
    """Run the grid of the flags, print its table, write its figure; a command's exit status."""
    fields = {**grid(), **running(), "strategy": strategy, **options}
    records = run_grids({FLAGS.out: fields})
    places = itertools.product(fields["task"], fields["depth"], fields["width"], fields["noise"])
    panels = [
        report.Panel(quality, dict(zip(report.WHERE, place, strict=True)))
        for place in places
        for quality in report.QUALITIES
    ]
    several = len({panel.where["task"] for panel in panels}) < len(panels) // 2
    if several:
        panels = [panel._replace(title=_place(panel)) for panel in panels]
    report.figure(records, panels, f"{FLAGS.out}/figure.png")
    print(report.table(records))
    print(f"\nfigure: {FLAGS.out}/figure.png\nrecords: {FLAGS.out}/parts")
    return 0


def _place(panel: report.Panel) -> str:
    task, depth, width, noise = panel.where.values()
    return f"{task}, depth {depth}, width {width}, noise {noise:g}: {panel.quality}"
