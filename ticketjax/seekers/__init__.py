"""Seekers: algorithms that look for a ticket. One file each; a name's row stands here."""

import functools
import inspect
import numbers
from collections.abc import Callable, Hashable
from typing import Any

from ticketjax.base import Score, Seeker
from ticketjax.names import suggestion
from ticketjax.seekers.concrete import concrete
from ticketjax.seekers.continuous_sparsification import continuous_sparsification
from ticketjax.seekers.edge_popup import edge_popup
from ticketjax.seekers.gem_miner import gem_miner
from ticketjax.seekers.grasp import grasp
from ticketjax.seekers.iterative_hard_thresholding import iterative_hard_thresholding
from ticketjax.seekers.layer_densities import balanced, erk
from ticketjax.seekers.magnitude import magnitude
from ticketjax.seekers.path_pursuit import path_pursuit
from ticketjax.seekers.probabilistic import probabilistic
from ticketjax.seekers.random import random
from ticketjax.seekers.refinement import ending_refined
from ticketjax.seekers.relaxed_bernoulli import relaxed_bernoulli
from ticketjax.seekers.rewinding import rewinding
from ticketjax.seekers.snip import snip
from ticketjax.seekers.synflow import synflow
from ticketjax.strategies import STRATEGIES
from ticketjax.training import check_number

# Scores, which a strategy of STRATEGIES lifts to seekers.
SCORES: dict[str, Score] = {
    "random": random,
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
    "erk": erk,
    "balanced": balanced,
}
# Seekers that train what they keep, each with strategies of its own.
TRAINED: dict[str, dict[str, Callable[..., Seeker]]] = {
    "edge_popup": {
        "plain": edge_popup,
        "annealed": functools.partial(edge_popup, annealed=True),
    },
    **{
        make.__name__: {"plain": make, "refined": ending_refined(make)}
        for make in (
            probabilistic,
            concrete,
            relaxed_bernoulli,
            continuous_sparsification,
            gem_miner,
        )
    },
    "path_pursuit": {
        "plain": path_pursuit,
        "refined": functools.partial(path_pursuit, exchange=True),
    },
    "iterative_hard_thresholding": {
        "plain": iterative_hard_thresholding,
        "annealed": functools.partial(iterative_hard_thresholding, annealed=True),
    },
    "rewinding": {"multishot": rewinding},
}
SEEKERS = {**SCORES, **TRAINED}
"""All seekers by name: scores, and of those that train what they keep their strategies."""


def is_seeker(function: str | Callable[..., Any]) -> bool:
    """Whether this is a whole seeker (key, problem, density), not a name or a score.

    Raises ValueError for a function that takes neither a seeker's nor a score's arguments.
    """
    if isinstance(function, str):
        return False
    if not callable(function):
        raise ValueError(f"seeker must be a name or a function, got {function!r}")
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


def _lifts(seeker: str | Callable[..., Any]) -> dict[str, Callable[..., Seeker]]:
    """The strategies that a name or score may be used with: functions of options alone."""
    if not isinstance(seeker, str):
        score = seeker
    elif seeker in TRAINED:
        return TRAINED[seeker]
    else:
        score = SCORES[seeker]
    return {name: functools.partial(lift, score) for name, lift in STRATEGIES.items()}


def get_seeker(
    seeker: str | Callable[..., Any], strategy: str | None = None, **options: Any
) -> Seeker:
    """A seeker (key, problem, density) -> Found, ready to jit, vmap and pmap.

    seeker: a name from SEEKERS, or a function of your own: a score (key, problem, params, mask)
        -> scores, which the strategy lifts, or a whole seeker, which is returned as it is.
    strategy: "singleshot" (default) or "multishot"; for edge_popup "plain" (default) or
        "annealed".
    options: passed to the strategy: scope, rounds, round_epochs, score_samples, ...

    The same arguments give the same function, so that nothing compiles twice.

    Raises ValueError for an unknown name (suggesting the nearest), strategy or option.

    >>> seeker = get_seeker("snip", strategy="multishot", scope="global", rounds=3)
    """
    if not isinstance(strategy, str | None):
        raise ValueError(f"strategy must be a name, got {strategy!r}")
    for name, value in options.items():
        if not isinstance(value, Hashable):
            raise ValueError(f"{name} must be a single value, got {value!r}")
    # A callable of your own need not have a hash.
    make = _make if isinstance(seeker, Hashable) else _make.__wrapped__
    return make(seeker, strategy, **options)


def _check_option(name: str, value: Any, default: Any) -> None:
    """Raise ValueError for an option that is of another kind than its default.

    What range it may have, the seeker says itself.
    """
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")
    elif isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
    elif isinstance(default, float):
        check_number(name, value)
    elif isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise ValueError(f"{name} must be {len(default)} numbers, got {value!r}")
        for entry in value:
            check_number(name, entry)


# Typed, or else a wrong 2.0 would pass for a 2 that was there before.
@functools.lru_cache(maxsize=None, typed=True)
def _make(seeker: str | Callable[..., Any], strategy: str | None, **options: Any) -> Seeker:
    if isinstance(seeker, str):
        if seeker not in SEEKERS:
            raise ValueError(
                f"seeker must be one of {', '.join(SEEKERS)}, got {seeker!r}"
                f"{suggestion(seeker, SEEKERS)}"
            )
    elif is_seeker(seeker):
        if options:
            raise ValueError(f"a seeker of your own takes no options, got {', '.join(options)}")
        return seeker
    lifts = _lifts(seeker)
    strategy = next(iter(lifts)) if strategy is None else strategy
    if strategy not in lifts:
        raise ValueError(f"strategy must be one of {', '.join(lifts)}, got {strategy!r}")
    lift = lifts[strategy]
    allowed = [
        name
        for name, parameter in inspect.signature(lift).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("annealed", "exchange")
    ]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{strategy} takes the options {', '.join(allowed)}, got {option!r}")
        _check_option(option, options[option], inspect.signature(lift).parameters[option].default)
    return lift(**options)
