"""Seekers: algorithms that look for a ticket. One file each; a name's row stands here."""

import inspect
from collections.abc import Callable
from typing import Any

from ticketjax import expressions
from ticketjax.checks import Options, check_choice, written
from ticketjax.masks import LayerBudgets
from ticketjax.names import suggestion
from ticketjax.problem import Score, Seeker
from ticketjax.seekers.best_of import BestOf
from ticketjax.seekers.concrete import Concrete
from ticketjax.seekers.continuous_sparsification import ContinuousSparsification
from ticketjax.seekers.edge_popup import EdgePopup
from ticketjax.seekers.gem_miner import GemMiner
from ticketjax.seekers.grasp import grasp
from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
from ticketjax.seekers.layer_densities import balanced, erk
from ticketjax.seekers.magnitude import magnitude
from ticketjax.seekers.path_pursuit import PathPursuit
from ticketjax.seekers.probabilistic import Probabilistic
from ticketjax.seekers.random import random
from ticketjax.seekers.refined import Refined
from ticketjax.seekers.relaxed_bernoulli import RelaxedBernoulli
from ticketjax.seekers.rewinding import Rewinding
from ticketjax.seekers.snip import snip
from ticketjax.seekers.synflow import synflow
from ticketjax.strategies import Multishot, Singleshot, as_seeker, is_seeker

# Scores, which Singleshot or Multishot makes seekers of.
SCORES: dict[str, Score] = {
    "random": random,
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
    "erk": erk,
    "balanced": balanced,
}
# Seekers that learn what to keep.
TRAINED: dict[str, Callable[..., Seeker]] = {
    "edge_popup": EdgePopup,
    "probabilistic": Probabilistic,
    "concrete": Concrete,
    "relaxed_bernoulli": RelaxedBernoulli,
    "continuous_sparsification": ContinuousSparsification,
    "gem_miner": GemMiner,
    "path_pursuit": PathPursuit,
    "iterative_hard_thresholding": IterativeHardThresholding,
    "rewinding": Rewinding,
}
SEEKERS: dict[str, Any] = {**SCORES, **TRAINED}
"""All seekers by name: scores, and the classes of those that learn what to keep."""
COMBINATORS: dict[str, Callable[..., Seeker]] = {
    "singleshot": Singleshot,
    "multishot": Multishot,
    "refined": Refined,
    "best_of": BestOf,
}
_CLASSES = {**TRAINED, **COMBINATORS, "layer_budgets": LayerBudgets}
_NAMES = {
    **SEEKERS,
    **_CLASSES,
    **{kind.__name__: kind for kind in _CLASSES.values()},
}


def _refined(kind: Callable[..., Seeker]) -> Callable[..., Seeker]:
    def make(
        refinement: int = Refined.rounds,
        refinement_samples: int = Refined.samples,
        refinement_temperature: float = Refined.temperature,
        **options: Any,
    ) -> Seeker:
        return Refined(
            kind(**options),
            rounds=refinement,
            samples=refinement_samples,
            temperature=refinement_temperature,
        )

    return make


# The strategies by which commands name settings of the trained seekers; the first is the default.
STRATEGIES: dict[str, dict[str, Callable[..., Seeker]]] = {
    **{
        name: {"plain": TRAINED[name], "refined": _refined(TRAINED[name])}
        for name in (
            "probabilistic",
            "concrete",
            "relaxed_bernoulli",
            "continuous_sparsification",
            "gem_miner",
        )
    },
    **{
        name: {
            "plain": TRAINED[name],
            "annealed": lambda kind=TRAINED[name], **o: kind(annealed=True, **o),
        }
        for name in ("edge_popup", "iterative_hard_thresholding")
    },
    "path_pursuit": {
        "plain": PathPursuit,
        "refined": lambda **options: PathPursuit(exchange=True, **options),
    },
    "rewinding": {"multishot": Rewinding},
}
LIFTS = {"singleshot": Singleshot, "multishot": Multishot}
_REFINEMENT = ("refinement", "refinement_samples", "refinement_temperature")


def options_of(seeker: str | Callable[..., Any], strategy: str | None = None) -> tuple[str, ...]:
    """The names of the options that a seeker's name, or a score, takes with a strategy.

    Raises ValueError for an unknown name or strategy.
    """
    lifts = _lifts(seeker)
    strategy = next(iter(lifts)) if strategy is None else strategy
    check_choice("strategy", strategy, lifts)
    if not (isinstance(seeker, str) and seeker in TRAINED):
        kind = LIFTS[strategy]
        return tuple(name for name in inspect.signature(kind).parameters if name != "score")
    own = tuple(inspect.signature(TRAINED[seeker]).parameters)
    fixed = {"annealed", "exchange"} if len(lifts) > 1 else set()
    more = _REFINEMENT if lifts[strategy].__name__ == "make" else ()
    return (*(name for name in own if name not in fixed), *more)


def _lifts(seeker: str | Callable[..., Any]) -> dict[str, Callable[..., Seeker]]:
    """The strategies that a name or score may be used with."""
    if isinstance(seeker, str) and seeker in TRAINED:
        return STRATEGIES[seeker]
    score = SCORES.get(seeker, seeker) if isinstance(seeker, str) else seeker
    if isinstance(score, str):
        raise ValueError(
            f"seeker must be one of {', '.join(SEEKERS)}, got {seeker!r}{suggestion(score, SEEKERS)}"
        )
    return {name: lambda kind=kind, **o: kind(score, **o) for name, kind in LIFTS.items()}


def get_seeker(
    seeker: str | Callable[..., Any], strategy: str | None = None, **options: Any
) -> Seeker:
    """A seeker (key, problem, density) -> Found, ready to jit, vmap and pmap.

    Args:
        seeker: a name from SEEKERS; an expression such as "multishot(snip, rounds=3)" or
            "best_of(concrete(), restarts=4)"; or a function of your own: a score (key, problem,
            params, mask) -> scores, or a whole seeker, which is returned as it is.
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
        value = read_seeker(seeker) if isinstance(seeker, str) else seeker
        if isinstance(value, type):
            value = value()
        return as_seeker(value)
    if isinstance(seeker, str) and seeker not in SEEKERS:
        if seeker.isidentifier():
            _lifts(seeker)  # says what is allowed
        raise ValueError(f"options of {seeker!r} belong into its parentheses")
    if not isinstance(seeker, str) and is_seeker(seeker):
        raise ValueError(
            f"a seeker of your own takes no options, got {', '.join(options) or strategy}"
        )
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


def read_seeker(text: str, names: dict[str, Any] | None = None) -> Any:
    """What an expression names: a seeker, a score, or a class that takes no argument.

    Args:
        text: as in get_seeker().
        names: further names, of functions of your own.

    Raises:
        ValueError: no such expression.
    """
    known = SEEKERS | (names or {})
    if text.strip().isidentifier() and text.strip() not in _NAMES | known:
        # The short list: names of combinators mean nothing alone.
        raise ValueError(
            f"seeker must be one of {', '.join(known)}, got {text!r}{suggestion(text.strip(), known)}"
        )
    return expressions.read(text, _NAMES | (names or {}), "seeker")


def seeker_text(seeker: Any) -> str:
    """A seeker as an expression in the registry's names: "multishot(snip, rounds=3)".

    A function of your own is written by its name.
    """
    return written(seeker, lambda kind: getattr(kind, "name", kind.__name__))


def seeker_label(seeker: Any) -> str:
    """How records call a seeker that nobody has labelled: as short as its expression can be.

    >>> seeker_label(get_seeker("snip")), seeker_label(get_seeker("concrete", epochs=3))
    ('snip', 'concrete(epochs=3)')
    """
    if isinstance(seeker, Singleshot) and seeker == Singleshot(seeker.score):
        return written(seeker.score)
    text = seeker_text(seeker)
    return text.removesuffix("()") if isinstance(seeker, Options) else text
