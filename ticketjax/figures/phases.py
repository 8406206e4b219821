"""Phase diagrams: recall and quality over density and width."""

import os
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize

from ticketjax.figures.style import COLOURS, FAINT, INK, STYLE, save, wrapped
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.summaries import (
    QUALITIES,
    rows_where,
    series_of,
    shows_accuracy,
    summarise,
)
from ticketjax.records.titles import place_title

# Maps with more cells show no numbers, which would be illegible.
LABELLED_CELLS = 120
ANCHORED: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"}


class Heat(NamedTuple):
    """How the cells of a map are coloured.

    Args:
        column: the column of records that is shown.
        title: its name in the figure.
        norm: the scale of the colours.
        colours: the name of the colour map.
        form: value -> the text in a cell.
    """

    column: str
    title: str
    norm: Normalize
    colours: str
    form: Callable[[float], str]


def _short(share: float) -> str:
    """Two digits of a share, to fit into a cell: .07, 1."""
    return "1" if share >= 0.995 else f"{share:.2f}"[1:]


def _one_digit(error: float) -> str:
    """One digit and the power of ten, to fit into a cell: 2e-3."""
    return f"{error:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _heats(rows: pa.Table, accuracy: bool) -> list[Heat]:
    heats = [Heat("recall", "recall\nof the ticket", Normalize(0, 1), "viridis", _short)]
    for quality, when in zip(QUALITIES, ("before", "after"), strict=True):
        column = f"{quality}_metric"
        form: Callable[[float], str]
        if accuracy:
            norm, colours, form = Normalize(0, 1), "viridis", _short
        else:
            # One scale for both qualities and the bare ticket.
            names = (*(f"{each}_metric" for each in QUALITIES), "ticket_metric")
            values = np.concatenate([rows[name].to_numpy() for name in names])
            values = values[np.isfinite(values) & (values > 0)]
            low, high = (values.min(), values.max()) if values.size else (0.1, 1)
            # Dark is bad everywhere: small errors are bright.
            norm, colours = LogNorm(low, max(high, 1.01 * low)), "viridis_r"
            form = _one_digit
        measure = "accuracy" if accuracy else "mean sq. error"
        heats.append(Heat(column, f"{measure}\n{when} training", norm, colours, form))
    return heats


def _cells(
    points: list[dict], column: str, densities: list[float | str], widths: list[int]
) -> np.ndarray:
    """Values by width and density, (widths, densities); NaN where there is no record."""
    cells = np.full((len(widths), len(densities)), np.nan)
    for point in points:
        if point["column"] in densities:
            place = widths.index(point["width"]), densities.index(point["column"])
            cells[place] = point[column]
    return cells


def _draw_heat(axes: plt.Axes, cells: np.ndarray, fits: np.ndarray, heat: Heat) -> ScalarMappable:
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(cells),
        norm=heat.norm,
        cmap=heat.colours,
        edgecolors="white",
        linewidth=1.2,
    )
    axes.set_facecolor("#eeeeee")
    for (i, j), value in np.ndenumerate(cells):
        if np.isnan(value):
            continue
        red, green, blue, _ = mesh.to_rgba(value)
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55
        ink = "white" if dark else INK
        if fits[i, j] < 1:
            axes.plot([j + 0.06, j + 0.28], [i + 0.72, i + 0.94], color=ink, linewidth=1.2)
        if cells.size <= LABELLED_CELLS:
            text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": ink}
            axes.text(j + 0.5, i + 0.5, heat.form(value), **text)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def draw_phases(
    records: pa.Table, where: dict[str, Any], path: str | os.PathLike | BinaryIO
) -> None:
    """Draw phase diagrams: a map over density and width for every seeker, into a PNG (PDF, SVG).

    Rows of maps are the recall of the ticket and the quality before and after training, means over
    seeds; bright is good. A stroke in the corner of a cell means that no mask of that density and
    scope can hold the whole ticket. The first column is the ticket's own density, which differs
    between widths.

    Args:
        records: the records of a grid.
        where: columns and the values that records must have: task, model, depth, noise, and others.
        path: the file to write.

    Raises:
        ValueError: there is no such record.
    """
    rows = rows_where(records, **where)
    if not rows.num_rows:
        raise ValueError(f"no record has {where}")
    points = summarise(rows).to_pylist()
    for point in points:
        own = point["density"] == point["ticket_density"]
        point["column"] = "ticket" if own else point["density"]
    columns = {point["column"] for point in points}
    densities = [*({"ticket"} & columns), *sorted(columns - {"ticket"})]
    widths = sorted({point["width"] for point in points})
    series, accuracy = series_of(rows), shows_accuracy(rows)
    heats = _heats(rows, accuracy)
    size = 0.42 * len(densities) + 0.25, 0.3 * len(widths) + 0.25
    size = max(size[0], 1.5), max(size[1], 1.25)
    titles = [wrapped(one.label, size[0]) for one in series]
    width, height = size[0] * len(series) + 2.1, size[1] * len(heats) + 1.9
    height += 0.15 * max(title.count("\n") for title in titles)
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            len(heats),
            len(series),
            figsize=(max(width, 6.5), height),
            squeeze=False,
            sharex=True,
            sharey=True,
            layout="constrained",
        )
        for line, heat in zip(axes, heats, strict=True):
            for ax, one in zip(line, series, strict=True):
                own = [p for p in points if all(p[name] == v for name, v in one.where.items())]
                values, fits = (
                    _cells(own, f"{column}_mean", densities, widths)
                    for column in (heat.column, "feasible_recall")
                )
                mesh = _draw_heat(ax, values, fits, heat)
            bar = canvas.colorbar(mesh, ax=line, pad=0.01, aspect=12, label=heat.title)
            bar.outline.set_visible(False)
            if heat.column != "recall":
                baseline = mean_of_finite(rows["ticket_metric"].to_numpy())
                beside: dict[str, Any] = {
                    "transform": bar.ax.get_yaxis_transform(),
                    "clip_on": False,
                }
                bar.ax.plot(-0.35, baseline, ">", color=COLOURS[4], markersize=5, **beside)
            line[0].set_ylabel("width")
        for ax, title in zip(axes[0], titles, strict=True):
            ax.set_title(title, weight="bold")
        for ax in axes[-1]:
            ax.set_xlabel("density")
            names = [d if d == "ticket" else f"{d:g}" for d in densities]
            ax.set_xticks(np.arange(len(densities)) + 0.5, names, rotation=45, **ANCHORED)
        axes[0, 0].set_yticks(np.arange(len(widths)) + 0.5, map(str, widths))
        seeds = pc.count_distinct(rows["seed"]).as_py()
        canvas.suptitle(
            f"{place_title(where)}: where is the ticket found?",
            x=0.01,
            ha="left",
            fontsize=12,
            weight="bold",
        )
        canvas.supxlabel(
            f"means of {seeds} seed{'s' * (seeds > 1)}; arrow at the colour bar: the bare ticket; "
            "line in the corner: budget too small for the whole ticket",
            fontsize=8,
            color=FAINT,
        )
        save(canvas, path)
        plt.close(canvas)
