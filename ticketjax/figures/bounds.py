"""The chance that a random network contains a ticket, against its width."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ticketjax.figures.style import COLOURS, FAINT, INK, STYLE, save, tidy
from ticketjax.records.titles import task_title


class Bound(NamedTuple):
    """A lower bound on the probability that a random network contains a task's ticket, by width.

    Args:
        task: the name of the task that the ticket is of.
        initialisation: the mother network's, "uniform" or "normal".
        log10_width: (n,), rising.
        probability: (n,), the bound at each width.
        required: log10 of the width that is enough.
    """

    task: str
    initialisation: str
    log10_width: np.ndarray
    probability: np.ndarray
    required: float


def _width_label(log10_width: float, position: float | None = None) -> str:
    del position
    return f"{10**log10_width:.0f}" if log10_width < 4 else f"$10^{{{log10_width:.0f}}}$"


def _draw_chances(axes: plt.Axes, curves: Sequence[Bound], colour: str, delta: float) -> None:
    for curve in curves:
        dashes = "-" if curve.initialisation == "uniform" else (0, (4, 2))
        axes.plot(
            curve.log10_width, curve.probability, color=colour, linestyle=dashes, linewidth=1.6
        )
        axes.plot(curve.required, 1 - delta, "o", color=colour, markersize=4.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    axes.axhline(1 - delta, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=3, nbins=6))
    axes.xaxis.set_major_formatter(_width_label)
    axes.set_xlabel("width of the random network")
    tidy(axes)


def draw_bounds(
    curves: Sequence[Bound],
    path: str | os.PathLike,
    *,
    delta: float,
    landmarks: dict[str, float] | None = None,
    title: str = "",
    subtitle: str = "",
) -> None:
    """Draw the probability that tickets exist against width: on one axis, then each task closer.

    Dots mark the widths at which the probability is 1 - delta, dotted lines mark the landmarks.

    Args:
        curves: the bounds, one for each task and initialisation.
        path: the file to write.
        delta: 1 - delta is the probability that the dots mark.
        landmarks: log10 of widths by label.
        title: the title of the figure.
        subtitle: the title of the upper panel.
    """
    tasks = {
        task: [curve for curve in curves if curve.task == task]
        for task in dict.fromkeys(curve.task for curve in curves)
    }
    widest = max(curve.log10_width[-1] for curve in curves)
    with plt.rc_context(STYLE):
        canvas = plt.figure(figsize=(max(3.1 * len(tasks), 6.2), 5.4))
        grid = canvas.add_gridspec(2, len(tasks), height_ratios=(1, 1.1))
        whole = canvas.add_subplot(grid[0, :])
        beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        for label, log10_width in (landmarks or {}).items():
            if log10_width <= widest:
                whole.axvline(log10_width, color=FAINT, linestyle=":", linewidth=1, zorder=0)
                place = {"xytext": (-5, 0), "ha": "right", **beside}
                whole.annotate(label, (log10_width, 0.62), fontsize=8, color=FAINT, **place)
        for i, (task, both) in enumerate(tasks.items()):
            colour = COLOURS[i % len(COLOURS)]
            name = task_title(task)
            # The name is written on the side that has room, next to the nearest curve.
            required = [curve.required for curve in both]
            left = min(required) > widest / 2
            end, side, shift = (min, "right", -8) if left else (max, "left", 8)
            place = {"xytext": (shift, 0), "ha": side, "weight": "bold", **beside}
            whole.annotate(name, (end(required), 0.25), color=colour, **place)
            closer = canvas.add_subplot(grid[1, i])
            for axes in (whole, closer):
                _draw_chances(axes, both, colour, delta)
            closer.set_title(name, loc="left", color=colour, weight="bold")
            for curve in both:
                side, shift = ("right", -6) if curve.required == min(required) else ("left", 6)
                place = {"xytext": (shift, -9), "ha": side, **beside}
                text = _width_label(curve.required)
                closer.annotate(text, (curve.required, 1 - delta), fontsize=8, **place)
            if i == 0:
                closer.set_ylabel("chance, at least")
        whole.set_xlim(0, widest * 1.02)
        whole.set_ylabel("chance, at least")
        whole.set_title(subtitle, loc="left")
        lines = [Line2D([], [], color=INK, linestyle=style) for style in ("-", (0, (4, 2)))]
        dot = Line2D([], [], color=INK, marker="o", markersize=4.5, linestyle="")
        labels = ["uniform initialisation", "normal initialisation", f"chance {1 - delta:g}"]
        canvas.legend([*lines, dot], labels, loc="lower center", ncols=3, frameon=False)
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        canvas.tight_layout(rect=(0, 0.05, 1, 1))
        save(canvas, path)
        plt.close(canvas)
