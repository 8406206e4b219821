"""Seekers: algorithms that look for a ticket. One file each; a name's row stands here."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from ticketjax import expressions
from ticketjax.checks import Options, check_choice, written
from ticketjax.names import suggestion
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Score, Seeker
from ticketjax.seekers.annealing.annealed import Annealed
from ticketjax.seekers.best_of import BestOf
from ticketjax.seekers.biprop import Biprop
from ticketjax.seekers.drawn.phew import Phew
from ticketjax.seekers.drawn.random_masks import RandomMasks
from ticketjax.seekers.drawn.random_paths import RandomPaths
from ticketjax.seekers.dynamic.acdc import ACDC
from ticketjax.seekers.dynamic.rigl import RigL
from ticketjax.seekers.dynamic.sparse_evolutionary_training import SparseEvolutionaryTraining
from ticketjax.seekers.edge_popup import EdgePopup
from ticketjax.seekers.exchange.path_pursuit import PathPursuit
from ticketjax.seekers.exchange.refined import Refined
from ticketjax.seekers.force import Force
from ticketjax.seekers.gates.concrete import Concrete
from ticketjax.seekers.gates.concrete_ticket_search import ConcreteTicketSearch
from ticketjax.seekers.gates.continuous_sparsification import ContinuousSparsification
from ticketjax.seekers.gates.gem_miner import GemMiner
from ticketjax.seekers.gates.probabilistic import Probabilistic
from ticketjax.seekers.gates.relaxed_bernoulli import RelaxedBernoulli
from ticketjax.seekers.gates.supermask import Supermask
from ticketjax.seekers.genetic import Genetic
from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
from ticketjax.seekers.rewinding import Rewinding
from ticketjax.seekers.scores.grasp import grasp
from ticketjax.seekers.scores.layer_densities import balanced, erk
from ticketjax.seekers.scores.magnitude import magnitude
from ticketjax.seekers.scores.ntk_sap import ntk_sap
from ticketjax.seekers.scores.prospr import prospr
from ticketjax.seekers.scores.px import px
from ticketjax.seekers.scores.random import random
from ticketjax.seekers.scores.snip import snip
from ticketjax.seekers.scores.supermask_criteria import (
    magnitude_increase,
    magnitude_increase_same_sign,
    magnitude_same_sign,
    movement,
    movement_same_sign,
)
from ticketjax.seekers.scores.synflow import synflow, synflow_l2
from ticketjax.seekers.second_order.chita import CHITA
from ticketjax.seekers.second_order.combinatorial_brain_surgeon import CombinatorialBrainSurgeon
from ticketjax.seekers.strategies import (
    Multishot,
    Singleshot,
    as_seeker,
    is_seeker,
    objective_of,
)
from ticketjax.selection import LayerBudgets

# Scores, which Singleshot or Multishot makes seekers of.
SCORES: dict[str, Score] = {
    "random": random,
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
    "synflow_l2": synflow_l2,
    "px": px,
    "ntk_sap": ntk_sap,
    "prospr": prospr,
    "magnitude_same_sign": magnitude_same_sign,
    "magnitude_increase": magnitude_increase,
    "magnitude_increase_same_sign": magnitude_increase_same_sign,
    "movement": movement,
    "movement_same_sign": movement_same_sign,
    "erk": erk,
    "balanced": balanced,
}
SCORES_OF_A_LOSS = ("snip", "grasp", "prospr")
# Seekers that draw many masks at random, and keep the best.
DRAWN: dict[str, Callable[..., Seeker]] = {
    "random_paths": RandomPaths,
    "random_masks": RandomMasks,
}
# Seekers at initialisation that are more than a score.
UNTRAINED: dict[str, Callable[..., Seeker]] = {
    "force": Force,
    "phew": Phew,
}
# Seekers that learn what to keep.
TRAINED: dict[str, Callable[..., Seeker]] = {
    "edge_popup": EdgePopup,
    "biprop": Biprop,
    "probabilistic": Probabilistic,
    "concrete": Concrete,
    "concrete_ticket_search": ConcreteTicketSearch,
    "relaxed_bernoulli": RelaxedBernoulli,
    "continuous_sparsification": ContinuousSparsification,
    "gem_miner": GemMiner,
    "supermask": Supermask,
    "path_pursuit": PathPursuit,
    "annealed": Annealed,
    "iterative_hard_thresholding": IterativeHardThresholding,
    "rewinding": Rewinding,
    "rigl": RigL,
    "sparse_evolutionary_training": SparseEvolutionaryTraining,
    "acdc": ACDC,
    "combinatorial_brain_surgeon": CombinatorialBrainSurgeon,
    "chita": CHITA,
    "genetic": Genetic,
}
# Names that stand for a class rather than for a score.
WHOLE = {**DRAWN, **UNTRAINED, **TRAINED}
SEEKERS: dict[str, Any] = {**SCORES, **WHOLE}
"""All seekers by name: scores, and the classes of those that are no score."""
COMBINATORS: dict[str, Callable[..., Seeker]] = {
    "singleshot": Singleshot,
    "multishot": Multishot,
    "refined": Refined,
    "best_of": BestOf,
}
_CLASSES = {**WHOLE, **COMBINATORS, "layer_budgets": LayerBudgets}
_NAMES = {
    **SEEKERS,
    **_CLASSES,
    **{getattr(kind, "__name__"): kind for kind in _CLASSES.values()},  # noqa: B009
}


# What a command's strategy "refined" calls the options of Refined.
REFINEMENT = {
    "refinement": "rounds",
    "refinement_samples": "samples",
    "refinement_temperature": "temperature",
}


class Strategy(NamedTuple):
    """A way to use a trained seeker that has a name of its own.

    Args:
        kind: makes the seeker from its options.
        given: options that it sets.
        refined: whether what is found is refined, by the options of REFINEMENT.
    """

    kind: Callable[..., Seeker]
    given: dict[str, Any] = {}
    refined: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that it takes."""
        own = [name for name in inspect.signature(self.kind).parameters if name not in self.given]
        return (*own, *(REFINEMENT if self.refined else ()))

    def __call__(self, **options: Any) -> Seeker:
        """The seeker with these options."""
        if not self.refined:
            return self.kind(**self.given, **options)
        refinement = {REFINEMENT[n]: value for n, value in options.items() if n in REFINEMENT}
        own = {name: value for name, value in options.items() if name not in REFINEMENT}
        return Refined(self.kind(**own), **refinement)


# The strategies by which commands name settings of the seekers of a class of their own;
# the first is the default.
STRATEGIES: dict[str, dict[str, Strategy]] = {
    name: {"plain": Strategy(kind), "refined": Strategy(kind, refined=True)}
    for name, kind in TRAINED.items()
} | {
    name: {"plain": Strategy(TRAINED[name]), other: Strategy(TRAINED[name], {field: True})}
    for name, other, field in (
        ("edge_popup", "annealed", "annealed"),
        ("iterative_hard_thresholding", "annealed", "annealed"),
        ("path_pursuit", "refined", "exchange"),
    )
}
STRATEGIES["rewinding"] = {"multishot": Strategy(Rewinding)}
STRATEGIES["annealed"] = {"plain": Strategy(Annealed)}
STRATEGIES |= {name: {"plain": Strategy(kind)} for name, kind in (DRAWN | UNTRAINED).items()}
LIFTS = {"singleshot": Singleshot, "multishot": Multishot}


def options_of(seeker: str | Callable[..., Any], strategy: str | None = None) -> tuple[str, ...]:
    """The names of the options that a seeker's name, or a score, takes with a strategy.

    Args:
        seeker: a name from SEEKERS, or a score.
        strategy: as in get_seeker(); None for the seeker's first one.

    Returns:
        The names.

    Raises:
        ValueError: an unknown name or strategy.
    """
    lifts = _lifts(seeker)
    strategy = next(iter(lifts)) if strategy is None else strategy
    check_choice("strategy", strategy, lifts)
    if isinstance(seeker, str) and seeker in WHOLE:
        return STRATEGIES[seeker][strategy].options
    return tuple(name for name in inspect.signature(LIFTS[strategy]).parameters if name != "score")


def _lifts(seeker: str | Callable[..., Any]) -> dict[str, Any]:
    """The strategies that a name or score may be used with."""
    if isinstance(seeker, str) and seeker in WHOLE:
        return dict(STRATEGIES[seeker])
    score = SCORES.get(seeker, seeker) if isinstance(seeker, str) else seeker
    if isinstance(score, str):
        raise ValueError(
            f"seeker must be one of {', '.join(SEEKERS)}, got {seeker!r}"
            f"{suggestion(score, SEEKERS)}"
        )
    return {name: lambda kind=kind, **o: kind(score, **o) for name, kind in LIFTS.items()}


def get_seeker(
    seeker: str | Callable[..., Any], strategy: str | None = None, **options: Any
) -> Seeker:
    """A seeker (key, problem, density) -> Found, ready to jit, vmap and pmap.

    Args:
        seeker: a name from SEEKERS; an expression such as "multishot(snip, rounds=3)" or
            "best_of(concrete(), restarts=4)"; or your own function: a score (key, problem, params,
            mask) -> scores, or a whole seeker, which is returned unchanged.
        strategy: of a name or a score: "singleshot" (default) or "multishot"; of the trained
            seekers those in STRATEGIES, "plain" by default.
        **options: fields of the seeker's class; scope, rounds, round_epochs, score_samples, ...

    Returns:
        A frozen dataclass: equal arguments give equal seekers, which compile once.
        get_seeker(repr(seeker)) == seeker.

    Raises:
        ValueError: an unknown name (with the nearest), strategy or option, a value of another type
            or range.

    >>> get_seeker("snip", strategy="multishot", rounds=3)
    Multishot(snip, rounds=3)
    >>> get_seeker("refined(probabilistic(epochs=50), rounds=200)").seeker.epochs
    50
    """
    if strategy is None and not options:
        return as_seeker(read_seeker(seeker) if isinstance(seeker, str) else seeker)
    if isinstance(seeker, str) and seeker not in SEEKERS:
        if seeker.isidentifier():
            _lifts(seeker)  # says what is allowed
        raise ValueError(f"options of {seeker!r} must be within its parentheses")
    if not isinstance(seeker, str) and is_seeker(seeker):
        raise ValueError(f"your own seeker takes no options, got {', '.join(options) or strategy}")
    lifts = _lifts(seeker)
    allowed = options_of(seeker, strategy)
    chosen = next(iter(lifts)) if strategy is None else strategy
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"{chosen} takes the options {', '.join(allowed)}, got {option!r}"
                f"{suggestion(option, allowed)}"
            )
    return lifts[chosen](**options)


def objectives_of(seeker: Any) -> tuple[str, ...]:
    """The objectives that a seeker of the library can have, its own first.

    Args:
        seeker: any.

    Returns:
        "raw" and "rescaled" in some order; only its own where it looks at no loss, or where no
        other one makes sense for it.

    >>> objectives_of(get_seeker("concrete")), objectives_of(get_seeker("magnitude"))
    (('rescaled', 'raw'), ('raw',))
    """
    own = objective_of(seeker)
    if isinstance(seeker, Singleshot | Multishot):
        both = seeker.score in (SCORES[name] for name in SCORES_OF_A_LOSS)
    elif isinstance(seeker, Refined | BestOf):
        both = isinstance(seeker, Refined) or len(objectives_of(seeker.seeker)) > 1
    else:
        both = isinstance(seeker, Options) and not isinstance(seeker, Rewinding | Phew)
    return (own, *(other for other in OBJECTIVES if both and other != own))


def with_objective(seeker: Any, objective: str) -> Any:
    """A seeker of the library with another objective, also of the seekers in it.

    Args:
        seeker: one that objectives_of() gives two.
        objective: "raw" or "rescaled".

    Returns:
        The seeker, all else the same.

    >>> with_objective(get_seeker("multishot(snip)"), "rescaled")
    Multishot(snip, objective='rescaled')
    """
    inner = getattr(seeker, "seeker", None)
    if inner is not None and len(objectives_of(inner)) > 1:
        seeker = dataclasses.replace(seeker, seeker=with_objective(inner, objective))
    return dataclasses.replace(seeker, objective=objective)


def read_seeker(text: str, names: dict[str, Any] | None = None) -> Any:
    """What an expression names: a seeker, a score, or a class of seekers.

    Args:
        text: as in get_seeker().
        names: further names, of functions of your own.

    Returns:
        The seeker, score or class.

    Raises:
        ValueError: no such expression.
    """
    known = SEEKERS | (names or {})
    if text.strip().isidentifier() and text.strip() not in _NAMES | known:
        # The short list: names of combinators mean nothing alone.
        raise ValueError(
            f"seeker must be one of {', '.join(known)}, got {text!r}"
            f"{suggestion(text.strip(), known)}"
        )
    return expressions.read(text, _NAMES | (names or {}), "seeker")


def seeker_text(seeker: Any, complete: bool = False) -> str:
    """A seeker as an expression in the registry's names.

    Args:
        seeker: any. A function of your own is written by its name.
        complete: include the options that have their defaults.

    Returns:
        The expression, such as "multishot(snip, rounds=3)".
    """
    return written(seeker, lambda kind: getattr(kind, "name", kind.__name__), complete)


def seeker_label(seeker: Any) -> str:
    """How records call a seeker that nobody has labelled: its expression, as short as it can be.

    >>> seeker_label(get_seeker("snip")), seeker_label(get_seeker("concrete", epochs=3))
    ('snip', 'concrete(epochs=3)')
    """
    if isinstance(seeker, Singleshot) and seeker == Singleshot(seeker.score):
        return written(seeker.score)
    text = seeker_text(seeker)
    return text.removesuffix("()") if isinstance(seeker, Options) else text
