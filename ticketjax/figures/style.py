"""How all figures look: colours, markers, type, axes; and how they are saved."""

import os
import pathlib

import matplotlib

# Files are all that is drawn, on machines with and without a screen.
matplotlib.use("Agg")

import matplotlib.pyplot as plt

from ticketjax.store import write_whole

# Okabe and Ito's palette: told apart with any colour vision, and by markers in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5D3A9B", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, FAINT = "#222222", "#8a8a8a"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def tidy(axes: plt.Axes) -> None:
    """Axes as all figures have them: two spines and a faint grid."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, which="major", color="#e8e8e8", linewidth=0.7)
    axes.set_axisbelow(True)


def save(canvas: plt.Figure, path: str | os.PathLike) -> None:
    """Save a figure in the format that its name ends in: whole, or not at all."""
    kind = pathlib.Path(path).suffix.removeprefix(".") or "png"
    write_whole(path, lambda file: canvas.savefig(file, dpi=160, format=kind))
