"""Drawings: the folds' geometry, and the artists of a ticket against its parameters."""

import dataclasses
import importlib

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb

from tests.processes import python
from ticketjax.figures import drawings as draw
from ticketjax.figures.drawings import (
    constructions,
    folding,
    networks,
    style,
    task_samples,
    univariate,
)
from ticketjax.figures.drawings.forward import activations
from ticketjax.tasks import TASKS

# In its package, the function of the same name hides the module.
comparison = importlib.import_module("ticketjax.figures.drawings.comparison")
SIGNS = {1: networks.POSITIVE, -1: networks.NEGATIVE, 0: networks.ZERO}


def drawn(params):
    """The heights, and the edges and neurons of every layer, of a ticket on a fresh canvas."""
    canvas, axes = plt.subplots()
    heights = draw.ticket(axes, params)
    lines = [a for a in axes.collections if isinstance(a, LineCollection)]
    neurons = [a for a in axes.collections if isinstance(a, PathCollection)]
    plt.close(canvas)
    return heights, lines, neurons


def tree(*layers):
    return {
        f"layer_{i}": {"kernel": np.array(kernel, np.float32), "bias": np.array(bias, np.float32)}
        for i, (kernel, bias) in enumerate(layers)
    }


def crossings(kernel, before, after):
    left, right = np.nonzero(kernel)
    a, b = before[left], after[right]
    return int(np.sum((a[:, None] < a[None]) & (b[:, None] > b[None])))


@pytest.mark.parametrize("depth", [4, 5, 6, 8])
def test_folds_keep_the_radius_and_end_in_their_sector(depth):
    x = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    layers = folding.folds(TASKS["circle"].ticket(depth), x)
    assert len(layers) == depth - 2
    for layer in layers:
        np.testing.assert_allclose(
            np.linalg.norm(layer, axis=1), np.linalg.norm(x, axis=1), rtol=1e-6
        )
    if depth >= 5:
        along, across = folding._plane(layers[-1]).T
        sector = np.pi / 2 ** (depth - 4)
        assert np.arctan2(across, along).max() <= sector + 1e-6
        assert np.arctan2(across, along).max() > 0.9 * sector


def test_activations_are_those_of_the_network_by_hand():
    params = tree(([[1, -1]], [0.5, 0]), ([[2], [3]], [-1]))
    hidden, output = activations(params, np.array([[1.0], [-2.0]]))[1:]
    assert hidden.tolist() == [[1.5, 0], [0, 2]]
    assert output.tolist() == [[2], [5]]


@pytest.mark.parametrize(("task", "depth"), [("circle", 5), ("helix", 5), ("relu", 3)])
def test_edges_are_the_nonzero_weights(task, depth):
    params = TASKS[task].ticket(depth)
    heights, lines, neurons = drawn(params)
    assert len(lines) == depth - 1 and len(neurons) == depth
    for i, line in enumerate(lines):
        kernel = np.asarray(params[f"layer_{i}"]["kernel"])
        widths = line.get_linewidths()
        colours = [to_hex(colour) for colour in line.get_colors()]
        edges = {}
        for ends, width, colour in zip(line.get_segments(), widths, colours, strict=True):
            assert ends[:, 0].tolist() == [i, i + 1]
            before = np.flatnonzero(heights[i] == ends[0, 1])
            after = np.flatnonzero(heights[i + 1] == ends[1, 1])
            edges[before.item(), after.item()] = (width, colour)
        assert edges.keys() == set(zip(*(n.tolist() for n in np.nonzero(kernel)), strict=True))
        for edge, (width, colour) in edges.items():
            assert colour == SIGNS[np.sign(kernel[edge])].lower()
            proportional = networks.WIDEST * abs(kernel[edge]) / abs(kernel).max()
            assert width == pytest.approx(max(proportional, networks.THINNEST), rel=1e-5)
    for i, points in enumerate(neurons[1:]):
        bias = np.asarray(params[f"layer_{i}"]["bias"])
        shown = ~np.isnan(heights[i + 1])
        assert points.get_offsets()[:, 1].tolist() == heights[i + 1][shown].tolist()
        colours = [to_hex(colour) for colour in points.get_facecolors()]
        assert colours == [SIGNS[sign].lower() for sign in np.sign(bias[shown])]


def test_hidden_neurons_without_edges_are_left_out_and_inputs_stay():
    # Neuron 1 has a bias alone, neuron 2 leads nowhere but has an edge; input 1 has none.
    params = tree(([[1, 0, 2], [0, 0, 0]], [0, 5, 0]), ([[1], [0], [0]], [0]))
    heights, lines, neurons = drawn(params)
    assert np.isnan(heights[1]).tolist() == [False, True, False]
    assert [len(points.get_offsets()) for points in neurons] == [2, 2, 1]
    assert [len(line.get_segments()) for line in lines] == [2, 1]


def test_a_collapsed_network_is_drawn_without_edges():
    heights, lines, neurons = drawn(tree((np.zeros((2, 3)), [0] * 3), (np.zeros((3, 1)), [0])))
    assert [len(line.get_segments()) for line in lines] == [0, 0]
    assert [len(points.get_offsets()) for points in neurons] == [2, 0, 1]
    assert np.isnan(heights[1]).all()


def test_arrange_untangles_shuffled_paths():
    size = 9
    shuffles = [np.random.default_rng(seed).permutation(size) for seed in range(3)]
    path = np.eye(size)
    kernels = [path[shuffles[0]], path[shuffles[1]], path[shuffles[2]]]
    # The shuffles together determine the outputs' places; otherwise the last edges would cross.
    kernels.append((kernels[0] @ kernels[1] @ kernels[2]).T)
    given = [np.linspace(1, 0, size)] * 5
    assert sum(crossings(k, given[i], given[i + 1]) for i, k in enumerate(kernels)) > 30
    heights = draw.arrange(kernels)
    assert [crossings(k, heights[i], heights[i + 1]) for i, k in enumerate(kernels)] == [0] * 4


def test_arrange_keeps_the_order_of_equals():
    for height in draw.arrange([np.ones((2, 6)), np.ones((6, 3))]):
        assert (np.diff(height) < 0).all()
        assert 0 <= height.min() and height.max() <= 1


def test_the_function_of_the_univariate_panels_is_the_tasks():
    x, y = TASKS["helix"].sample(jax.random.key(3), 10_000, 0.0)
    np.testing.assert_allclose(univariate.helix_first(np.asarray(x[:, 0])), y[:, 0], atol=2e-6)


def test_boundaries_are_measured():
    assert task_samples.boundaries() == pytest.approx((0.2, 0.5, 0.7), abs=2e-3)


def test_the_construction_has_all_of_its_parts(monkeypatch):
    canvases = []
    monkeypatch.setattr(constructions, "save", lambda canvas, path: canvases.append(canvas))
    draw.construction("figure.png")
    assert not plt.get_fignums()
    (canvas,) = canvases
    headings = [text.get_text() for text in canvas.texts if text.get_weight() == "bold"]
    assert [heading[:3] for heading in headings] == ["(a)", "(b)", "(c)", "(d)"]
    # The last two axes hold the tickets: as many edges as they have weights.
    edges = [
        [len(a.get_segments()) for a in axes.collections if isinstance(a, LineCollection)]
        for axes in canvas.axes[-2:]
    ]
    assert edges == [
        [np.count_nonzero(layer["kernel"]) for layer in TASKS[task].ticket(5).values()]
        for task in ("circle", "helix")
    ]
    # Two folds bring together 16 points, each further fold half of them.
    titles = [axes.get_title() for axes in canvas.axes]
    assert [int(t.split()[-1]) for t in titles if "they meet in" in t] == [4, 2, 1]


def test_samples_are_those_of_the_tasks(monkeypatch):
    canvases = []
    monkeypatch.setattr(task_samples, "save", lambda canvas, path: canvases.append(canvas))
    draw.samples("figure.png")
    circle, helix = canvases[0].axes[:2]
    x, y = task_samples.sample_of(TASKS["circle"], 0.01, 3000)
    assert len(circle.collections) == 4
    for c, points in enumerate(circle.collections):
        np.testing.assert_allclose(points.get_offsets(), x[y == c])
    radii = [patch.radius**2 for patch in circle.patches]
    assert radii == pytest.approx([0.2, 0.5, 0.7], abs=2e-3)
    _, curve = TASKS["helix"].sample(jax.random.key(1), 10_000, 0.0)
    drawn = np.stack(helix.lines[0].get_data_3d(), axis=1)
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(curve, axis=0), atol=1e-6)


@pytest.mark.long
def test_the_command_draws_samples_into_a_new_directory(tmp_path):
    flags = ["--figure=1", "--out=new/paper"]
    result = python("-W", "error", "-m", "experiments.paper", *flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "figure: new/paper/figure1.png\n"
    pixels = plt.imread(tmp_path / "new/paper/figure1.png")[..., :3]
    # The classes' colours.
    for colour in style.CLASSES:
        near = np.abs(pixels - to_rgb(colour)).max(axis=-1) < 0.15
        assert near.sum() > 1000, colour


@pytest.mark.parametrize("name", TASKS)
def test_a_found_ticket_is_drawn_beside_the_planted_one(name, monkeypatch):
    canvases = []
    monkeypatch.setattr(comparison, "save", lambda canvas, path: canvases.append(canvas))
    task = TASKS[name]
    generator, points = np.random.default_rng(0), draw.plane(task)
    outputs = [generator.normal(size=(len(points), task.outputs)) for _ in range(2)]
    sides = [draw.Side(f"the {i}", task.ticket(3), values) for i, values in enumerate(outputs)]
    sides[1] = sides[1]._replace(note="best_of(random_paths(draws=1000), restarts=3), " * 9)
    draw.comparison("figure.png", task, *sides)
    (canvas,) = canvases
    first, _, second, note = canvas.texts
    assert [first.get_text(), second.get_text()] == ["the 0", "the 1"]
    assert note.get_text().count("\n") == 1 and note.get_text().endswith(" ...")
    # A long note stays within the figure, and above the drawing of the network.
    extent = note.get_window_extent().transformed(canvas.transFigure.inverted())
    assert extent.x1 < 1 and extent.y0 > canvas.axes[2].get_position().y1
    functions = canvas.axes[1::2]
    if task.inputs == 1:
        for axes, values in zip(functions, outputs, strict=True):
            # Each output lies on that of the planted ticket.
            curves = np.stack([line.get_ydata() for line in axes.lines])
            np.testing.assert_array_equal(curves[::2], outputs[0].T)
            np.testing.assert_array_equal(curves[1::2], values.T)
        return
    classes = [values.argmax(axis=1) for values in outputs]
    for axes, own in zip(functions, classes, strict=True):
        image = axes.images[0].get_array()
        np.testing.assert_array_equal(image, own.reshape(image.shape))
    # Dark where the found network gives another class, and nowhere for the planted one.
    assert len(functions[0].images) == 1
    dark = functions[1].images[1].get_array()[..., 3] > 0
    np.testing.assert_array_equal(dark.ravel(), classes[0] != classes[1])


def test_a_task_of_images_has_no_plane():
    of_images = dataclasses.replace(TASKS["relu"], name="digits", inputs=(28, 28, 1))
    with pytest.raises(ValueError, match="digits has"):
        draw.plane(of_images)
