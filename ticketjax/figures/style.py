"""How all figures look: colours, markers, type, axes; and how they are saved."""

import os
import pathlib
import textwrap
from typing import Any, BinaryIO

import matplotlib.pyplot as plt

from ticketjax.records.store import write_whole

# Okabe and Ito's palette, distinguishable with any colour vision; in grey, markers differ.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5D3A9B", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# For titles, including bold ones.
CHARACTERS_PER_INCH = 12
INK, FAINT, RULE, PAPER = "#222222", "#8a8a8a", "#e8e8e8", "#ffffff"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def wrapped(text: str, inches: float) -> str:
    r"""A title in lines of at most this many inches, broken between words.

    Args:
        text: the title.
        inches: the width of a line.

    Returns:
        The lines, joined by line breaks.

    >>> wrapped("multishot(snip, rounds=3)", 1.5)
    'multishot(snip,\nrounds=3)'
    """
    return textwrap.fill(text, max(8, int(inches * CHARACTERS_PER_INCH)), break_long_words=False)


def tidy(axes: plt.Axes) -> None:
    """Axes as all figures have them: two spines and a faint grid."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, which="major", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)


def save(canvas: plt.Figure, path: str | os.PathLike | BinaryIO) -> None:
    """Save a figure, whole or not at all, in the format of the file name's suffix.

    Args:
        canvas: the figure.
        path: the file to write, PNG without a suffix; an open file is written in the format of the
            settings, and directly.
    """
    if not isinstance(path, str | os.PathLike):
        canvas.savefig(path, dpi=160)
        return
    kind = pathlib.Path(path).suffix.removeprefix(".") or "png"
    write_whole(path, lambda file: canvas.savefig(file, dpi=160, format=kind))
