"""What a chain lowers: the logarithm of a regression's error, or a mean loss of logits."""

import jax
import jax.numpy as jnp

# Added to the error, in parts of the target's mean square: where rounding decides.
ROUNDING = 1e-12


def log_error(outputs: jax.Array, y: jax.Array, weights: jax.Array, rescaled: bool) -> jax.Array:
    """The logarithm of the mean squared error.

    Args:
        outputs: (outputs, n).
        y: (outputs, n).
        weights: (n,) of the samples.
        rescaled: whether each output is first multiplied by the factor, at least 0, that fits best.

    Returns:
        () float32.
    """
    weights = weights[None]
    if rescaled:
        largest = jnp.max(jnp.abs(outputs), axis=1, keepdims=True)
        outputs = outputs / jnp.where(largest > 0, largest, 1.0)
        weighted = outputs * weights
        square = jnp.sum(weighted * outputs, axis=1, keepdims=True)
        fit = jnp.sum(weighted * y, axis=1, keepdims=True) / jnp.where(square > 0, square, 1.0)
        outputs = outputs * jnp.maximum(fit, 0.0)
    total = jnp.sum(weights) * y.shape[0]
    error = jnp.sum((outputs - y) ** 2 * weights) / total
    return jnp.log(error + ROUNDING * jnp.sum(y**2 * weights) / total)


def _of_label(logits: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.arange(logits.shape[0])[:, None] == y[None]


def cross_entropies(logits: jax.Array, y: jax.Array, scale: jax.Array) -> jax.Array:
    """Cross entropy of every sample.

    Args:
        logits: (classes, n).
        y: (n,) labels.
        scale: () inverse temperature.

    Returns:
        (n,) float32.
    """
    scaled = logits * scale
    largest = jnp.max(scaled, axis=0)
    total = jnp.log(jnp.sum(jnp.exp(scaled - largest[None]), axis=0))
    return total + largest - jnp.sum(jnp.where(_of_label(logits, y), scaled, 0.0), axis=0)


def smooth_errors(logits: jax.Array, y: jax.Array, scale: jax.Array) -> jax.Array:
    """sigmoid(-scale * margin) of every sample, a smooth count of errors.

    The margin is the label's logit less the largest other one.

    Args:
        logits, y, scale: as in cross_entropies().

    Returns:
        (n,) float32.
    """
    is_label = _of_label(logits, y)
    own = jnp.sum(jnp.where(is_label, logits, 0.0), axis=0)
    other = jnp.max(jnp.where(is_label, -jnp.inf, logits), axis=0)
    return jax.nn.sigmoid(scale * (other - own))


def sample_losses(
    logits: jax.Array, y: jax.Array, scale: jax.Array, smooth: jax.Array
) -> jax.Array:
    """smooth_errors() where `smooth`, which may be traced, else cross_entropies()."""
    return jax.lax.cond(smooth, smooth_errors, cross_entropies, logits, y, scale)
