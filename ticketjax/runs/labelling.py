"""Seekers as users give them to a grid, and the labelled seekers that they become."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from ticketjax import expressions
from ticketjax.checks import Options
from ticketjax.choices import BASELINES
from ticketjax.problem import Seeker
from ticketjax.seekers.registry import (
    DRAWN,
    LIFTS,
    WHOLE,
    get_seeker,
    is_seeker,
    options_of,
    seeker_label,
)
from ticketjax.seekers.strategies import SANITY as SCORE_SANITY

# Sanity checks: on scores and masks, and on the parameters that they are trained from.
REINITIALISE = "reinitialise"
SANITY = (*SCORE_SANITY, REINITIALISE)
# Options of make_grid() that apply to seekers given by a name or as a score.
LIFTING = (
    "strategy",
    "scope",
    "rounds",
    "round_epochs",
    "score_samples",
    "search_epochs",
    "sanity",
    "options",
)


def lifted(seekers: Any, own: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Seekers as (label, seeker), with options for those that are given by a name or as a score.

    Args:
        seekers: whatever Grid takes.
        own: the options, a value by name of LIFTING; see make_grid().

    Returns:
        Pairs of label and seeker, in their order.

    Raises:
        ValueError: an option that a seeker does not have.
    """
    listed = list(seekers.values()) if isinstance(seekers, Mapping) else _listed(seekers)
    aside = {name: value for name, value in own.items() if name in ("scope", "sanity")}
    alone = all(_is_baseline(seeker) for seeker in listed)
    pairs = tuple(
        _lift(seeker, aside if not alone and _stands_aside(seeker, own) else own)
        for seeker in listed
    )
    if isinstance(seekers, Mapping):
        return tuple((label, value) for label, (_, value) in zip(seekers, pairs, strict=True))
    return pairs


def _is_baseline(seeker: Any) -> bool:
    return isinstance(seeker, str) and seeker.strip() in BASELINES


def _stands_aside(seeker: Any, own: dict[str, Any]) -> bool:
    """Whether this is a baseline to which the other seekers' options do not apply."""
    if not _is_baseline(seeker):
        return False
    return seeker.strip() in DRAWN or own.get("strategy") not in (None, *LIFTS)


def _lift(seeker: Any, own: dict[str, Any]) -> tuple[str, Any]:
    """A seeker and its label; the options apply to names and scores."""
    options = _options(own.get("options") or ())
    strategy, sanity = own.get("strategy"), own.get("sanity") or "none"
    is_name = isinstance(seeker, str) and seeker.strip().isidentifier()
    if not is_name and (isinstance(seeker, str) or is_seeker(seeker)):
        if options or sanity != "none":
            what = "options" if options else f"sanity={sanity}"
            raise ValueError(f"{what}: only for named seekers and scores, not for {seeker!r}")
        value = get_seeker(seeker)
        return _label(seeker, value), value
    name = seeker.strip() if is_name else seeker
    whole = isinstance(name, str) and name in WHOLE
    if whole and sanity != "none":
        raise ValueError(
            f"sanity={sanity} needs scores, and {name} has none to {sanity}; "
            f"{REINITIALISE} works for all"
        )
    given = {
        "scope": own.get("scope"),
        "rounds": own.get("rounds"),
        "round_epochs": own.get("round_epochs"),
        "epochs": own.get("search_epochs") if whole else None,
        "score_samples": own.get("score_samples"),
        "sanity": None if whole else own.get("sanity"),
    }
    if "score_samples" in own and own["score_samples"] is None:
        # None is a valid value here: all samples.
        given["score_samples"] = _ALL
    taken = options_of(name, strategy)
    lifting = {
        n: None if value is _ALL else value
        for n, value in given.items()
        if value is not None and (n in taken or n == "scope" or not whole)
    }
    value = get_seeker(name, strategy, **(lifting | options))
    return name if is_name else _label(seeker, value), value


_ALL = object()


def _listed(seekers: Any) -> list[Any]:
    if isinstance(seekers, str):
        return expressions.split(seekers)
    if callable(seekers) or not isinstance(seekers, Iterable):
        return [seekers]
    return list(seekers)


def _label(given: Any, seeker: Any) -> str:
    """The label in records of a seeker that was given none."""
    if isinstance(given, str) or isinstance(given, Options):
        return seeker_label(seeker)
    return getattr(given, "__name__", repr(given))


def labelled(seekers: Any) -> tuple[tuple[str, Seeker], ...]:
    """Seekers as (label, seeker).

    Args:
        seekers: whatever Grid takes.

    Returns:
        Pairs of label and seeker, in their order.

    Raises:
        ValueError: something that is no seeker, or two seekers with the same label.
    """
    if isinstance(seekers, Mapping):
        pairs = [(label, get_seeker(seeker)) for label, seeker in seekers.items()]
    elif is_labelled(seekers):
        pairs = list(seekers)
    else:
        try:
            listed = _listed(seekers)
        except TypeError:
            raise ValueError(f"seekers must be one or a list of them, got {seekers!r}") from None
        made = [(given, get_seeker(given)) for given in listed]
        pairs = [(_label(given, seeker), seeker) for given, seeker in made]
    if not pairs:
        raise ValueError("seekers must not be empty")
    unique: dict[str, Any] = {}
    for label, seeker in pairs:
        if not isinstance(label, str) or not label:
            raise ValueError(f"seekers must have names as labels, got {label!r}")
        if label in unique and unique[label] != seeker:
            raise ValueError(
                f"seekers must have different names, got {label!r} twice: give them labels of your "
                'own, {"label": seeker}'
            )
        unique[label] = seeker if isinstance(seeker, Hashable) else _hashable(seeker)
    return tuple(unique.items())


def is_labelled(pairs: Any) -> bool:
    """Whether these are pairs of a label and anything, as dataclasses.replace passes them on."""
    return (
        isinstance(pairs, tuple)
        and bool(pairs)
        and all(isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in pairs)
    )


def _hashable(seeker: Seeker) -> Seeker:
    """A function that calls a callable without a hash: programs are cached by the hash."""
    return lambda key, problem, density: seeker(key, problem, density)


def _options(given: Any) -> dict[str, Any]:
    try:
        options = dict(given)
    except (TypeError, ValueError):
        raise ValueError(f"options must be names with a single value each, got {given!r}") from None
    if not all(isinstance(name, str) for name in options):
        raise ValueError(f"options must be names with a single value each, got {given!r}")
    return options
