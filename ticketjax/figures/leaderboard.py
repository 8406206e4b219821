"""Standings of seekers: one table and one figure over several tasks."""

import os
import types
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.figures.style import COLOURS, FAINT, INK, PAPER, RULE, STYLE, save, tidy
from ticketjax.records.columns import aligned
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.summaries import QUALITIES, metric_interval, outside_budget, rows_where
from ticketjax.records.tables import metric_text
from ticketjax.records.titles import format_metric, format_share, task_title


class Entry(NamedTuple):
    """One seeker of a leaderboard.

    Args:
        title: how the seeker was used.
        passes: what one search costs, in passes forward and backward over the training data, the
            mean over tasks; NaN if unknown.
        seconds: wall time per run within compiled programs; NaN if unknown.
        metrics: by (task, quality), each (seeds,) in ascending order of the seeds; quality is
            "strong" or "weak".
        kept: the fraction of the parameters that the masks keep, if that is not the budget.
        found: by task, whether a strong ticket was found, (seeds,) bool; no value if records
            do not contain it.
        flops: floating point operations of one search, the mean over tasks; NaN if unknown.
    """

    title: str
    passes: float
    seconds: float
    metrics: dict[tuple[str, str], np.ndarray]
    kept: float | None = None
    found: Mapping[str, np.ndarray] = types.MappingProxyType({})
    flops: float = float("nan")

    @property
    def label(self) -> str:
        """The title, marked if it did not keep to the budget."""
        return self.title if self.kept is None else f"{self.title} (kept {self.kept:.3g})"

    def share_found(self, task: str) -> str:
        """The share of seeds that found a strong ticket; "-" if unknown."""
        found = self.found.get(task, ())
        return format_share(int(sum(found)), len(found)) if len(found) else "-"


def entry_of(title: str, records: pa.Table, tasks: Sequence[str], seconds: float) -> Entry:
    """The entry of one seeker.

    Args:
        title: how the seeker was used.
        records: of this seeker at one density.
        tasks: on these tasks, in their order.
        seconds: per run; NaN if unknown.
    """
    metrics, found = {}, {}
    for task in tasks:
        own = rows_where(records, task=task).sort_by("seed")
        for quality in QUALITIES:
            metrics[task, quality] = own[f"{quality}_metric"].to_numpy().astype(float)
        found[task] = own["found"].drop_null().to_numpy().astype(bool)
    outside = outside_budget(records)
    kept = float(records["kept"].to_numpy()[outside].mean()) if outside.any() else None
    passes, flops = (
        mean_of_finite(pc.fill_null(records[name], np.nan).to_numpy())
        for name in ("passes", "flops")
    )
    return Entry(title, passes, seconds, metrics, kept, found, flops)


def mean_error(values: np.ndarray, accuracy: bool) -> float:
    """The lower the better, from (seeds,) metrics; if their mean is not finite, infinite."""
    mean = (-1 if accuracy else 1) * float(np.mean(values))
    return mean if np.isfinite(mean) else np.inf


def _errors(entry: Entry, quality: str, kinds: Mapping[str, str]) -> list[float]:
    """Mean error per task, the lower the better; a metric that is not finite is the worst."""
    means = []
    for (task, of), values in entry.metrics.items():
        if of == quality:
            means.append(mean_error(values, kinds[task] == CLASSIFICATION))
    return means


def ranked(entries: Sequence[Entry], kinds: Mapping[str, str]) -> list[Entry]:
    """Best first: by the mean over tasks of the rank before training, then of that after it.

    Entries that are equal on a task share its mean rank.

    Args:
        entries: the seekers of the leaderboard.
        kinds: kinds of the tasks, by name of the task.

    Returns:
        The entries in their new order.
    """

    def mean_ranks(quality: str) -> np.ndarray:
        errors = np.array([_errors(entry, quality, kinds) for entry in entries])
        below = (errors[None] < errors[:, None]).sum(1)
        equal = (errors[None] == errors[:, None]).sum(1)
        return (below + (equal - 1) / 2).mean(1)

    strong, weak = (mean_ranks(quality) for quality in QUALITIES)
    return [entries[i] for i in sorted(range(len(entries)), key=lambda i: (strong[i], weak[i]))]


def compute_text(value: float) -> str:
    """Passes or seconds as tables write them; "-" if unknown."""
    if np.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _says_found(entries: Sequence[Entry], task: str) -> bool:
    return any(len(entry.found.get(task, ())) for entry in entries)


def leaderboard_table(
    entries: Sequence[Entry], tickets: Mapping[str, float], kinds: Mapping[str, str]
) -> str:
    """The lines of leaderboard_lines() as a text table."""
    return "\n".join(aligned(leaderboard_lines(entries, tickets, kinds)))


def leaderboard_lines(
    entries: Sequence[Entry], tickets: Mapping[str, float], kinds: Mapping[str, str]
) -> list[list[str]]:
    """A line of cells per seeker, best first: mean [95% interval of the mean] per task and quality.

    Before training there is also the share of seeds that found a ticket [its 95% interval], and
    where seeds are of two modes their median [quartiles].

    Args:
        entries: the seekers of the leaderboard.
        tickets: the bare ticket's metric by name of the task, shown in the last row.
        kinds: kinds of the tasks, by name of the task.

    Returns:
        The cells, heads first. Without seconds of any entry there is no column of them.
    """
    order = ranked(entries, kinds)
    columns = [
        ["", *(entry.label for entry in order), "bare ticket"],
        ["passes", *(compute_text(entry.passes) for entry in order), ""],
    ]
    if any(np.isfinite(entry.seconds) for entry in order):
        columns.append(["s/run", *(compute_text(entry.seconds) for entry in order), ""])
    if any(np.isfinite(entry.flops) for entry in order):
        flops = ("-" if np.isnan(entry.flops) else f"{entry.flops:.1e}" for entry in order)
        columns.append(["FLOPs", *flops, ""])
    for task, quality in entries[0].metrics:
        accuracy = kinds[task] == CLASSIFICATION
        head = f"{task_title(task)} {quality} {'accuracy' if accuracy else 'MSE'}"
        cells = [metric_text(entry.metrics[task, quality], accuracy) for entry in order]
        columns.append([head, *cells, format_metric(tickets[task], accuracy)])
        if quality == "strong" and _says_found(entries, task):
            shares = (entry.share_found(task) for entry in order)
            columns.append([f"{task_title(task)} found", *shares, ""])
    return [list(line) for line in zip(*columns, strict=True)]


def leaderboard_figure(
    entries: Sequence[Entry],
    tickets: Mapping[str, float],
    kinds: Mapping[str, str],
    path: str | os.PathLike | BinaryIO,
    *,
    title: str = "",
) -> None:
    """Draw the standings, best on top: a panel per task, better to the right.

    Filled markers are means before training, open markers means after training; lines are 95%
    intervals of the means, faint dots are single seeds. A dashed line marks the bare ticket. The
    share of seeds that found a ticket is at the right edge, with its 95% interval, if records
    contain it.

    Args:
        entries, tickets, kinds: as in leaderboard_lines().
        path: the file to write.
        title: the title of the figure.
    """
    order = ranked(entries, kinds)
    tasks = list(dict.fromkeys(task for task, _ in entries[0].metrics))
    height = 0.34 * len(order) + 1.7
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            1,
            len(tasks),
            figsize=(3.6 * len(tasks) + 1.8, height),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for ax, task in zip(axes[0], tasks, strict=True):
            _draw_task(ax, order, task, tickets[task], kinds[task] == CLASSIFICATION)
        axes[0, 0].set_yticks(range(len(order)), [entry.label for entry in order])
        axes[0, 0].set_ylim(len(order) - 0.4, -0.6)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        save(canvas, path)
        plt.close(canvas)


def _draw_task(
    axes: plt.Axes, order: Sequence[Entry], task: str, ticket: float, accuracy: bool
) -> None:
    for quality, colour, shift in zip(
        QUALITIES, (COLOURS[0], COLOURS[4]), (-0.14, 0.14), strict=True
    ):
        label = "strong: before training" if quality == "strong" else "weak: after training"
        for place, entry in enumerate(order):
            values = entry.metrics[task, quality]
            y = place + shift
            axes.plot(values, np.full(len(values), y), ".", color=colour, alpha=0.25, ms=3.5)
            axes.plot(metric_interval(values, accuracy), [y, y], color=colour, lw=1.8)
            face = colour if quality == "strong" else PAPER
            axes.plot(
                mean_of_finite(values),
                y,
                "o",
                color=colour,
                mfc=face,
                ms=5,
                label=label if place == 0 else None,
            )
    axes.axvline(ticket, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="bare ticket")
    for edge in np.arange(len(order) - 1) + 0.5:
        axes.axhline(edge, color=RULE, linewidth=0.7, zorder=0)
    if not accuracy:
        axes.set_xscale("log")
        axes.invert_xaxis()
    axes.set_xlabel("accuracy" if accuracy else "mean squared error")
    axes.set_title(task_title(task), loc="left", color=INK)
    if _says_found(order, task):
        beside: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "fontsize": 7,
            "va": "center",
        }
        for place, entry in enumerate(order):
            axes.text(1.02, place, entry.share_found(task), **beside)
        axes.text(1.02, -0.8, "found", color=FAINT, **beside)
    tidy(axes)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_color(FAINT)
