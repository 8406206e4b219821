"""How far each seeker of a leaderboard is from the best one, seed by seed."""

from collections.abc import Mapping, Sequence

import numpy as np

from ticketjax.base import CLASSIFICATION
from ticketjax.figures.leaderboard import Entry, mean_error, ranked
from ticketjax.records.columns import aligned
from ticketjax.records.comparison import p_text
from ticketjax.records.statistics import FEWEST, Difference, holm, paired_difference
from ticketjax.records.titles import format_metric, task_title


def _cell(difference: Difference, p: float, accuracy: bool) -> str:
    if difference.seeds < FEWEST:
        return "-"
    mean, low, high = (
        format_metric(number, accuracy)
        for number in (difference.mean, difference.low, difference.high)
    )
    equal = difference.mean == difference.low == difference.high == 0
    return "0" if equal else f"{mean} [{low}, {high}], p = {p_text(p)}".replace("= <", "<")


def against_best_lines(entries: Sequence[Entry], kinds: Mapping[str, str]) -> list[list[str]]:
    """A line of cells per seeker: its mean difference from the best, per task and quality.

    The best one of a column has the best mean. The others have the mean of their metric minus its,
    over the seeds at which both are finite, with the 95% interval and the p value of a paired t
    test, adjusted by Holm over the column. The same seeds chose the best one, so its lead is
    overestimated where the next ones are close.

    Args:
        entries: the seekers of the leaderboard, at least one, all of the same seeds in the same
            order.
        kinds: kinds of the tasks, by name of the task.

    Returns:
        The cells, heads first, in the order of the leaderboard.
    """
    order = ranked(entries, kinds)
    columns = [["", *(entry.label for entry in order)]]
    for task, quality in order[0].metrics:
        accuracy = kinds[task] == CLASSIFICATION
        values = [entry.metrics[task, quality] for entry in order]
        best = int(np.argmin([mean_error(row, accuracy) for row in values]))
        differences = [paired_difference(row, values[best]) for row in values]
        tested = [d.p if i != best else np.nan for i, d in enumerate(differences)]
        cells = [
            _cell(difference, p, accuracy)
            for difference, p in zip(differences, holm(np.array(tested)), strict=True)
        ]
        cells[best] = "best"
        columns.append([f"{task_title(task)} {quality}", *cells])
    return [list(line) for line in zip(*columns, strict=True)]


def against_best_table(entries: Sequence[Entry], kinds: Mapping[str, str]) -> str:
    """The lines of against_best_lines() as a text table with its title."""
    table = "\n".join(aligned(against_best_lines(entries, kinds)))
    return (
        "metric minus that of the best mean, seed by seed: mean [95% interval], p of paired t "
        f"tests,\nadjusted by Holm over a column\n\n{table}"
    )
