"""Training of a masked network: Adam as one lax.scan."""

import numbers

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Params, Problem
from ticketjax.masks import apply_mask
from ticketjax.objective import loss

BATCH_SIZE = 32
LEARNING_RATE = 1e-3


def check_count(name: str, value: int, least: int) -> None:
    """Raise ValueError for anything but an integer of at least `least`."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be at least {least} and a whole number, got {value!r}")


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
        return jnp.argsort(jax.random.bits(epoch_key, (size,)))[: steps * batch_size]

    orders = jax.vmap(order)(jax.random.split(key, epochs)) if epochs else jnp.zeros((0, size))
    return orders[:, : steps * batch_size].reshape(epochs, steps, batch_size).astype(jnp.int32)


def train(
    problem: Problem,
    mask: Params,
    order: jax.Array,
    *,
    learning_rate: float = LEARNING_RATE,
) -> Params:
    """Train the kept parameters from their initial values; the pruned ones are and stay zero.

    problem: its params are the initial values; the loss is that of the raw output.
    mask: bool tree.
    order: (epochs, steps, batch_size) indices of the samples of each step, from shuffles().

    Returns params * mask after epochs * steps steps of Adam (the paper's setting: learning rate
    1e-3, batches of 32); with no epoch, the initial params * mask.
    """
    optimiser = optax.adam(learning_rate)

    def batch_loss(params: Params, batch: Batch) -> jax.Array:
        return loss(problem.kind, problem.apply(params, batch.x), batch.y)

    def step(carry, batch):
        params, state = carry
        gradients = apply_mask(jax.grad(batch_loss)(params, batch), mask)
        # Masked gradients from the first step on keep both moments at zero, so that Adam itself
        # never moves a pruned parameter.
        updates, state = optimiser.update(gradients, state)
        return (optax.apply_updates(params, updates), state), None

    def epoch(carry, indices):
        # Gathered once per epoch: a gather per step costs more than the step's first layer.
        batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
        return jax.lax.scan(step, carry, batches)

    params = apply_mask(problem.params, mask)
    (params, _), _ = jax.lax.scan(epoch, (params, optimiser.init(params)), order)
    return params
