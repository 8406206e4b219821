"""Layer densities after each round of pruning."""

import os
from typing import Any, BinaryIO

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ticketjax.figures.style import FAINT, STYLE, save, tidy, wrapped
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.summaries import WHERE, Series, rows_where, series_of
from ticketjax.records.titles import place_title

PANEL_WIDTH = 4


def _ticket_layers(rows: pa.Table) -> np.ndarray:
    """Share of each layer's parameters that the planted ticket has, (layers,).

    The kept share of a layer times the precision there is the planted share that was kept. Divided
    by the recall, this is the whole planted share. NaN if no mask keeps a planted parameter.
    """
    names = ("layer_kept", "layer_precision", "layer_recall")
    for name in names:
        rows = rows.filter(pc.is_valid(rows[name]))
    kept, precision, recall = (np.array(rows[name].to_pylist(), float) for name in names)
    shares = kept * precision / np.where(recall > 0, recall, np.nan)
    # All masks give the same value, up to rounding.
    return np.array([mean_of_finite(layer) for layer in shares.T])


def _draw_layers(axes: plt.Axes, rows: pa.Table, series: Series, ticket: np.ndarray) -> None:
    kept = np.array(rows["round_layer_kept"].to_pylist())  # (seeds, rounds, layers)
    kept = np.concatenate([np.ones_like(kept[:, :1]), kept], axis=1).mean(axis=0)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, kept.shape[1]))
    for layer, colour in enumerate(colours):
        # A log scale cannot show an empty layer, so its line ends.
        line = np.where(kept[:, layer] > 0, kept[:, layer], np.nan)
        axes.plot(range(len(line)), line, "o-", ms=3, lw=1.5, color=colour, label=f"layer {layer}")
        if layer < len(ticket) and np.isfinite(ticket[layer]):
            axes.axhline(ticket[layer], color=colour, linestyle=(0, (5, 3)), linewidth=1)
    dead = np.array(rows["round_first_dead_layer"].to_pylist())
    collapsed = (dead >= 0).any(axis=1)
    text = f"{collapsed.sum()} of {len(dead)} collapse"
    if collapsed.any():
        text += f", the first in round {(dead >= 0).any(axis=0).argmax() + 1}"
    axes.set_title(f"{wrapped(series.label, PANEL_WIDTH)}\n{text}", loc="left")
    axes.set_yscale("log")
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)


def lowest_in_rounds(records: pa.Table) -> list[dict[str, Any]]:
    """The places with several rounds of pruning: values of WHERE, and the lowest density."""
    in_rounds = records.filter(pc.greater(pc.list_value_length(records["round_layer_kept"]), 1))
    places = in_rounds.group_by(WHERE, use_threads=False).aggregate([("density", "min")])
    return [
        {**{name: place[name] for name in WHERE}, "density": place["density_min"]}
        for place in places.to_pylist()
    ]


def draw_rounds(
    records: pa.Table, where: dict[str, Any], path: str | os.PathLike | BinaryIO
) -> None:
    """Draw every layer's density after every round of pruning, one panel per seeker.

    Solid lines are means over seeds. A dashed line in the same colour is the density of the planted
    ticket in that layer, if any of the records kept a part of it. A line ends where the layer is
    empty in every seed.

    Args:
        records: the records of a grid.
        where: columns and the values that records must have; WHERE and a density are among them.
        path: the file to write.

    Raises:
        ValueError: no such record was made in rounds.
    """
    rows = rows_where(records, **where)
    rows = rows.filter(pc.is_valid(rows["round_layer_kept"]))
    if not rows.num_rows:
        raise ValueError(f"no record of pruning in rounds has {where}")
    place = {name: value for name, value in where.items() if name in WHERE}
    ticket = _ticket_layers(rows_where(records, **place))
    series = series_of(rows)
    columns = min(3, len(series))
    lines = -(-len(series) // columns)
    height = 3.1 * lines + 0.9
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            lines, columns, figsize=(PANEL_WIDTH * columns, height), squeeze=False, sharey=True
        )
        for ax in axes.flat[len(series) :]:
            ax.set_visible(False)
        for ax, one in zip(axes.flat, series, strict=False):
            _draw_layers(ax, rows_where(rows, **one.where), one, ticket)
        for ax in axes[:, 0]:
            ax.set_ylabel("density of the layer")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        if np.isfinite(ticket).any():
            handles.append(Line2D([], [], color=FAINT, linestyle=(0, (5, 3)), linewidth=1))
            labels.append("planted ticket")
        canvas.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
        network = {name: value for name, value in where.items() if name in ("task", "model")}
        own = where["density"] == rows["ticket_density"][0].as_py()
        density = f"{'the ticket’s density' if own else 'density'} {where['density']:.2g}"
        canvas.suptitle(
            wrapped(
                f"{place_title(network)}: layer densities over the rounds, down to {density}",
                0.8 * PANEL_WIDTH * columns,
            ),
            x=0.01,
            ha="left",
            fontsize=12,
            weight="bold",
        )
        canvas.tight_layout(rect=(0, 0.28 / height, 1, 1))
        save(canvas, path)
        plt.close(canvas)
