"""The best of many random masks: what any search among masks has to beat."""

import dataclasses
from typing import ClassVar

import jax

from ticketjax.base import Tree
from ticketjax.masks import full_mask
from ticketjax.problem import Problem
from ticketjax.seekers.drawn.draws import DrawnSeeker
from ticketjax.seekers.scores.random import random


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class RandomMasks(DrawnSeeker):
    """A baseline that draws masks of exactly the budget at random and returns the best one.

    Every mask keeps the parameters with the highest of independent N(0, 1) scores. The best has the
    lowest loss of mask * initial parameters on the training data; among equals it is the first. One
    draw is the singleshot pruner of the score "random". It works on any network.

    Found.scores are those of the best draw; Found.info has draw_losses, float32, the lowest loss
    after 1, 2, 4, 8, ... draws, and after all.

    Args:
        draws: number of masks; each costs one pass over the training data, without gradients.
        scope: as in problem.select().
        objective: decides which one is best, "rescaled" or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range.

    Source: this project.

    >>> RandomMasks(draws=10)
    RandomMasks(draws=10)
    """

    name: ClassVar[str] = "random_masks"

    def scores(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Tree:
        """Independent N(0, 1) scores."""
        del density
        return random(key, problem, problem.params, full_mask(problem.params))
