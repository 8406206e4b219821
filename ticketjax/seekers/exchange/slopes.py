"""The loss of outputs, its slope and curvature, and what a parameter does to the outputs."""

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, Problem
from ticketjax.objective import loss, output_scale, rescale
from ticketjax.seekers.exchange.vectors import layers_of


def loss_of(problem: Problem, outputs: jax.Array, y: jax.Array, weights=None) -> jax.Array:
    """The problem's loss of outputs (outputs, n), weights (n,) as in loss()."""
    outputs = outputs.T
    if problem.objective == "rescaled":
        outputs = rescale(outputs, output_scale(problem.kind, outputs, y, weights))
    return loss(problem.kind, outputs, y, weights)


def slope_and_root(problem: Problem, outputs: jax.Array, y: jax.Array, weights=None):
    """The loss's slope by the outputs (n, o), and a root of its curvature (n, o, o).

    The output scale is held: at its best value, the loss is stationary in it.
    """
    n, o = outputs.shape[1], outputs.shape[0]
    outputs = outputs.T
    scale = jnp.float32(1)
    if problem.objective == "rescaled":
        scale = output_scale(problem.kind, outputs, y, weights)
    scale = jnp.broadcast_to(scale, (o,))
    scaled = outputs * scale[None]
    unit = jnp.eye(o, dtype=jnp.float32)
    if problem.kind == CLASSIFICATION:
        share = jax.nn.softmax(scaled)
        slope = (share - jax.nn.one_hot(y, o, dtype=jnp.float32)) / n
        root = jnp.sqrt(share)
        # (diag(sqrt p) - p sqrt p^T) times its transpose is diag(p) - p p^T, the curvature.
        curvature = (unit[None] * root[:, None] - share[:, :, None] * root[:, None]) / n**0.5
    else:
        slope = 2 * (scaled - y) / (n * o)
        curvature = jnp.broadcast_to(unit[None] * (2 / (n * o)) ** 0.5, (n, o, o))
    slope, curvature = slope * scale[None], curvature * scale[None, :, None]
    if weights is not None:
        slope, curvature = slope * weights[:, None], curvature * weights[:, None, None] ** 0.5
    return slope, curvature


def draw_samples(u: jax.Array, slope: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Samples to screen with, (count,), and their weights, which make up for how they are drawn.

    Half by chance, half in proportion to the slope (n, o) of the loss: where the network is right
    already, most changes make no difference. One u in [0, 1) draws all (systematic sampling).
    """
    n = slope.shape[0]
    if count >= n:
        return jnp.arange(n), jnp.ones(n, jnp.float32)
    steep = jnp.linalg.norm(slope, axis=1)
    total = jnp.sum(steep)
    usable = (total > 0) & (total < jnp.inf)
    share = jnp.where(usable, 0.5 / n + 0.5 * steep / jnp.where(usable, total, 1.0), 1 / n)
    places = jnp.cumsum(share)
    even = (u + jnp.arange(count, dtype=jnp.float32)) / count
    drawn = jnp.searchsorted(places, even * places[-1])
    drawn = jnp.minimum(drawn, n - 1)
    return drawn, 1 / (n * share[drawn])


def influences(
    theta: jax.Array, before: list[jax.Array], sizes: tuple[int, ...]
) -> list[jax.Array]:
    """The outputs' derivative by what each layer gives out: (neurons, n, outputs) per layer."""
    n, o = before[0].shape[1], sizes[-1]
    influence = [jnp.broadcast_to(jnp.eye(o, dtype=jnp.float32)[:, None], (o, n, o))]
    layers = layers_of(theta, sizes)
    for i in reversed(range(1, len(layers))):
        later = influence[0]
        if i < len(layers) - 1:
            later = later * (before[i] > 0)[:, :, None]
        influence.insert(0, jnp.einsum("ij,jno->ino", layers[i][0], later))
    return influence


def flips(theta, mask, received, before, sizes):
    """What a neuron gives out more if one parameter that it has is flipped, (parameters, n)."""
    changes = []
    flipped = layers_of(jnp.where(mask, -theta, theta), sizes)
    for i, ((kernel, bias), inputs, pre) in enumerate(zip(flipped, received, before, strict=True)):
        inputs = jnp.concatenate([inputs, jnp.ones_like(inputs[:1])])
        rows = jnp.concatenate([kernel, bias[None]])
        change = rows[:, :, None] * inputs[:, None]
        if i < len(before) - 1:
            change = jnp.maximum(pre[None] + change, 0) - jnp.maximum(pre, 0)[None]
        changes.append(change.reshape(-1, change.shape[-1]))
    return jnp.concatenate(changes)
