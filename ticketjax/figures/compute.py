"""Quality over compute: what a search finds, over its floating point operations and its seconds."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.base import CLASSIFICATION
from ticketjax.figures.style import COLOURS, FAINT, INK, STYLE, save, tidy
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.titles import task_title

# The least time shown: a logarithmic axis cannot show the 0 of seekers without a search.
LEAST_SECONDS = 1e-5
# Inches of a column of the legend: the longest title of the library's own seekers.
LEGEND_WIDTH = 2.9
# With more seekers, only those are numbered that no cheaper one comes near.
MOST_NUMBERED = 12
# A cheaper seeker comes near, unless the error is at most this share of its: a few percent are
# noise.
NEAR = 0.9
# The two rows of panels, which are fields of a Curve.
MEASURES = ("flops", "seconds")
# How the seekers without a number are drawn.
OTHER: dict[str, Any] = {"marker": "o", "color": FAINT, "ms": 3, "alpha": 0.6}


class Curve(NamedTuple):
    """One seeker on one task.

    Args:
        title: how the seeker was used.
        flops: floating point operations of one search; NaN if unknown.
        seconds: of one search; NaN if unknown.
        metric: (seeds,) the strong metric in the end.
        rounds: (marks,) numbers of rounds after which the search was measured; empty if none.
        anytime: (seeds, marks) the strong metric of the best mask until then.
    """

    title: str
    flops: float
    seconds: float
    metric: np.ndarray
    rounds: np.ndarray
    anytime: np.ndarray


def curve_of(title: str, records: pa.Table, seconds: Mapping[tuple[str, str], float]) -> Curve:
    """The quality that a seeker has found on one task, and its cost.

    Args:
        title: how the seeker was used.
        records: of this seeker on one task, at one density.
        seconds: as records.store.load_seconds() returns them.
    """
    looked = records.filter(pc.is_valid(records["anytime_rounds"]))
    rounds = looked["anytime_rounds"][0].as_py() if looked.num_rows else []
    return Curve(
        title,
        mean_of_finite(pc.fill_null(records["flops"], np.nan).to_numpy()),
        seconds.get((records["task"][0].as_py(), records["seeker"][0].as_py()), np.nan),
        records["strong_metric"].to_numpy().astype(float),
        np.array(rounds),
        np.array(looked["anytime_metric"].to_pylist(), float),
    )


def error_of(metric: np.ndarray, kind: str) -> np.ndarray:
    """The error of metrics of a task of this kind: 1 - accuracy, or the error that they are."""
    return 1 - metric if kind == CLASSIFICATION else metric


def ahead(curves: Sequence[Curve], measure: str, kind: str) -> list[str]:
    """The seekers whose error is at most NEAR times that of every cheaper one, cheapest first.

    Args:
        curves: of one task.
        measure: "flops" or "seconds".
        kind: of the task.

    Returns:
        Their titles. Seekers of unknown cost or error are left out.
    """
    points = [
        (getattr(curve, measure), mean_of_finite(error_of(curve.metric, kind)), curve.title)
        for curve in curves
    ]
    known = [point for point in points if not np.isnan(point[:2]).any()]
    least, titles = np.inf, []
    for _, error, title in sorted(known):
        if error <= NEAR * least:
            titles.append(title)
            least = error
    return titles


def draw_compute(
    curves: Mapping[str, Sequence[Curve]],
    tickets: Mapping[str, float],
    kinds: Mapping[str, str],
    path: str | os.PathLike | BinaryIO,
    *,
    title: str = "",
) -> None:
    """Draw errors before training over FLOPs (upper row) and over seconds (lower row).

    A number marks the mean over seeds of each seeker in the end. The line to it shows what its
    search had found after 1, 2, 4, 8, ... rounds, at their share of its compute. Of more than
    MOST_NUMBERED seekers, only those that are ahead() in a panel have a number; the others are grey
    dots. A dashed line marks the bare ticket, where its error is not 0.

    Args:
        curves: by task; the seekers in one order.
        tickets: the bare ticket's metric, by task.
        kinds: of the tasks, by name.
        path: the file to write.
        title: the title of the figure.
    """
    titles = [curve.title for curve in next(iter(curves.values()))]
    numbers = _numbers(titles, curves, kinds)
    width = 4.2 * len(curves)
    columns = max(1, int(width / LEGEND_WIDTH))
    handles = [
        plt.Line2D([], [], linestyle="", marker=f"${n}$", color=_colour(n), label=name, ms=7)
        for name, n in numbers.items()
    ]
    if others := len(titles) - len(numbers):
        others_title = f"{others} others, which a cheaper one comes near"
        handles.append(plt.Line2D([], [], linestyle="", **OTHER, label=others_title))
    rows = math.ceil(len(handles) / columns)
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            2,
            len(curves),
            figsize=(width, 7.2 + 0.2 * rows),
            sharey="col",
            squeeze=False,
            layout="constrained",
        )
        for column, (task, of_task) in zip(axes.T, curves.items(), strict=True):
            for row, measure in enumerate(MEASURES):
                _draw(column[row], of_task, numbers, measure, tickets[task], kinds[task])
            column[0].set_title(task_title(task), loc="left", color=INK)
            column[0].set_xlabel("FLOPs of a search")
            column[1].set_xlabel("seconds of a search")
        for row in axes:
            row[0].set_ylabel("error before training")
        canvas.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
        )
        canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        save(canvas, path)
        plt.close(canvas)


def _colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def _numbers(
    titles: Sequence[str], curves: Mapping[str, Sequence[Curve]], kinds: Mapping[str, str]
) -> dict[str, int]:
    """Numbers from 1 for the seekers that have one, in the seekers' order."""
    shown = set(titles)
    if len(titles) > MOST_NUMBERED:
        panels = itertools.product(curves, MEASURES)
        shown = {name for task, by in panels for name in ahead(curves[task], by, kinds[task])}
    return {title: n for n, title in enumerate(filter(shown.__contains__, titles), start=1)}


def _draw(
    axes: plt.Axes,
    curves: Sequence[Curve],
    numbers: Mapping[str, int],
    measure: str,
    ticket: float,
    kind: str,
) -> None:
    for curve in curves:
        total = max(getattr(curve, measure), LEAST_SECONDS)
        if np.isnan(total):
            continue
        end = mean_of_finite(error_of(curve.metric, kind))
        n = numbers.get(curve.title)
        if n is None:
            axes.plot(total, end, linestyle="", **OTHER)
            continue
        axes.plot(total, end, marker=f"${n}$", color=_colour(n), ms=7, linestyle="", zorder=3)
        if curve.rounds.size:
            shares = curve.rounds / curve.rounds[-1]
            errors = [mean_of_finite(values) for values in error_of(curve.anytime, kind).T]
            axes.plot(total * shares, errors, color=_colour(n), lw=0.9, alpha=0.55)
    bare = float(error_of(np.array(ticket), kind))
    if bare > 0:
        axes.axhline(bare, color=FAINT, linestyle=(0, (5, 3)), linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    tidy(axes)
