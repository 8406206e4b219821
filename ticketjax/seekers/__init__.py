"""Seekers: algorithms that look for a ticket. One file each; a name's row stands here."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from ticketjax.base import Seeker
from ticketjax.seekers.grasp import grasp
from ticketjax.seekers.magnitude import magnitude
from ticketjax.seekers.random import random
from ticketjax.seekers.snip import snip
from ticketjax.seekers.synflow import synflow
from ticketjax.strategies import STRATEGIES

# Scores, which a strategy lifts to seekers.
SEEKERS: dict[str, Callable[..., Any]] = {
    "random": random,
    "magnitude": magnitude,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}


def _is_seeker(function: Callable[..., Any]) -> bool:
    """A seeker takes (key, problem, density), a score (key, problem, params, mask)."""
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


@functools.cache
def get_seeker(
    seeker: str | Callable[..., Any], strategy: str = "singleshot", **options: Any
) -> Seeker:
    """A seeker (key, problem, density) -> Found, ready to jit, vmap and pmap.

    seeker: a name from SEEKERS, or a function of your own: a score (key, problem, params, mask)
        -> scores, which the strategy lifts, or a whole seeker, which is returned as it is.
    strategy: "singleshot" or "multishot".
    options: passed to the strategy: scope, rounds, round_epochs, score_samples, ...

    The same arguments give the same function, so that nothing compiles twice.

    Raises ValueError for an unknown name, strategy or option.

    >>> seeker = get_seeker("snip", strategy="multishot", scope="global", rounds=3)
    """
    if isinstance(seeker, str):
        if seeker not in SEEKERS:
            near = difflib.get_close_matches(seeker, SEEKERS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"seeker must be one of {', '.join(SEEKERS)}, got {seeker!r}{hint}")
        score = SEEKERS[seeker]
    elif not callable(seeker):
        raise ValueError(f"seeker must be a name or a function, got {seeker!r}")
    elif _is_seeker(seeker):
        if options:
            raise ValueError(f"a seeker of your own takes no options, got {', '.join(options)}")
        return seeker
    else:
        score = seeker
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    lift = STRATEGIES[strategy]
    allowed = [p for p in inspect.signature(lift).parameters if p != "score"]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{strategy} takes the options {', '.join(allowed)}, got {option!r}")
    return lift(score, **options)
