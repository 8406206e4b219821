"""Strategies: seekers that rank parameters by a score, at once or in rounds."""

import abc
import dataclasses
import inspect
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Found, Tree
from ticketjax.checks import Options, option
from ticketjax.contract import check_scores
from ticketjax.masks import apply_mask, full_mask, layer_densities, shuffle
from ticketjax.networks.layers import wires
from ticketjax.networks.paths import first_dead_layer
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import ADAM, Optimizer, make_optimizer, optimizer_text
from ticketjax.problem import Problem, Score, Seeker, resolve_density
from ticketjax.selection import Scope, check_scope, exclude
from ticketjax.training import BATCH_SIZE, train_in_random_order

# Checks that a mask is worth more than its densities: what is done to the score or to the mask.
SANITY = ("none", "invert", "shuffle")
# What the published experiments draw for a score: ten samples of each of four classes, and as many
# for the regressions.
SCORE_SAMPLES = 40


class RoundInfo(NamedTuple):
    """What a strategy records of every round, as the entries of Found.info.

    Args:
        round_layer_kept: (rounds, layers), kept fraction of each layer's prunable parameters.
        round_first_dead_layer: (rounds,) int32, the first layer that no path gets through, -1 if
            none.
    """

    round_layer_kept: jax.Array
    round_first_dead_layer: jax.Array

    @classmethod
    def of(cls, problem: Problem, mask: Tree) -> "RoundInfo":
        """What is to be told of a mask."""
        seen = problem.view(mask)
        return cls(
            layer_densities(seen, problem.prune_bias),
            first_dead_layer(seen, wires(problem.known_layers)),
        )


def round_density(density: jax.Array | float, k: jax.Array | int, rounds: int) -> jax.Array:
    """Density after round k of `rounds`: density^(k / rounds), exactly `density` in the last."""
    density = jnp.asarray(density, jnp.float32)
    return jnp.where(k == rounds, density, density ** (jnp.float32(k) / jnp.float32(rounds)))


def first_samples(problem: Problem, score_samples: int | str | None) -> Problem:
    """The problem with the training samples that a score receives.

    Args:
        problem: with all of them.
        score_samples: how many; "auto" for SCORE_SAMPLES, None for all.

    Returns:
        A problem that is otherwise the same.
    """
    samples = SCORE_SAMPLES if score_samples == "auto" else score_samples
    if samples is None:
        return problem
    # Samples are independent draws, so the first ones are as good as any.
    batch = Batch(*(array[:samples] for array in problem.batch))
    return dataclasses.replace(problem, batch=batch)


@dataclasses.dataclass(frozen=True, repr=False)
class _Rounds(Options, abc.ABC):
    """Rounds of scoring and pruning; what happens to the parameters before each, subclasses say."""

    score: Score
    _: dataclasses.KW_ONLY
    scope: Scope = option("global", free=True)
    rounds: int = option(1, least=1)
    score_samples: int | str | None = option("auto", least=1, word="auto", none=True)
    sanity: str = option("none", choices=SANITY)
    objective: str = option("raw", choices=OBJECTIVES)

    name: ClassVar[str]

    def check(self) -> None:
        """Refuse a scope that is none, and a score that cannot be called."""
        check_scope(self.scope)
        if not callable(self.score):
            raise ValueError(f"score must be a function or a score's name, got {self.score!r}")

    @abc.abstractmethod
    def prepare(self, key: jax.Array, problem: Problem, mask: Tree) -> Tree:
        """The parameters that a round scores, everything outside the mask zero."""

    def round_scores(
        self, key: jax.Array, problem: Problem, mask: Tree, k: jax.Array | int
    ) -> Tree:
        """The scores of round k, from 1 on, for what the rounds before have left; -inf elsewhere.

        Args:
            key, problem: of the seeker.
            mask: what is left.
            k: the round.

        Returns:
            A tree like the parameters.
        """
        problem = problem.by_default(self.objective)
        scored = first_samples(problem, self.score_samples)
        train_key, score_key = jax.random.split(jax.random.fold_in(key, k))
        params = self.prepare(train_key, problem, mask)
        scores = self.score(score_key, scored, params, mask)
        check_scores(scores, params)
        if self.sanity == "invert":
            scores = jax.tree.map(jnp.negative, scores)
        return exclude(scores, mask)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density = resolve_density(problem, density)

        def prune(mask, k):
            scores = self.round_scores(key, problem, mask, k)
            target = density if self.rounds == 1 else round_density(density, k, self.rounds)
            mask = problem.select(scores, target, self.scope)
            return mask, scores, RoundInfo.of(problem, mask)

        # The first round stands outside the scan: it knows no density yet up to the selection,
        # so that vmap over densities computes it once for all of them.
        mask, scores, first = prune(full_mask(problem.params), 1)
        info = jax.tree.map(lambda entry: entry[None], first)
        if self.rounds > 1:

            def again(carry, k):
                *carry, after = prune(carry[0], k)
                return tuple(carry), after

            later = jnp.arange(2, self.rounds + 1)
            (mask, scores), rest = jax.lax.scan(again, (mask, scores), later)
            info = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), info, rest)
        if self.sanity == "shuffle":
            mask = _shuffled(key, problem, mask, self.rounds)
        return Found(mask, scores, info._asdict())


def _shuffled(key: jax.Array, problem: Problem, mask: Tree, rounds: int) -> Tree:
    """The mask of so many rounds with its entries in a random order."""
    shuffled = shuffle(jax.random.fold_in(key, rounds + 1), problem.view(mask))
    return problem.restore(shuffled, mask)


@dataclasses.dataclass(frozen=True)
class Selection:
    """What a single-shot pruner does with its scores, whatever they are.

    Pruners with the same one can share a compiled program for it.

    Args:
        scope, sanity: as in Singleshot.
    """

    scope: Scope
    sanity: str

    def __call__(
        self, key: jax.Array, problem: Problem, scores: Tree, density: jax.Array | float
    ) -> Found:
        """The highest scores.

        Args:
            key, problem, density: of the seeker.
            scores: from Singleshot.scores().

        Returns:
            What the seeker finds.
        """
        mask = problem.select(scores, density, self.scope)
        info = jax.tree.map(lambda entry: entry[None], RoundInfo.of(problem, mask))
        if self.sanity == "shuffle":
            mask = _shuffled(key, problem, mask, 1)
        return Found(mask, scores, info._asdict())


@dataclasses.dataclass(frozen=True, repr=False)
class Singleshot(_Rounds):
    """Score at initialisation and prune, without any training.

    Args:
        score: (key, problem, params, mask) -> scores, as in Score.
        scope: "global", "local" or LayerBudgets, as in problem.select().
        rounds: n > 1 prunes gradually, to density^(k/n) in round k, scoring the pruned network
            again each time (as SynFlow does). A pruned parameter never returns.
        score_samples: training samples that the score receives; "auto" for 40, as the published
            experiments draw for all three tasks; None for all.
        sanity: "invert" keeps the lowest scores instead of the highest, "shuffle" puts the final
            mask's entries into a random order within each kernel and bias (Frankle et al. 2021, Su
            et al. 2020). A pruner that finds more than good layer densities does worse under both.
        objective: of the loss that the score uses, "raw" as published or "rescaled"; without effect
            on scores that use none. The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range.

    Source: Fischer and Burkholz 2022, arXiv 2111.11153, section 3.1; rounds without training:
    Tanaka et al. 2020, arXiv 2006.05467.
    Published: 40 samples for SNIP and GraSP on all three tasks (in their code: ten for each of
        Circle's classes, and as many for the regressions).
    Departures: exactly the budget, ties to the lower index, where their code drops all that tie;
        densities count weights and biases.

    >>> from ticketjax.seekers.scores.synflow import synflow
    >>> seeker = Singleshot(synflow, rounds=100)  # (key, problem, density) -> Found
    """

    name: ClassVar[str] = "singleshot"

    def prepare(self, key: jax.Array, problem: Problem, mask: Tree) -> Tree:
        """The initial values."""
        del key
        return apply_mask(problem.params, mask)

    @property
    def selection(self) -> Selection | None:
        """What follows the scores; None where scores of later rounds depend on the density."""
        return Selection(self.scope, self.sanity) if self.rounds == 1 else None

    def scores(self, key: jax.Array, problem: Problem) -> Tree:
        """The scores of the first round, which know of no density.

        Args:
            key, problem: of the seeker.

        Returns:
            A tree like the parameters.
        """
        return self.round_scores(key, problem, full_mask(problem.params), 1)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        if self.selection is None:
            return super().__call__(key, problem, density)
        return self.selection(key, problem, self.scores(key, problem), density)


@dataclasses.dataclass(frozen=True, repr=False)
class Multishot(_Rounds):
    """Rounds of: train, score and prune to density^(k/rounds), reset to the initial values.

    With magnitude as score this is iterative magnitude pruning (Frankle and Carbin 2019). A
    pruned parameter never returns.

    Args:
        score, scope, score_samples, sanity, objective: as in Singleshot. Training is always that
            of the raw output.
        rounds: of training and pruning.
        round_epochs: of training in each round.
        batch_size: samples per step.
        optimizer: text such as "sgd(0.1)", or an optax.GradientTransformation; None for Adam with a
            learning rate of 1e-3.

    Raises:
        ValueError: an option of another type or range, an unknown optimizer.

    Source: Fischer and Burkholz 2022, arXiv 2111.11153, section 3.2 and appendix B.1.
    Published: 10 rounds of 5 epochs, Adam with 1e-3, batches of 32.
    Departures: those of Singleshot; what is pruned stays so, where their code lets pruned weights
        return for random, magnitude, SNIP and GraSP.
    """

    _: dataclasses.KW_ONLY
    rounds: int = option(10, least=1)
    round_epochs: int = option(5, least=0)
    batch_size: int = option(BATCH_SIZE, least=1)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)

    name: ClassVar[str] = "multishot"

    def check(self) -> None:
        """Refuse an optimizer that is none, besides."""
        super().check()
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    def prepare(self, key: jax.Array, problem: Problem, mask: Tree) -> Tree:
        """The initial values, trained under the mask."""
        optimizer = self.optimizer or ADAM
        return train_in_random_order(
            key, problem, mask, self.round_epochs, self.batch_size, optimizer
        )


def is_seeker(function: Any) -> bool:
    """Whether this is a whole seeker, not a score.

    Args:
        function: (key, problem, density) -> Found, or a score (key, problem, params, mask) ->
            scores.

    Returns:
        True for a seeker.

    Raises:
        ValueError: a function that takes neither a seeker's nor a score's arguments.
    """
    # Plantings, trainings and budgets are options too, and cannot be called.
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"seeker must be a name, a seeker or a function, got {function!r}")
    if isinstance(function, Options):
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in kinds and p.default is p.empty
    ]
    if len(required) not in (3, 4):
        raise ValueError(
            "seeker must be a name, a score (key, problem, params, mask) or a seeker "
            f"(key, problem, density); got a function of {len(required)} arguments"
        )
    return len(required) == 3


def objective_of(seeker: Any) -> str:
    """The objective that a seeker has where the problem has none.

    Args:
        seeker: any. One of somebody else's without a field of that name sees the raw loss.

    Returns:
        "raw" or "rescaled". A combinator without its own has that of the seeker in it.
    """
    own = getattr(seeker, "objective", None)
    if own is None and hasattr(seeker, "seeker"):
        return objective_of(seeker.seeker)
    return own if own in OBJECTIVES else "raw"


def as_seeker(function: Any) -> Seeker:
    """Make a seeker of a seeker, of a class of seekers, or of a score.

    Args:
        function: one of these.

    Returns:
        A seeker as it is, a class of seekers with its defaults, a score as a singleshot pruner.

    Raises:
        ValueError: as is_seeker(), and for a class with a required argument.
    """
    if isinstance(function, type) and issubclass(function, Options):
        try:
            function = function()
        except TypeError:
            name = getattr(function, "name", function.__name__)
            example = "snip" if issubclass(function, _Rounds) else "concrete()"
            raise ValueError(
                f"{name} needs a seeker or score as its argument: {name}({example})"
            ) from None
    return function if is_seeker(function) else Singleshot(function)
