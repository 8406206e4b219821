"""Genetic search: a population of masks of the same size, recombined and mutated."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Batch, Found
from ticketjax.checks import Options, option
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.drawn.random_masks import RandomMasks
from ticketjax.seekers.drawn.random_paths import RandomPaths
from ticketjax.seekers.prunable import Prunable
from ticketjax.selection import top_k_mask

SAMPLES = 256
NEWCOMER = 2
NEWCOMERS = {"random_paths": RandomPaths(), "random_masks": RandomMasks()}


def recombined(key: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
    """A child that keeps what both parents keep, and the rest of the budget of what one does.

    Args:
        key: decides which of the latter.
        one, other: (d,) bool, as many True in either.

    Returns:
        (d,) bool, as many True.
    """
    chance = jax.random.uniform(key, one.shape, jnp.float32)
    return top_k_mask(2.0 * (one & other) + (one | other) + chance, jnp.sum(one))


def mutated(key: jax.Array, kept: jax.Array) -> jax.Array:
    """A mask with one kept and one pruned entry swapped, both at random.

    Args:
        key: decides which ones.
        kept: (d,) bool; one without either kind is returned as it is.

    Returns:
        (d,) bool.
    """
    chance = jax.random.uniform(key, kept.shape, jnp.float32)
    out, into = (jnp.argmax(jnp.where(side, chance, -1.0)) for side in (kept, ~kept))
    swapped = kept.at[out].set(False).at[into].set(True)
    return jnp.where(jnp.any(kept) & ~jnp.all(kept), swapped, kept)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Genetic(Options):
    """A seeker that breeds masks: every generation the best of the old and of their children stay.

    The parameters are frozen. Children are of three kinds. A recombinant keeps what both of its
    parents keep, and a random part of what one of them keeps; the second parent is one of the best.
    A mutant has one kept parameter swapped for a pruned one. A newcomer is drawn at random. All
    keep exactly the budget. The best mask of the last generation is returned.

    Found.scores are 1 for kept parameters and 0 for the others. info has least_losses,
    (generations,), on the samples.

    Args:
        generations: how many.
        population: masks of a generation.
        recombination, mutation, immigration: children of each kind, in parts of the population.
        elite: the part of the population from which second parents are drawn.
        newcomers: how the first generation and newcomers are drawn: "random_paths" or
            "random_masks".
        samples: of the training data, the first ones, on which masks are compared; None for all.
        scope: "global" alone, one budget over all layers.
        objective: of the comparison, "rescaled" or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range, rates that make no child.

    Source: Altmann et al. 2024, arXiv 2411.04658; Schoenberger et al. 2025, arXiv 2508.08877.
    Published: 100 masks, first of Bernoulli(1/2) entries; recombination 0.3 with a mate of the best
        30%, each entry from either parent; mutation 0.1, one entry flipped; 10% newcomers; the best
        by training accuracy, then by the number of zeros. No budget.
    Departures: the budget, and crossover and mutation that keep it; the loss, on some samples;
        random paths, because masks of few independent entries compute nothing.

    >>> Genetic(generations=50)  # (key, problem, density) -> Found
    Genetic(generations=50)
    """

    generations: int = option(200, least=1)
    population: int = option(100, least=1)
    recombination: float = option(0.3, least=0)
    mutation: float = option(0.1, least=0)
    immigration: float = option(0.1, least=0)
    elite: float = option(0.3, above=0, most=1)
    newcomers: str = option("random_paths", choices=tuple(NEWCOMERS))
    samples: int | None = option(SAMPLES, least=1, none=True)
    scope: str = option("global", choices=("global",))
    objective: str = option("rescaled", choices=OBJECTIVES)

    name: ClassVar[str] = "genetic"

    def check(self) -> None:
        """Refuse generations without a child."""
        if not len(self.kinds()):
            raise ValueError(
                "recombination, mutation and immigration must make a child of a population of "
                f"{self.population}, got {self.recombination}, {self.mutation}, {self.immigration}"
            )

    def kinds(self) -> np.ndarray:
        """The children of a generation: 0 for a recombinant, 1 for a mutant, 2 for a newcomer."""
        rates = self.recombination, self.mutation, self.immigration
        return np.repeat(np.arange(3), [round(rate * self.population) for rate in rates])

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        batch = Batch(*(array[: self.samples] for array in problem.batch))
        seen, prunable = dataclasses.replace(problem, batch=batch), Prunable(problem, self.scope)
        best = max(round(self.elite * self.population), 1)
        kinds = self.kinds()
        # Before the first generation, the population is filled with newcomers alone.
        fillings = -(-self.population // len(kinds))

        def newcomer(key):
            scores = NEWCOMERS[self.newcomers].scores(key, seen, density)
            return prunable.keep(prunable.flattened(scores), density)

        def child(masks, kind, key):
            parent_key, mate_key, key = jax.random.split(key, 3)
            parent = masks[jax.random.randint(parent_key, (), 0, self.population)]
            mate = masks[jax.random.randint(mate_key, (), 0, best)]
            kept = jax.lax.switch(
                kind,
                [
                    lambda: recombined(key, parent, mate),
                    lambda: mutated(key, parent),
                    lambda: newcomer(key),
                ],
            )
            loss = seen.loss(prunable.network(jnp.where(kept, prunable.parameters, 0.0)))
            largest = jnp.finfo(jnp.float32).max
            return kept, jnp.where(loss < largest, loss, largest)

        def mask_of(kept):
            return prunable.found(kept.astype(jnp.float32), density)

        def generation(carry, inputs):
            *old, checkpoints = carry
            number, kinds = inputs
            keys = jax.random.split(jax.random.fold_in(key, number), len(kinds))
            new = jax.lax.map(lambda one: child(old[0], *one), (kinds, keys))
            masks, losses = (jnp.concatenate(pair) for pair in zip(old, new, strict=True))
            # Among equals, the older ones.
            order = jnp.argsort(losses, stable=True)[: self.population]
            masks, losses = masks[order], losses[order]
            checkpoints = with_checkpoint(
                checkpoints, number - fillings, self.generations, lambda: mask_of(masks[0]).mask
            )
            return (masks, losses, checkpoints), losses[0]

        nobody = jnp.zeros((self.population, prunable.parameters.size), bool)
        nothing = no_checkpoints(problem.params, self.generations)
        start = nobody, jnp.full(self.population, jnp.inf), nothing
        steps = fillings + self.generations
        each = np.where(np.arange(steps)[:, None] < fillings, NEWCOMER, kinds[None])
        numbers = jnp.arange(1, steps + 1, dtype=jnp.int32)
        (masks, _, checkpoints), least = jax.lax.scan(
            generation, start, (numbers, jnp.asarray(each, jnp.int32))
        )
        info = {"least_losses": least[fillings:], **as_info(checkpoints, self.generations)}
        return mask_of(masks[0])._replace(info=info)
