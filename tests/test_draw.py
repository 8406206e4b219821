"""Drawings: the folds' geometry, and the artists of a ticket against its parameters."""

import dataclasses

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from tests.processes import python
from ticketjax import draw
from ticketjax.draw import folding, networks, task_samples, univariate
from ticketjax.draw.forward import activations
from ticketjax.tasks import TASKS

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
    # What the shuffles compose to decides where the outputs lie: without them the last would cross.
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


def test_the_construction_is_written(tmp_path):
    draw.construction(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert not plt.get_fignums()


def test_the_command_draws_samples_into_a_new_directory(tmp_path):
    flags = ["--figure=1", "--out=new/paper"]
    result = python("-W", "error", "-m", "experiments.paper", *flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "figure: new/paper/figure1.png\n"
    assert (tmp_path / "new/paper/figure1.png").read_bytes()[:4] == b"\x89PNG"


def test_a_found_ticket_is_drawn_beside_the_planted_one(tmp_path):
    for task in TASKS.values():
        ticket_of_task = task.ticket(3)
        points = draw.plane(task)
        outputs = np.random.default_rng(0).normal(size=(len(points), task.outputs))
        sides = [draw.Side(name, ticket_of_task, outputs) for name in ("planted", "found")]
        path = tmp_path / f"{task.name}.png"
        draw.comparison(path, task, *sides)
        assert path.read_bytes().startswith(b"\x89PNG")
    of_images = dataclasses.replace(TASKS["relu"], name="digits", inputs=(28, 28, 1))
    with pytest.raises(ValueError, match="digits has"):
        draw.plane(of_images)
