"""Drawings of tasks and tickets: samples, how Circle's layers fold the plane, networks as graphs.

Samples come from the tasks; folds, knots and graphs from the parameters of their tickets. So the
drawings show what runs, not what was meant.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from mpl_toolkits.mplot3d import Axes3D

from ticketjax.base import Params, Task
from ticketjax.figures.style import COLOURS, FAINT, INK, save
from ticketjax.masks import layer_names
from ticketjax.tasks.circle import CIRCLE
from ticketjax.tasks.helix import HELIX
from ticketjax.tasks.piecewise import fit

# Blue and vermilion are kept for signs, so that no class looks like one.
CLASSES = (COLOURS[5], COLOURS[1], COLOURS[2], COLOURS[3])
POSITIVE, NEGATIVE, ZERO = COLOURS[0], COLOURS[4], "#ffffff"
# Points, of a layer's largest weight, and of those that would be too thin to be seen.
WIDEST, THINNEST = 2.4, 0.4
# Drawn each time, and cut to what a panel shows: one shape is compiled, not one per panel.
_SAMPLES = 10_000
# Orders settle within a few sweeps; past that they would only alternate between equals.
_SWEEPS = 8
_PATH = LinearSegmentedColormap.from_list("path", (COLOURS[5], COLOURS[0], COLOURS[3], COLOURS[1]))
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "mathtext.fontset": "dejavusans",
}
_AXIS: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1}


def activations(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """What every layer of neurons puts out, the input first and the output last.

    x: (n, inputs). Returns arrays (n, neurons); ReLU acts on all but the first and the last.

    >>> x = np.array([[0.5, -0.5]])
    >>> activations(CIRCLE.ticket(5), x)[2].tolist()
    [[0.5, 0.5]]
    """
    layers, last = [np.asarray(x)], len(params) - 1
    for i, name in enumerate(layer_names(params)):
        kernel, bias = (np.asarray(params[name][part]) for part in ("kernel", "bias"))
        sums = layers[-1] @ kernel + bias
        layers.append(sums if i == last else np.maximum(sums, 0))
    return layers


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
        # Small layers stay together around the middle: no spread beyond what they need.
        spread = min(1.0, 0.18 * (order.size - 1))
        height[order] = 0.5 + spread * (0.5 - np.linspace(0, 1, order.size)) * (order.size > 1)
    return heights


def _barycentres(connected: np.ndarray, heights: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Mean height of the neighbours of each neuron, its own without any.

    connected: (neurons, neighbours) bool.
    """
    degrees = connected.sum(axis=1)
    sums = connected @ np.nan_to_num(heights)
    # Rounded, so that neurons with the same neighbours tie, and keep their order.
    return np.where(degrees > 0, sums / np.maximum(degrees, 1), own).round(9)


def arrange(kernels: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Where to draw the neurons of every layer, such that edges cross little.

    Hidden layers are sorted by the mean height of their neighbours, in turn those before and those
    after, as layered graphs commonly are (Sugiyama, Tagawa and Toda 1981): fewest crossings is
    NP-hard, and a ticket that splits into paths untangles this way. Neurons with equal neighbours,
    as knots, keep their order. Inputs and outputs stay as they are: they have names.

    kernels: (n_in, n_out) each. Returns heights (neurons,) in [0, 1] for inputs, hidden layers and
    outputs; NaN for a hidden neuron without edges.
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

    An edge is as wide as |w| relative to the largest of its layer, between THINNEST and WIDEST
    points, blue above and vermilion below zero; a neuron has the colour of its bias's sign and is
    white without one. Hidden neurons without edges are not drawn.

    params: kernels (n_in, n_out), biases (n_out,), any tree of this form: a planted ticket, a found
        one, what training made of it.
    inputs, outputs: names beside the first and the last column.
    captions: below the columns, input to output; by default their numbers.

    Returns the heights of `arrange`, the axes' own coordinates; column l stands at x = l.
    """
    names = layer_names(params)
    kernels = [np.asarray(params[name]["kernel"]) for name in names]
    biases = [np.zeros(kernels[0].shape[0]), *(np.asarray(params[name]["bias"]) for name in names)]
    heights = arrange(kernels)
    for i, kernel in enumerate(kernels):
        before, after = np.nonzero(kernel)
        weights = kernel[before, after]
        # The thin ones last, on top of the wide ones.
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


def _sample(task: Task, noise: float, n: int = _SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    x, y = task.sample(jax.random.key(1), _SAMPLES, noise)
    return np.asarray(x)[:n], np.asarray(y)[:n]


def boundaries() -> tuple[float, ...]:
    """Squared radii at which Circle's class changes, to about 1e-3: as its samples show them."""
    x, y = _sample(CIRCLE, 0.0)
    squared = np.sum(x * x, axis=1)
    changes = [
        (squared[y == c].max() + squared[y == c + 1].min()) / 2 for c in range(CIRCLE.outputs - 1)
    ]
    return tuple(float(change) for change in changes)


def _class_names(changes: Sequence[float]) -> list[str]:
    return [
        f"$|x|^2 < {changes[0]:.1f}$",
        *(f"${a:.1f} < |x|^2 < {b:.1f}$" for a, b in zip(changes, changes[1:], strict=False)),
        f"${changes[-1]:.1f} < |x|^2$",
    ]


def _circle_samples(axes: plt.Axes) -> None:
    changes = boundaries()
    x, y = _sample(CIRCLE, 0.01, 3000)
    for c, name in enumerate(_class_names(changes)):
        own = x[y == c]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=9,
            color=CLASSES[c],
            linewidths=0,
            label=f"class {c}: {name}",
            alpha=0.9,
        )
    for squared in changes:
        axes.add_patch(Circle((0, 0), squared**0.5, fill=False, color=INK, linewidth=1.1))
    axes.set(aspect="equal", xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), xlabel="$x_1$", ylabel="$x_2$")
    axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, markerscale=2, handletextpad=0.2
    )


def _helix_samples(axes: Axes3D) -> None:
    x, y = _sample(HELIX, 0.0)
    axes.plot(*y[np.argsort(x[:, 0])].T, color=INK, linewidth=1, zorder=1)
    x, y = _sample(HELIX, 0.01, 700)
    points = axes.scatter(
        y[:, 0],
        y[:, 1],
        y[:, 2],
        c=x[:, 0],
        cmap=_PATH,
        s=11,
        linewidths=0,
        depthshade=False,
    )
    axes.set(xlabel="$y_1$", ylabel="$y_2$", zlabel="$y_3$")
    axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1), zticks=(0.25, 0.5, 0.75, 1))
    axes.view_init(elev=24, azim=-58)
    axes.set_box_aspect((1, 1, 0.85), zoom=1.02)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color(FAINT)
    bar = axes.figure.colorbar(
        points, cax=axes.figure.add_axes((0.6, 0.1, 0.28, 0.018)), orientation="horizontal"
    )
    bar.set_label("input $x$", labelpad=0)
    bar.outline.set_visible(False)
    bar.set_ticks((-1, 0, 1))


def samples(path: str | os.PathLike) -> None:
    """Draw samples of Circle and of Helix, both with the default noise, into a PNG (PDF, SVG).

    Circle: classes by colour, the true boundaries as circles. Helix: the colour is the input, the
    line the curve without noise.

    Source: what Figure 1 of Fischer and Burkholz (2022) shows.
    """
    with plt.rc_context(_STYLE):
        canvas = plt.figure(figsize=(10.4, 5.4))
        circle = canvas.add_axes((0.06, 0.2, 0.37, 0.7))
        helix = canvas.add_axes((0.47, 0.17, 0.5, 0.81), projection="3d")
        _circle_samples(circle)
        _helix_samples(cast(Axes3D, helix))
        canvas.text(0.06, 0.945, "Circle: which ring of the plane?", weight="bold", fontsize=12)
        canvas.text(0.55, 0.945, "Helix: where on the curve?", weight="bold", fontsize=12)
        save(canvas, path)
        plt.close(canvas)


def folds(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """What Circle's ticket makes of the plane: the input and what each layer before the knots does.

    x: (n, 2). Returns arrays (n, 2), (n, 4), (n, 2), (n, 3), ...: the parts by sign of both
    coordinates, their sums |x1| and |x2|, then per fold the component along its axis and the two
    signs of the component across. Every array has rows of the norm of x, for each layer only turns
    and mirrors.
    """
    return activations(params, x)[: len(params) - 1]


def _plane(fold: np.ndarray) -> np.ndarray:
    """A layer of folds as points of the plane: both signs of the second component together."""
    return np.stack([fold[:, 0], fold[:, 1:].sum(axis=1)], axis=1)


def _scatter(axes: plt.Axes, points: np.ndarray, y: np.ndarray, marked: np.ndarray) -> None:
    axes.scatter(
        points[:, 0], points[:, 1], s=4, c=[CLASSES[c] for c in y], linewidths=0, rasterized=True
    )
    axes.scatter(
        marked[:, 0], marked[:, 1], s=24, color=INK, edgecolors="white", linewidths=0.8, zorder=3
    )


def _square(axes: plt.Axes, low: float, high: float, ticks: Sequence[float]) -> None:
    axes.set(aspect="equal", xlim=(low, high), ylim=(low, high), xticks=ticks, yticks=ticks)
    axes.tick_params(length=2.5, labelsize=8)


def _distinct(points: np.ndarray) -> int:
    return len(np.unique(points.round(4), axis=0))


def _draw_folds(axes: Sequence[plt.Axes], halves: Sequence[plt.Axes]) -> None:
    """Draw input, |x1| and |x2|, two more folds; halves: the parts by sign of each coordinate."""
    x, y = _sample(CIRCLE, 0.0, 1800)
    # 16 points that the folds, which halve the sector of the points every time, bring together.
    angles = np.pi / 4 * np.repeat(np.arange(8), 2) + np.tile([0.24, -0.24], 8)
    marked = 0.62 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    deep = CIRCLE.ticket(7)
    layers, marks = folds(deep, x), folds(deep, marked)

    for i, half in enumerate(halves):
        part, mark = (array[1][:, 2 * i : 2 * i + 2] for array in (layers, marks))
        _scatter(half, part, y, mark)
        _square(half, -0.1, 1.1, (0, 1))
        half.set_xlabel(f"$x_{i + 1}^+$", labelpad=-9)
        half.set_ylabel(f"$x_{i + 1}^-$", labelpad=-2, rotation=0, va="center", ha="right")

    labels = (
        ("$x_1$", "$x_2$"),
        ("$|x_1|$", "$|x_2|$"),
        ("along", "|across|"),
        ("along", "|across|"),
    )
    titles = ("input", "layer 2: two folds", "depth 6, layer 3", "depth 7, layer 4")
    for ax, i, (across, up), title in zip(axes, (0, 2, 3, 4), labels, titles, strict=True):
        points, mark = (array[i] if i < 3 else _plane(array[i]) for array in (layers, marks))
        _scatter(ax, points, y, mark)
        if i == 0:
            _square(ax, -1.08, 1.08, (-1, 0, 1))
            ax.axhline(0, **_AXIS)
            ax.axvline(0, **_AXIS)
        else:
            _square(ax, -0.06, 1.1 if i == 2 else 1.45, (0, 1))
        if 2 <= i < 4:
            # The next layer's first neuron points along the axis of its fold.
            along = np.asarray(deep[f"layer_{i}"]["kernel"])[:2, 0]
            ax.plot(*1.5 * np.stack([0 * along, along]).T, **_AXIS)
        ax.set_xlabel(across, labelpad=1)
        ax.set_ylabel(up, labelpad=1)
        met = f"{len(mark)} marked points" if i == 0 else f"they meet in {_distinct(mark)}"
        ax.set_title(f"{title}\n{met}", fontsize=9)


def _draw_logits(axes: plt.Axes) -> None:
    (x, _), changes = _sample(CIRCLE, 0.0, 3000), boundaries()
    squared = np.sum(x * x, axis=1)
    near = np.flatnonzero(squared <= 1)
    near = near[np.argsort(squared[near])]
    logits = activations(CIRCLE.ticket(5), x[near])[-1]
    for c in range(CIRCLE.outputs):
        largest = logits.argmax(axis=1) == c
        axes.plot(squared[near], logits[:, c], color=CLASSES[c], linewidth=0.8, alpha=0.8)
        wins = np.where(largest, logits[:, c], np.nan)
        axes.plot(squared[near], wins, color=CLASSES[c], linewidth=3.2, solid_capstyle="butt")
    for change in changes:
        axes.axvline(change, zorder=0, color=FAINT, linestyle=":", linewidth=1)
    middles = [(a + b) / 2 for a, b in itertools.pairwise((0, *changes, 1))]
    for c, middle in enumerate(middles):
        axes.text(middle, 18.4, str(c), color=CLASSES[c], weight="bold", **_CENTRED)
    axes.set(xlim=(0, 1), ylim=(-7, 20), xticks=(0, *np.round(changes, 3), 1), yticks=(0, 10))
    axes.set_xticklabels(["0", *(f"{change:.1f}" for change in changes), "1"])
    axes.tick_params(length=2.5, labelsize=8)
    axes.set_xlabel("$|x|^2$", labelpad=1)
    axes.set_title("output: a logit per class\nthe largest wins", fontsize=9)


def helix_first(x: np.ndarray) -> np.ndarray:
    """Helix's first coordinate, (n,) to (n,), for fits with other knots than the ticket's."""
    u = np.pi * (5 + 3 * x)
    return u * np.cos(u) / (8 * np.pi)


def _approximate(
    axes: plt.Axes,
    function: Callable[[np.ndarray], np.ndarray],
    knots: np.ndarray,
    interval: tuple[float, float],
    *,
    neurons: bool = False,
) -> None:
    """Draw a function, its approximation with these knots and, if asked, its neurons."""
    signs = np.ones(len(knots))
    slope_changes, offset = fit(function, knots, signs, interval)
    x = np.linspace(*interval, 1001)
    hinges = slope_changes * np.maximum(x[:, None] - knots, 0)
    if neurons:
        for hinge, knot in zip(hinges.T, knots, strict=True):
            shown = x >= knot
            axes.plot(x[shown], hinge[shown], color=COLOURS[5], linewidth=1.2, zorder=1)
        axes.plot([], [], color=COLOURS[5], linewidth=1.2, label="neurons $a_j\\,$relu$(x - s_j)$")
    _draw_fit(axes, x, function(x), hinges.sum(axis=1) + offset, knots)


def _draw_fit(
    axes: plt.Axes, x: np.ndarray, target: np.ndarray, approximation: np.ndarray, knots: np.ndarray
) -> None:
    axes.plot(x, target, color=FAINT, linewidth=3.5, alpha=0.45, label="function")
    axes.plot(x, approximation, color=INK, linewidth=1.3, label="approximation")
    at = np.interp(knots, x, approximation)
    axes.plot(
        knots,
        at,
        "o",
        markersize=4.5,
        color=COLOURS[4],
        markeredgecolor="white",
        markeredgewidth=0.6,
        label="knots $s_j$",
        zorder=4,
    )
    axes.tick_params(length=2.5, labelsize=8)
    axes.set_xlabel("$x$", labelpad=1)


def _draw_univariate(axes: Sequence[plt.Axes]) -> None:
    few, coarse, real = axes
    knots = np.arange(4) / 4
    _approximate(few, np.square, knots, (0, 1), neurons=True)
    few.set_title("$x^2$ with 4 knots, the sum of its neurons", fontsize=9.5)
    few.legend(loc="upper left", fontsize=8.5, handlelength=1.4, borderaxespad=0.2)

    count = 12
    _approximate(coarse, helix_first, np.arange(count) * (2 / count) - 1, (-1, 1))
    coarse.set_title(f"Helix's first coordinate with {count} knots", fontsize=9.5)

    params = HELIX.ticket(3)
    x = np.linspace(-1, 1, 2001)
    approximation = activations(params, x[:, None])[-1][:, 0]
    bends = np.asarray(params["layer_0"]["bias"]) / -np.asarray(params["layer_0"]["kernel"])[0]
    _draw_fit(real, x, helix_first(x), approximation, np.unique(bends))
    real.set_title(f"The same with the ticket's {bends.size} neurons", fontsize=9.5)
    for ax in (coarse, real):
        ax.set(ylim=(-1.25, 1.35), xticks=(-1, 0, 1), yticks=(-1, 0, 1))


def _arrow(canvas: plt.Figure, before: plt.Axes, after: plt.Axes) -> None:
    left, right = before.get_position(), after.get_position()
    # Close to what it leaves: the labels of what it leads to need the rest of the gap.
    x = left.x1 + 0.25 * (right.x0 - left.x1)
    canvas.text(
        x, (left.y0 + left.y1) / 2, "\N{RIGHTWARDS ARROW}", size=15, color=FAINT, **_CENTRED
    )


def _signs_legend(canvas: plt.Figure, y: float) -> None:
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


def construction(path: str | os.PathLike) -> None:
    """Draw how the tickets of Circle and Helix are made, into a PNG (PDF, SVG) file.

    (a) Circle's samples as the layers of its ticket fold them, and the logits at the end; (b) the
    piecewise linear approximation of a function of one variable; (c), (d) the tickets of depth 5.

    Source: what Figure 2 of Fischer and Burkholz (2022) shows.
    """
    with plt.rc_context(_STYLE):
        canvas = plt.figure(figsize=(13.5, 13))
        _compose(canvas)
        save(canvas, path)
        plt.close(canvas)


def _compose(canvas: plt.Figure) -> None:
    def heading(y: float, text: str, x: float = 0.03) -> None:
        canvas.text(x, y, text, weight="bold", fontsize=12, va="bottom")

    heading(0.968, "(a) Circle: layers fold the plane and keep every radius")
    canvas.text(0.44, 0.969, "dashed: axis of the next fold", color=FAINT, va="bottom")
    lefts = 0.045 + 0.161 * np.arange(6) + np.repeat([0, 0.008], [4, 2])
    start, split, fold, logits, sixth, seventh = (
        canvas.add_axes((left, 0.77, 0.117, 0.14)) for left in lefts
    )
    split.set_axis_off()
    halves = [split.inset_axes((0.3, y, 0.5, 0.5)) for y in (0.55, -0.1)]
    _draw_folds((start, fold, sixth, seventh), halves)
    split.set_title("layer 1: each coordinate\nin its parts by sign", fontsize=9)
    _draw_logits(logits)
    for before, after in ((start, split), (split, fold), (fold, logits), (sixth, seventh)):
        _arrow(canvas, before, after)
    canvas.text(lefts[4], 0.969, "deeper tickets fold on", va="bottom")
    x = (logits.get_position().x1 + lefts[4]) / 2 - 0.012
    canvas.add_artist(Line2D((x, x), (0.755, 0.985), color="#d0d0d0", linewidth=0.8))

    heading(0.705, "(b) One hidden layer bends a line at its knots")
    bends = [canvas.add_axes((0.045 + 0.325 * i, 0.53, 0.28, 0.145)) for i in range(3)]
    _draw_univariate(bends)

    heading(0.465, "(c) Circle's ticket, depth 5")
    heading(0.465, "(d) Helix's ticket, depth 5", x=0.53)
    ticket(
        canvas.add_axes((0.04, 0.05, 0.44, 0.4)),
        CIRCLE.ticket(5),
        inputs=("$x_1$", "$x_2$"),
        outputs=[f"class {c}" for c in range(4)],
        captions=(
            "input",
            "layer 1\nsigns",
            "layer 2\n$|x_1|, |x_2|$",
            "layer 3\nknots",
            "output\nlogits",
        ),
    )
    ticket(
        canvas.add_axes((0.53, 0.05, 0.44, 0.4)),
        HELIX.ticket(5),
        inputs=("$x$",),
        outputs=("$y_1$", "$y_2$", "$y_3$"),
        captions=("input", "layer 1\n$x + 1$", "layer 2\nknots", "layer 3\n$y + 1$", "output\n$y$"),
    )
    _signs_legend(canvas, 0.025)
