"""Checks of the values that a user's functions return, before they are used."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree

REAL = (jnp.floating, jnp.integer, jnp.bool_)


def _leaves(tree: Any) -> dict[str, Any]:
    """Every leaf by its place, such as ['layer_0']['kernel']."""
    return {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _said(leaf: Any) -> str:
    shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
    return f"{dtype} {shape}" if dtype is not None else f"a {type(leaf).__name__}"


def _check_tree(what: str, tree: Any, params: Tree) -> dict[str, Any]:
    """The leaves of a tree, which has the places and shapes of the parameters."""
    leaves, wanted = _leaves(tree), _leaves(params)
    if leaves.keys() != wanted.keys():
        raise ValueError(
            f"{what} must be a tree like the parameters, with {', '.join(wanted)}; got "
            f"{', '.join(leaves) or type(tree).__name__}"
        )
    if len({jax.tree.structure(one) for one in (tree, params)}) > 1:
        raise ValueError(f"{what} must be made of the same containers as the parameters: dicts")
    for place, leaf in leaves.items():
        if getattr(leaf, "shape", None) != wanted[place].shape:
            raise ValueError(
                f"{what}{place} must have the shape {wanted[place].shape}, got {_said(leaf)}"
            )
    return leaves


def check_mask(mask: Any, params: Tree) -> None:
    """Refuse a mask that does not fit these parameters.

    Args:
        mask: what a user's function returned.
        params: the parameters; a mask is a bool tree of the same places and shapes.

    Raises:
        ValueError: other places, shapes or types. The message names the leaf, what it is and what
            it should be.
    """
    for place, leaf in _check_tree("mask", mask, params).items():
        if leaf.dtype != bool:
            raise ValueError(f"mask{place} must be bool {leaf.shape}, got {_said(leaf)}")


def check_scores(scores: Any, params: Tree) -> None:
    """Refuse scores that do not fit these parameters.

    Args:
        scores: what a user's function returned.
        params: the parameters; scores are a tree of real numbers of the same places and shapes.

    Raises:
        ValueError: other places or shapes, or no real numbers. The message names the leaf, what it
            is and what it should be.
    """
    for place, leaf in _check_tree("scores", scores, params).items():
        if not any(jnp.issubdtype(leaf.dtype, kind) for kind in REAL):
            raise ValueError(f"scores{place} must be real numbers, got {_said(leaf)}")


def check_found(found: Any, params: Tree) -> None:
    """Refuse a result that a seeker must not return.

    Args:
        found: what the seeker returned.
        params: the parameters that the seeker was given.

    Raises:
        ValueError: no Found, a mask, scores or parameters that do not fit, or an info that is no
            mapping. The message says what a seeker returns.
    """
    if not isinstance(found, Found):
        kind = f"a {type(found).__name__}" if found is not None else "None"
        raise ValueError(f"a seeker returns Found(mask, scores, info), this one returned {kind}")
    check_mask(found.mask, params)
    check_scores(found.scores, params)
    if not isinstance(found.info, Mapping):
        raise ValueError(f"info must be a dict of arrays, got a {type(found.info).__name__}")
    if "params" in found.info:
        _check_tree('info["params"]', found.info["params"], params)


def check_parameters(params: Tree) -> None:
    """Refuse parameters of another type than float32, the type in which planting is exact.

    Args:
        params: any tree of arrays.

    Raises:
        ValueError: a leaf of another type. The message names the leaf and the type.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        # JAX converts NumPy's float64 to float32, unless 64-bit types are enabled.
        dtype = jnp.result_type(leaf)
        if dtype != jnp.float32:
            place = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(
                f"{place} is {dtype}; the parameters must be float32: "
                "jax.tree.map(lambda leaf: leaf.astype('float32'), params)"
            )
