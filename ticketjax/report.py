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
from ticketjax.tasks import TASKS

# Okabe and Ito's palette: told apart with any colour vision, and by markers in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# How papers write the names that flags and records spell in lower case.
TITLES = {"relu": "ReLU", "snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow"}
INK, FAINT = "#222222", "#8a8a8a"
POINT = ("task", "depth", "width", "noise", "strategy", "scope", "seeker", "density")
QUALITIES = ("strong", "weak")


class Panel(NamedTuple):
    """One plot: a task's strong or weak quality against density."""

    task: str
    quality: str


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


def _is_accuracy(task: str) -> bool:
    return task in TASKS and TASKS[task].kind == CLASSIFICATION


def _number(value: float, accuracy: bool) -> str:
    return f"{value:.3f}" if accuracy else f"{value:.1e}".replace("e-0", "e-")


def _density_label(density: float, ticket_density: float) -> str:
    return f"ticket {density:.2g}" if density == ticket_density else f"{density:g}"


def _in_order(values: Sequence[str], seekers: Sequence[str] | None) -> list[str]:
    present = dict.fromkeys(values)
    return [s for s in seekers if s in present] if seekers else list(present)


def _rows(table: pa.Table, **equal: object) -> pa.Table:
    for name, value in equal.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def table(records: pa.Table, seekers: Sequence[str] | None = None) -> str:
    """A text table: mean [min, max] per seeker and density, with the bare ticket's baseline.

    seekers: their order; by default that of the records.
    """
    summary, blocks = summarise(records), []
    groups = summary.group_by(["task", "depth", "width", "noise"], use_threads=False).aggregate([])
    for group in groups.to_pylist():
        part = _rows(summary, **group)
        accuracy = _is_accuracy(group["task"])
        densities = sorted(set(part["density"].to_pylist()))
        ticket_density = part["ticket_density"][0].as_py()
        labels = [_density_label(d, ticket_density) for d in densities]
        measure = "accuracy" if accuracy else "mean squared error"
        for quality in QUALITIES:
            trained = "before training" if quality == "strong" else "after training"
            baseline = np.mean(_rows(records, **group)["ticket_metric"].to_numpy())
            cells = [["seeker", *labels]]
            for seeker in _in_order(part["seeker"].to_pylist(), seekers):
                cells.append([seeker])
                for density in densities:
                    rows = _rows(part, seeker=seeker, density=density).to_pylist()
                    mean, low, high = (
                        _number(rows[0][f"{quality}_metric_{how}"], accuracy)
                        for how in ("mean", "min", "max")
                    )
                    cells[-1].append(f"{mean} [{low}, {high}]")
            widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
            runs = part["runs"].to_pylist()
            seeds = f"{min(runs)}" if min(runs) == max(runs) else f"{min(runs)}-{max(runs)}"
            title = (
                f"{group['task']}, depth {group['depth']}, width {group['width']}, noise "
                f"{group['noise']:g}: {quality} {measure} ({trained}), mean [min, max] of "
                f"{seeds} seeds; bare ticket {_number(baseline, accuracy)}"
            )
            lines = [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                for row in cells
            ]
            blocks.append("\n".join([title, *(line.rstrip() for line in lines)]))
    return "\n\n".join(blocks)


def _draw_panel(axes, records: pa.Table, panel: Panel, seekers: Sequence[str]) -> None:
    rows = _rows(records, task=panel.task)
    summary = summarise(rows)
    accuracy = _is_accuracy(panel.task)
    column = f"{panel.quality}_metric"
    for i, seeker in enumerate(seekers):
        points = _rows(summary, seeker=seeker).sort_by("density")
        x = points["density"].to_numpy()
        mean, low, high = (points[f"{column}_{how}"].to_numpy() for how in ("mean", "min", "max"))
        colour = COLOURS[i % len(COLOURS)]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(
            x, mean, color=colour, marker=MARKERS[i % len(MARKERS)], markersize=4.5,
            linewidth=1.6, label=TITLES.get(seeker, seeker.replace("_", " ")),
        )  # fmt: skip
    baseline = np.mean(rows["ticket_metric"].to_numpy())
    axes.axhline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="bare ticket")
    ticket_density = rows["ticket_density"][0].as_py()
    axes.axvline(ticket_density, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.set_xscale("log")
    # Away from the baseline: an accuracy's is near the top, an error's near the bottom.
    axes.annotate(
        "ticket's\ndensity",
        (ticket_density, 0.02 if accuracy else 0.98),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7,
        color=FAINT,
        va="bottom" if accuracy else "top",
    )
    axes.set_xlabel("density")
    if accuracy:
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("accuracy")
    else:
        axes.set_yscale("log")
        axes.set_ylabel("mean squared error")
    trained = "before training (strong)" if panel.quality == "strong" else "after training (weak)"
    axes.set_title(f"{TITLES.get(panel.task, panel.task.capitalize())}, {trained}", loc="left")
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
    seekers: Sequence[str] | None = None,
    columns: int = 2,
) -> None:
    """Draw quality against density, one panel per task and quality, into a PNG (or PDF, SVG) file.

    Mean as a line and the range over seeds as a band per seeker, the bare ticket dashed.
    """
    seekers = _in_order(records["seeker"].to_pylist(), seekers)
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
    with plt.rc_context(style):
        canvas, axes = plt.subplots(
            lines, columns, figsize=(4.6 * columns, 3.1 * lines + 0.8), squeeze=False
        )
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(ax, records, panel, seekers)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        canvas.legend(
            handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9
        )
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        canvas.tight_layout(rect=(0, 0.06, 1, 1))
        canvas.savefig(path, dpi=160)
        plt.close(canvas)
