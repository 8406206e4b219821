"""The training data as a chain of proposals sees it: averaged where that loses little, in parts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import REGRESSION
from ticketjax.problem import Problem


class Samples(NamedTuple):
    """Samples, the last axis; parts of equal size.

    Args:
        x: (parts, inputs, n).
        y: (parts, outputs, n) targets, or (parts, n) labels.
        weights: (parts, n), how many samples each stands for; 0 for what fills up the last part.
    """

    x: jax.Array
    y: jax.Array
    weights: jax.Array


def _averaged(x: jax.Array, y: jax.Array, bins: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Means of neighbours on the line, in bins of as many samples; and how many these are."""
    order = jnp.argsort(x[:, 0])
    bin_of = jnp.arange(order.size) * bins // order.size
    number = jnp.zeros(bins, jnp.float32).at[bin_of].add(1.0)

    def mean(values: jax.Array) -> jax.Array:
        sums = jnp.zeros((bins, values.shape[1]), jnp.float32).at[bin_of].add(values[order])
        return sums / number[:, None]

    return mean(x), mean(y), number


def samples_of(problem: Problem, bins: int, part: int) -> Samples:
    """The training data of a problem.

    Args:
        problem: of a network of dense layers.
        bins: a regression of one input is averaged in this many bins of as many samples: what
            differs within a bin is noise for the most part, and costs time. 0 for not at all.
        part: samples of a part of a classification's data, about; a regression's are one part.

    Returns:
        Samples.
    """
    x = problem.batch.x.reshape(problem.batch.x.shape[0], -1)
    y = problem.batch.y
    if problem.kind == REGRESSION:
        weights = jnp.ones(x.shape[0], jnp.float32)
        if x.shape[1] == 1 and 0 < bins < x.shape[0]:
            x, y, weights = _averaged(x, y, bins)
        return Samples(x.T[None], y.T[None], weights[None])
    count = max(1, round(x.shape[0] / part))
    size = -(-x.shape[0] // count)
    missing = count * size - x.shape[0]
    weights = jnp.pad(jnp.ones(x.shape[0], jnp.float32), (0, missing))
    x, y = jnp.pad(x, ((0, missing), (0, 0))), jnp.pad(y, (0, missing))
    # Neighbours in the data lie in different parts: each is a sample of all.
    parted = x.reshape(size, count, -1).transpose(1, 2, 0)
    return Samples(parted, y.reshape(size, count).T, weights.reshape(size, count).T)
