"""Losses and metrics of a network's output, as it is or with its scale taken out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Model, Params, Problem, Task
from ticketjax.contract import check_parameters
from ticketjax.masks import count_ticket_layers, depth, ticket_density

KINDS = (REGRESSION, CLASSIFICATION)
OBJECTIVES = ("raw", "rescaled")
# The inverse temperature is sought on a logarithmic scale, for logits that differ by at most 1.
LOG_TEMPERATURE_RANGE = (-7.0, 14.0)
TEMPERATURE_STEPS = 24
IMAGES_AT_ONCE = 500


def loss(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Mean squared error over samples and outputs, or mean cross entropy of the logits.

    weights: (n,) factors of the samples' errors; None for 1.
    """
    if kind == REGRESSION:
        errors = (outputs - y) ** 2
        return jnp.mean(errors if weights is None else errors * weights[:, None])
    errors = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    return jnp.mean(errors if weights is None else errors * weights)


def metric(kind: str, outputs: jax.Array, y: jax.Array) -> jax.Array:
    """What is reported: mean squared error (regression) or accuracy in 0..1 (classification).

    A network with an output that is not finite has no accuracy: NaN. The arg max of NaN would be a
    class like any other.
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
    # E_softmax[logit] - logit of the label, grows with it and is bisected. Taken relative to the
    # label's, most logits of a good network add next to nothing, and little is cancelled.
    margins = (logits - jnp.take_along_axis(logits, y[:, None], axis=1)).T
    magnitude = _magnitude(margins, axis=None)
    unit = margins / magnitude
    # Classes first, samples in the last axis: rows of four would leave most of a CPU's lanes idle.
    below = unit - jnp.max(unit, axis=0)[None]

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        share = jnp.exp(below * jnp.exp(middle))
        each = (1.0 if weights is None else weights) / jnp.sum(share, axis=0)
        # One sum: a mean of sums is taken one number at a time on a CPU, under a vmap over one.
        too_cold = jnp.sum(share * unit * each[None]) > 0
        return jnp.where(too_cold, low, middle), jnp.where(too_cold, middle, high)

    start = tuple(jnp.float32(bound) for bound in LOG_TEMPERATURE_RANGE)
    low, _ = jax.lax.fori_loop(0, TEMPERATURE_STEPS, halve, start)
    return jnp.exp(low) / magnitude


def output_scale(
    kind: str, outputs: jax.Array, y: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """The positive temperature or the least-squares factors that suit outputs to labels best.

    Returns (outputs,) factors for regression, minimising the squared error per output, and a
    () inverse temperature for classification, minimising the cross entropy. Outputs from 1e-30
    to 1e30 in magnitude are handled; an output that is always 0 gets the factor 0.
    weights: as in loss().
    """
    if kind == REGRESSION:
        return _least_squares_scale(outputs, y, weights)
    return _inverse_temperature(outputs, y, weights)


def rescale(outputs: jax.Array, scale: jax.Array) -> jax.Array:
    """Outputs times the factors that output_scale() returns."""
    return outputs * jnp.broadcast_to(scale, outputs.shape)


def problem_loss(problem: Problem, params: Params) -> jax.Array:
    """Loss of parameters on a problem's data under its objective; differentiable.

    "rescaled" fits the output scale anew at every call and holds it constant in the gradient,
    which is exact: at the best scale, the loss is stationary in it. Not so for second derivatives,
    which leave out how the scale itself moves.
    """
    outputs = problem.apply(params, problem.batch.x)
    if problem.objective == "rescaled":
        scale = output_scale(problem.kind, outputs, problem.batch.y)
        outputs = rescale(outputs, jax.lax.stop_gradient(scale))
    return loss(problem.kind, outputs, problem.batch.y)


def outputs_of(problem: Problem, params: Params, x: jax.Array) -> jax.Array:
    """Outputs of a network on many samples; of images a few at a time, to save memory."""
    if x.ndim == 2 or x.shape[0] <= IMAGES_AT_ONCE:
        return problem.apply(params, x)
    return jax.lax.map(
        lambda image: problem.apply(params, image[None])[0], x, batch_size=IMAGES_AT_ONCE
    )


def _check_batch(task: Task, batch: Batch) -> None:
    x_shape, y_shape = jnp.shape(batch.x), jnp.shape(batch.y)
    inputs = task.inputs if isinstance(task.inputs, tuple) else (task.inputs,)
    if x_shape[1:] != inputs:
        raise ValueError(f"batch.x must be (n, {', '.join(map(str, inputs))}), got {x_shape}")
    if task.kind == CLASSIFICATION:
        y_type = jnp.result_type(batch.y)
        if y_shape != x_shape[:1] or not jnp.issubdtype(y_type, jnp.integer):
            raise ValueError(f"batch.y must be ({x_shape[0]},) integers, got {y_shape} {y_type}")
    elif y_shape != (x_shape[0], task.outputs):
        raise ValueError(f"batch.y must be {(x_shape[0], task.outputs)}, got {y_shape}")
    for name, array in batch._asdict().items():
        dtype = jnp.result_type(array)
        if jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float32:
            raise ValueError(f"batch.{name} must be float32, got {dtype}")


def make_problem(
    task: Task,
    model: Model,
    params: Params,
    batch: Batch,
    *,
    objective: str = "raw",
    prune_bias: bool = True,
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
) -> Problem:
    """All that a seeker may see of a (planted) network: parameters, data, and the rules.

    params: as planted; batch: x (n, inputs), y (n, outputs) or, for classification, (n,) integers.
    objective: "raw" (loss of the output as it is) or "rescaled" (loss after the best output scale,
        or temperature, is fitted).
    prune_bias: whether biases count as prunable; otherwise every mask keeps all of them.
    augment: what is done to the inputs of training batches, as in Problem.

    The density "ticket" is known to it where the task has a ticket of this depth.

    Raises ValueError for an unknown objective or kind of task, for parameters or data of another
    type than float32, and for data of the wrong shape, which would otherwise broadcast to a loss
    that means nothing.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
    if task.kind not in KINDS:
        raise ValueError(f"a task's kind must be one of {', '.join(KINDS)}, got {task.kind!r}")
    check_parameters(params)
    _check_batch(task, batch)
    try:
        target = task.ticket(depth=depth(params))
    except ValueError:  # a task without a ticket of this depth: "ticket" then names no density
        known, layers = None, None
    else:
        known = ticket_density(target, params, prune_bias)
        layers = count_ticket_layers(target, prune_bias)
    return Problem(
        params,
        batch,
        model.apply,
        task.kind,
        objective,
        prune_bias,
        known,
        layers,
        model.wiring,
        model.flow,
        augment,
    )
