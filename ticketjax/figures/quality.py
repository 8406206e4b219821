"""Quality against density, before and after training."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from mpl_toolkits.axes_grid1 import make_axes_locatable

from ticketjax.figures.style import COLOURS, FAINT, INK, MARKERS, STYLE, save, tidy
from ticketjax.records.statistics import FEWEST, interval_of_share, mean_of_finite
from ticketjax.records.summaries import (
    ENDS,
    QUALITIES,
    Series,
    outside_budget,
    rows_where,
    series_of,
    shows_accuracy,
    summarise,
)
from ticketjax.records.titles import place_title

# The bands of a figure: their ends and their opacity. The inner one is drawn over the outer one.
BANDS = {
    "95% interval of the mean": (ENDS, 0.3),
    "range over seeds": (("min", "max"), 0.1),
}


# Factor between the series at one density, which would otherwise overlap.
DODGE = 1.06


class Panel(NamedTuple):
    """One plot of quality against density.

    Args:
        quality: "strong" or "weak".
        where: columns and the values that records must have in them; a task is among them.
        title: replaces the default title.
    """

    quality: str
    where: dict[str, Any]
    title: str | None = None


def _highest_accuracy(rows: pa.Table) -> float:
    """The end of the axis: 1, unless all accuracies of a task are in the lower half."""
    columns = ("strong_metric", "weak_metric", "ticket_metric")
    largest = np.max([np.nanmax(rows[name].to_numpy(), initial=0) for name in columns])
    return 1.02 if largest == 0 or largest > 0.5 else 1.15 * float(largest)


def _look(i: int) -> tuple[str, str]:
    """Colour and marker of a series; those of one colour differ by their markers."""
    return COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def _says_found(rows: pa.Table, panel: Panel) -> bool:
    """Whether a panel has the share of seeds that found a ticket below it."""
    return panel.quality == "strong" and rows["found"].null_count < rows.num_rows


def _draw_found(axes: plt.Axes, summary: pa.Table, series: list[Series]) -> None:
    """Share of the seeds that found a ticket with Wilson's interval, below a panel of quality."""
    strip = make_axes_locatable(axes).append_axes("bottom", "28%", pad=0.1, sharex=axes)
    for i, (_, where) in enumerate(series):
        rows = rows_where(summary, **where).sort_by("density").to_pylist()
        rows = [row for row in rows if row["found_count"]]
        colour, marker = _look(i)
        counts = [(row["found_sum"], row["found_count"]) for row in rows]
        # Side by side, because several series often have the same share.
        x = np.array([row["density"] for row in rows]) * DODGE ** (i - (len(series) - 1) / 2)
        strip.plot(x, [found / of for found, of in counts], marker, color=colour, markersize=3.5)
        ends = np.array([interval_of_share(*count) for count in counts]).reshape(-1, 2)
        strip.vlines(x, *ends.T, color=colour, linewidth=1.2, alpha=0.6)
    strip.set_ylim(-0.06, 1.06)
    strip.set_yticks([0, 0.5, 1])
    strip.yaxis.set_major_formatter(PercentFormatter(1))
    strip.set_ylabel("found")
    strip.set_xlabel(axes.get_xlabel())
    axes.set_xlabel("")
    axes.tick_params(labelbottom=False)
    tidy(strip)


def _draw_panel(axes: plt.Axes, records: pa.Table, panel: Panel, series: list[Series]) -> None:
    rows = rows_where(records, **panel.where)
    summary = summarise(rows)
    task = panel.where["task"]
    accuracy = shows_accuracy(rows)
    column = f"{panel.quality}_metric"
    for i, (label, where) in enumerate(series):
        points = rows_where(summary, **where).sort_by("density")
        x = points["density"].to_numpy()
        mean = points[f"{column}_mean"].to_numpy()
        colour, marker = _look(i)
        least = points[f"{column}_min"].to_numpy()
        for ends, shade in BANDS.values():
            low, high = (points[f"{column}_{end}"].to_numpy() for end in ends)
            if not accuracy:
                # A logarithmic axis cannot show 0, so the band ends at the lowest seed.
                low = np.where(low > 0, low, least)
            axes.fill_between(x, low, high, color=colour, alpha=shade, linewidth=0)
        axes.plot(x, mean, color=colour, marker=marker, markersize=4.5, linewidth=1.6, label=label)
    counted = {
        "runs diverged, not drawn": int(np.sum(~np.isfinite(rows[column].to_numpy()))),
        "runs violated their budget": int(np.sum(outside_budget(rows))),
    }
    notes = [f"{count} of {rows.num_rows} {what}" for what, count in counted.items() if count]
    if notes:
        text = "\n".join(notes)
        axes.annotate(text, (0.02, 0.98), xycoords="axes fraction", fontsize=7, va="top")
    baseline = mean_of_finite(rows["ticket_metric"].to_numpy())
    axes.axhline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="bare ticket")
    ticket_density = rows["ticket_density"][0].as_py()
    axes.axvline(ticket_density, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 10 * low:
        # A single density gives the axis no range.
        middle = np.sqrt(low * high)
        low, high = middle / np.sqrt(10), middle * np.sqrt(10)
        axes.set_xlim(low, high)
    if high < 100 * low:
        # With few powers of ten, Matplotlib adds labels between them, which overlap.
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    # Away from the baseline and from collapsed runs, which are at opposite ends.
    axes.annotate(
        "ticket's\ndensity",
        (ticket_density, 0.02 if accuracy else 0.3),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7,
        color=FAINT,
        va="bottom",
    )
    axes.set_xlabel("density")
    if accuracy:
        axes.set_ylim(0, _highest_accuracy(rows_where(records, task=task)))
        axes.set_ylabel("accuracy")
    else:
        # A logarithmic axis without a finite value has no limits.
        if np.any(summary[f"{column}_mean"].to_numpy() > 0) or baseline > 0:
            axes.set_yscale("log")
        axes.set_ylabel("mean squared error")
    trained = "before training (strong)" if panel.quality == "strong" else "after training (weak)"
    network = {name: v for name, v in panel.where.items() if name in ("task", "model")}
    title = panel.title or f"{place_title(network)}, {trained}"
    axes.set_title(title, loc="left")
    tidy(axes)
    if _says_found(rows, panel):
        _draw_found(axes, summary, series)


def panels_of(places: Iterable[dict[str, Any]]) -> list[Panel]:
    """Both qualities at every place (values of WHERE); titles distinguish places of one task."""
    panels = [Panel(quality, place) for place in places for quality in QUALITIES]
    if len({panel.where["task"] for panel in panels}) < len(panels) // 2:
        panels = [
            panel._replace(title=f"{place_title(panel.where)}: {panel.quality}") for panel in panels
        ]
    return panels


def _add_legend(canvas: plt.Figure, handles: list, labels: list[str]) -> int:
    """Add a legend of up to four columns, as many as fit; return their number."""
    columns = 4
    while True:
        legend = canvas.legend(handles, labels, loc="lower center", ncols=columns, frameon=False)
        if legend.get_window_extent().width <= canvas.bbox.width or columns == 1:
            return columns
        legend.remove()
        columns -= 1


def draw_quality(
    records: pa.Table,
    panels: Sequence[Panel],
    path: str | os.PathLike | BinaryIO,
    *,
    title: str = "",
    columns: int = 2,
    first: str | None = None,
) -> None:
    """Draw quality against density, one plot per panel, into a PNG (or PDF, SVG) file.

    Each series has its mean as a line, the 95% interval of the mean as a dark band, and the range
    over seeds as a lighter band below it. A dashed line marks the bare ticket. Plots of strong
    tickets have a plot below them of the share of seeds that found one, with its 95% interval, if
    records contain it.

    Args:
        records: the records of a grid.
        panels: the plots.
        path: the file to write.
        title: the title of the figure.
        columns: the number of columns of plots.
        first: the label of a seeker that comes before all others.
    """
    series = sorted(series_of(records), key=lambda one: one.where["seeker"] != first)
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    taller = any(_says_found(rows_where(records, **panel.where), panel) for panel in panels)
    height = (3.9 if taller else 3.1) * lines + 0.9
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, height), squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(ax, records, panel, series)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        seeds = pc.count_distinct(records["seed"]).as_py()
        for name, (ends, shade) in BANDS.items():
            if seeds >= (FEWEST if ends == ENDS else 2):
                handles.append(Patch(color=FAINT, alpha=2 * shade, lw=0))
                labels.append(name)
        entries = _add_legend(canvas, handles, labels)
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        entry_lines = -(-len(labels) // entries)
        height += 0.18 * max(0, entry_lines - 4)
        canvas.set_figheight(height)
        bottom = 0.15 + 0.18 * entry_lines
        canvas.tight_layout(rect=(0, bottom / height, 1, 1 - 0.1 / height))
        save(canvas, path)
        plt.close(canvas)
