"""Random teachers: tickets that are drawn from a distribution, not designed."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Params, Task
from ticketjax.checks import check_choice, check_count
from ticketjax.tasks.network import network_task
from ticketjax.tasks.parameters import parameters as as_parameters

ATTEMPTS = 200
POINTS = 4096
# A hidden neuron is drawn to be active on a share of the points from this to 1 minus this.
LEAST_ACTIVE = 0.2
BALANCING_STEPS = 300
# Least ratio of the rarest class's frequency to that of the most frequent one.
BALANCE = 0.5

Layers = list[tuple[np.ndarray, np.ndarray]]


def _supports(
    draw: np.random.Generator, sizes: Sequence[int], count: int, kind: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which weights and biases there are: `count` of them, and every neuron on a path.

    All biases of a classifier's outputs are there, because they balance the classes.
    """
    supports = []
    for n_in, n_out in itertools.pairwise(sizes):
        weights = np.zeros((n_in, n_out), bool)
        # In a random order, each neuron of the longer side once, those of the shorter repeatedly.
        longer = max(n_in, n_out)
        rows = np.resize(draw.permutation(n_in), longer)
        columns = np.resize(draw.permutation(n_out), longer)
        weights[rows, columns] = True
        supports.append((weights, np.zeros(n_out, bool)))
    supports[-1][1][:] = kind == CLASSIFICATION
    free = [
        (array, index)
        for layer in supports
        for array in layer
        for index in map(tuple, np.argwhere(~array))
    ]
    used = sum(int(array.sum()) for layer in supports for array in layer)
    for i in draw.permutation(len(free))[: count - used]:
        array, index = free[i]
        array[index] = True
    return supports


def _hidden_layer(
    draw: np.random.Generator, x: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of neurons that are active on part of the points, as far as they can be."""
    scale = np.sqrt(2 / np.maximum(weights.sum(axis=0), 1))
    kernel = np.where(weights, draw.normal(size=weights.shape) * scale, 0.0)
    before = x @ kernel
    quantiles = draw.uniform(LEAST_ACTIVE, 1 - LEAST_ACTIVE, size=kernel.shape[1])
    knots = np.array(
        [
            np.quantile(column, q)
            for column, q in zip(before.T, np.atleast_1d(quantiles), strict=True)
        ]
    )
    return kernel, np.where(biases, -knots, 0.0)


def _is_alive(after: np.ndarray) -> bool:
    """Whether every neuron is active on a part of the points, and not constant."""
    active = np.mean(after > 0, axis=0)
    return bool(np.all(active >= LEAST_ACTIVE / 4) and np.all(after.std(axis=0) > 1e-3))


def _balanced(outputs: np.ndarray, bias: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """The output biases with which every class is frequent enough; None if none are found.

    Only biases that are parameters of the ticket move.
    """
    classes = outputs.shape[1]
    for step in range(BALANCING_STEPS):
        share = np.bincount(np.argmax(outputs + bias, axis=1), minlength=classes) / len(outputs)
        if share.min() >= BALANCE * share.max():
            return bias
        bias = bias - np.where(free, (share - 1 / classes) * 2 / (1 + step / 50), 0.0)
    return None


def _draw(draw: np.random.Generator, sizes: Sequence[int], count: int, kind: str) -> Layers | None:
    """One attempt at a teacher; None where a neuron is dead or a class too rare."""
    x = draw.uniform(-1, 1, (POINTS, sizes[0]))
    layers: Layers = []
    supports = _supports(draw, sizes, count, kind)
    for weights, biases in supports[:-1]:
        kernel, bias = _hidden_layer(draw, x, weights, biases)
        x = np.maximum(x @ kernel + bias, 0)
        if not _is_alive(x):
            return None
        layers.append((kernel, bias))
    weights, biases = supports[-1]
    kernel = np.where(weights, draw.normal(size=weights.shape), 0.0)
    outputs = x @ kernel
    if np.any(outputs.std(axis=0) < 1e-3):
        return None
    kernel = kernel / outputs.std(axis=0)
    outputs = x @ kernel
    bias = np.where(biases, -outputs.mean(axis=0), 0.0)
    if kind == CLASSIFICATION:
        balanced = _balanced(outputs, bias, biases)
        if balanced is None:
            return None
        bias = balanced
    if np.count_nonzero(bias) < biases.sum():
        return None
    return [*layers, (kernel, bias)]


def random_teacher(
    *,
    key: int | jax.Array,
    inputs: int,
    outputs: int,
    hidden: Sequence[int],
    parameters: int,
    kind: str = REGRESSION,
    name: str | None = None,
) -> Task:
    """A task whose ticket is drawn at random: a sparse ReLU network, with every neuron in use.

    The positions of weights and biases are uniform, given that every neuron lies on a path. Weights
    are normal; hidden biases put the kink inside the range of the inputs. Outputs have variance 1
    over the inputs; classes are balanced within a factor of two. Draws with a neuron that is hardly
    ever active, or always 0, are rejected.

    Args:
        key: an integer or a JAX key, which decides everything.
        inputs, outputs: widths of the first and the last layer.
        hidden: widths of the hidden layers; the ticket's depth is len(hidden) + 2.
        parameters: number of weights and biases that are not 0.
        kind: "regression" or "classification".
        name: the task's name in records; None for "random_teacher_KEY".

    Returns:
        A Task: inputs uniform on [-1, 1]^inputs, labels the teacher's outputs. Noise is added to a
            regression's outputs, or is the probability that a label is drawn anew.

    Raises:
        ValueError: fewer parameters than there are neurons to connect, more than the layers have,
            no acceptable draw in 200.

    >>> task = random_teacher(key=7, inputs=2, outputs=3, hidden=(6, 8, 6), parameters=40,
    ...                       kind="classification")
    >>> sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(task.ticket(depth=5)))
    40
    """
    check_choice("kind", kind, (REGRESSION, CLASSIFICATION))
    hidden = tuple(hidden)
    for what, size in (("inputs", inputs), ("outputs", outputs), *(("hidden", n) for n in hidden)):
        check_count(what, size, 1)
    sizes = (inputs, *hidden, outputs)
    pairs = list(itertools.pairwise(sizes))
    fewest = sum(map(max, pairs)) + (outputs if kind == CLASSIFICATION else 0)
    most = sum(n * m + m for n, m in pairs)
    if not fewest <= parameters <= most:
        raise ValueError(
            f"parameters must be in {fewest}..{most} for widths {sizes}: every neuron on a path"
            f"{', a bias for every class' * (kind == CLASSIFICATION)}; got {parameters!r}"
        )
    if isinstance(key, jax.Array):
        seed = np.asarray(jax.random.key_data(key)).tolist()
        text = "-".join(map(str, seed))
    else:
        check_count("key", key, 0)
        seed, text = [int(key)], str(key)
    draw = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        layers = _draw(draw, sizes, parameters, kind)
        if layers is not None:
            target: Params = as_parameters(layers)
            return network_task(target, kind, name or f"random_teacher_{text}")
    raise ValueError(
        f"no teacher of widths {sizes} with {parameters} parameters was found in {ATTEMPTS} draws: "
        "give it more parameters, or wider layers"
    )
