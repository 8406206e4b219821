"""Records summed up over seeds: groups, means and their intervals, series of a plot or a table."""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.records.titles import seeker_title
from ticketjax.seekers.registry import SEEKERS

QUALITIES = ("strong", "weak")
# What has panels, blocks and headings of its own.
WHERE = ("task", "model", "depth", "width", "noise")
# What tells two series of one seeker apart.
VARIANT = (
    "strategy",
    "scope",
    "rounds",
    "objective",
    "config",
    "optimizer",
    "sanity",
    "match",
    "tickets",
    "decoys",
    "perturbation",
)
COUNTED = {"rounds": "round", "tickets": "ticket", "decoys": "decoy"}
POINT = (*WHERE, "seeker", *VARIANT, "density")
# What follows from the point, and is in every row of a summary.
OF_POINT = ("kind", "ticket_density")
RESAMPLES = 4000
ENDS = ("low", "high")
TAILS = (0.025, 0.975)


class Series(NamedTuple):
    """One line of a plot, one row of a table: a seeker and how it was used."""

    label: str
    where: dict[str, Any]


def rows_where(table: pa.Table, **equal: object) -> pa.Table:
    """The rows that have these values in these columns; None asks for a missing one."""
    for name, value in equal.items():
        matches = pc.is_null(table[name]) if value is None else pc.equal(table[name], value)
        table = table.filter(matches)
    return table


def places_of(records: pa.Table, names: Sequence[str] = WHERE) -> list[dict[str, Any]]:
    """The values that these columns have together, sorted by them."""
    groups = records.group_by(names, use_threads=False).aggregate([])
    return groups.sort_by([(name, "ascending") for name in names]).to_pylist()


def shows_accuracy(rows: pa.Table) -> bool:
    """Whether the metric of these records is an accuracy; else it is a mean squared error.

    Args:
        rows: of one task, or of a summary of such; at least one.

    Returns:
        True for an accuracy.
    """
    return rows["kind"][0].as_py() == CLASSIFICATION


def outside_budget(records: pa.Table) -> np.ndarray:
    """Which runs kept another number of parameters than the density allows.

    Args:
        records: a row per run. Records of earlier versions do not say so, and count as within.

    Returns:
        (runs,) bool.
    """
    return ~pc.fill_null(records["within_budget"], True).to_numpy()


def summarise(records: pa.Table) -> pa.Table:
    """Mean, its 95% interval, minimum and maximum over seeds of every float column.

    All of them are of the finite values alone: otherwise a single run that diverged would make
    every number of its group useless. The interval is a percentile bootstrap over seeds. The same
    seeds give the same interval, in any order and next to any other runs.

    Args:
        records: a row per run.

    Returns:
        One row per point of the grid, with columns such as weak_metric_mean, weak_metric_low and
        weak_metric_high (the interval), weak_metric_min, weak_metric_max and weak_metric_count (how
        many values are finite). NaN is what is undefined: an interval of a single value, and
        everything of none. runs is how many seeds there are; outside_budget is how many of the runs
        kept another number of parameters than the density allows.
    """
    measures = [f.name for f in records.schema if pa.types.is_float32(f.type)]
    for name in measures:
        finite = pc.if_else(pc.is_finite(records[name]), records[name], None)
        records = records.set_column(records.schema.get_field_index(name), name, finite)
    whole = ("mean", "min", "max")
    aggregates = [(name, how) for name in measures for how in (*whole, "count", "list")]
    outside = pa.array(outside_budget(records).astype(np.int64))
    records = records.append_column("outside_budget", outside)
    groups = records.sort_by("seed").group_by([*POINT, *OF_POINT], use_threads=False)
    summary = groups.aggregate([*aggregates, ("seed", "count"), ("outside_budget", "sum")])
    runs = summary["seed_count"].to_numpy()
    intervals = {f"{name}_{end}": np.full(len(runs), np.nan) for name in measures for end in ENDS}
    for size in set(runs.tolist()) - {1}:
        of_size = np.flatnonzero(runs == size)
        lists = summary.take(pa.array(of_size))
        for name in measures:
            values = pc.list_flatten(lists[f"{name}_list"]).to_numpy().reshape(-1, size)
            for end, bounds in zip(ENDS, intervals_of_means(values), strict=True):
                intervals[f"{name}_{end}"][of_size] = bounds
    summary = summary.drop_columns([f"{name}_list" for name in measures])
    for name in (f"{name}_{how}" for name in measures for how in whole):
        known = summary[name].fill_null(np.nan)
        summary = summary.set_column(summary.schema.get_field_index(name), name, known)
    for name, bounds in intervals.items():
        summary = summary.append_column(name, pa.array(bounds))
    renamed = {"seed_count": "runs", "outside_budget_sum": "outside_budget"}
    names = [renamed.get(name, name) for name in summary.column_names]
    return summary.rename_columns(names).sort_by([(name, "ascending") for name in POINT])


@functools.lru_cache(maxsize=32)
def _draws(size: int) -> np.ndarray:
    """How often each of `size` values is drawn in every resample, (RESAMPLES, size)."""
    return np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), RESAMPLES)


def intervals_of_means(values: np.ndarray) -> np.ndarray:
    """95% percentile bootstrap of the mean of each row.

    Rows with the same number of finite values share the draws.

    Args:
        values: (groups, n); only the finite ones count.

    Returns:
        (2, groups), low and high; NaN if there are not at least two finite values.
    """
    bounds = np.full((2, len(values)), np.nan)
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    for count in set(counts.tolist()) - {0, 1}:
        rows = counts == count
        known = values[rows][finite[rows]].reshape(-1, count).astype(float)
        quantiles = np.quantile(known @ _draws(count).T / count, TAILS, axis=1)
        # No mean of values lies outside of them, but for rounding.
        bounds[:, rows] = np.clip(quantiles, known.min(axis=1), known.max(axis=1))
    return bounds


def mean_of_finite(values: np.ndarray) -> float:
    """Mean of the values that are finite, NaN if none is."""
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else math.nan


def _words(group: dict[str, Any], names: Sequence[str]) -> str:
    """A seeker's title with the values of these columns, as far as they are known."""
    words = [seeker_title(group["seeker"])]
    for name in names:
        value = group[name]
        if value is None:
            continue
        if name in COUNTED:
            words.append(f"{value} {COUNTED[name]}{'' if value == 1 else 's'}")
        else:
            words.append(f"{value:g} perturbed" if name == "perturbation" else str(value))
    return " ".join(words)


def _labels(groups: Sequence[dict[str, Any]]) -> list[str]:
    """A different label for every group: its seeker, and what tells it from that one's others."""
    of_seeker: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        of_seeker.setdefault(group["seeker"], []).append(group)
    differing = {
        seeker: [name for name in VARIANT if len({group[name] for group in own}) > 1]
        for seeker, own in of_seeker.items()
    }
    # The whole expression is long, and says again what the other columns do.
    labels = [
        _words(group, [name for name in differing[group["seeker"]] if name != "config"])
        for group in groups
    ]
    for more in ("config", "seeker"):
        times = Counter(labels)
        labels = [
            f"{label}: {group[more] or 'an earlier version'}" if times[label] > 1 else label
            for label, group in zip(labels, groups, strict=True)
        ]
    return labels


def series_of(records: pa.Table) -> list[Series]:
    """Every seeker with every variant of it, in the registry's order; names as papers write."""
    groups = records.group_by(["seeker", *VARIANT], use_threads=False).aggregate([]).to_pylist()
    known = {name: n for n, name in enumerate(SEEKERS)}
    groups.sort(key=lambda group: known.get(group["seeker"], len(known)))
    return [Series(label, group) for label, group in zip(_labels(groups), groups, strict=True)]
