"""Passes of a seeker over the training data: how many it makes, and the same seeker with others."""

import dataclasses
import math
from typing import Any

from ticketjax.checks import Options
from ticketjax.seekers.drawn.phew import Phew
from ticketjax.seekers.force import Force
from ticketjax.seekers.strategies import Singleshot
from ticketjax.tuning.candidates import DRAWS_PER_PASS


def _has(seeker: Any, *names: str) -> bool:
    return isinstance(seeker, Options) and all(hasattr(seeker, name) for name in names)


def passes_of(seeker: Any) -> float:
    """Passes over the training data, with gradients, in one search.

    Args:
        seeker: any.

    Returns:
        0 for scores at initialisation; NaN where it is not counted in passes.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> passes_of(get_seeker("multishot(snip, rounds=10, round_epochs=5)"))
    50
    """
    if _has(seeker, "rounds", "round_epochs"):
        return seeker.rounds * seeker.round_epochs
    if _has(seeker, "epochs"):
        return getattr(seeker, "restarts", 1) * seeker.epochs
    if _has(seeker, "draws"):
        return seeker.draws / DRAWS_PER_PASS
    if _has(seeker, "seeker") and seeker.seeker is not None:
        # What refines a mask is not counted in passes.
        return getattr(seeker, "restarts", 1) * passes_of(seeker.seeker)
    return 0 if isinstance(seeker, Singleshot | Force | Phew) else math.nan


def with_passes(seeker: Any, passes: int) -> Any:
    """The seeker with another number of passes over the training data.

    Args:
        seeker: any.
        passes: how many; divided among rounds or restarts, where there are such.

    Returns:
        The seeker as it is, if its passes are not counted.

    Raises:
        ValueError: fewer passes than rounds or restarts.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> with_passes(get_seeker("refined(concrete(epochs=100))"), 50)
    Refined(Concrete(epochs=50))
    """

    def each(parts: int) -> int:
        if passes < parts:
            raise ValueError(f"must be at least {parts} for {seeker!r}, got {passes}")
        return passes // parts

    if _has(seeker, "rounds", "round_epochs"):
        return dataclasses.replace(seeker, round_epochs=each(seeker.rounds))
    if _has(seeker, "epochs"):
        return dataclasses.replace(seeker, epochs=each(getattr(seeker, "restarts", 1)))
    if _has(seeker, "draws"):
        return dataclasses.replace(seeker, draws=DRAWS_PER_PASS * passes)
    if _has(seeker, "seeker") and seeker.seeker is not None:
        inner = with_passes(seeker.seeker, each(getattr(seeker, "restarts", 1)))
        return dataclasses.replace(seeker, seeker=inner)
    return seeker
