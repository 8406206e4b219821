"""Values written as text, "multishot(snip, rounds=3)": read without being executed as Python."""

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from ticketjax.names import suggestion

MOST_NESTED = 50
MOST_LISTED = 40
# A whole string, or one character. An apostrophe within a word, such as a path's, opens no string.
_TOKENS = re.compile(r"""(?<![^\s(\[,=])(?:'[^']*'|"[^"]*")|.""", re.DOTALL)


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) < 60 else f"{text[:57]}..."


def call(function: Callable[..., Any], name: str, arguments: list, options: dict) -> Any:
    """Call a function; the message about a wrong argument lists those that are allowed.

    Raises ValueError for arguments that the function does not take, or lacks, and for what cannot
    be called.
    """
    if not callable(function):
        raise ValueError(f"{name} cannot be called")
    allowed = list(inspect.signature(function).parameters)
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"{name} takes {', '.join(allowed)}, got {option!r}{suggestion(option, allowed)}"
            )
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; it takes {', '.join(allowed)}") from None
    return function(*arguments, **options)


def read(text: str, names: Mapping[str, Any], what: str) -> Any:
    """The value of an expression of names, calls, numbers, strings, True, False, None and tuples.

    Args:
        text: "best_of(concrete(), restarts=4)".
        names: what may be named and called.
        what: what is read, for messages: "seeker".

    Returns:
        What the outermost name or call gives.

    Raises:
        ValueError: no such expression; a name that is not known, with the nearest one; arguments
            that a call does not take.

    >>> read("pair((1, 2.5), True)", {"pair": lambda a, b: (a, b)}, "value")
    ((1, 2.5), True)
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"{what} must be a name or a call such as name(option=1), got {text!r}"
        ) from None

    def known(name: str) -> Any:
        if name not in names:
            listed = ", ".join(list(names)[:MOST_LISTED]) + ", ..." * (len(names) > MOST_LISTED)
            raise ValueError(
                f"{what} must be one of {listed}, got {name!r}{suggestion(name, names)}"
            )
        return names[name]

    def value(node: ast.AST, depth: int) -> Any:
        if depth > MOST_NESTED:
            raise ValueError(f"{what} is nested more than {MOST_NESTED} deep")
        match node:
            case ast.Constant():
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Tuple() | ast.List():
                return tuple(value(entry, depth + 1) for entry in node.elts)
            case ast.Name():
                return known(node.id)
            case ast.Call(func=ast.Name() as function):
                options = {}
                for keyword in node.keywords:
                    if keyword.arg is None:
                        raise ValueError(f"{what}: ** is not read, got {_shown(node)}")
                    options[keyword.arg] = value(keyword.value, depth + 1)
                arguments = [value(argument, depth + 1) for argument in node.args]
                return call(known(function.id), function.id, arguments, options)
        raise ValueError(
            f"{what}: {_shown(node)!r} is not read; allowed are names, calls and numbers"
        )

    return value(tree, 0)


def split(text: str) -> list[str]:
    """The parts of a text between commas that stand outside of all parentheses and quotes.

    >>> split("snip, multishot(magnitude, rounds=5)")
    ['snip', 'multishot(magnitude, rounds=5)']
    """
    parts, depth = [""], 0
    for token in _TOKENS.findall(text):
        if token == "," and depth == 0:
            parts.append("")
            continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token, 0)
        parts[-1] += token
    return [part.strip() for part in parts if part.strip()]
