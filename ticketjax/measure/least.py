"""The least mask: the smallest one that makes a tiny network compute a function, exhaustively.

Masks are built from the outputs backwards: first the parameters that the outputs read, then those
that each of these neurons reads, and so on. Every mask whose parameters all lead to an output
occurs once. A smallest mask that solves the task is among them, because parameters that lead to no
output change nothing.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ticketjax.base import CLASSIFICATION, Params
from ticketjax.masks import layer_names
from ticketjax.measure.equivalence import EXACT, MOST_DISAGREEMENT

# 2^40 masks cannot all be tried, but most have parameters that lead to no output.
MOST_PARAMETERS = 40
# Number of masks that are evaluated at once.
BATCH = 4096
# Number of points on which most masks already fail.
SCREENED = 32


class Least(NamedTuple):
    """The smallest mask.

    Args:
        size: how many parameters it keeps; None if no mask of up to `most` solves the task.
        mask: the mask, a tree like the network's; or None.
        solutions: how many masks of that size solve the task.
        tried: how many masks were evaluated.
    """

    size: int | None
    mask: Params | None
    solutions: int
    tried: int


class _Tiny(NamedTuple):
    """A dense network of a few parameters, in one vector: each layer's kernel, then its bias."""

    sizes: tuple[int, ...]
    theta: np.ndarray

    def places(self, layer: int, neuron: int) -> list[tuple[int, int | None]]:
        """What a neuron may read: places in the vector, each with the neuron before it, or none."""
        at = sum((n + 1) * m for n, m in itertools.pairwise(self.sizes[: layer + 1]))
        n_in, n_out = self.sizes[layer : layer + 2]
        weights: list[tuple[int, int | None]] = [
            (at + source * n_out + neuron, source) for source in range(n_in)
        ]
        return [*weights, (at + n_in * n_out + neuron, None)]

    def outputs(self, masks: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Outputs of masked networks: masks (b, parameters), x (n, inputs) -> (b, n, outputs)."""
        at, layers = 0, len(self.sizes) - 1
        y = np.broadcast_to(x, (len(masks), *x.shape))
        theta = masks * self.theta
        for i, (n_in, n_out) in enumerate(itertools.pairwise(self.sizes)):
            kernel = theta[:, at : at + n_in * n_out].reshape(-1, n_in, n_out)
            at += n_in * n_out
            y = y @ kernel + theta[:, None, at : at + n_out]
            at += n_out
            y = np.maximum(y, 0) if i < layers - 1 else y
        return y


def _live(tiny: _Tiny, size: int) -> Iterator[tuple[int, ...]]:
    """All masks of `size` parameters, as places, in which every parameter leads to an output."""
    layers = len(tiny.sizes) - 1

    def of_layer(layer: int, read: tuple[int, ...], left: int) -> Iterator[tuple[int, ...]]:
        if layer < 0:
            if left == 0:
                yield ()
            return
        # Outputs may stay empty; a hidden neuron that reads nothing would be 0.
        fewest = 0 if layer == layers - 1 else 1
        choices = [tiny.places(layer, neuron) for neuron in read]
        for chosen, sources, spent in _choose(choices, fewest, left):
            # The first layer reads inputs, not neurons, so nothing is left to choose.
            if layer == 0:
                if spent == left:
                    yield chosen
            elif len(sources) <= left - spent:
                needed = tuple(sorted(sources))
                if needed or spent == left:
                    for rest in of_layer(layer - 1, needed, left - spent) if needed else [()]:
                        yield chosen + rest

    yield from of_layer(layers - 1, tuple(range(tiny.sizes[-1])), size)


def _choose(
    choices: list[list[tuple[int, int | None]]], fewest: int, most: int
) -> Iterator[tuple[tuple[int, ...], frozenset[int], int]]:
    """Subsets of what each neuron may read, at least `fewest` each and at most `most` in all."""
    if not choices:
        yield (), frozenset(), 0
        return
    first, *others = choices
    for count in range(fewest, min(len(first), most - fewest * len(others)) + 1):
        for part in itertools.combinations(first, count):
            own = tuple(place for place, _ in part)
            sources = frozenset(source for _, source in part if source is not None)
            for rest, more, spent in _choose(others, fewest, most - count):
                yield own + rest, sources | more, count + spent


def least_mask(
    params: Params,
    target: np.ndarray,
    x: np.ndarray,
    kind: str,
    *,
    most: int,
    exact: float = EXACT,
    most_disagreement: float = MOST_DISAGREEMENT,
) -> Least:
    """The smallest mask with which a tiny network is the target as a function, see is_found().

    Args:
        params: of dense layers with ReLU between, {"layer_0": {"kernel", "bias"}, ...}.
        target: (n, outputs), the function's values.
        x: (n, inputs), the points.
        kind: as in Task.
        most: largest number of parameters of a mask; the planted ticket's size is a bound.
        exact, most_disagreement: tolerances: the largest error, as a share of the target's range,
            and the share of points with another class.

    Returns:
        A Least.

    Raises:
        ValueError: more than 40 parameters.

    >>> params = {f"layer_{i}": {"kernel": np.ones((1, 1)), "bias": np.ones(1)} for i in (0, 1)}
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> least_mask(params, 3 * np.maximum(x, 0), x, "regression", most=4).size
    2
    """
    layers = [params[name] for name in layer_names(params)]
    leaves = [np.asarray(layer[part]) for layer in layers for part in ("kernel", "bias")]
    theta = np.concatenate([leaf.ravel() for leaf in leaves]).astype(np.float64)
    if theta.size > MOST_PARAMETERS:
        raise ValueError(
            f"an exhaustive search takes at most {MOST_PARAMETERS} parameters, got {theta.size}"
        )
    sizes = (leaves[0].shape[0], *(leaf.shape[1] for leaf in leaves[::2]))
    tiny = _Tiny(sizes, theta)
    x, target = np.asarray(x, np.float64), np.asarray(target, np.float64)
    few = np.linspace(0, len(x) - 1, min(SCREENED, len(x))).astype(int)
    spread = np.ptp(target, axis=0)
    allowed = exact * np.where(spread > 0, spread, 1)
    wrong = most_disagreement * len(x)
    tried = 0
    for size in range(most + 1):
        solutions: list[np.ndarray] = []
        live = _live(tiny, size)
        while places := list(itertools.islice(live, BATCH)):
            masks = np.zeros((len(places), theta.size), bool)
            masks[np.arange(len(places))[:, None], np.array(places, int)] = True
            tried += len(masks)
            outputs = tiny.outputs(masks, x[few])
            if kind == CLASSIFICATION:
                hopeful = _wrong_classes(outputs, target[few]) < wrong
            else:
                hopeful = _may_fit(outputs, target[few], allowed)
            for mask in masks[hopeful]:
                outputs = tiny.outputs(mask[None], x)
                if kind == CLASSIFICATION:
                    (solves,) = _wrong_classes(outputs, target) < wrong
                else:
                    (solves,) = _fits(outputs, target, allowed)
                if solves:
                    solutions.append(mask)
        if solutions:
            return Least(size, _as_tree(solutions[0], params), len(solutions), tried)
    return Least(None, None, 0, tried)


def _wrong_classes(outputs: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(b,) the number of points with another class; for some of the points, a lower bound."""
    return (outputs.argmax(axis=-1) != target.argmax(axis=-1)).sum(axis=1)


def _fits(outputs: np.ndarray, target: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(b,) whether the outputs match the target at the least-squares scale of at least 0.

    outputs: (b, n, outputs). allowed: (outputs,) error.
    """
    square = np.sum(outputs**2, axis=1)
    scale = np.sum(outputs * target, axis=1) / np.where(square > 0, square, 1)
    error = np.abs(np.maximum(scale, 0)[:, None] * outputs - target).max(axis=1)
    return np.all(error < allowed, axis=-1)


def _may_fit(outputs: np.ndarray, target: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """(b,) whether any scale of at least 0 keeps every point's error within what is allowed.

    The scales that suit a point form an interval. If these intervals have no common scale, none
    suits all points, nor any larger set of points, so no solution is lost.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(target - allowed) / outputs, (target + allowed) / outputs])
    low, high = np.nanmin(ends, axis=0), np.nanmax(ends, axis=0)
    silent = outputs == 0
    low = np.where(silent, np.where(np.abs(target) <= allowed, 0.0, np.inf), low)
    high = np.where(silent, np.inf, high)
    return np.all(np.maximum(low.max(axis=1), 0) <= high.min(axis=1), axis=-1)


def _as_tree(mask: np.ndarray, params: Params) -> Params:
    tree: dict[str, Any] = {name: {} for name in layer_names(params)}
    at = 0
    for name in tree:
        for part in ("kernel", "bias"):
            leaf = params[name][part]
            tree[name][part] = mask[at : at + leaf.size].reshape(leaf.shape)
            at += leaf.size
    return tree
