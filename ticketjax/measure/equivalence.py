"""Whether a found network is the target as a function: networks compared by their outputs."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION
from ticketjax.objective import output_scale, rescale

POINTS = 4096
# A grid of more dimensions would be coarse: functions are then compared on random points.
MOST_GRID_INPUTS = 2
# A ticket is found if its largest error is below this share of the target's range or, for a
# classifier, if less than this share of the points get another class.
EXACT = 1e-3
MOST_DISAGREEMENT = 0.01
# Tasks without noise are recovered below this: a thousandth of outputs of order 1.
LEAST_NOISE = 1e-3


class TargetError(NamedTuple):
    """How far a network is from the target as a function; each ().

    Args:
        mean, largest: absolute error of the outputs after the best positive scale, over the points.
            Classifiers are compared by their logits less the mean logit of each point, in units of
            the root mean square of the target's.
        root_mean_square: of the same errors.
        relative: the largest error over the range of the target's output in which it occurs.
        disagreement: share of the points that are given another class; 0 for regression, NaN for a
            classifier with an output that is not finite.
    """

    mean: jax.Array
    largest: jax.Array
    root_mean_square: jax.Array
    relative: jax.Array
    disagreement: jax.Array


def input_grid(inputs: int, points: int = POINTS) -> jax.Array:
    """Equally spaced points of [-1, 1]^inputs, corners included.

    Args:
        inputs: dimensions of the grid.
        points: the most points that it may have.

    Returns:
        (n, inputs) float32, n at most `points`.

    Raises:
        ValueError: not even the corners fit.
    """
    per_axis = math.floor(points ** (1 / inputs) + 1e-9)
    if per_axis < 2:
        raise ValueError(f"points must be at least the 2^{inputs} corners, got {points}")
    axis = jnp.linspace(-1, 1, per_axis, dtype=jnp.float32)
    return jnp.stack([a.ravel() for a in jnp.meshgrid(*[axis] * inputs, indexing="ij")], axis=1)


def target_error(kind: str, outputs: jax.Array, target: jax.Array) -> TargetError:
    """Compare a network's outputs on some points with the target's.

    The scale is taken out as in the strong quality, but fitted on these points, which have no
    noise: one least-squares factor per output for regression; one for all centred logits for
    classification. Factors are at least 0.

    Args:
        kind: as in Task.
        outputs: (n, outputs), the network's.
        target: (n, outputs), the target's.

    Returns:
        A TargetError; of a planted mask it is 0 up to rounding.
    """
    disagreement = jnp.float32(0)
    if kind == CLASSIFICATION:
        disagreement = jnp.mean(jnp.argmax(outputs, 1) != jnp.argmax(target, 1))
        disagreement = jnp.where(jnp.all(jnp.isfinite(outputs)), disagreement, jnp.nan)
        outputs, target = (o - jnp.mean(o, axis=1, keepdims=True) for o in (outputs, target))
        target /= jnp.sqrt(jnp.mean(target**2))
        flat, wanted = outputs.reshape(-1, 1), target.reshape(-1, 1)
        factor = output_scale("regression", flat, wanted)
        outputs = rescale(flat, factor).reshape(target.shape)
    else:
        outputs = rescale(outputs, output_scale(kind, outputs, target))
    error = jnp.abs(outputs - target)
    root_mean_square = jnp.sqrt(jnp.mean(error**2))
    spread = jnp.max(target, axis=0) - jnp.min(target, axis=0)
    relative = jnp.max(jnp.max(error, axis=0) / jnp.where(spread > 0, spread, 1.0))
    return TargetError(jnp.mean(error), jnp.max(error), root_mean_square, relative, disagreement)


def is_found(kind: str, error: TargetError) -> jax.Array:
    """Whether a network is the target as a function: a strong ticket, whatever its parameters.

    A small mean squared error is not enough: it may hide large errors in a few places.

    Args:
        kind: as in Task.
        error: of the network.

    Returns:
        () bool. For regression, whether the largest error is below 0.001 of the target's range. For
        classification, whether fewer than 1% of the points are given another class.
    """
    if kind == CLASSIFICATION:
        return error.disagreement < MOST_DISAGREEMENT
    return error.relative < EXACT


def functionally_recovered(kind: str, disagreement: float, largest: float, noise: float) -> bool:
    """Whether a network is the target within the noise of the data, from its TargetError.

    Args:
        kind: as in Task.
        disagreement, largest: of the TargetError.
        noise: of the data. A level below 0.001 counts as 0.001.

    Returns:
        For regression, whether the largest error is at most the noise's standard deviation. For
        classification, whether the network gives another class to at most as many points as the
        noise does.
    """
    size = disagreement if kind == CLASSIFICATION else largest
    return bool(size <= max(noise, LEAST_NOISE))
