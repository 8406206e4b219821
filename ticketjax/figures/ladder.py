"""A ladder of difficulty: at each level, the share of tickets that each seeker found."""

import os
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter

from ticketjax.figures.style import COLOURS, FAINT, INK, MARKERS, STYLE, save, tidy, wrapped
from ticketjax.records.shares import Share
from ticketjax.records.statistics import interval_of_share
from ticketjax.records.titles import seeker_title

# Distance between two seekers at one level, in levels.
APART = 0.07
# How many times as many characters of a note fit on a line as of a title.
SMALLER = 1.2


def draw_ladder(
    shares: Mapping[str, Sequence[Share | None]],
    levels: Sequence[str],
    path: str | os.PathLike | BinaryIO,
    *,
    title: str = "Tickets found at each level of difficulty",
    note: str = "",
) -> None:
    """Draw a line per seeker over the levels, with Wilson's 95% intervals.

    Args:
        shares: of every seeker, one for each level; None where there were no runs.
        levels: what each level is, in a few words; line breaks are kept.
        path: the file to write.
        title: of the figure.
        note: text below it.
    """
    width = max(6.5, 1.0 * len(levels) + 2.6)
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(figsize=(width, 3.9), layout="constrained")
        for n, (seeker, of_seeker) in enumerate(shares.items()):
            known = [(i, share) for i, share in enumerate(of_seeker) if share is not None]
            if not known:
                continue
            places = np.array([i for i, _ in known]) + (n - (len(shares) - 1) / 2) * APART
            found = np.array([share.found / share.of for _, share in known])
            ends = np.array([interval_of_share(*share) for _, share in known])
            colour = COLOURS[n % len(COLOURS)]
            axes.vlines(places, *ends.T, color=colour, linewidth=1.6, alpha=0.45)
            axes.plot(
                places,
                found,
                color=colour,
                marker=MARKERS[n % len(MARKERS)],
                markersize=5.5,
                linewidth=1.4,
                clip_on=False,
                zorder=3,
                label=seeker_title(seeker),
            )
        tidy(axes)
        axes.grid(False, axis="x")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xticks(range(len(levels)), levels)
        axes.set_ylabel("tickets found")
        axes.set_xlim(-0.5, len(levels) - 0.5)
        canvas.legend(loc="outside right center", frameon=False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold", color=INK)
        if note:
            canvas.supxlabel(wrapped(note, SMALLER * width), fontsize=8, color=FAINT)
        save(canvas, path)
        plt.close(canvas)
