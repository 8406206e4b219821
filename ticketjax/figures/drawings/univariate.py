"""How one hidden layer approximates a function of one variable: a line that bends at its knots."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np

from ticketjax.figures.drawings.forward import activations
from ticketjax.figures.style import COLOURS, FAINT, INK
from ticketjax.tasks.helix import HELIX
from ticketjax.tasks.piecewise import fit


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


def draw_univariate(axes: Sequence[plt.Axes]) -> None:
    """Draw, side by side: x^2 with its neurons; Helix with few knots; with the ticket's."""
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
