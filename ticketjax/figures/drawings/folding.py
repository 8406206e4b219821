"""How the layers of Circle's ticket fold the plane, and the logits at their end."""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ticketjax.base import Params
from ticketjax.figures.drawings.forward import activations
from ticketjax.figures.drawings.style import CENTRED, CLASSES
from ticketjax.figures.drawings.task_samples import boundaries, sample_of
from ticketjax.figures.style import FAINT, INK
from ticketjax.tasks.circle import CIRCLE

_AXIS: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1}


def folds(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """The plane as Circle's ticket folds it: the input, then each layer before the knots.

    Args:
        params: the parameters of Circle's ticket.
        x: (n, 2), points of the plane.

    Returns:
        Arrays (n, 2), (n, 4), (n, 2), (n, 3), ...: the input, the parts by sign of both
        coordinates, their sums |x1| and |x2|, then per fold the component along its axis and the
        two signs of the component across. The rows of every array have the norm of x, because each
        layer only rotates and mirrors.
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


def draw_folds(axes: Sequence[plt.Axes], halves: Sequence[plt.Axes]) -> None:
    """Draw the input, |x1| and |x2|, and two more folds.

    Args:
        axes: four, one for each of these.
        halves: two, for the parts by sign of each coordinate.
    """
    x, y = sample_of(CIRCLE, 0.0, 1800)
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


def draw_logits(axes: plt.Axes) -> None:
    """Draw the logits of Circle's ticket over the squared radius, the largest ones wide."""
    (x, _), changes = sample_of(CIRCLE, 0.0, 3000), boundaries()
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
        axes.text(middle, 18.4, str(c), color=CLASSES[c], weight="bold", **CENTRED)
    axes.set(xlim=(0, 1), ylim=(-7, 20), xticks=(0, *np.round(changes, 3), 1), yticks=(0, 10))
    axes.set_xticklabels(["0", *(f"{change:.1f}" for change in changes), "1"])
    axes.tick_params(length=2.5, labelsize=8)
    axes.set_xlabel("$|x|^2$", labelpad=1)
    axes.set_title("output: a logit per class\nthe largest wins", fontsize=9)
