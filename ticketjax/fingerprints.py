"""Identifies a user's function by its source, so that an edited one is recognised."""

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

PACKAGE = __name__.partition(".")[0]
# Functions in the closure of functions in the closure ...
DEEPEST = 4
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+|0x[0-9a-fA-F]+")


def is_own(function: Any) -> bool:
    """Whether a function or a class of callables is not part of this package."""
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] != PACKAGE


def _source(function: Any) -> str:
    code = getattr(function, "__code__", None)
    compiled = repr((code.co_code, code.co_consts, code.co_names)) if code else ""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return compiled
    # Two lambdas may be defined on one line.
    return source + compiled if getattr(function, "__name__", "") == "<lambda>" else source


def _content(value: Any, depth: int) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    if inspect.isfunction(value) and depth < DEEPEST:
        return _described(value, depth + 1)
    if isinstance(value, dict):
        return repr({name: _content(entry, depth) for name, entry in value.items()})
    if isinstance(value, list | tuple):
        return repr([_content(entry, depth) for entry in value])
    return _ADDRESS.sub("", repr(value))


def _described(function: Any, depth: int = 0) -> str:
    """Source, defaults and closure."""
    if not inspect.isfunction(function):
        fields = ""
        if dataclasses.is_dataclass(function) and not isinstance(function, type):
            fields = _content(vars(function), depth)
        return _source(type(function)) + fields
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    parts = (function.__defaults__, function.__kwdefaults__, cells)
    return _source(function) + "".join(_content(part, depth) for part in parts)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def fingerprint(function: Callable[..., Any]) -> str:
    """Twelve hexadecimal digits that change when the function does.

    Args:
        function: a function, or an object that is called; its source, defaults, and the values and
            functions in its closure count, not what these import or call globally.

    >>> fingerprint(lambda x: x) == fingerprint(lambda x: 2 * x)
    False
    """
    return hashlib.sha256(_described(function).encode()).hexdigest()[:12]


def own_functions(value: Any) -> dict[str, str]:
    """Fingerprints, by name, of all functions in a value that are not this package's.

    Args:
        value: a function, a dataclass or a container of such, looked through field by field.
    """
    if isinstance(value, list | tuple):
        found: dict[str, str] = {}
        for entry in value:
            found |= own_functions(entry)
        return found
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not is_own(value):
        return own_functions([getattr(value, field.name) for field in dataclasses.fields(value)])
    if callable(value) and is_own(value):
        return {getattr(value, "__name__", type(value).__name__): fingerprint(value)}
    return {}
