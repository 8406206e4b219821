"""How the tickets of Circle and Helix are made: foldings, approximations, graphs on one canvas."""

import os

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from ticketjax.figures.drawings.folding import draw_folds, draw_logits
from ticketjax.figures.drawings.networks import signs_legend, ticket
from ticketjax.figures.drawings.style import CENTRED, STYLE
from ticketjax.figures.drawings.univariate import draw_univariate
from ticketjax.figures.style import FAINT, save
from ticketjax.tasks.circle import CIRCLE
from ticketjax.tasks.helix import HELIX


def _arrow(canvas: plt.Figure, before: plt.Axes, after: plt.Axes) -> None:
    left, right = before.get_position(), after.get_position()
    # Close to the left plot, because the labels of the right one need the rest of the gap.
    x = left.x1 + 0.25 * (right.x0 - left.x1)
    canvas.text(x, (left.y0 + left.y1) / 2, "\N{RIGHTWARDS ARROW}", size=15, color=FAINT, **CENTRED)


def construction(path: str | os.PathLike) -> None:
    """Draw how the tickets of Circle and Helix are made, into a PNG (PDF, SVG) file.

    (a) Circle's samples as the layers of its ticket fold them, and the logits at the end; (b) the
    piecewise linear approximation of a function of one variable; (c), (d) the tickets of depth 5.

    Args:
        path: the file to write.

    Source: what Figure 2 of Fischer and Burkholz (2022) shows.
    """
    with plt.rc_context(STYLE):
        canvas = plt.figure(figsize=(13.5, 13))
        _compose(canvas)
        save(canvas, path)
        plt.close(canvas)


def _compose(canvas: plt.Figure) -> None:
    def heading(y: float, text: str, x: float = 0.03) -> None:
        canvas.text(x, y, text, weight="bold", fontsize=12, va="bottom")

    heading(0.968, "(a) Circle: layers fold the plane and preserve the radius")
    canvas.text(0.44, 0.969, "dashed: axis of the next fold", color=FAINT, va="bottom")
    lefts = 0.045 + 0.161 * np.arange(6) + np.repeat([0, 0.008], [4, 2])
    start, split, fold, logits, sixth, seventh = (
        canvas.add_axes((left, 0.77, 0.117, 0.14)) for left in lefts
    )
    split.set_axis_off()
    halves = [split.inset_axes((0.3, y, 0.5, 0.5)) for y in (0.55, -0.1)]
    draw_folds((start, fold, sixth, seventh), halves)
    split.set_title("layer 1: each coordinate\nin its parts by sign", fontsize=9)
    draw_logits(logits)
    for before, after in ((start, split), (split, fold), (fold, logits), (sixth, seventh)):
        _arrow(canvas, before, after)
    canvas.text(lefts[4], 0.969, "deeper tickets fold further", va="bottom")
    x = (logits.get_position().x1 + lefts[4]) / 2 - 0.012
    canvas.add_artist(Line2D((x, x), (0.755, 0.985), color="#d0d0d0", linewidth=0.8))

    heading(0.705, "(b) One hidden layer bends a line at its knots")
    bends = [canvas.add_axes((0.045 + 0.325 * i, 0.53, 0.28, 0.145)) for i in range(3)]
    draw_univariate(bends)

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
    signs_legend(canvas, 0.025)
