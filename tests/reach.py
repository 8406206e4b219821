"""What a function can reach from its arguments by following references."""

import dataclasses
import functools
import gc
import inspect
import sys
import types
import weakref
from typing import Any, NamedTuple

import jax
import numpy as np

# Any code can import these libraries' globals and caches, so references to them are no leaks.
LIBRARIES = {"ticketjax", "jax", "jaxlib", "flax", "optax", "numpy", *sys.stdlib_module_names}
MODULES = (types.ModuleType, types.BuiltinFunctionType, weakref.ref, types.CodeType)


class Reached(NamedTuple):
    """An object, and the way to it: the names from the arguments on."""

    way: tuple[str, ...]
    value: Any


def is_library(value: Any) -> bool:
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module).partition(".")[0] in LIBRARIES


def names_in(code: types.CodeType) -> set[str]:
    """The global names and attributes that a function and those within it use."""
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return set(code.co_names).union(*map(names_in, inner))


def of_function(function: types.FunctionType):
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for i, value in enumerate(function.__defaults__ or ()):
        yield f"default {i}", value
    yield from (function.__kwdefaults__ or {}).items()
    yield from vars(function).items()
    for value in function.__code__.co_consts:
        yield "constant", value
    if not is_library(function):
        for name in sorted(names_in(function.__code__) & set(function.__globals__)):
            yield f"global {name}", function.__globals__[name]


def of_object(value: Any):
    """What an object refers to, by name where it has one."""
    if isinstance(value, np.ndarray):
        yield "base", value.base
        if value.dtype == object:
            yield from ((f"[{i}]", entry) for i, entry in enumerate(value.ravel()))
    elif isinstance(value, jax.Array | str | bytes | int | float | complex) or value is None:
        return
    elif isinstance(value, types.FunctionType):
        yield from of_function(value)
    elif isinstance(value, functools.partial):
        yield from (("func", value.func), ("args", value.args), *value.keywords.items())
    elif isinstance(value, functools._lru_cache_wrapper) and is_library(value):
        yield "__wrapped__", value.__wrapped__
    elif isinstance(value, types.MethodType):
        yield from (("__self__", value.__self__), ("__func__", value.__func__))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield "key", key
            yield str(key), entry
    elif isinstance(value, type):
        if not is_library(value):
            yield from vars(value).items()
    elif not isinstance(value, MODULES):
        names = set(getattr(value, "_fields", ())) | set(getattr(value, "__dict__", ()))
        for kind in type(value).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names |= {slots} if isinstance(slots, str) else set(slots)
        if dataclasses.is_dataclass(value):
            names |= {field.name for field in dataclasses.fields(value)}
        for name in sorted(names - {"__dict__", "__weakref__"}):
            entry = inspect.getattr_static(value, name, None)
            if hasattr(type(entry), "__get__"):  # a slot or a property of the class
                entry = getattr(value, name, None)
            yield name, entry
        yield "type", type(value)
        # Also objects without a name: entries of containers, and references held in C.
        for i, entry in enumerate(gc.get_referents(value)):
            yield f"[{i}]", entry


def reach(arguments: dict[str, Any], most: int = 200_000) -> list[Reached]:
    """Everything that arguments refer to, directly or indirectly, nearest first, by all its names.

    This follows fields, attributes, slots, entries, closures, defaults, bound objects, partial
    arguments, wrapped functions, constants of code, the base arrays of NumPy views, and the globals
    that functions outside LIBRARIES name. It does not follow modules, globals of LIBRARIES'
    functions (any code can import the contents of their caches), the stack of callers, and what a
    search over seeds could reproduce.
    """
    reached = [Reached((name,), value) for name, value in arguments.items()]
    seen: set[int] = set()
    for one in reached:  # which grows
        assert len(reached) < most, one.way
        if id(one.value) not in seen:
            seen.add(id(one.value))
            reached += [Reached((*one.way, name), value) for name, value in of_object(one.value)]
    return reached
