"""The file of frozen settings: what each seeker runs with, and all that was tried before.

A JSON object: "format" and "chosen_by", and under "settings" an object for each seeker by its
label, with the fields of Frozen. A setting stands there before any result seed is run with it.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from ticketjax.records.store import write_whole
from ticketjax.tuning.seeds import purposes
from ticketjax.tuning.selection import Try

SETTINGS = pathlib.Path(__file__).with_name("settings.json")
FORMAT = 1
CHOSEN_BY = (
    "Lowest mean over tasks of the rank among the settings tried, by the mean over development "
    "seeds of the error on validation data, the last tenth of the training data, to two digits; of "
    "equals the first. Without any that were tried, the published setting stands."
)


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How the settings of a seeker were compared.

    Args:
        quality: "strong" or "weak", of the masks on validation data.
        tasks: their names.
        seeds: development seeds.
        depth, width, density, samples: of the runs; the held-out samples, which nothing was
            computed on, are among the samples. With a network of one's own, it decides on depth
            and width.
        versions: of ticketjax and the packages that records follow from.
    """

    quality: str
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    depth: int
    width: int
    density: str | float
    samples: int
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Frozen:
    """The setting of one seeker.

    Args:
        setting: the expression, as a command takes it.
        complete: the same with all options, so that a default that changes later is noticed.
        functions: fingerprints of the functions in it that are not the library's.
        frozen: the date, YYYY-MM-DD.
        tunable: whether there is anything to tune.
        tuning: how settings were compared; None if none were.
        tried: all of them, the chosen one among them.
    """

    setting: str
    complete: str
    functions: dict[str, str]
    frozen: str
    tunable: bool = True
    tuning: Tuning | None = None
    tried: tuple[Try, ...] = ()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_mean(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _list_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(is_one, value))


def _mapping_of(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_one, value.values()))


def _is_quality(value: Any) -> bool:
    return value in ("strong", "weak")


TEXT = (_is_text, "a text")
WHOLE = (_is_whole, "a whole number")
FIELDS: dict[type, dict[str, tuple[Callable[[Any], bool], str]]] = {
    Frozen: {
        "setting": TEXT,
        "complete": TEXT,
        "functions": (_mapping_of(_is_text), "texts by name"),
        "frozen": TEXT,
        "tunable": (lambda value: isinstance(value, bool), "true or false"),
        "tuning": (lambda value: value is None or isinstance(value, dict), "an object or null"),
        "tried": (lambda value: isinstance(value, list), "a list"),
    },
    Tuning: {
        "quality": (_is_quality, '"strong" or "weak"'),
        "tasks": (_list_of(_is_text), "a list of names"),
        "seeds": (_list_of(_is_whole), "a list of whole numbers"),
        "depth": WHOLE,
        "width": WHOLE,
        "density": (lambda value: value == "ticket" or _is_number(value), 'a number or "ticket"'),
        "samples": WHOLE,
        "versions": (_mapping_of(_is_text), "texts by name"),
    },
    Try: {
        "setting": TEXT,
        "rank": (_is_number, "a number"),
        "validation": (_mapping_of(_is_mean), "numbers or null by task"),
        "runs": (_mapping_of(_is_whole), "whole numbers by task"),
    },
}


def _fields(kind: type, given: Any, where: str) -> dict[str, Any]:
    """The fields of a class from what a file holds, each checked; lists become tuples."""
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be an object, got {given!r}")
    known = FIELDS[kind]
    for name in given:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not among {', '.join(known)}")
    for name, (fits, allowed) in known.items():
        if name not in given:
            raise ValueError(f"{where}: {name!r} is missing")
        if not fits(given[name]):
            raise ValueError(f"{where}: {name!r} must be {allowed}, got {given[name]!r}")
    return {n: tuple(value) if isinstance(value, list) else value for n, value in given.items()}


def _try(given: Any, where: str) -> Try:
    fields = _fields(Try, given, where)
    # JSON has no NaN.
    means = {t: math.nan if mean is None else mean for t, mean in fields["validation"].items()}
    return Try(**fields | {"validation": means})


def _frozen(label: str, given: Any) -> Frozen:
    fields = _fields(Frozen, given, label)
    tried = tuple(_try(one, f"{label}, tried {n}") for n, one in enumerate(fields["tried"], 1))
    tuning = fields["tuning"]
    if tuning is not None:
        tuning = Tuning(**_fields(Tuning, tuning, f"{label}, tuning"))
        if purposes(tuning.seeds) != ("development",):
            raise ValueError(f"{label}: was tuned on other seeds than those of development")
    if (tuning is None) == bool(tried):
        raise ValueError(f"{label}: 'tuning' and 'tried' are there together or not at all")
    if tried and fields["setting"] not in [one.setting for one in tried]:
        raise ValueError(f"{label}: {fields['setting']!r} is not among the settings tried")
    return Frozen(**fields | {"tuning": tuning, "tried": tried})


def read_settings(path: str | os.PathLike = SETTINGS) -> dict[str, Frozen]:
    """The frozen settings of a file.

    Args:
        path: the file; the library's own by default.

    Returns:
        By label, in the order of the file.

    Raises:
        ValueError: the file cannot be read, or is no file of settings; the message says where.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    settings = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or content.get("format") != FORMAT:
        raise ValueError(f'{path} must hold "format": {FORMAT} and "settings" by label')
    try:
        return {label: _frozen(label, given) for label, given in settings.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _plain(frozen: Frozen) -> dict[str, Any]:
    plain = dataclasses.asdict(frozen)
    plain["tried"] = [one._asdict() for one in frozen.tried]
    for one in plain["tried"]:
        means = one["validation"].items()
        one["validation"] = {task: mean if math.isfinite(mean) else None for task, mean in means}
    return plain


def write_settings(path: str | os.PathLike, settings: Mapping[str, Frozen]) -> None:
    """Write a file of frozen settings, whole or not at all; directories above it are made.

    Args:
        path: the file.
        settings: by label.

    Raises:
        OSError: it cannot be written.
    """
    content = {
        "format": FORMAT,
        "chosen_by": CHOSEN_BY,
        "settings": {label: _plain(frozen) for label, frozen in settings.items()},
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text.encode()))


def settings_hash(settings: Mapping[str, Frozen]) -> str:
    """Twelve hexadecimal digits that tell these settings, with all that was tried, from others.

    Args:
        settings: by label.
    """
    plain = {label: _plain(frozen) for label, frozen in settings.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]
