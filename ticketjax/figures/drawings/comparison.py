"""A found ticket next to the planted one: both as graphs, and as functions."""

import os
import textwrap
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from ticketjax.base import CLASSIFICATION, Params, Task
from ticketjax.figures.drawings.networks import signs_legend, ticket
from ticketjax.figures.drawings.style import STYLE
from ticketjax.figures.style import COLOURS, FAINT, save, tidy

POINTS = 201  # along every input


class Side(NamedTuple):
    """One of the two networks.

    Args:
        title: the text above it.
        params: kept parameters, the others 0.
        outputs: (points, outputs) on plane(task), with the scale that suits the task.
        note: small text below the title, cut off after two lines.
    """

    title: str
    params: Params
    outputs: np.ndarray
    note: str = ""


def plane(task: Task) -> np.ndarray:
    """The points at which the networks are drawn as functions.

    Args:
        task: a task of 1 or 2 inputs.

    Returns:
        (points, inputs), float32, a grid on [-1, 1] along every input.

    Raises:
        ValueError: the task has more inputs.
    """
    axis = np.linspace(-1, 1, POINTS, dtype=np.float32)
    if task.inputs not in (1, 2):
        raise ValueError(f"task must have 1 or 2 inputs to be drawn, {task.name} has {task.inputs}")
    return np.stack([a.ravel() for a in np.meshgrid(*[axis] * int(task.inputs))], axis=1)


def _draw_function(axes: plt.Axes, task: Task, outputs: np.ndarray, truth: np.ndarray) -> None:
    if task.inputs == 2:
        values = outputs.argmax(axis=1) if task.kind == CLASSIFICATION else outputs[:, 0]
        image = values.reshape(POINTS, POINTS)
        options: dict[str, Any] = {"extent": (-1, 1, -1, 1), "origin": "lower"}
        if task.kind == CLASSIFICATION:
            options |= {"cmap": ListedColormap(COLOURS[: task.outputs]), "vmin": -0.5}
            options |= {"vmax": task.outputs - 0.5, "interpolation": "nearest"}
        axes.imshow(image, **options)
        wrong = outputs.argmax(axis=1) != truth.argmax(axis=1)
        if task.kind == CLASSIFICATION and wrong.any():
            shade = np.zeros((POINTS * POINTS, 4))
            shade[wrong] = (0, 0, 0, 0.55)
            axes.imshow(shade.reshape(POINTS, POINTS, 4), extent=(-1, 1, -1, 1), origin="lower")
        axes.set_xlabel("$x_1$")
        axes.set_ylabel("$x_2$")
        return
    x = plane(task)[:, 0]
    for output in range(task.outputs):
        axes.plot(x, truth[:, output], color=FAINT, linewidth=3, alpha=0.5)
        axes.plot(x, outputs[:, output], color=COLOURS[output % len(COLOURS)], linewidth=1.5)
    axes.set_xlabel("$x$")
    axes.set_ylabel("outputs")
    tidy(axes)


def comparison(path: str | os.PathLike, task: Task, planted: Side, found: Side) -> None:
    """Draw two networks above each other's functions, into a PNG (PDF, SVG) file.

    Colours are classes; a point is dark where the class differs from that of the planted network.
    Curves are drawn over those of the planted ticket, which are broad and grey.

    Args:
        path: the file to write.
        task: the task of both networks.
        planted: the planted ticket.
        found: the ticket that was found.
    """
    inputs = ["$x$"] if task.inputs == 1 else ["$x_1$", "$x_2$"]
    if task.kind == CLASSIFICATION:
        outputs = [f"class {c}" for c in range(task.outputs)]
    else:
        outputs = ["$y$"] if task.outputs == 1 else [f"$y_{i + 1}$" for i in range(task.outputs)]
    with plt.rc_context(STYLE):
        canvas = plt.figure(figsize=(13, 10.5))
        for left, side in ((0.05, planted), (0.54, found)):
            canvas.text(left, 0.975, side.title, weight="bold", fontsize=12, va="bottom")
            note = "\n".join(textwrap.wrap(side.note, 95, max_lines=2, placeholder=" ..."))
            canvas.text(left, 0.972, note, color=FAINT, fontsize=8, va="top")
            ticket(
                canvas.add_axes((left, 0.47, 0.42, 0.47)),
                side.params,
                inputs=inputs,
                outputs=outputs,
            )
            wide = 0.27 if task.inputs == 2 else 0.4
            axes = canvas.add_axes((left + 0.21 - wide / 2, 0.07, wide, 0.34))
            _draw_function(axes, task, side.outputs, planted.outputs)
        signs_legend(canvas, 0.44)
        save(canvas, path)
        plt.close(canvas)
