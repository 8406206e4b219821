"""Sparse networks as graphs: a column per layer, an edge per weight that is not 0."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from ticketjax.base import Params
from ticketjax.figures.style import COLOURS, FAINT, INK
from ticketjax.masks import layer_names

POSITIVE, NEGATIVE, ZERO = COLOURS[0], COLOURS[4], "#ffffff"
# Line widths in points: of a layer's largest weight, and the least of any weight.
WIDEST, THINNEST = 2.4, 0.4
# Orders settle within a few sweeps; further sweeps only alternate between equal orders.
_SWEEPS = 8


def _alive(kernels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The neurons of every layer that have an edge; inputs and outputs count in any case."""
    hidden = [
        np.flatnonzero((before != 0).any(axis=0) | (after != 0).any(axis=1))
        for before, after in zip(kernels, kernels[1:], strict=False)
    ]
    return [np.arange(kernels[0].shape[0]), *hidden, np.arange(kernels[-1].shape[1])]


def _heights(orders: Sequence[np.ndarray], kernels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Heights in [0, 1], the first neuron topmost; NaN for neurons that are in no order."""
    sizes = [kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels)]
    heights = [np.full(size, np.nan) for size in sizes]
    for order, height in zip(orders, heights, strict=True):
        # The neurons of a small layer are drawn close together around the middle.
        spread = min(1.0, 0.18 * (order.size - 1))
        height[order] = 0.5 + spread * (0.5 - np.linspace(0, 1, order.size)) * (order.size > 1)
    return heights


def _barycentres(connected: np.ndarray, heights: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Mean height of the neighbours of each neuron; its own height if it has none.

    connected: (neurons, neighbours) bool.
    """
    degrees = connected.sum(axis=1)
    sums = connected @ np.nan_to_num(heights)
    # Rounded, so that neurons with the same neighbours tie, and keep their order.
    return np.where(degrees > 0, sums / np.maximum(degrees, 1), own).round(9)


def arrange(kernels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Where to draw the neurons of every layer so that few edges cross.

    Hidden layers are sorted by the mean height of their neighbours, in turn those before and those
    after, as is common for layered graphs (Sugiyama, Tagawa and Toda 1981). The fewest crossings
    are NP-hard to find; this method is enough to untangle a ticket that splits into paths. Neurons
    with equal neighbours, such as knots, keep their order. Inputs and outputs keep their places,
    because they have names.

    Args:
        kernels: one per layer, (n_in, n_out) each.

    Returns:
        Heights (neurons,) in [0, 1] for inputs, hidden layers and outputs; NaN for a hidden neuron
        without edges.
    """
    orders = _alive(kernels)
    heights = _heights(orders, kernels)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        hidden = range(1, len(kernels))
        for i in hidden if forward else reversed(hidden):
            connected = kernels[i - 1].T != 0 if forward else kernels[i] != 0
            neighbours = heights[i - 1] if forward else heights[i + 1]
            centres = _barycentres(connected, neighbours, heights[i])[orders[i]]
            orders[i] = orders[i][np.argsort(-centres, kind="stable")]
            heights = _heights(orders, kernels)
    return heights


def _sign_colours(values: np.ndarray) -> list[str]:
    return [POSITIVE if value > 0 else NEGATIVE if value < 0 else ZERO for value in values]


def ticket(
    axes: plt.Axes,
    params: Params,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    captions: Sequence[str] = (),
) -> list[np.ndarray]:
    """Draw a sparse network as a graph: an edge per non-zero weight, a column per layer.

    The width of an edge is |w| relative to the largest of its layer, between THINNEST and WIDEST
    points. Its colour is blue above zero and vermilion below. A neuron has the colour of its bias's
    sign and is white without one. Hidden neurons without edges are not drawn.

    Args:
        axes: the axes to draw into.
        params: kernels (n_in, n_out) and biases (n_out,), any tree of this form: a planted ticket,
            a found one, or a trained one.
        inputs, outputs: names next to the first and the last column.
        captions: texts below the columns, from input to output; by default their numbers.

    Returns:
        The heights of arrange(), in the axes' own coordinates; column l is at x = l.
    """
    names = layer_names(params)
    kernels = [np.asarray(params[name]["kernel"]) for name in names]
    biases = [np.zeros(kernels[0].shape[0]), *(np.asarray(params[name]["bias"]) for name in names)]
    heights = arrange(kernels)
    for i, kernel in enumerate(kernels):
        before, after = np.nonzero(kernel)
        weights = kernel[before, after]
        # Thin edges are drawn last, on top of the wide ones.
        order = np.argsort(-np.abs(weights), kind="stable")
        before, after, weights = before[order], after[order], weights[order]
        ends = [
            [(i, low), (i + 1, high)]
            for low, high in zip(heights[i][before], heights[i + 1][after], strict=True)
        ]
        relative = np.abs(weights) / np.abs(weights).max(initial=np.finfo(np.float32).tiny)
        axes.add_collection(
            LineCollection(
                ends,
                linewidths=np.maximum(WIDEST * relative, THINNEST),
                colors=_sign_colours(weights),
                alpha=0.75,
                capstyle="round",
                zorder=1,
            )
        )
    busiest = max(np.count_nonzero(~np.isnan(height)) for height in heights)
    room = axes.bbox.height / axes.figure.dpi * 72 / (busiest + 2)
    diameter = float(np.clip(0.72 * room, 3, 11))
    for i, (height, bias) in enumerate(zip(heights, biases, strict=True)):
        drawn = ~np.isnan(height)
        axes.scatter(
            np.full(drawn.sum(), i),
            height[drawn],
            s=diameter**2,
            c=_sign_colours(bias[drawn]),
            edgecolors=INK,
            linewidths=min(0.9, diameter / 8),
            zorder=2,
        )
    last = len(kernels)
    for column, labels, side, align in ((0, inputs, -1, "right"), (last, outputs, 1, "left")):
        for label, height in zip(labels, heights[column], strict=False):
            axes.annotate(
                label,
                (column, height),
                xytext=(side * (diameter / 2 + 5), 0),
                textcoords="offset points",
                ha=align,
                va="center",
            )
    captions = captions or ["input", *(f"layer {i}" for i in range(1, last)), "output"]
    for i, (caption, height) in enumerate(zip(captions, heights, strict=True)):
        count = np.count_nonzero(~np.isnan(height))
        axes.text(i, -0.07, caption, ha="center", va="top", linespacing=1.35)
        axes.text(i, 1.06, f"$n = {count}$", ha="center", va="bottom", color=FAINT, fontsize=8.5)
    axes.set_xlim(-0.45, last + 0.45)
    axes.set_ylim(-0.22, 1.12)
    axes.set_axis_off()
    return heights


def signs_legend(canvas: plt.Figure, y: float) -> None:
    """Draw a legend of the colours of positive and negative parameters, at height y."""
    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markeredgecolor": INK, "markersize": 8}
    canvas.legend(
        handles=[
            Line2D([], [], color=POSITIVE, linewidth=WIDEST, label="weight above 0"),
            Line2D([], [], color=NEGATIVE, linewidth=WIDEST, label="weight below 0"),
            Line2D([], [], color=POSITIVE, **dot, label="bias above 0"),
            Line2D([], [], color=NEGATIVE, **dot, label="bias below 0"),
            Line2D([], [], color=ZERO, **dot, label="no bias"),
        ],
        loc="center",
        bbox_to_anchor=(0.5, y),
        ncols=5,
    )
