"""Functions with all their matrix products and convolutions at another precision."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

PRODUCTS = ("dot_general", "conv_general_dilated")


def at_precision(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """The function with all its products at this precision, whatever the function itself sets.

    This includes the products of functions that it calls, of loops and of branches. Take
    derivatives first: a derivative of the result has the function's own precision where the
    function defines its derivative itself.

    Args:
        function: pure, of trees of arrays.
        precision: "highest", "high" or "default", as of jax.lax.Precision. It makes no difference
            on a CPU.

    Returns:
        A function of the same arguments.

    >>> import jax.numpy as jnp
    >>> lower = at_precision(lambda x: jnp.matmul(x, x, precision="highest"), "default")
    >>> "HIGHEST" in str(jax.make_jaxpr(lower)(jnp.ones((2, 2))))
    False
    """
    pair = (jax.lax.Precision(precision),) * 2

    def changed(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        leaves = core.jaxpr_as_fun(_changed(closed, pair))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    return changed


def _changed(value: Any, pair: tuple) -> Any:
    """A parameter of an equation with all products in it changed."""
    if isinstance(value, core.ClosedJaxpr):
        return value.replace(jaxpr=_changed(value.jaxpr, pair))
    if isinstance(value, core.Jaxpr):
        return value.replace(eqns=[_changed_equation(equation, pair) for equation in value.eqns])
    if isinstance(value, tuple) and any(
        isinstance(entry, core.ClosedJaxpr | core.Jaxpr) for entry in value
    ):
        return tuple(_changed(entry, pair) for entry in value)
    return value


def _changed_equation(equation: Any, pair: tuple) -> Any:
    given = {name: _changed(value, pair) for name, value in equation.params.items()}
    if equation.primitive.name in PRODUCTS:
        given["precision"] = pair
    return equation.replace(params=given)
