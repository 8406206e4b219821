"""The loss of outputs, its slope and curvature, and what a parameter does to the outputs."""

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION
from ticketjax.objective import loss, output_scale, rescale, search_scale
from ticketjax.problem import Problem
from ticketjax.seekers.exchange.vectors import layers_of


def loss_of(
    problem: Problem, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """The problem's loss of outputs (outputs, n), weights (n,) as in loss()."""
    outputs = outputs.T
    if problem.objective == "rescaled":
        outputs = rescale(outputs, output_scale(problem.kind, outputs, y, weights))
    return loss(problem.kind, outputs, y, weights)


def slope_and_root(
    problem: Problem, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """The loss's slope by the outputs, and a root of its curvature.

    The output scale is held: at its best value, the loss is stationary in it. Where that is 0, the
    outputs count as 0, and their changes by the factor of search_scale().

    Args:
        problem: whose loss it is.
        outputs: (outputs, n).
        y: the samples' targets or labels.
        weights: (n,), as in loss().

    Returns:
        The slope, (n, o), and the root, (n, o, o), for o outputs.
    """
    o, n = outputs.shape
    outputs, one = outputs.T, jnp.eye(o, dtype=jnp.float32)
    scale = jnp.ones(o, jnp.float32)
    scaled = outputs
    if problem.objective == "rescaled":
        scaled = rescale(outputs, output_scale(problem.kind, outputs, y, weights))
        scale = jnp.broadcast_to(search_scale(problem.kind, outputs, y, weights), (o,))
    if problem.kind == CLASSIFICATION:
        share = jax.nn.softmax(scaled)
        slope = (share - jax.nn.one_hot(y, o, dtype=jnp.float32)) / n
        root = jnp.sqrt(share)
        # (diag(sqrt p) - p sqrt p^T) times its transpose is diag(p) - p p^T, the curvature.
        curvature = (one[None] * root[:, None] - share[:, :, None] * root[:, None]) / n**0.5
    else:
        slope = 2 * (scaled - y) / (n * o)
        curvature = jnp.broadcast_to(one[None] * (2 / (n * o)) ** 0.5, (n, o, o))
    slope, curvature = slope * scale[None], curvature * scale[None, :, None]
    if weights is not None:
        slope, curvature = slope * weights[:, None], curvature * weights[:, None, None] ** 0.5
    return slope, curvature


def draw_samples(u: jax.Array, slope: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Draw samples to screen with.

    Half are drawn by chance, half in proportion to the slope of the loss: where the network is
    right already, most changes make no difference.

    Args:
        u: () in [0, 1), which draws all (systematic sampling).
        slope: (n, o), by the outputs.
        count: how many samples.

    Returns:
        Their indices and their weights, which correct for how they are drawn; both (count,), or
        (n,) if there are no more samples than that.
    """
    n = slope.shape[0]
    if count >= n:
        return jnp.arange(n, dtype=jnp.int32), jnp.ones(n, jnp.float32)
    steep = jnp.linalg.norm(slope, axis=1)
    total = jnp.sum(steep)
    usable = (total > 0) & (total < jnp.inf)
    share = jnp.where(usable, 0.5 / n + 0.5 * steep / jnp.where(usable, total, 1.0), 1 / n)
    places = jnp.cumsum(share)
    marks = (u + jnp.arange(count, dtype=jnp.float32)) / count * places[-1]
    drawn = jnp.minimum(jnp.searchsorted(places, marks), n - 1)
    return drawn, 1 / (n * share[drawn])


def pulled_back(
    theta: jax.Array, before: list[jax.Array], sizes: tuple[int, ...], by_outputs: jax.Array
) -> list[jax.Array]:
    """Derivatives by what each layer gives out, from those by the outputs.

    These are not made of the outputs' own derivatives, whose last ones are an identity: XLA for
    CPUs (jaxlib 0.10.2) compiles sums over them wrongly in a batch of one.

    Args:
        theta: (parameters,), masked.
        before: every layer's neurons before the ReLU, (neurons, n) each.
        sizes: neurons of every layer.
        by_outputs: (outputs, n, k).

    Returns:
        (neurons, n, k) per layer.
    """
    pulled = [by_outputs]
    layers = layers_of(theta, sizes)
    for i in reversed(range(1, len(layers))):
        later = pulled[0]
        if i < len(layers) - 1:
            later = later * (before[i] > 0)[:, :, None]
        pulled.insert(0, jnp.einsum("ij,jnk->ink", layers[i][0], later))
    return pulled


def flips(
    theta: jax.Array,
    mask: jax.Array,
    received: list[jax.Array],
    before: list[jax.Array],
    sizes: tuple[int, ...],
) -> jax.Array:
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
