"""Training of a masked network: Adam as one lax.scan."""

import math
import numbers
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Params, Problem
from ticketjax.masks import apply_mask
from ticketjax.objective import loss

BATCH_SIZE = 32
LEARNING_RATE = 1e-3
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


# Arrays are indexed by int32.
MOST = 2**31 - 1
LARGEST = float(jnp.finfo(jnp.float32).max)


def check_count(name: str, value: int, least: int) -> None:
    """Raise ValueError for anything but an integer from `least` to 2^31 - 1."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be at least {least} and a whole number, got {value!r}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {value!r}")


def check_number(name: str, value: float, least: float = -math.inf) -> None:
    """Raise ValueError for anything but a number of at least `least` that float32 can hold."""
    if not isinstance(value, numbers.Real) or not abs(value) <= LARGEST:
        raise ValueError(f"{name} must be a finite number of float32, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least:g}, got {value!r}")


def shuffles(key: jax.Array, epochs: int, size: int, batch_size: int = BATCH_SIZE) -> jax.Array:
    """The order in which samples are seen, (epochs, steps, batch_size) int32.

    Every epoch is a fresh random order of all samples; the last short batch is dropped, so that
    every step has the same weight and shape.

    Raises ValueError if there are fewer samples than one batch takes, for a negative number of
    epochs and for a batch without samples.
    """
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    steps = size // batch_size
    if steps == 0:
        raise ValueError(
            f"batch_size must be at most the {size} training samples, got {batch_size}"
        )

    def order(epoch_key):
        # One sort by random bits, where jax.random.permutation sorts twice to be rid of the bias
        # that equal bits leave: at 10,000 samples, one pair in a hundred epochs.
        return jnp.argsort(jax.random.bits(epoch_key, (size,), jnp.uint32))[: steps * batch_size]

    orders = jax.vmap(order)(jax.random.split(key, epochs)) if epochs else jnp.zeros((0, size))
    return orders[:, : steps * batch_size].reshape(epochs, steps, batch_size).astype(jnp.int32)


class _Adam(NamedTuple):
    step: jax.Array
    params: Params
    first: Params
    second: Params


def _adam(state: _Adam, gradients: Params, learning_rate: float) -> _Adam:
    # optax.adam with its two bias corrections, divisions of every parameter, moved into the step
    # size: a fifth of a step's time. The same numbers up to rounding.
    step = state.step + 1
    correction = jnp.sqrt(1 - BETA_2**step)
    rate = learning_rate * correction / (1 - BETA_1**step)
    # Backpropagation ends at the first layer. Waiting for it, XLA sees that no kernel is needed any
    # more when it is overwritten; otherwise it copies every one at every step.
    rate += 0 * jnp.ravel(jax.tree.leaves(gradients)[0])[0]
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.first, gradients)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state.second, gradients)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + EPSILON * correction),
        state.params,
        first,
        second,
    )
    return _Adam(step, params, first, second)


def _transposed(params: Params) -> Params:
    # Networks multiply kernels as (n_out, n_in). Stored so from step to step, none is turned over.
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, params)


def train(
    problem: Problem,
    mask: Params,
    order: jax.Array,
    *,
    learning_rate: float = LEARNING_RATE,
    key: jax.Array | None = None,
) -> Params:
    """Train the kept parameters from their initial values; the pruned ones are and stay zero.

    problem: its params are the initial values; the loss is that of the raw output.
    mask: bool tree.
    order: (epochs, steps, batch_size) indices of the samples of each step, from shuffles().
    key: of the problem's augmentation, needed if it has one.

    Returns params * mask after epochs * steps steps of Adam (the paper's setting: learning rate
    1e-3, batches of 32); with no epoch, the initial params * mask.

    Raises ValueError for a problem with augmentation and no key.
    """
    if problem.augment is not None and key is None:
        raise ValueError("key must be given: the problem augments its training data")
    # A mask of another shape would be broadcast to a network that nobody meant.
    chex.assert_trees_all_equal_shapes(problem.params, mask)
    mask = _transposed(mask)

    def batch_loss(params: Params, batch: Batch) -> jax.Array:
        return loss(problem.kind, problem.apply(_transposed(params), batch.x), batch.y)

    def step(carry, batch):
        if problem.augment is not None and key is not None:
            step_key = jax.random.fold_in(key, carry.step.astype(jnp.int32))
            batch = batch._replace(x=problem.augment(step_key, batch.x))
        gradients = apply_mask(jax.grad(batch_loss)(carry.params, batch), mask)
        # Masked gradients from the first step on keep both moments at zero, so that Adam itself
        # never moves a pruned parameter.
        return _adam(carry, gradients, learning_rate), None

    def epoch(carry, indices):
        # Gathered once per epoch: a gather per step costs more than the step's first layer.
        batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
        return jax.lax.scan(step, carry, batches)

    params = apply_mask(_transposed(problem.params), mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    trained, _ = jax.lax.scan(epoch, _Adam(jnp.float32(0), params, zeros, zeros), order)
    return _transposed(trained.params)
