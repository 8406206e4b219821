"""Random teachers: tickets that are drawn from a distribution instead of designed."""

import dataclasses
import itertools
from collections.abc import Sequence

import jax
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Task
from ticketjax.checks import check_choice, check_count, check_number
from ticketjax.tasks.drawn import drawn_task

ATTEMPTS = 200
# How often the dead neurons of a layer are redrawn.
REDRAWS = 50
POINTS = 4096
# A hidden neuron is drawn to be active on a share of the points from this to 1 minus this.
LEAST_ACTIVE = 0.2
BALANCING_STEPS = 300
# Least ratio of the rarest class's frequency to that of the most frequent one.
BALANCE = 0.5
DRAWN, ALL, NONE = "drawn", "all", "none"
BIASES = (DRAWN, ALL, NONE)

Layers = list[tuple[np.ndarray, np.ndarray]]


def _supports(draw: np.random.Generator, teachers: "RandomTeachers") -> Layers:
    """The places of the weights and biases of a teacher, with every neuron on a path."""
    sizes = teachers.sizes
    supports = []
    for n_in, n_out in itertools.pairwise(sizes):
        weights = np.zeros((n_in, n_out), bool)
        # In a random order, each neuron of the larger layer once, of the smaller one repeatedly.
        longer = max(n_in, n_out)
        rows = np.resize(draw.permutation(n_in), longer)
        columns = np.resize(draw.permutation(n_out), longer)
        weights[rows, columns] = True
        supports.append((weights, np.full(n_out, teachers.biases == ALL)))
    supports[-1][1][:] |= teachers.kind == CLASSIFICATION
    free = [
        (array, index)
        for layer in supports
        for array in layer
        if array.ndim == 2 or teachers.biases == DRAWN
        for index in map(tuple, np.argwhere(~array))
    ]
    used = sum(int(array.sum()) for layer in supports for array in layer)
    if teachers.degree_spread:
        order = _by_degree(draw, supports, free, teachers.degree_spread)
    else:
        order = draw.permutation(len(free))
    for i in order[: teachers.parameters - used]:
        array, index = free[i]
        array[index] = True
    return supports


def _by_degree(
    draw: np.random.Generator, supports: Layers, free: list, spread: float
) -> np.ndarray:
    """A random order of the free places, with those of popular neurons first, as indices.

    Every neuron has a log-normal popularity. A place has the product of its two neurons', and
    places are drawn in turn in proportion to it, by the largest log popularity plus Gumbel noise.
    """
    counts = [len(supports[0][0]), *(weights.shape[1] for weights, _ in supports)]
    logs = [draw.normal(0.0, spread, (count,)) for count in counts]
    popularity = {
        id(array): logs[i][:, None] + logs[i + 1] if array.ndim == 2 else logs[i + 1]
        for i, layer in enumerate(supports)
        for array in layer
    }
    own = np.array([popularity[id(array)][index] for array, index in free])
    return np.argsort(-(own + draw.gumbel(size=len(free))), kind="stable")


def _hidden_layer(
    draw: np.random.Generator, x: np.ndarray, weights: np.ndarray, biases: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Kernel and bias of a layer whose neurons are all alive; None if this was not achieved."""
    scale = np.sqrt(2 / np.maximum(weights.sum(axis=0), 1))
    kernel, bias = np.zeros(weights.shape), np.zeros(biases.shape)
    dead = np.ones(biases.shape, bool)
    for _ in range(REDRAWS):
        fresh = np.where(weights[:, dead], draw.normal(size=(len(weights), dead.sum())), 0.0)
        kernel[:, dead] = fresh * scale[dead]
        before = x @ kernel[:, dead]
        shares = draw.uniform(LEAST_ACTIVE, 1 - LEAST_ACTIVE, before.shape[1:])
        knots = np.array(
            [np.quantile(column, q) for column, q in zip(before.T, shares.tolist(), strict=True)]
        )
        bias[dead] = np.where(biases[dead], -knots, 0.0)
        # A bias of 0 is no parameter. It occurs after a ReLU, where many points have the value 0.
        dead = ~_are_alive(np.maximum(x @ kernel + bias, 0)) | (biases & (bias == 0))
        if not dead.any():
            return kernel, bias
    return None


def _are_alive(after: np.ndarray) -> np.ndarray:
    """Which neurons are active on enough of the points, and not constant."""
    return (np.mean(after > 0, axis=0) >= LEAST_ACTIVE / 4) & (after.std(axis=0) > 1e-3)


def _balanced(outputs: np.ndarray, bias: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """Output biases that make every class frequent enough; None if none are found.

    Only biases that are parameters of the ticket are changed.
    """
    classes = outputs.shape[1]
    for step in range(BALANCING_STEPS):
        share = np.bincount(np.argmax(outputs + bias, axis=1), minlength=classes) / len(outputs)
        if share.min() >= BALANCE * share.max():
            return bias
        bias = bias - np.where(free, (share - 1 / classes) * 2 / (1 + step / 50), 0.0)
    return None


def _attempt(draw: np.random.Generator, teachers: "RandomTeachers") -> Layers | None:
    """One attempt at a teacher; None if a neuron is dead or a class too rare."""
    x = draw.uniform(-1, 1, (POINTS, teachers.inputs))
    layers: Layers = []
    supports = _supports(draw, teachers)
    for weights, biases in supports[:-1]:
        layer = _hidden_layer(draw, x, weights, biases)
        if layer is None:
            return None
        layers.append(layer)
        x = np.maximum(x @ layer[0] + layer[1], 0)
    weights, biases = supports[-1]
    kernel = np.where(weights, draw.normal(size=weights.shape), 0.0)
    outputs = x @ kernel
    if np.any(outputs.std(axis=0) < 1e-3):
        return None
    kernel = kernel / outputs.std(axis=0)
    outputs = x @ kernel
    bias = np.where(biases, -outputs.mean(axis=0), 0.0)
    if teachers.kind == CLASSIFICATION:
        balanced = _balanced(outputs, bias, biases)
        if balanced is None:
            return None
        bias = balanced
    if np.count_nonzero(bias) < biases.sum():
        return None
    return [*layers, (kernel, bias)]


@dataclasses.dataclass(frozen=True)
class RandomTeachers:
    """The distribution of random_teacher(), by its arguments: random numbers -> a ticket.

    Raises:
        ValueError: as random_teacher() does.
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...]
    parameters: int
    kind: str
    biases: str = DRAWN
    degree_spread: float = 0.0

    def __post_init__(self):
        check_choice("kind", self.kind, (REGRESSION, CLASSIFICATION))
        check_choice("biases", self.biases, BIASES)
        check_number("degree_spread", self.degree_spread, 0)
        for what in ("inputs", "outputs"):
            check_count(what, getattr(self, what), 1)
        for size in self.hidden:
            check_count("hidden", size, 1)
        fewest, most = self._bounds()
        if not fewest <= self.parameters <= most:
            raise ValueError(
                f"parameters must be in {fewest}..{most} for widths {self.sizes} and biases="
                f"{self.biases}: every neuron on a path"
                f"{', a bias for every class' * (self.kind == CLASSIFICATION)}; got "
                f"{self.parameters!r}"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, including the input."""
        return self.inputs, *self.hidden, self.outputs

    def _bounds(self) -> tuple[int, int]:
        """Fewest and most parameters that a teacher can have."""
        pairs = list(itertools.pairwise(self.sizes))
        neurons = sum(self.sizes[1:])
        of_outputs = self.outputs if self.kind == CLASSIFICATION else 0
        biases = {DRAWN: (of_outputs, neurons), ALL: (neurons, neurons), NONE: (of_outputs,) * 2}
        fewest, most = biases[self.biases]
        return fewest + sum(map(max, pairs)), most + sum(n * m for n, m in pairs)

    def __call__(self, draw: np.random.Generator) -> Layers:
        """A ticket's layers."""
        for _ in range(ATTEMPTS):
            layers = _attempt(draw, self)
            if layers is not None:
                return layers
        raise ValueError(
            f"no teacher of widths {self.sizes} with {self.parameters} parameters was found in "
            f"{ATTEMPTS} draws: give it more parameters, or wider layers"
        )


def random_teacher(
    *,
    key: int | jax.Array | None = None,
    inputs: int,
    outputs: int,
    hidden: Sequence[int],
    parameters: int,
    kind: str = REGRESSION,
    biases: str = DRAWN,
    degree_spread: float = 0.0,
    name: str | None = None,
) -> Task:
    """A task whose ticket is drawn at random: a sparse ReLU network, with every neuron in use.

    The positions of weights and biases are uniform, given that every neuron lies on a path. Weights
    are normal; hidden biases put the kink inside the range of the inputs. Outputs have variance 1
    over the inputs; classes are balanced within a factor of two. Draws with a neuron that is hardly
    ever active, or always 0, are rejected.

    Args:
        key: an integer or a JAX key, which determines everything. None draws a ticket for every
            seed of a sweep, that of key=seed; all run in the same programs.
        inputs, outputs: widths of the first and the last layer.
        hidden: widths of the hidden layers; the ticket's depth is len(hidden) + 2.
        parameters: number of weights and biases that are not 0.
        kind: "regression" or "classification".
        biases: "drawn", as weights are; "all" neurons have one, or "none". A classifier's outputs
            always have theirs, which balance the classes.
        degree_spread: 0 for uniform positions. With more, neurons have popularities, log-normal
            with this deviation, and a weight's place is drawn in proportion to those of its two
            neurons: 1 makes hubs.
        name: the task's name in records; None for "random_teacher_KEY", or "random_teacher" with a
            ticket for every seed.

    Returns:
        A Task: inputs uniform on [-1, 1]^inputs, labels the teacher's outputs. Noise is added to a
            regression's outputs, or is the probability that a label is redrawn.

    Raises:
        ValueError: too few parameters to connect all neurons, more than the layers have, or no
            acceptable draw in 200.

    >>> task = random_teacher(key=7, inputs=2, outputs=3, hidden=(6, 8, 6), parameters=40,
    ...                       kind="classification")
    >>> sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(task.ticket(depth=5)))
    40
    """
    teachers = RandomTeachers(
        inputs, outputs, tuple(hidden), parameters, kind, biases, float(degree_spread)
    )
    return drawn_task("random_teacher", key, teachers, kind, name=name)
