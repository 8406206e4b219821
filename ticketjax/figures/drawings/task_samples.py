"""Samples of the tasks: Circle's rings, Helix's curve."""

import os
from collections.abc import Sequence
from typing import cast

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle
from mpl_toolkits.mplot3d import Axes3D

from ticketjax.base import Task
from ticketjax.figures.drawings.style import CLASSES, STYLE
from ticketjax.figures.style import COLOURS, FAINT, INK, save
from ticketjax.tasks.circle import CIRCLE
from ticketjax.tasks.helix import HELIX

# Drawn each time, and cut to what a panel shows: one shape is compiled, not one per panel.
_SAMPLES = 10_000
_PATH = LinearSegmentedColormap.from_list("path", (COLOURS[5], COLOURS[0], COLOURS[3], COLOURS[1]))


def sample_of(task: Task, noise: float, n: int = _SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, inputs) and labels of a task, the same at every call."""
    x, y = task.sample(jax.random.key(1), _SAMPLES, noise)
    return np.asarray(x)[:n], np.asarray(y)[:n]


def boundaries() -> tuple[float, ...]:
    """Squared radii at which Circle's class changes, to about 1e-3: as its samples show them."""
    x, y = sample_of(CIRCLE, 0.0)
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
    x, y = sample_of(CIRCLE, 0.01, 3000)
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
    x, y = sample_of(HELIX, 0.0)
    axes.plot(*y[np.argsort(x[:, 0])].T, color=INK, linewidth=1, zorder=1)
    x, y = sample_of(HELIX, 0.01, 700)
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

    Colours are the classes of Circle, circles are its true boundaries. In Helix the colour is the
    input, the line is the curve without noise.

    Args:
        path: the file to write.

    Source: what Figure 1 of Fischer and Burkholz (2022) shows.
    """
    with plt.rc_context(STYLE):
        canvas = plt.figure(figsize=(10.4, 5.4))
        circle = canvas.add_axes((0.06, 0.2, 0.37, 0.7))
        helix = canvas.add_axes((0.47, 0.17, 0.5, 0.81), projection="3d")
        _circle_samples(circle)
        _helix_samples(cast(Axes3D, helix))
        canvas.text(0.06, 0.945, "Circle: the class is the ring", weight="bold", fontsize=12)
        canvas.text(0.55, 0.945, "Helix: position on the curve", weight="bold", fontsize=12)
        save(canvas, path)
        plt.close(canvas)
