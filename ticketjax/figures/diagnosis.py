"""Why tickets were not found: the cases of a diagnosis side by side."""

import os
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from ticketjax.figures.style import COLOURS, FAINT, INK, MARKERS, STYLE, save, tidy
from ticketjax.measure.diagnosis import Case
from ticketjax.records.statistics import intervals_of_means, mean_of_finite
from ticketjax.records.summaries import metric_interval
from ticketjax.records.titles import format_ratio, seeker_title


def draw_diagnosis(
    cases: Sequence[Case],
    baseline: float,
    path: str | os.PathLike,
    *,
    accuracy: bool,
    title: str = "",
) -> None:
    """Draw every seeker's cases side by side: recall, quality before training, ratio of losses.

    Points are means, lines their 95% intervals, from five seeds on. To the right of the line at 1
    in the last panel, the search failed; to the left of it, the objective prefers the mask that was
    found.

    Args:
        cases: the cases of all seekers.
        baseline: the bare ticket's metric.
        path: the file to write.
        accuracy: whether the metric is an accuracy; else it is a mean squared error.
        title: the title of the figure.
    """
    seekers = list(dict.fromkeys(case.seeker for case in cases))
    names = list(dict.fromkeys(case.case for case in cases))
    quality = "accuracy" if accuracy else "mean squared error"
    panels = {
        "recall": "recall of the ticket",
        "strong": f"{quality} before training",
        "ratio": "loss of the found / of the planted mask",
    }
    # A slot for every case, and one between seekers.
    slots = {seeker: [case for case in cases if case.seeker == seeker] for seeker in seekers}
    first = np.cumsum([0, *(len(own) + 1 for own in slots.values())])
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            1,
            len(panels),
            figsize=(11, 0.17 * first[-1] + 1.9),
            sharey=True,
            layout="constrained",
        )
        for ax, (name, label) in zip(axes, panels.items(), strict=True):
            for case in cases:
                if name not in case.measures:
                    continue
                place = names.index(case.case)
                y = first[seekers.index(case.seeker)] + slots[case.seeker].index(case)
                values = np.asarray(case.measures[name])
                if name == "ratio":
                    low, high = intervals_of_means(values[None])[:, 0]
                else:
                    low, high = metric_interval(values, accuracy or name == "recall")
                x = np.array([mean_of_finite(values), low, high])
                x = 10.0**x if name == "ratio" else x
                colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
                ax.plot(x[1:], [y, y], color=colour, linewidth=2, alpha=0.6)
                ax.plot(x[0], y, marker, color=colour, markersize=5)
            for edge in first[1:-1] - 1:
                ax.axhline(edge, color="#dddddd", linewidth=0.8)
            ax.set_xlabel(label)
            tidy(ax)
            ax.grid(False, axis="y")
            ax.tick_params(axis="y", length=0)
        axes[0].set_xlim(-0.03, 1.03)
        axes[1].axvline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1)
        axes[1].set_title("dashed: the bare ticket", loc="left", fontsize=8.5, color=FAINT)
        if accuracy:
            axes[1].set_xlim(-0.03, 1.03)
        else:
            axes[1].set_xscale("log")
        axes[2].set_xscale("log")
        axes[2].axvline(1, color=INK, linewidth=1.1)
        low, high = axes[2].get_xlim()
        low, high = min(low, 0.4), max(high, 2.5)
        axes[2].set_xlim(low, high)
        axes[2].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        axes[2].xaxis.set_major_formatter(lambda ratio, position: format_ratio(np.log10(ratio)))
        axes[2].xaxis.set_minor_locator(NullLocator())
        for side, text in (("left", "< 1: objective wrong"), ("right", "> 1: search failed")):
            axes[2].set_title(text, loc=side, fontsize=8.5, color=FAINT)
        middles = (first[:-1] + first[1:]) / 2 - 1
        axes[0].set_yticks(middles, map(seeker_title, seekers))
        axes[0].set_ylim(first[-1] - 1, -1)
        marks = [
            Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], lw=2)
            for i in range(len(names))
        ]
        canvas.legend(marks, names, loc="outside lower center", ncols=4, frameon=False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        save(canvas, path)
        plt.close(canvas)
