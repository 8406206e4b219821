"""RigL: sparse training that grows the connections with the largest gradients."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.checks import option
from ticketjax.problem import Problem
from ticketjax.seekers.dynamic.search import DynamicSeeker


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class RigL(DynamicSeeker):
    """A seeker that drops the smallest |theta| of each layer, and grows the largest |dL/dtheta|.

    The gradient is that of one batch, by all parameters of the layer. See DynamicSeeker for the
    training, its options, and what it is measured by: weak and own quality, not strong tickets.

    Args:
        fraction, until, scope, epochs, batch_size, learning_rate, optimizer, objective: as in
            DynamicSeeker.
        interval: steps from one exchange to the next; None for those of an epoch.

    Raises:
        ValueError: as DynamicSeeker.

    Source: Evci, Gale, Menick, Castro and Elsen 2020, arXiv 1911.11134, algorithm 1.
    Published: fraction 0.3, cosine, every 100 steps, until 0.75 of the training; ERK or equal layer
        densities; grown weights start at 0; what has just been dropped may grow again; SGD with
        momentum, its rate falling in steps.
    Departures: those of DynamicSeeker; moments of what grows are those that have faded since it was
        dropped, where the authors' code sets them to 0.

    >>> RigL(interval=200)  # (key, problem, density) -> Found
    RigL(interval=200)
    """

    interval: int | None = option(100, least=1, none=True)

    name: ClassVar[str] = "rigl"

    def growth(self, key: jax.Array, problem: Problem, gradients: Tree) -> Tree:
        """|dL/dtheta|."""
        del key, problem
        return jax.tree.map(jnp.abs, gradients)
