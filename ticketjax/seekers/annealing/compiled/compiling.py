"""Functions of arrays that Numba compiles where it is installed; elsewhere they are Python."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

IS_INSTALLED = importlib.util.find_spec("numba") is not None

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """As compiled(), and copied to where it is called, which saves counting references."""
    return compiled(function, inline="always")


def compiled(function: Function, inline: str = "never") -> Function:
    """A function that is compiled on its first call, if Numba is installed; the same otherwise.

    Sums may be taken in any order, so that they use vector instructions. Divisions by 0 give what
    NumPy gives. Nothing is cached on disk, because Numba does not notice that a function which the
    cached one calls has changed.
    """
    if not IS_INSTALLED:
        return function
    # Not an import statement, so that types are checked alike with and without Numba.
    numba = importlib.import_module("numba")
    jit = numba.njit(
        nogil=True, error_model="numpy", fastmath={"reassoc", "contract"}, inline=inline
    )
    return jit(function)
