"""Simulated annealing of masks: millions of proposals, each evaluated by what it changes alone."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, Found, Tree
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask
from ticketjax.objective import OBJECTIVES, metric
from ticketjax.problem import Problem, Seeker, resolve_density
from ticketjax.seekers.annealing.chain import Schedule, anneal
from ticketjax.seekers.annealing.compiled.compiling import IS_INSTALLED
from ticketjax.seekers.annealing.tempering import AXIS, heats_of
from ticketjax.seekers.checkpoints import without_checkpoints
from ticketjax.seekers.strategies import as_seeker
from ticketjax.selection import budget


def _cooling(first: float, last: float, count: int) -> np.ndarray:
    """A geometric sequence."""
    return first * (last / first) ** (np.arange(count) / max(count - 1, 1))


@dataclasses.dataclass(frozen=True, repr=False)
class Annealed(Options):
    """A seeker that changes a mask by random proposals, and accepts them by Metropolis' rule.

    A proposal toggles a parameter, swaps a kept parameter for a pruned one, or gives it another
    source or target neuron; exchanges a neuron for another one with all its connections; rebuilds a
    neuron from a few parameters and removes random others; or splits a neuron in two. No proposal
    exceeds the budget. It is accepted if the energy rises by less than -T log(u), u uniform, and T
    falls geometrically. The energy of a regression is the logarithm of its error. That of a
    classification is first the cross entropy, and then the smooth error, the mean of
    sigmoid(-beta margin). beta is three times the value that fits the cross entropy best. The cross
    entropy does not rank a ticket best where the classes have sharp edges. The best mask under the
    last energy is returned.

    Only a narrow network of `width` neurons in a layer is computed: those in use and others, drawn
    again in every step. `batch` proposals are evaluated at once, starting from the first layer that
    they change, where only the changed neurons are summed. A proposal for a classification is
    evaluated on one part of the data after the other, and rejected as soon as it is 2.5 standard
    errors from being accepted.

    Found.scores are 1 for kept parameters and 0 for the others. info has the energies after each
    step and the number of proposals accepted so far, (steps,). The work of a classification depends
    on when proposals are rejected, so its records have no FLOPs.

    Args:
        seeker: (key, problem, density) -> Found, or a score, which makes a singleshot pruner. Its
            mask is annealed, and returned if annealing makes it worse. If a layer has more than
            `width` active neurons, those with most connections stay. None for random paths without
            a common neuron.
        steps: number of steps of a chain.
        proposals: number per step and layer, rounded to whole batches; they change this layer or
            later ones.
        batch: number of proposals evaluated at once. They change one layer or later ones, each
            layer in turn; of the acceptable ones, the first in a random order is accepted, and
            those after it are discarded. With 1, proposals are made one after the other, of a
            random kind and layer, and none is discarded: with engine="numba", this finds better
            masks of Helix in the same time, and not of Circle (docs/search_experiments.md). It is
            slow in XLA.
        width: neurons of a hidden layer at once, those in use and others.
        temperatures: first and last T of a regression, in units of the log error.
        entropy_temperatures, error_temperatures: the same of a classification's cross entropy and
            smooth error, in their units.
        loss: final energy of a classification, "smooth_error" or "cross_entropy".
        entropy_share: the fraction of the steps for which a classification begins with cross
            entropy, in 0..1; 1 is the same as loss="cross_entropy".
        bins: number of equally filled bins in which the data of a regression with one input are
            averaged; 0 for no averaging.
        part: samples of a part of a classification's data.
        chains: number of chains, vmapped; the one with the lowest error on the training data is
            returned.
        hottest: the last chain's temperature in units of the first one's, at least 1. Above 1, the
            chains' temperatures are spaced geometrically, and neighbours exchange their masks after
            every step with the probability of parallel tempering. Needs at least two chains.
        engine: "xla", or "numba" for the same chain on the host's CPU, up to rounding: a callback
            that evaluates proposals one by one, on one core. See docs/seekers.md for how fast each
            is. Records have no FLOPs then.
        scope: "global" alone, one budget over all layers.
        objective: what is minimised, "rescaled" or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range, hottest > 1 with one chain, engine="numba"
            where Numba is not installed. When called, for a network other than a chain of dense
            layers with ReLU between them; the message names the layer.

    Source: this project. Simulated annealing: Kirkpatrick, Gelatt and Vecchi 1983; acceptance:
    Metropolis et al. 1953. Tests that stop early: Korattikara, Chen and Welling 2014,
    arXiv 1304.5299; here with a fixed number of standard errors. Parallel tempering: Geyer 1991,
    "Markov chain Monte Carlo maximum likelihood".

    >>> Annealed(steps=100)  # (key, problem, density) -> Found
    Annealed(steps=100)
    """

    seeker: Seeker | None = option(None, free=True)
    _: dataclasses.KW_ONLY
    steps: int = option(2000, least=1)
    proposals: int = option(256, least=1)
    batch: int = option(32, least=1)
    width: int = option(32, least=1)
    temperatures: tuple[float, float] = option((0.02, 0.001), above=0)
    entropy_temperatures: tuple[float, float] = option((3e-3, 6e-4), above=0)
    error_temperatures: tuple[float, float] = option((1e-3, 1e-5), above=0)
    loss: str = option("smooth_error", choices=("smooth_error", "cross_entropy"))
    entropy_share: float = option(0.35, least=0, most=1)
    bins: int = option(100, least=0)
    part: int = option(500, least=1)
    chains: int = option(1, least=1)
    hottest: float = option(1.0, least=1)
    engine: str = option("xla", choices=("xla", "numba"))
    scope: str = option("global", choices=("global",))
    objective: str = option("rescaled", choices=OBJECTIVES)

    name: ClassVar[str] = "annealed"

    def check(self) -> None:
        """Take a score for the singleshot pruner that it makes; refuse what is no seeker."""
        if self.hottest > 1 and self.chains == 1:
            raise ValueError(f"hottest={self.hottest} needs at least two chains, got chains=1")
        if self.engine == "numba" and not IS_INSTALLED:
            raise ValueError(
                "engine='numba' needs Numba, which is not installed: pip install 'ticketjax[numba]'"
            )
        if self.seeker is not None:
            object.__setattr__(self, "seeker", as_seeker(self.seeker))

    def _schedule(self, kind: str) -> Schedule:
        smooth = np.zeros(self.steps, bool)
        heats = _cooling(*self.temperatures, self.steps)
        if kind == CLASSIFICATION:
            share = self.entropy_share if self.loss == "smooth_error" else 1.0
            first = round(share * self.steps)
            smooth[first:] = True
            heats = np.concatenate(
                [
                    _cooling(*self.entropy_temperatures, first),
                    _cooling(*self.error_temperatures, self.steps - first),
                ]
            )
        return Schedule(
            self.steps,
            self.proposals,
            self.batch,
            self.width,
            jnp.asarray(heats, jnp.float32),
            jnp.asarray(smooth),
            self.bins,
            self.part,
            self.hottest > 1,
            self.engine,
        )

    def _error(self, problem: Problem, mask: Tree) -> jax.Array:
        """By which chains are compared with each other and with where they begin."""
        masked = apply_mask(problem.params, mask)
        if problem.kind == CLASSIFICATION and self.loss == "smooth_error":
            outputs = problem.apply(masked, problem.batch.x)
            error = 1 - metric(problem.kind, outputs, problem.batch.y)
        else:
            error = problem.loss(masked)
        return jnp.where(jnp.isnan(error), jnp.inf, error)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        start_key, key = jax.random.split(key)
        size = budget(density, problem.prunable)
        found = None if self.seeker is None else self.seeker(start_key, problem, density)

        def chain(key: jax.Array, heat: jax.Array | float) -> tuple:
            begin = None if found is None else found.mask
            schedule = self._schedule(problem.kind)
            schedule = schedule._replace(temperatures=heat * schedule.temperatures)
            mask, info = anneal(problem, begin, size, key, schedule)
            error = self._error(problem, mask)
            if begin is not None:
                before = self._error(problem, begin)
                mask = jax.tree.map(lambda a, b: jnp.where(before < error, b, a), mask, begin)
                error = jnp.minimum(before, error)
            return mask, info, error

        if self.chains == 1:
            mask, info, _ = chain(key, 1.0)
        else:
            heats = jnp.asarray(heats_of(self.chains, self.hottest), jnp.float32)
            chains = jax.vmap(chain, axis_name=AXIS)
            masks, infos, errors = chains(jax.random.split(key, self.chains), heats)
            mask, info = jax.tree.map(lambda leaf: leaf[jnp.argmin(errors)], (masks, infos))
            info |= {"chain_errors": errors}
        if found is not None:
            before = without_checkpoints(found.info)
            before.pop("params", None)
            info = {**before, **info}
        scores = jax.tree.map(lambda m: m.astype(jnp.float32), mask)
        return Found(mask, scores, info)
