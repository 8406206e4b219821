"""Tables and figures of records. The only file that names matplotlib."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.seekers import SEEKERS
from ticketjax.tasks import TASKS

# Okabe and Ito's palette: told apart with any colour vision, and by markers in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# How papers write the names that flags and records spell in lower case.
TITLES = {
    "relu": "ReLU",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "edge_popup": "edge-popup",
}
INK, FAINT = "#222222", "#8a8a8a"
QUALITIES = ("strong", "weak")
WHERE = ("task", "depth", "width", "noise")
# What tells two series of one seeker apart.
VARIANT = ("strategy", "scope", "rounds", "objective")
POINT = (*WHERE, "seeker", *VARIANT, "density")


class Panel(NamedTuple):
    """One plot of quality against density.

    quality: "strong" or "weak". where: columns and the values that records must have in them, a
    task among them. title: replaces the default one.
    """

    quality: str
    where: dict[str, object]
    title: str | None = None


class Series(NamedTuple):
    """One line of a plot, one row of a table: a seeker and how it was used."""

    label: str
    where: dict[str, object]


def summarise(records: pa.Table) -> pa.Table:
    """Mean, minimum and maximum over seeds of every float column, and how many seeds there are.

    One row per point of the grid; columns such as weak_metric_mean, and runs.
    """
    measures = [f.name for f in records.schema if pa.types.is_float32(f.type)]
    aggregates = [(name, how) for name in measures for how in ("mean", "min", "max")]
    summary = records.group_by([*POINT, "ticket_density"]).aggregate(
        [*aggregates, ("seed", "count")]
    )
    names = [{"seed_count": "runs"}.get(name, name) for name in summary.column_names]
    return summary.rename_columns(names).sort_by([(name, "ascending") for name in POINT])


def _series(records: pa.Table) -> list[Series]:
    """Every seeker with every variant of it, in the registry's order; names as papers write."""
    groups = records.group_by(["seeker", *VARIANT], use_threads=False).aggregate([]).to_pylist()
    known = {name: n for n, name in enumerate(SEEKERS)}
    groups.sort(key=lambda group: known.get(group["seeker"], len(known)))
    differing = {
        seeker: [
            name for name in VARIANT if len({g[name] for g in groups if g["seeker"] == seeker}) > 1
        ]
        for seeker in dict.fromkeys(g["seeker"] for g in groups)
    }

    def label(group: dict[str, object]) -> str:
        seeker = group["seeker"]
        words = [TITLES.get(seeker, seeker)]
        for name in differing[seeker]:
            words.append(f"{group[name]} rounds" if name == "rounds" else str(group[name]))
        return " ".join(words)

    return [Series(label(group), group) for group in groups]


def _is_accuracy(task: str) -> bool:
    return task in TASKS and TASKS[task].kind == CLASSIFICATION


def _number(value: float, accuracy: bool) -> str:
    return f"{value:.3f}" if accuracy else f"{value:.1e}".replace("e-0", "e-")


def _density_label(density: float, ticket_density: float) -> str:
    return f"ticket {density:.2g}" if density == ticket_density else f"{density:g}"


def _rows(table: pa.Table, **equal: object) -> pa.Table:
    for name, value in equal.items():
        matches = pc.is_null(table[name]) if value is None else pc.equal(table[name], value)
        table = table.filter(matches)
    return table


def _table_cells(part: pa.Table, quality: str, accuracy: bool) -> list[list[str]]:
    densities = sorted(set(part["density"].to_pylist()))
    ticket_density = part["ticket_density"][0].as_py()
    cells = [["seeker", *(_density_label(d, ticket_density) for d in densities)]]
    for series in _series(part):
        cells.append([series.label])
        for density in densities:
            rows = _rows(part, **series.where, density=density).to_pylist()
            if not rows:
                cells[-1].append("-")
                continue
            mean, low, high = (
                _number(rows[0][f"{quality}_metric_{how}"], accuracy)
                for how in ("mean", "min", "max")
            )
            cells[-1].append(f"{mean} [{low}, {high}]")
    return cells


def table(records: pa.Table) -> str:
    """A text table: mean [min, max] per seeker and density, with the bare ticket's baseline."""
    summary, blocks = summarise(records), []
    order = {series.label: n for n, series in enumerate(_series(records))}
    for group in summary.group_by(WHERE, use_threads=False).aggregate([]).to_pylist():
        part = _rows(summary, **group)
        accuracy = _is_accuracy(group["task"])
        measure = "accuracy" if accuracy else "mean squared error"
        baseline = np.mean(_rows(records, **group)["ticket_metric"].to_numpy())
        runs = sorted(set(part["runs"].to_pylist()))
        seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
        for quality in QUALITIES:
            head, *body = _table_cells(part, quality, accuracy)
            cells = [head, *sorted(body, key=lambda row: order.get(row[0], 0))]
            widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
            trained = "before training" if quality == "strong" else "after training"
            title = (
                f"{TITLES.get(group['task'], group['task'].capitalize())}, depth "
                f"{group['depth']}, width {group['width']}, noise {group['noise']:g}: {quality} "
                f"{measure} ({trained}), mean [min, max] of {seeds} seeds; "
                f"bare ticket {_number(baseline, accuracy)}"
            )
            lines = [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                for row in cells
            ]
            blocks.append("\n".join([title, *(line.rstrip() for line in lines)]))
    return "\n\n".join(blocks)


def _draw_panel(axes: plt.Axes, records: pa.Table, panel: Panel, series: list[Series]) -> None:
    rows = _rows(records, **panel.where)
    summary = summarise(rows)
    task = panel.where["task"]
    accuracy = _is_accuracy(task)
    column = f"{panel.quality}_metric"
    for i, (label, where) in enumerate(series):
        points = _rows(summary, **where).sort_by("density")
        x = points["density"].to_numpy()
        mean, low, high = (points[f"{column}_{how}"].to_numpy() for how in ("mean", "min", "max"))
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(x, mean, color=colour, marker=marker, markersize=4.5, linewidth=1.6, label=label)
    baseline = np.mean(rows["ticket_metric"].to_numpy())
    axes.axhline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="bare ticket")
    ticket_density = rows["ticket_density"][0].as_py()
    axes.axvline(ticket_density, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.set_xscale("log")
    # Where neither the baseline nor collapsed runs are: these lie at opposite ends.
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
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("accuracy")
    else:
        axes.set_yscale("log")
        axes.set_ylabel("mean squared error")
    trained = "before training (strong)" if panel.quality == "strong" else "after training (weak)"
    title = panel.title or f"{TITLES.get(task, task.capitalize())}, {trained}"
    axes.set_title(title, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, which="major", color="#e8e8e8", linewidth=0.7)
    axes.set_axisbelow(True)


def figure(
    records: pa.Table,
    panels: Sequence[Panel],
    path: str | os.PathLike,
    *,
    title: str = "",
    columns: int = 2,
) -> None:
    """Draw quality against density, one panel each, into a PNG (or PDF, SVG) file.

    Mean as a line and the range over seeds as a band per series, the bare ticket dashed.
    """
    series = _series(records)
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    style = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    height = 3.1 * lines + 0.9
    with plt.rc_context(style):
        canvas, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, height), squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(ax, records, panel, series)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="lower center", ncols=min(6, len(labels)), frameon=False)
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        canvas.tight_layout(rect=(0, 0.5 / height, 1, 1))
        canvas.savefig(path, dpi=160)
        plt.close(canvas)
