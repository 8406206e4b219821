"""Losses and metrics of a network's output, unscaled or at its best scale."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import CLASSIFICATION, REGRESSION

KINDS = (REGRESSION, CLASSIFICATION)
OBJECTIVES = ("raw", "rescaled")
# Range of the search for log(inverse temperature), for logits that differ by at most 1.
LOG_TEMPERATURE_RANGE = (-7.0, 14.0)
TEMPERATURE_STEPS = 24


def loss(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Mean squared error over samples and outputs, or mean cross entropy of the logits.

    Args:
        kind: "regression" or "classification".
        outputs: (n, outputs) float.
        y: (n, outputs) float for regression, (n,) int class for classification.
        weights: (n,) factors of the samples' errors; None for 1.

    Returns:
        () float.
    """
    if kind == REGRESSION:
        errors = (outputs - y) ** 2
        return jnp.mean(errors if weights is None else errors * weights[:, None])
    errors = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    return jnp.mean(errors if weights is None else errors * weights)


def metric(kind: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The reported metric: mean squared error (regression) or accuracy in 0..1 (classification).

    Args:
        kind, outputs, y: as in loss().

    Returns:
        () float. The accuracy is NaN if any output is not finite, because the arg max of NaN would
        be a class like any other.
    """
    if kind == REGRESSION:
        return loss(kind, outputs, y)
    accuracy = jnp.mean(jnp.argmax(outputs, -1) == y)
    return jnp.where(jnp.all(jnp.isfinite(outputs)), accuracy, jnp.nan)


def _magnitude(outputs: jax.Array, axis: int | None) -> jax.Array:
    """Largest absolute output, 1 where all are 0: squares of unscaled outputs underflow."""
    largest = jnp.max(jnp.abs(outputs), axis=axis)
    return jnp.where(largest > 0, largest, 1.0)


class _Fit(NamedTuple):
    """Outputs against targets, per output: (outputs,) each.

    Args:
        factor: the least-squares factor, of any sign; 0 for an output that is always 0.
        size: the factor that brings the output to the target's root mean square; likewise.
    """

    factor: jax.Array
    size: jax.Array


def _fit(outputs: jax.Array, y: jax.Array, weights: jax.Array | None) -> _Fit:
    magnitude = _magnitude(outputs, axis=0)
    unit = outputs / magnitude[None]
    weighted = unit if weights is None else unit * weights[:, None]
    energy = jnp.sum(weighted * unit, axis=0)
    divisor = jnp.where(energy > 0, energy, 1.0)
    wanted = jnp.sum(y**2 if weights is None else y**2 * weights[:, None], axis=0)
    size = jnp.where(energy > 0, jnp.sqrt(wanted / divisor), 0.0)
    return _Fit(jnp.sum(weighted * y, axis=0) / divisor / magnitude, size / magnitude)


# Compiled here, because a loop that runs outside of jit is compiled again at every call.
@jax.jit
def _inverse_temperature(logits: jax.Array, y: jax.Array, weights) -> jax.Array:
    # The cross entropy is convex in the inverse temperature: its slope, the mean of
    # E_softmax[logit] - logit of the label, grows with it and is bisected. Logits are taken
    # relative to the label's: most logits of a good network then add almost nothing, and little
    # precision is lost to cancellation.
    margins = (logits - jnp.take_along_axis(logits, y[:, None], axis=1)).T
    magnitude = _magnitude(margins, axis=None)
    unit = margins / magnitude
    # Classes first, samples in the last axis: rows of four classes would leave most SIMD lanes of a
    # CPU idle.
    below = unit - jnp.max(unit, axis=0)[None]

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        share = jnp.exp(below * jnp.exp(middle))
        each = (1.0 if weights is None else weights) / jnp.sum(share, axis=0)
        # A single sum: under a vmap of size 1, a CPU computes a mean of sums one number at a time.
        too_cold = jnp.sum(share * unit * each[None]) > 0
        return jnp.where(too_cold, low, middle), jnp.where(too_cold, middle, high)

    start = tuple(jnp.float32(bound) for bound in LOG_TEMPERATURE_RANGE)
    low, _ = jax.lax.fori_loop(0, TEMPERATURE_STEPS, halve, start)
    return jnp.exp(low) / magnitude


def output_scale(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """The factors, at least 0, or the inverse temperature that fit the outputs to the labels best.

    A planted ticket is the target up to positive factors. So a network that computes the negative
    of the target fits it with the factor 0, as badly as one that computes nothing.

    Args:
        kind, outputs, y, weights: as in loss(). Outputs from 1e-30 to 1e30 in magnitude are
            handled.

    Returns:
        (outputs,) factors for regression, which minimise the squared error per output among those
        that are at least 0, or a () inverse temperature above 0 for classification, which minimises
        the cross entropy. An output that is always 0 gets the factor 0.
    """
    if kind == REGRESSION:
        return jnp.maximum(_fit(outputs, y, weights).factor, 0.0)
    return _inverse_temperature(outputs, y, weights)


def output_sign(kind: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """Whether the best factor would be positive if it were allowed any sign.

    Args:
        kind, outputs, y: as in loss().

    Returns:
        () int32: -1 if some output (classification: the logits, which share one factor) would fit
        better with a negative factor, otherwise 0 if some output fits best with 0, otherwise 1.
    """
    if kind == REGRESSION:
        return jnp.min(jnp.sign(_fit(outputs, y, None).factor)).astype(jnp.int32)
    # The cross entropy is convex in the factor: its slope at 0 has the sign of the best one.
    unit = outputs / _magnitude(outputs, axis=None)
    label = jnp.take_along_axis(unit, y[:, None], axis=1)[:, 0]
    return jnp.sign(jnp.mean(label - jnp.mean(unit, axis=1))).astype(jnp.int32)


def search_scale(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """The factors that a search's gradient uses: output_scale(), but never 0.

    Where the best factor is 0, the rescaled loss is flat and has no slope towards the positive
    side. There, the factor is the one that brings the output to the target's size.

    Args:
        kind, outputs, y, weights: as in output_scale().

    Returns:
        Factors like output_scale()'s; 0 only for an output that is always 0.
    """
    if kind == REGRESSION:
        fit = _fit(outputs, y, weights)
        return jnp.where(fit.factor > 0, fit.factor, fit.size)
    return _inverse_temperature(outputs, y, weights)


def rescaled_for_descent(kind: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """The outputs at their best scale; where this is 0, their derivative is not.

    Args:
        kind, outputs, y: as in loss().

    Returns:
        rescale(outputs, output_scale(...)), the scale held constant in the derivative, which is
        that of search_scale() instead. The two differ where the best factor is 0.
    """
    if kind != REGRESSION:
        return rescale(outputs, jax.lax.stop_gradient(output_scale(kind, outputs, y)))
    fit = jax.lax.stop_gradient(_fit(outputs, y, None))
    change = rescale(outputs - jax.lax.stop_gradient(outputs), fit.size)
    return jnp.where(fit.factor > 0, rescale(outputs, fit.factor), change)


def rescale(outputs: jax.Array, scale: jax.Array) -> jax.Array:
    """Outputs times the factors that output_scale() returns."""
    return outputs * jnp.broadcast_to(scale, outputs.shape)
