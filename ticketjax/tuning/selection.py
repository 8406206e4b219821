"""Which of the settings that were tried is the best, by their records on validation data."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ticketjax.records.statistics import ranks
from ticketjax.records.summaries import places_of, rows_where, shows_accuracy


class Try(NamedTuple):
    """A setting that was tried.

    Args:
        setting: the expression.
        rank: mean over tasks of its rank among the settings tried, from 1 on; the best has the
            lowest.
        validation: by task, the mean over seeds of the metric on validation data: accuracy or mean
            squared error; NaN if a run diverged.
        runs: by task, how many seeds.
    """

    setting: str
    rank: float
    validation: dict[str, float]
    runs: dict[str, int]


def _two_digits(error: float) -> float:
    return float(f"{error:.1e}") if math.isfinite(error) else math.inf


def compared(records: pa.Table, settings: Sequence[str], quality: str) -> list[Try]:
    """Settings compared: the mean over seeds per task, ranked, and the mean of these ranks.

    Tasks count alike, whatever the size of their errors: mean squared errors, and shares of wrong
    classes. These are compared to two digits, since settings that all find the ticket differ by
    the noise of the data. Settings that are equal on a task share its mean rank. One whose mean is
    not finite, as some run diverged, is the last.

    Args:
        records: of all settings on the same tasks and seeds; `seeker` is the expression.
        settings: the expressions, in the order of what is returned.
        quality: "strong" or "weak".

    Returns:
        One Try for each setting.
    """
    means, runs, ranked = {}, {}, []
    for place in places_of(records, ["task"]):
        of_task = rows_where(records, **place)
        rows = [rows_where(of_task, seeker=setting) for setting in settings]
        metrics = [own[f"{quality}_metric"].to_numpy().astype(float) for own in rows]
        found = np.array([np.mean(metric) for metric in metrics])
        found = np.where(np.isfinite(found), found, math.nan)
        errors = 1 - found if shows_accuracy(of_task) else found
        ranked.append(ranks(np.array([_two_digits(error) for error in errors])))
        means[place["task"]], runs[place["task"]] = found, [metric.size for metric in metrics]
    return [
        Try(
            setting,
            float(np.mean([rank[i] for rank in ranked])),
            {task: float(found[i]) for task, found in means.items()},
            {task: numbers[i] for task, numbers in runs.items()},
        )
        for i, setting in enumerate(settings)
    ]


def best(tries: Sequence[Try]) -> Try:
    """The one of the lowest rank; of equals the first, which is nearest to what is published."""
    return min(tries, key=lambda one: one.rank)
