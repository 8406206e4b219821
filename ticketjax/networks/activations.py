"""What a network's ReLUs return: one call is traced, and computed equation by equation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from ticketjax.base import Tree
from ticketjax.networks.following import called


def _is_relu(equation: Any) -> bool:
    """Whether this is max(., 0), or a call of nothing else."""
    if (inner := called(equation)) is not None:
        equations = inner[0].eqns
        return len(equations) == 1 and _is_relu(equations[0])
    literals = [atom.val for atom in equation.invars if isinstance(atom, core.Literal)]
    return equation.primitive.name == "max" and any(not np.any(value) for value in literals)


def _run(
    jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], rectified: list
) -> list:
    """The results of a jaxpr, while what its ReLUs return is added to a list."""
    known: dict[Any, Any] = dict(
        zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True)
    )

    def look_up(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [look_up(atom) for atom in equation.invars]
        inner = called(equation)
        if inner is None:
            results = equation.primitive.bind(*values, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        elif _is_relu(equation):
            # As a whole, for the derivative at 0.
            results = [jax.nn.relu(*values)]
        else:
            results = _run(*inner, values, rectified)
        if _is_relu(equation):
            rectified.append(results[0])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [look_up(atom) for atom in jaxpr.outvars]


def relu_outputs(
    apply: Callable[[Tree, jax.Array], jax.Array], params: Tree, x: jax.Array
) -> tuple[jax.Array, list[jax.Array]]:
    """A network's outputs and those of its ReLUs, differentiable, for each sample by itself.

    Args:
        apply: (params, x) -> outputs. A ReLU is jax.nn.relu or max(., 0); those within a loop or a
            choice of programs are not seen.
        params: of the network.
        x: samples, along the first axis.

    Returns:
        (n, outputs), and (n, activations) for each ReLU in the order of computation.

    >>> relu = lambda params, x: jax.nn.relu(x @ params)
    >>> relu_outputs(relu, jax.numpy.eye(2), jax.numpy.array([[1.0, -2.0]]))[1][0].tolist()
    [[1.0, 0.0]]
    """
    shapes = jax.eval_shape(lambda params, x: (params, x[:1]), params, x)
    traced = jax.make_jaxpr(apply)(*shapes)

    def one(sample: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        rectified: list[jax.Array] = []
        arguments = [*jax.tree.leaves(params), sample[None]]
        (outputs,) = _run(traced.jaxpr, traced.consts, arguments, rectified)
        return outputs[0], [values.ravel() for values in rectified]

    return jax.vmap(one)(x)
