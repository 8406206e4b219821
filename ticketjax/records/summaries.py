"""Records summarised over seeds: groups, means and their intervals, series of plots and tables."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.records.statistics import are_bimodal, intervals_of_means, quartiles
from ticketjax.records.titles import seeker_title
from ticketjax.seekers.registry import SEEKERS

QUALITIES = ("strong", "weak")
# Columns whose values have separate panels, blocks and headings.
WHERE = ("task", "model", "depth", "width", "noise")
# Columns that distinguish the series of one seeker.
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
# Measures that only records of seekers with parameters of their own have.
OF_OWN_PARAMETERS = ("own_metric", "own_loss")
COUNTED = {"rounds": "round", "tickets": "ticket", "decoys": "decoy"}
POINT = (*WHERE, "seeker", *VARIANT, "density")
# Columns that follow from the point, and are in every row of a summary.
OF_POINT = ("kind", "ticket_density")
ENDS = ("low", "high")
MIDDLE = ("quarter", "median", "three_quarters")


class Series(NamedTuple):
    """One line of a plot, one row of a table: a seeker and how it was used."""

    label: str
    where: dict[str, Any]


def rows_where(table: pa.Table, **equal: object) -> pa.Table:
    """The rows that have these values in these columns; None selects missing values."""
    for name, value in equal.items():
        matches = pc.is_null(table[name]) if value is None else pc.equal(table[name], value)
        table = table.filter(matches)
    return table


def places_of(records: pa.Table, names: Sequence[str] = WHERE) -> list[dict[str, Any]]:
    """The combinations of values of these columns, sorted."""
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
        records: a row per run. Records of earlier versions without this entry count as within.

    Returns:
        (runs,) bool.
    """
    return ~pc.fill_null(records["within_budget"], True).to_numpy()


def summarise(records: pa.Table) -> pa.Table:
    """Mean, its 95% interval, quartiles, minimum and maximum over seeds of every float column.

    Only finite values are used: otherwise a single diverged run would make every number of its
    group useless. The interval is Student's t (records.statistics). It is cut off at 0 and, for
    accuracies, at 1. The same seeds give the same numbers, in any order and next to any other runs.

    Args:
        records: a row per run.

    Returns:
        One row per point of the grid, with columns such as weak_metric_mean, weak_metric_low and
        weak_metric_high (the interval), weak_metric_quarter, weak_metric_median,
        weak_metric_three_quarters, weak_metric_min, weak_metric_max and weak_metric_count (how many
        values are finite); for the metrics also weak_metric_bimodal. Undefined values are NaN: the
        interval of fewer than five values, and everything for no value. runs is the number of
        seeds; found_sum is how many of them found a strong ticket, of the found_count that have
        this entry; outside_budget is how many of the runs kept another number of parameters than
        the density allows.
    """
    measures = [f.name for f in records.schema if pa.types.is_float32(f.type)]
    own = [name for name in OF_OWN_PARAMETERS if name in records.column_names]
    measures += [name for name in own if records[name].null_count < records.num_rows]
    for name in measures:
        finite = pc.if_else(pc.is_finite(records[name]), records[name], None)
        records = records.set_column(records.schema.get_field_index(name), name, finite)
    whole = ("mean", "min", "max")
    aggregates = [(name, how) for name in measures for how in (*whole, "count", "list")]
    outside = pa.array(outside_budget(records).astype(np.int64))
    records = records.append_column("outside_budget", outside)
    found = records["found"].cast(pa.int64())
    records = records.set_column(records.schema.get_field_index("found"), "found", found)
    aggregates += [("seed", "count"), ("outside_budget", "sum"), ("found", "sum")]
    groups = records.sort_by("seed").group_by([*POINT, *OF_POINT], use_threads=False)
    summary = groups.aggregate([*aggregates, ("found", "count")])
    columns = _of_lists(summary, measures)
    summary = summary.drop_columns([f"{name}_list" for name in measures])
    for name in (f"{name}_{how}" for name in measures for how in whole):
        columns[name] = summary[name].fill_null(np.nan)
    columns["found_sum"] = summary["found_sum"].fill_null(0)
    for name, values in columns.items():
        if name in summary.column_names:
            summary = summary.set_column(summary.schema.get_field_index(name), name, values)
        else:
            summary = summary.append_column(name, values)
    renamed = {"seed_count": "runs", "outside_budget_sum": "outside_budget"}
    names = [renamed.get(name, name) for name in summary.column_names]
    return summary.rename_columns(names).sort_by([(name, "ascending") for name in POINT])


def _of_lists(summary: pa.Table, measures: Sequence[str]) -> dict[str, pa.Array]:
    """The columns of a summary that need all values of a group: intervals, quartiles, modes."""
    runs = summary["seed_count"].to_numpy()
    accuracy = pc.equal(summary["kind"], CLASSIFICATION).to_numpy()
    metrics = [f"{quality}_metric" for quality in QUALITIES]
    columns = {
        f"{name}_{how}": np.full(len(runs), np.nan) for name in measures for how in (*ENDS, *MIDDLE)
    }
    columns |= {f"{name}_bimodal": np.zeros(len(runs), bool) for name in metrics}
    for size in set(runs.tolist()):
        of_size = np.flatnonzero(runs == size)
        lists = summary.take(pa.array(of_size))
        for name in measures:
            values = pc.list_flatten(lists[f"{name}_list"]).to_numpy().reshape(-1, size)
            most = np.where(accuracy[of_size], 1, np.inf) if name.endswith("_metric") else np.inf
            numbers = [*np.minimum(intervals_of_means(values, 0), most), *quartiles(values)]
            for how, column in zip((*ENDS, *MIDDLE), numbers, strict=True):
                columns[f"{name}_{how}"][of_size] = column
            if name in metrics:
                scaled = _metric_scale(values, accuracy[of_size])
                columns[f"{name}_bimodal"][of_size] = are_bimodal(scaled)
    return {name: pa.array(values) for name, values in columns.items()}


def _metric_scale(values: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Metrics on the scale of comparisons: accuracies, or logarithms of errors."""
    errors = np.log10(np.maximum(values, np.finfo(np.float32).tiny))
    return np.where(accuracy[:, None], values, errors)


def metric_interval(values: np.ndarray, accuracy: bool) -> tuple[float, float]:
    """95% interval of the mean of a metric, cut off at 0 and, for an accuracy or share, at 1.

    Args:
        values: (seeds,).
        accuracy: whether they are accuracies or shares; else they are errors.

    Returns:
        Low and high, NaN for fewer than five finite values.
    """
    low, high = intervals_of_means(values[None], 0, 1 if accuracy else math.inf)[:, 0]
    return float(low), float(high)


def metric_quartiles(values: np.ndarray, accuracy: bool) -> tuple[float, ...] | None:
    """Quartiles of a metric if it is bimodal, else None.

    Args:
        values: (seeds,).
        accuracy: whether they are accuracies or shares; else they are errors, which are bimodal if
            their logarithms are.

    Returns:
        Lower quartile, median, upper quartile.
    """
    if not are_bimodal(_metric_scale(values[None], np.array([accuracy])))[0]:
        return None
    return tuple(quartiles(values[None])[:, 0].tolist())


def _words(group: dict[str, Any], names: Sequence[str]) -> str:
    """A seeker's title with the values of these columns that are known."""
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


def _options(group: dict[str, Any]) -> str:
    """What follows a seeker's title where expressions differ: its options, or all of it."""
    config, seeker = group["config"] or "an earlier version", group["seeker"]
    if not config.startswith(f"{seeker}("):
        return f": {config}"
    options = config.removeprefix(seeker)
    return "" if options == "()" else f" {options}"


def _labels(groups: Sequence[dict[str, Any]]) -> list[str]:
    """A different label for every group: its seeker, and what distinguishes its variants."""
    of_seeker: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        of_seeker.setdefault(group["seeker"], []).append(group)
    differing = {
        seeker: [name for name in VARIANT if len({group[name] for group in own}) > 1]
        for seeker, own in of_seeker.items()
    }
    # The whole expression is long, and repeats the other columns.
    labels = [
        _words(group, [name for name in differing[group["seeker"]] if name != "config"])
        for group in groups
    ]
    for more in (_options, lambda group: f": {group['seeker']}"):
        times = Counter(labels)
        labels = [
            label + more(group) if times[label] > 1 else label
            for label, group in zip(labels, groups, strict=True)
        ]
    return labels


def series_of(records: pa.Table) -> list[Series]:
    """Every variant of every seeker, in the registry's order; names as in papers."""
    groups = records.group_by(["seeker", *VARIANT], use_threads=False).aggregate([]).to_pylist()
    known = {name: n for n, name in enumerate(SEEKERS)}
    groups.sort(key=lambda group: known.get(group["seeker"], len(known)))
    return [Series(label, group) for label, group in zip(_labels(groups), groups, strict=True)]
