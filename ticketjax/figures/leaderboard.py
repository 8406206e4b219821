"""Standings of seekers: one table and one figure over several tasks."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from ticketjax.base import CLASSIFICATION
from ticketjax.figures.style import COLOURS, FAINT, INK, STYLE, save, tidy
from ticketjax.records.summaries import QUALITIES, intervals_of_means, mean_of_finite
from ticketjax.records.titles import format_metric, task_title


class Entry(NamedTuple):
    """One seeker of a leaderboard.

    Args:
        title: how the seeker was used.
        passes: passes over the training data, with gradients, in one search; NaN if unknown.
        seconds: wall time per run within compiled programs; NaN if unknown.
        metrics: by (task, quality), each (seeds,); quality is "strong" or "weak".
        kept: the fraction of the parameters that the masks keep, if that is not the budget.
    """

    title: str
    passes: float
    seconds: float
    metrics: dict[tuple[str, str], np.ndarray]
    kept: float | None = None

    @property
    def label(self) -> str:
        """The title, marked if it did not keep to the budget."""
        return self.title if self.kept is None else f"{self.title} (kept {self.kept:.3g})"


def _errors(entry: Entry, quality: str, kinds: Mapping[str, str]) -> list[float]:
    """Mean error per task, the lower the better; a metric that is not finite is the worst."""
    means = []
    for (task, of), values in entry.metrics.items():
        if of == quality:
            sign = -1 if kinds[task] == CLASSIFICATION else 1
            mean = sign * float(np.mean(values))
            means.append(mean if np.isfinite(mean) else np.inf)
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


def _figures(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def leaderboard_table(
    entries: Sequence[Entry], tickets: Mapping[str, float], kinds: Mapping[str, str]
) -> str:
    """A text table, best first: mean [95% interval of the mean] per task and quality.

    Args:
        entries: the seekers of the leaderboard.
        tickets: the bare ticket's metric by name of the task, shown in the last row.
        kinds: kinds of the tasks, by name of the task.

    Returns:
        The table as text.
    """
    columns = list(entries[0].metrics)
    heads = ["", "passes", "s/run"]
    for task, quality in columns:
        measure = "accuracy" if kinds[task] == CLASSIFICATION else "MSE"
        heads.append(f"{task_title(task)} {quality} {measure}")
    lines = [heads]
    for entry in ranked(entries, kinds):
        cells = []
        for task, quality in columns:
            values = entry.metrics[task, quality]
            numbers = [mean_of_finite(values), *intervals_of_means(values[None])[:, 0]]
            accuracy = kinds[task] == CLASSIFICATION
            mean, low, high = (format_metric(number, accuracy) for number in numbers)
            cell = mean if "nan" in (low, high) else f"{mean} [{low}, {high}]"
            diverged = np.sum(~np.isfinite(values))
            cells.append(f"{cell}, {diverged} diverged" if diverged else cell)
        lines.append([entry.label, _figures(entry.passes), _figures(entry.seconds), *cells])
    bare = [format_metric(tickets[task], kinds[task] == CLASSIFICATION) for task, _ in columns]
    lines.append(["bare ticket", "", "", *bare])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def leaderboard_figure(
    entries: Sequence[Entry],
    tickets: Mapping[str, float],
    kinds: Mapping[str, str],
    path: str | os.PathLike,
    *,
    title: str = "",
) -> None:
    """Draw the standings, best on top: a panel per task, better to the right.

    Filled markers are means before training, open markers means after training; lines are 95%
    intervals of the means, faint dots are single seeds. A dashed line marks the bare ticket.

    Args:
        entries, tickets, kinds: as in leaderboard_table().
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
            axes.plot(intervals_of_means(values[None])[:, 0], [y, y], color=colour, lw=1.8)
            face = colour if quality == "strong" else "white"
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
        axes.axhline(edge, color="#eeeeee", linewidth=0.7, zorder=0)
    if not accuracy:
        axes.set_xscale("log")
        axes.invert_xaxis()
    axes.set_xlabel("accuracy" if accuracy else "mean squared error")
    axes.set_title(task_title(task), loc="left", color=INK)
    tidy(axes)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_color(FAINT)
