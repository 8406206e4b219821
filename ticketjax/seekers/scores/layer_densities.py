"""Baselines that know layers' sizes alone: Erdos-Renyi-kernel and balanced layer densities."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.masks import prunable_leaves
from ticketjax.problem import Problem, Score
from ticketjax.seekers.scores.random import random


def _erk_share(kernel_shape: tuple[int, ...], size: int) -> float:
    # (n_in + n_out + height + width) / (n_in * n_out * height * width) of the layer.
    return size * sum(kernel_shape) / math.prod(kernel_shape)


def _balanced_share(kernel_shape: tuple[int, ...], size: int) -> float:
    del kernel_shape, size
    return 1.0


def _by_layer_share(share: Callable[[tuple[int, ...], int], float]) -> Score:
    """The score by which one global budget is shared out among layers as `share` says.

    The r-th parameter of layer l in a random order, from r = 1, scores -(r - 1/2) / share_l. A
    threshold then keeps round(t * share_l) parameters of every layer, or all that it has: the
    Webster method of apportionment. Hence any budget is exact, may be traced, and no layer is asked
    for more than it has, the others taking over in proportion.
    """

    def score(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
        ratings = random(key, problem, params, mask)
        ratings = jax.tree.map(lambda s, m: jnp.where(m, s, -jnp.inf), ratings, mask)
        zeros = jax.tree.map(jnp.zeros_like, ratings)
        scores = problem.view(zeros)
        layers = prunable_leaves(problem.view(ratings), problem.prune_bias)
        for i, leaves in enumerate(layers):
            flat = jnp.concatenate([leaf.ravel() for leaf in leaves])
            order = jnp.argsort(-flat, stable=True)
            places = jnp.arange(flat.size, dtype=jnp.float32)
            rank = jnp.zeros(flat.size, jnp.float32).at[order].set(places)
            flat = -(rank + 0.5) / share(leaves[0].shape, flat.size)
            parts = jnp.split(flat, [leaves[0].size])
            for part, leaf, values in zip(("kernel", "bias"), leaves, parts, strict=False):
                scores[f"layer_{i}"][part] = values.reshape(leaf.shape)
        return problem.restore(scores, zeros)

    return score


def erk(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Random pruning with layer densities in proportion to (n_in + n_out) / (n_in * n_out).

    For a convolution, height and width are added in the numerator and multiplied in the
    denominator. Narrow layers are therefore kept dense. Needs the global scope; a layer is its
    kernel and, where biases are pruned, its bias.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer.

    Source: Evci et al. 2020, arXiv 1911.11134, section 3 (after Mocanu et al. 2018).
    Published: as the start of sparse training, of kernels; biases stay dense.
    Departures: a bias counts to its layer; the budget is exact over all layers.
    """
    return _by_layer_share(_erk_share)(key, problem, params, mask)


def balanced(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Random pruning that keeps equally many parameters in every layer, or all of a small layer.

    Needs the global scope.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer.

    Source: Gadhikar, Mukherjee and Burkholz 2023, arXiv 2210.02412, "balanced".
    Published: as a random network that is trained or pruned further, of kernels.
    Departures: a bias counts to its layer; the budget is exact over all layers.
    """
    return _by_layer_share(_balanced_share)(key, problem, params, mask)
