"""Losses of samples and the logarithm of an error, as ../energies.py computes them."""

import math

import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled
from ticketjax.seekers.annealing.energies import ROUNDING

_ZERO, _ONE, _INFINITE = np.float32(0), np.float32(1), np.float32(np.inf)


@compiled
def _exponentials(values, powers):
    """Replace values by their exponentials, in single precision, from e^-40 to e^40.

    exp(x) = 2^m exp(r) with a polynomial for exp(r), |r| <= log(2) / 2; the relative error is below
    3e-7. It is written here because the library's exp, called for one value after the other, takes
    longer than all the rest. Smaller results would be lost beside 1 in any case, and differences of
    such numbers are denormal, with which a processor computes a hundred times more slowly.

    Args:
        values: (n,).
        powers: (n,) int32, room.
    """
    for k in range(values.size):
        x = min(max(values[k], np.float32(-40.0)), np.float32(40.0))
        # The nearest whole number: a conversion truncates, so its argument is made positive.
        m = np.int32(x * np.float32(1.44269504) + np.float32(128.5)) - np.int32(128)
        r = x - np.float32(m) * np.float32(0.693359375) + np.float32(m) * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        values[k] = p * r * r + r + _ONE
        powers[k] = (m + np.int32(127)) << np.int32(23)
    factors = powers.view(np.float32)
    for k in range(values.size):
        values[k] *= factors[k]


@compiled
def _smooth_errors(outputs, y, scale, powers, errors):
    """sigmoid(-scale * margin) of samples; outputs: (classes, n)."""
    errors[:] = _INFINITE
    for c in range(outputs.shape[0]):
        logits, label = outputs[c], np.int32(c)
        for k in range(y.size):
            left = _INFINITE if y[k] == label else -logits[k]
            errors[k] = min(errors[k], left)
    for c in range(outputs.shape[0]):
        logits, label = outputs[c], np.int32(c)
        for k in range(y.size):
            errors[k] += logits[k] if y[k] == label else _ZERO
    for k in range(y.size):
        errors[k] *= scale
    _exponentials(errors, powers)
    for k in range(y.size):
        errors[k] = _ONE / (_ONE + errors[k])


@compiled
def _cross_entropies(outputs, y, scale, room, total, powers, losses):
    """Cross entropies of samples; outputs: (classes, n)."""
    losses[:] = -_INFINITE
    for c in range(outputs.shape[0]):
        logits = outputs[c]
        for k in range(y.size):
            losses[k] = max(losses[k], logits[k])
    total[:] = _ZERO
    for c in range(outputs.shape[0]):
        logits = outputs[c]
        for k in range(y.size):
            room[k] = scale * (logits[k] - losses[k])
        _exponentials(room, powers)
        for k in range(y.size):
            total[k] += room[k]
    for c in range(outputs.shape[0]):
        logits, label = outputs[c], np.int32(c)
        for k in range(y.size):
            losses[k] -= logits[k] if y[k] == label else _ZERO
    for k in range(y.size):
        losses[k] = math.log(total[k]) + scale * losses[k]


@compiled
def sample_losses(outputs, y, scale, smooth, rooms, powers, losses):
    """Smooth errors or cross entropies of samples; outputs: (classes, n)."""
    if smooth:
        _smooth_errors(outputs, y, scale, powers, losses)
    else:
        _cross_entropies(outputs, y, scale, rooms[0], rooms[1], powers, losses)


@compiled
def log_error(outputs, y, weights, rescaled):
    """The logarithm of the mean squared error, as energies.log_error()."""
    error, square, total = 0.0, 0.0, 0.0
    for k in range(weights.size):
        total += weights[k]
    for c in range(outputs.shape[0]):
        size, fit, own = 0.0, 0.0, 0.0
        for k in range(weights.size):
            value, target, weight = float(outputs[c, k]), float(y[c, k]), weights[k]
            size += weight * value * value
            fit += weight * value * target
            own += weight * target * target
        factor = 1.0
        if rescaled:
            factor = max(fit / size, 0.0) if size > 0 else 0.0
        # In double precision, what cancels is far below ROUNDING.
        error += max(own - factor * (2 * fit - factor * size), 0.0)
        square += own
    total *= outputs.shape[0]
    return math.log((error + ROUNDING * square) / total)
