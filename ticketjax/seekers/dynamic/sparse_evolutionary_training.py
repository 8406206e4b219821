"""SET, sparse evolutionary training: sparse training that grows connections at random."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.problem import Problem
from ticketjax.seekers.dynamic.search import DynamicSeeker
from ticketjax.seekers.scores.random import random


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class SparseEvolutionaryTraining(DynamicSeeker):
    """A seeker that drops the smallest |theta| of each layer, and grows others at random.

    See DynamicSeeker for the training, its options, and what it is measured by: weak and own
    quality, not strong tickets.

    Args:
        fraction, interval, until, scope, epochs, batch_size, learning_rate, optimizer, objective:
            as in DynamicSeeker.

    Raises:
        ValueError: as DynamicSeeker.

    Source: Mocanu, Mocanu, Stone, Nguyen, Gibescu and Liotta 2018, arXiv 1707.04780, algorithm 1.
    Published: after every epoch but the last, a constant fraction of 0.3 of the smallest positive
        and of the largest negative weights is dropped; Erdos-Renyi layer densities; grown weights
        are drawn anew; SGD with momentum.
    Departures: those of DynamicSeeker; positive and negative weights are ranked together, grown
        ones start at 0, the fraction falls as a cosine, and what has just been dropped may grow
        again, as in RigL, from which it then differs in the growth alone.

    >>> SparseEvolutionaryTraining(epochs=20)  # (key, problem, density) -> Found
    SparseEvolutionaryTraining(epochs=20)
    """

    name: ClassVar[str] = "sparse_evolutionary_training"

    def growth(self, key: jax.Array, problem: Problem, gradients: Tree) -> Tree:
        """Independent |N(0, 1)|."""
        return jax.tree.map(jnp.abs, random(key, problem, gradients, gradients))
