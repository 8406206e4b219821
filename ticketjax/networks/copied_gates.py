"""A network without its non-linearity: each ReLU passes what it passes in another network."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ticketjax.base import Tree
from ticketjax.networks.following import called


def with_gates_of(
    apply: Callable[[Tree, jax.Array], jax.Array],
    params: Tree,
    x: jax.Array,
    own_params: Tree,
    own_x: jax.Array,
) -> jax.Array:
    """Outputs of a network whose every ReLU is open or closed as in the same network elsewhere.

    The call is traced to a jaxpr, and every equation is evaluated on both networks. Only max(v, 0)
    is another one here: it passes a value where v is positive in the network that is followed.

    Args:
        apply: (params, x) -> outputs.
        params, x: of the network that says which gates are open.
        own_params, own_x: of the network that is computed; of the same shapes.

    Returns:
        Outputs, (n, outputs).

    >>> params, x = jnp.array([[1.0, -1.0]]), jnp.array([[2.0]])
    >>> with_gates_of(lambda p, x: jax.nn.relu(x @ p), params, x, jnp.array([[5.0, 5.0]]), x)
    Array([[10.,  0.]], dtype=float32)
    """
    closed = jax.make_jaxpr(apply)(params, x)
    there, here = jax.tree.leaves((params, x)), jax.tree.leaves((own_params, own_x))
    pairs = list(zip(there, here, strict=True))
    return _run(closed.jaxpr, closed.consts, pairs)[0][1]


_Pair = tuple[Any, Any]


def _run(jaxpr: core.Jaxpr, constants: Sequence[Any], values: Sequence[_Pair]) -> list[_Pair]:
    """The results of a jaxpr in both networks."""
    known = dict(zip(jaxpr.invars, values, strict=True))
    known |= {v: (c, c) for v, c in zip(jaxpr.constvars, constants, strict=True)}

    def look_up(atom: Any) -> _Pair:
        return (atom.val, atom.val) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        results = _equation(equation, [look_up(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [look_up(atom) for atom in jaxpr.outvars]


def _equation(equation: Any, values: list[_Pair]) -> list[_Pair]:
    name = equation.primitive.name
    if (inner := called(equation)) is not None:
        return _run(*inner, values)
    # A choice between ways to compute the same on each platform; the last is the others'.
    if name == "cond" and equation.params.get("branches_platforms"):
        default = equation.params["branches"][-1]
        return _run(default.jaxpr, default.consts, values[1:])
    zeros = [_is_zero(atom) for atom in equation.invars]
    if name == "max" and any(zeros):
        there, here = values[zeros.index(False)]
        return [(jnp.maximum(there, 0), jnp.where(there > 0, here, jnp.zeros_like(here)))]
    both = [_bound(equation, [pair[i] for pair in values]) for i in range(2)]
    return list(zip(*both, strict=True))


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, core.Literal) and not np.any(np.asarray(atom.val))


def _bound(equation: Any, values: list[Any]) -> list[Any]:
    results = equation.primitive.bind(*values, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]
