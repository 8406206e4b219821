r"""Compare two seekers of a results directory, seed by seed.

    ticketjax compare_seekers SNIP GraSP --results=results/singleshot
    ticketjax compare_seekers snip grasp --results=results/leaderboard --quality=weak

A and B are two rows of the directory's tables, given by their names there, or by the label in
records if only one row has it. For every task, depth, width, noise and density, the command prints
the means of both over their common seeds, the mean of the differences A - B with its 95% interval,
and the p value of a paired t test, adjusted by Holm over the table. For strong tickets it prints
the share of seeds that found one, with its 95% interval. Nothing is run.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.report import check_directory

if TYPE_CHECKING:
    import pyarrow as pa

    from ticketjax.records.summaries import Series

ARGUMENTS = ("A", "B")
COLUMNS = {
    "strong": "strong_metric",
    "weak": "weak_metric",
    "own": "own_metric",
    "recall": "recall",
}


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("results", None, "Results directory, or a directory of them.")
    flags.DEFINE_enum(
        "quality",
        "strong",
        list(COLUMNS),
        "What is compared: the metric before training, after training, or with the seeker's own "
        "parameters; or the recall of the ticket.",
    )


def _row(name: str, series: list[Series]) -> Series:
    """The row of this label, or the only one of this seeker."""
    from ticketjax.names import suggestion

    labels = [one.label for one in series]
    if name in labels:
        return series[labels.index(name)]
    own = [one for one in series if one.where["seeker"] == name]
    if len(own) == 1:
        return own[0]
    if own:
        raise FlagError(f"{name!r} names {len(own)} rows: {', '.join(one.label for one in own)}")
    known = dict.fromkeys([*labels, *(one.where["seeker"] for one in series)])
    hint = suggestion(name, known)
    raise FlagError(f"there is no row {name!r} in {FLAGS.results}, only {', '.join(labels)}{hint}")


def _records(directory: pathlib.Path) -> pa.Table:
    import pyarrow as pa

    from ticketjax.report import find_results, read_results

    results = [read_results(found) for found in find_results(directory)]
    for one in results:
        for damage in one.damages:
            print(f"warning: {one.directory}: {damage}")
    records = pa.concat_tables([one.records for one in results])
    if not records.num_rows:
        raise ValueError("holds no records yet")
    return records


def main(first: str, second: str) -> int:
    """Read the records, compare two of their rows, print the table."""
    if not FLAGS.results:
        raise FlagError("--results: which directory? For example --results=results/singleshot")
    with naming("results"):
        check_directory(pathlib.Path(FLAGS.results))
        records = _records(pathlib.Path(FLAGS.results))
    from ticketjax.records.comparison import compare, comparison_table
    from ticketjax.records.statistics import FEWEST
    from ticketjax.records.summaries import series_of

    column = COLUMNS[FLAGS.quality]
    if column not in records.column_names or records[column].null_count == records.num_rows:
        raise FlagError(f"--quality={FLAGS.quality}: the records do not have it")
    series = series_of(records)
    one, other = _row(first, series), _row(second, series)
    if one == other:
        raise FlagError(f"{first!r} and {second!r} both name the row {one.label}")
    with naming("results"):
        comparisons = compare(records, one, other, column)
    most = max((comparison.difference.seeds for comparison in comparisons), default=0)
    if most < FEWEST:
        raise FlagError(
            f"{one.label} and {other.label} need at least {FEWEST} common seeds with finite values "
            f"at one point, and have at most {most}"
        )
    text = comparison_table(
        comparisons,
        one.label,
        other.label,
        share=FLAGS.quality == "recall",
        found=FLAGS.quality == "strong",
    )
    tests = sum(comparison.difference.seeds >= FEWEST for comparison in comparisons)
    print(
        f"{one.label} against {other.label}: {FLAGS.quality}, means over the seeds of both\n"
        f"p of paired t tests, adjusted by Holm for {tests} tests; brackets are 95% intervals\n\n"
        f"{text}"
    )
    return 0
