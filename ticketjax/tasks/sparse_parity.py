"""Sparse parity: the product of a few hidden signs among many, with an exact ticket."""

import dataclasses

import jax
import numpy as np

from ticketjax.base import REGRESSION, Task
from ticketjax.checks import check_count
from ticketjax.tasks.checks import check_depth
from ticketjax.tasks.drawn import Layers, drawn_task

# Functions of fewer inputs are compared on a grid, on which a parity has no meaning.
FEWEST_INPUTS = 3


@dataclasses.dataclass(frozen=True)
class Parities:
    """The distribution of sparse_parity(): random numbers -> a ticket.

    Raises:
        ValueError: as sparse_parity() does.
    """

    inputs: int
    bits: int
    depth: int

    def __post_init__(self):
        check_count("inputs", self.inputs, FEWEST_INPUTS)
        check_count("bits", self.bits, 1)
        if self.bits > self.inputs:
            raise ValueError(f"bits must be at most the {self.inputs} inputs, got {self.bits}")
        check_depth("sparse_parity", self.depth, smallest=3)

    def __call__(self, draw: np.random.Generator) -> Layers:
        """A ticket's layers."""
        k = self.bits
        hidden = draw.choice(self.inputs, k, replace=False)
        kernel = np.zeros((self.inputs, k))
        kernel[hidden] = 1
        knots = -k + 2.0 * np.arange(k)
        # The line turns at every knot: its first slope is 1 or -1, every slope change 2 or -2.
        first = (-1.0) ** k
        changes = -first * 2 * (-1.0) ** np.arange(k)
        changes[0] /= 2
        layers: list[tuple[np.ndarray, np.ndarray]] = [(kernel, -knots)]
        if self.depth == 3:
            return [*layers, (changes[:, None], np.array([first]))]
        # 1 is added to keep the output positive through hidden layers, and subtracted at the end.
        layers.append((changes[:, None], np.array([first + 1])))
        layers.extend((np.ones((1, 1)), np.zeros(1)) for _ in range(self.depth - 4))
        return [*layers, (np.ones((1, 1)), np.array([-1.0]))]


def sparse_parity(
    *, inputs: int, bits: int, key: int | jax.Array | None = None, depth: int = 3
) -> Task:
    """A regression on the product of a few relevant signs among many.

    Let s be the sum of the k signs. As s takes its values -k, -k + 2, ..., k, the product
    alternates between -1 and 1. The k neurons relu(s - s_j), s_j = -k + 2j, represent this
    exactly. Depth 3 takes (k + 1)^2 parameters, one fewer for even k, whose middle knot is 0.

    Args:
        inputs: number of signs, at least 3.
        bits: k, the number of relevant signs.
        key: an integer or a JAX key, which determines the relevant signs; None for others with
            every seed of a sweep, as in random_teacher().
        depth: of the ticket; at least 3.

    Returns:
        A Task: x uniform on {-1, 1}^inputs, y (n, 1) the product with N(0, noise^2) added.

    Raises:
        ValueError: fewer than 3 inputs, more bits than inputs, a depth below 3, another key.

    Source: Barak et al. 2022, arXiv 2207.08799, as a classification.

    >>> task = sparse_parity(inputs=10, bits=3, key=0)
    >>> sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(task.ticket(depth=3)))
    16
    """
    draw = Parities(inputs, bits, depth)
    return drawn_task("sparse_parity", key, draw, REGRESSION, corners=True)
