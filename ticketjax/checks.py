"""Checks of plain values, and options: checked fields of frozen dataclasses."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

from ticketjax.names import suggestion

# Arrays are indexed by int32.
MOST = 2**31 - 1
# The largest float32. It is written out, so that --help does not import NumPy.
LARGEST = (2 - 2**-23) * 2.0**127


def check_count(name: str, value: int, least: int) -> None:
    """Raise ValueError for anything but an integer from `least` to 2^31 - 1."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < least:
        raise ValueError(f"{name} must be at least {least} and a whole number, got {value!r}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {value!r}")


def check_number(name: str, value: float, least: float = -math.inf) -> None:
    """Raise ValueError for anything but a number of at least `least` that float32 can represent."""
    # As a Python number, because half precision cannot represent the bound.
    plain = getattr(value, "item", lambda: value)()
    if not isinstance(value, numbers.Real) or not abs(plain) <= LARGEST:
        raise ValueError(f"{name} must be a finite number of float32, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least:g}, got {value!r}")


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raise ValueError, with the nearest word, for anything that is not among the allowed."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"{name} must be one of {', '.join(allowed)}, got {value!r}{suggestion(value, allowed)}"
        )


@dataclasses.dataclass(frozen=True)
class Rule:
    """Allowed values of a field, in addition to the type of its default.

    Args:
        least: smallest number allowed. above: number that it must exceed. most: largest allowed.
        choices: words allowed. none: whether None is allowed. word: a word allowed as well.
        free: whether anything is allowed here, and the class checks it itself.
        text: how the value is written, where it is more than a number or a word.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    none: bool = False
    word: str | None = None
    free: bool = False
    text: Callable[[Any], str] | None = None


def option(default: Any, **rule: Any) -> Any:
    """A dataclass field that Options checks: its default sets the type, the rule the range.

    Args:
        default: bool, int, float, str, or a tuple of numbers.
        **rule: the fields of Rule.
    """
    return dataclasses.field(default=default, metadata={"rule": Rule(**rule)})


def _number(name: str, value: Any, whole: bool, rule: Rule) -> int | float:
    least = -math.inf if rule.least is None else rule.least
    if whole:
        if rule.least is not None:
            check_count(name, value, math.ceil(rule.least))
        elif isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        number: int | float = int(value)
    else:
        if isinstance(value, bool):
            raise ValueError(f"{name} must be a number, got {value!r}")
        check_number(name, value, least)
        number = float(value)
    if rule.above is not None and not number > rule.above:
        raise ValueError(f"{name} must be above {rule.above:g}, got {value!r}")
    if rule.most is not None and number > rule.most:
        raise ValueError(f"{name} must be at most {rule.most:g}, got {value!r}")
    return number


def _checked(name: str, value: Any, default: Any, rule: Rule) -> Any:
    """The value in its one form, a Python number; or a ValueError that names the field."""
    if value is None and (rule.none or default is None):
        return None
    if rule.word is not None and isinstance(value, str):
        check_choice(name, value, (rule.word,))
        return value
    if rule.choices:
        check_choice(name, value, rule.choices)
        return value
    if isinstance(default, bool):
        # NumPy's bool is not a subclass of Python's.
        if not isinstance(value, bool) and str(getattr(value, "dtype", "")) != "bool":
            raise ValueError(f"{name} must be True or False, got {value!r}")
        return bool(value)
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(default):
            raise ValueError(f"{name} must be {len(default)} numbers, got {value!r}")
        return tuple(
            _number(name, entry, isinstance(one, int), rule)
            for entry, one in zip(value, default, strict=True)
        )
    whole = isinstance(default, int) or default is None or isinstance(default, str)
    return _number(name, value, whole, rule)


class Options:
    """Base of frozen dataclasses whose fields are options: checked by type and range, once, here.

    Numbers take one form, so that equal values are equal, hash alike and are written alike.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            rule = field.metadata.get("rule")
            if rule is None or rule.free:
                continue
            value = _checked(field.name, getattr(self, field.name), field.default, rule)
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise ValueError for fields that contradict each other; subclasses override this."""

    def __repr__(self) -> str:
        return written(self)


def written(
    value: Any,
    name_of: Callable[[type], str] = lambda kind: kind.__name__,
    complete: bool = False,
) -> str:
    """Options as an expression: Multishot(snip, rounds=3), without default values.

    Args:
        value: Options, a function, a number, a word, None or a tuple of these.
        name_of: class -> its name in the text.
        complete: include default values.
    """

    def of(entry: Any) -> str:
        return written(entry, name_of, complete)

    if isinstance(value, Options):
        parts = []
        for field in dataclasses.fields(value):  # type: ignore[arg-type]
            own = getattr(value, field.name)
            is_default = field.default is not dataclasses.MISSING and own == field.default
            if is_default and not complete:
                continue
            how = getattr(field.metadata.get("rule"), "text", None)
            if how is None or own is None or isinstance(own, str):
                text = of(own)
            else:
                text = repr(how(own))
            parts.append(text if not field.kw_only else f"{field.name}={text}")
        return f"{name_of(type(value))}({', '.join(parts)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(of, value))}{',' * (len(value) == 1)})"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value)
