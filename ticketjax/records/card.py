"""Tables of a report card: one seeker compared with others, as lines of cells, heads first."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.records.comparison import Comparison, adjusted, compare, p_text
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.summaries import QUALITIES, rows_where, series_of, shows_accuracy
from ticketjax.records.tables import metric_text
from ticketjax.records.titles import density_label, format_metric, format_share, task_title

Lines = list[list[str]]
# Columns on how much of the ticket a mask contains, and how well its scores rank the ticket.
RECOVERY = {
    "recall": "recall",
    "precision": "precision",
    "neuron_recall": "neurons found",
    "feasible_recall": "most that fits",
    "score_auc": "score AUC",
    "average_precision": "average precision",
    "covering_density": "covering density",
}
RANKING = ("score_auc", "average_precision", "covering_density")
# Adjusted p values below this level count as a difference.
LEVEL = 0.05


def at_ticket(records: pa.Table) -> pa.Table:
    """The runs at the ticket's own density."""
    return records.filter(pc.equal(records["density"], records["ticket_density"]))


def _numbers(rows: pa.Table, column: str) -> np.ndarray:
    return pc.fill_null(rows[column].cast(pa.float64()), np.nan).to_numpy()


def _metric(rows: pa.Table, quality: str) -> str:
    return metric_text(_numbers(rows, f"{quality}_metric"), shows_accuracy(rows))


def found_cell(rows: pa.Table) -> str:
    """The number of runs that found a strong ticket, with the share's interval; "-" if unknown."""
    found = rows["found"].drop_null().to_pylist()
    return format_share(sum(found), len(found)) if found else "-"


def collapsed_cell(rows: pa.Table) -> str:
    """The number of runs without a path, and the layer where most of these end, counted from 1."""
    dead = rows.filter(pc.fill_null(rows["collapsed"], False))
    if not dead.num_rows:
        return "-"
    ((layer, _),) = Counter(dead["first_dead_layer"].to_pylist()).most_common(1)
    where = "" if layer is None or layer < 0 else f", layer {layer + 1}"
    return f"{dead.num_rows} of {rows.num_rows}{where}"


def recall_cell(rows: pa.Table) -> str:
    """The mean recall of the planted parameters, with its interval."""
    return metric_text(_numbers(rows, "recall"), accuracy=True)


def density_lines(
    records: pa.Table,
    tasks: Sequence[str],
    seekers: Mapping[str, str],
    cell: Callable[[pa.Table], str],
) -> Lines:
    """A line for every task and seeker, a column for every density.

    Args:
        records: one row per run, all of one network.
        tasks: names of the tasks, in order.
        seekers: titles by label, in order.
        cell: makes the text of a cell from the runs at one point.
    """
    own = pc.equal(records["density"], records["ticket_density"])
    others = sorted(set(records.filter(pc.invert(own))["density"].to_pylist()))
    heads = [*(["ticket"] if pc.any(own).as_py() else []), *(f"{d:g}" for d in others)]
    lines = [["task", "seeker", *heads]]
    for task in tasks:
        for label, title in seekers.items():
            rows = rows_where(records, task=task, seeker=label)
            parts = [at_ticket(rows)] if "ticket" in heads else []
            parts += [rows_where(rows, density=density) for density in others]
            cells = [cell(part) if part.num_rows else "" for part in parts]
            lines.append([task_title(task), title, *cells])
    return lines


def glance_lines(
    records: pa.Table, tasks: Sequence[str], label: str, others: Mapping[str, str]
) -> Lines:
    """A line for every task: the seeker at the ticket's own density, and the best of the others.

    Args:
        records: of the seeker and the others.
        tasks: names of the tasks, in order.
        label: of the seeker.
        others: titles of the others by label.
    """
    heads = ["task", "density", "before training", "found", "best other before", "after training"]
    lines = [[*heads, "best other after", "bare ticket", "recall", "collapsed"]]
    for task in tasks:
        rows = at_ticket(rows_where(records, task=task))
        own = rows_where(rows, seeker=label)
        if not own.num_rows:
            continue
        best = [_best(rows, quality, others) for quality in QUALITIES]
        lines.append(
            [
                task_title(task),
                f"{own['density'][0].as_py():.2g}",
                _metric(own, "strong"),
                found_cell(own),
                best[0],
                _metric(own, "weak"),
                best[1],
                format_metric(mean_of_finite(_numbers(own, "ticket_metric")), shows_accuracy(own)),
                recall_cell(own),
                collapsed_cell(own),
            ]
        )
    return lines


def _best(rows: pa.Table, quality: str, seekers: Mapping[str, str]) -> str:
    """The best mean of a metric among these seekers, after the title of its seeker."""
    accuracy = shows_accuracy(rows)
    means = {
        title: mean_of_finite(_numbers(rows_where(rows, seeker=label), f"{quality}_metric"))
        for label, title in seekers.items()
    }
    known = {title: mean for title, mean in means.items() if np.isfinite(mean)}
    if not known:
        return "-"
    title = (max if accuracy else min)(known, key=lambda title: known[title])
    return f"{title} {format_metric(known[title], accuracy)}"


def recovery_lines(records: pa.Table, tasks: Sequence[str], label: str) -> Lines:
    """A line for every task and density: the means of one seeker's measures of RECOVERY."""
    lines = [["task", "density", *RECOVERY.values()]]
    for task in tasks:
        rows = rows_where(records, task=task, seeker=label)
        for density in sorted(set(rows["density"].to_pylist())):
            point = rows_where(rows, density=density)
            means = (mean_of_finite(_numbers(point, name)) for name in RECOVERY)
            cells = ("-" if np.isnan(mean) else f"{mean:.3f}" for mean in means)
            name = density_label(density, point["ticket_density"][0].as_py())
            lines.append([task_title(task), name, *cells])
    return lines


def compute_lines(
    records: pa.Table,
    tasks: Sequence[str],
    seekers: Mapping[str, str],
    seconds: Mapping[tuple[str, str], float],
) -> Lines:
    """A line for every seeker: passes, operations and seconds of a search, seconds by task.

    Args:
        records, tasks, seekers: as in density_lines().
        seconds: as records.store.load_seconds() returns them.
    """
    lines = [["seeker", "passes", "FLOPs", *(f"s, {task_title(task)}" for task in tasks)]]
    for label, title in seekers.items():
        rows = rows_where(records, seeker=label)
        passes, flops = (mean_of_finite(_numbers(rows, name)) for name in ("passes", "flops"))
        took = (seconds.get((task, label), np.nan) for task in tasks)
        cells = [f"{passes:.3g}", f"{flops:.1e}", *(f"{value:.2g}" for value in took)]
        lines.append([title, *("-" if "nan" in cell else cell for cell in cells)])
    return lines


class Check(NamedTuple):
    """A seeker compared with a variant of itself that should do worse.

    Args:
        name: how the variant was modified.
        comparisons: one for each point, the seeker first.
        p: the p value of each, adjusted over all checks of one quality.
    """

    name: str
    comparisons: list[Comparison]
    p: list[float]

    def verdict(self) -> str:
        """At how many points the seeker is better than the variant, and at how many worse."""
        signs = [
            one.difference.mean * (1 if one.point["kind"] == CLASSIFICATION else -1)
            for one, p in zip(self.comparisons, self.p, strict=True)
            if p < LEVEL
        ]
        better, worse = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
        points = len(self.comparisons)
        return f"better than {self.name} at {better} of {points} points (worse at {worse})"


def checks_of(
    records: pa.Table, label: str, variants: Mapping[str, str], quality: str
) -> list[Check]:
    """Compare a seeker with variants of itself, seed by seed.

    Args:
        records: of the seeker and its variants.
        label: of the seeker.
        variants: how each variant was modified, by its label.
        quality: "strong" or "weak".

    Returns:
        A check for each variant. The p values are adjusted by Holm's method over all of them.
    """
    by_label = {series.where["seeker"]: series for series in series_of(records)}
    column = f"{quality}_metric"
    compared = {
        name: compare(records, by_label[label], by_label[variant], column)
        for variant, name in variants.items()
    }
    p = iter(adjusted([one for comparisons in compared.values() for one in comparisons]))
    return [Check(name, own, [next(p) for _ in own]) for name, own in compared.items()]


def check_lines(checks: Sequence[Check], tasks: Sequence[str], title: str) -> Lines:
    """A line for every task and density: the seeker's mean, and its difference from each variant.

    Args:
        checks: from checks_of(), at least one.
        tasks: names of the tasks, in order.
        title: of the seeker.
    """
    lines = [["task", "density", title, *(f"minus {check.name}" for check in checks)]]
    points = [one.point for one in checks[0].comparisons]
    order = sorted(
        range(len(points)), key=lambda n: (tasks.index(points[n]["task"]), points[n]["density"])
    )
    for n in order:
        point: dict[str, Any] = points[n]
        accuracy = point["kind"] == CLASSIFICATION
        lines.append(
            [
                task_title(point["task"]),
                density_label(point["density"], point["ticket_density"]),
                format_metric(checks[0].comparisons[n].means[0], accuracy),
                *(_difference(check.comparisons[n], check.p[n], accuracy) for check in checks),
            ]
        )
    return lines


def _difference(comparison: Comparison, p: float, accuracy: bool) -> str:
    mean, low, high, *_ = comparison.difference
    if np.isnan(mean):
        return "-"
    if np.isnan(p):
        return format_metric(mean, accuracy)
    ends = ", ".join(format_metric(end, accuracy) for end in (low, high))
    return f"{format_metric(mean, accuracy)} [{ends}], p {p_text(p)}"
