"""Losses and metrics of a network's output, as it is or with its scale taken out."""

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import CLASSIFICATION, REGRESSION

KINDS = (REGRESSION, CLASSIFICATION)
OBJECTIVES = ("raw", "rescaled")
# The inverse temperature is sought on a logarithmic scale, for logits that differ by at most 1.
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


def _least_squares_scale(outputs: jax.Array, y: jax.Array, weights) -> jax.Array:
    magnitude = _magnitude(outputs, axis=0)
    unit = outputs / magnitude[None]
    weighted = unit if weights is None else unit * weights[:, None]
    energy = jnp.sum(weighted * unit, axis=0)
    return jnp.sum(weighted * y, axis=0) / jnp.where(energy > 0, energy, 1.0) / magnitude


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
        # A single sum: under a vmap over one, a CPU computes a mean of sums one number at a time.
        too_cold = jnp.sum(share * unit * each[None]) > 0
        return jnp.where(too_cold, low, middle), jnp.where(too_cold, middle, high)

    start = tuple(jnp.float32(bound) for bound in LOG_TEMPERATURE_RANGE)
    low, _ = jax.lax.fori_loop(0, TEMPERATURE_STEPS, halve, start)
    return jnp.exp(low) / magnitude


def output_scale(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """The positive temperature or least-squares factors that fit the outputs to the labels best.

    Args:
        kind, outputs, y, weights: as in loss(). Outputs from 1e-30 to 1e30 in magnitude are
            handled.

    Returns:
        (outputs,) factors for regression, which minimise the squared error per output, or a ()
        inverse temperature for classification, which minimises the cross entropy. An output that is
        always 0 gets the factor 0.
    """
    if kind == REGRESSION:
        return _least_squares_scale(outputs, y, weights)
    return _inverse_temperature(outputs, y, weights)


def rescale(outputs: jax.Array, scale: jax.Array) -> jax.Array:
    """Outputs times the factors that output_scale() returns."""
    return outputs * jnp.broadcast_to(scale, outputs.shape)
