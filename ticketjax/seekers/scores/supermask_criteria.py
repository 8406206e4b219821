"""Criteria of supermasks: how far training has moved a parameter, and whether its sign is the same.

They compare the parameters of the moment with the initial values, so they are for Multishot: at
initialisation the two are equal.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem


def _compared(
    rate: Callable[[jax.Array, jax.Array], jax.Array],
    problem: Problem,
    params: Tree,
    mask: Tree,
    same_sign: bool = False,
) -> Tree:
    """Of every parameter, rate(final, initial); 0 where the signs differ, if these count."""

    def score(final: jax.Array, initial: jax.Array) -> jax.Array:
        rated = rate(final, initial)
        return jnp.where(jnp.sign(final) == jnp.sign(initial), rated, 0.0) if same_sign else rated

    return jax.tree.map(score, params, apply_mask(problem.params, mask))


def _final(final: jax.Array, initial: jax.Array) -> jax.Array:
    del initial
    return jnp.abs(final)


def _increase(final: jax.Array, initial: jax.Array) -> jax.Array:
    return jnp.abs(final) - jnp.abs(initial)


def _movement(final: jax.Array, initial: jax.Array) -> jax.Array:
    return jnp.abs(final - initial)


def magnitude_same_sign(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta_T|, or 0 where training has changed the sign: "large final, same sign".

    "Large final" itself is magnitude; multishot(magnitude, rounds=1) prunes by it once.

    Args:
        key, problem, params, mask: as in Score; params are trained, problem.params initial values.

    Returns:
        Scores, a tree like params.

    Source: Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, "large_final_same_sign".
    Published: once or in rounds, of trained weights, layer by layer, biases unpruned.
    Departures: the scope is global and biases are ranked with the weights unless told otherwise.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> seeker = get_seeker("multishot(magnitude_same_sign, rounds=1, scope='local')")
    """
    del key
    return _compared(_final, problem, params, mask, same_sign=True)


def magnitude_increase(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta_T| - |theta_0|: how much training has enlarged the parameter.

    Args:
        key, problem, params, mask: as in magnitude_same_sign.

    Returns:
        Scores, a tree like params.

    Source: Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, "magnitude_increase".
    Published, Departures: as magnitude_same_sign.
    """
    del key
    return _compared(_increase, problem, params, mask)


def magnitude_increase_same_sign(
    key: jax.Array, problem: Problem, params: Tree, mask: Tree
) -> Tree:
    """Score |theta_T| - |theta_0|, or 0 where training has changed the sign.

    Parameters that have shrunk score less than those of another sign, as in the authors' code.

    Args:
        key, problem, params, mask: as in magnitude_same_sign.

    Returns:
        Scores, a tree like params.

    Source: Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, "magnitude_increase_same_sign".
    Published, Departures: as magnitude_same_sign.
    """
    del key
    return _compared(_increase, problem, params, mask, same_sign=True)


def movement(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta_T - theta_0|: how far training has moved the parameter.

    Args:
        key, problem, params, mask: as in magnitude_same_sign.

    Returns:
        Scores, a tree like params.

    Source: Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, "movement".
    Published, Departures: as magnitude_same_sign.
    """
    del key
    return _compared(_movement, problem, params, mask)


def movement_same_sign(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |theta_T - theta_0|, or 0 where training has changed the sign.

    Args:
        key, problem, params, mask: as in magnitude_same_sign.

    Returns:
        Scores, a tree like params.

    Source: by analogy with Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, whose code has the
        same-sign variants of the other two criteria only.
    Published, Departures: as magnitude_same_sign.
    """
    del key
    return _compared(_movement, problem, params, mask, same_sign=True)
