"""Training of a masked network as one lax.scan."""

import chex
import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Tree
from ticketjax.checks import check_count
from ticketjax.choices import BATCH_SIZE
from ticketjax.masks import apply_mask
from ticketjax.objective import loss
from ticketjax.optimizers import ADAM, Optimizer, make_optimizer
from ticketjax.precision import at_precision
from ticketjax.problem import Problem


def shuffles(key: jax.Array, epochs: int, size: int, batch_size: int = BATCH_SIZE) -> jax.Array:
    """The order in which training uses the samples.

    Every epoch is a new random order of all samples. The last short batch is dropped, so that every
    step has the same weight and shape.

    Args:
        key: determines the orders.
        epochs: number of epochs, at least 0.
        size: number of training samples.
        batch_size: samples of each step, from 1 to size.

    Returns:
        (epochs, steps, batch_size) int32 indices.

    Raises:
        ValueError: fewer samples than one batch takes, a negative number of epochs, a batch without
            samples.
    """
    check_count("epochs", epochs, 0)
    check_count("batch_size", batch_size, 1)
    steps = size // batch_size
    if steps == 0:
        raise ValueError(
            f"batch_size must be at most the {size} training samples, got {batch_size}"
        )

    def order(epoch_key):
        # One sort by random bits. jax.random.permutation sorts twice, to remove the bias of equal
        # bits, which occur for one pair in a hundred epochs of 10,000 samples.
        return jnp.argsort(jax.random.bits(epoch_key, (size,), jnp.uint32))[: steps * batch_size]

    orders = jax.vmap(order)(jax.random.split(key, epochs)) if epochs else jnp.zeros((0, size))
    return orders[:, : steps * batch_size].reshape(epochs, steps, batch_size).astype(jnp.int32)


def _transposed(params: Tree) -> Tree:
    # Networks use kernels as (n_out, n_in). Stored like this, they are not transposed at each step.
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 else leaf, params)


def train(
    problem: Problem,
    mask: Tree,
    order: jax.Array,
    *,
    optimizer: Optimizer = ADAM,
    key: jax.Array | None = None,
    precision: str = "network",
) -> Tree:
    """Train the kept parameters from their initial values; the pruned ones stay zero.

    Args:
        problem: its params are the initial values; the loss is that of the raw output.
        mask: bool tree like problem.params.
        order: (epochs, steps, batch_size) indices of the samples of each step, from shuffles().
        optimizer: as in make_optimizer(); the paper's is Adam with a learning rate of 1e-3, on
            batches of 32.
        key: key of the problem's augmentation, required if it has one.
        precision: of the products, as Training.training_precision.

    Returns:
        params * mask after epochs * steps steps; with no epoch, the initial params * mask.

    Raises:
        ValueError: a problem with augmentation and no key; an unknown optimizer.
    """
    if problem.augment is not None and key is None:
        raise ValueError("key must be given: the problem augments its training data")
    transformation = make_optimizer(optimizer)
    # A mask of another shape would be broadcast, without an error, to an unintended network.
    chex.assert_trees_all_equal_shapes(problem.params, mask)
    mask = _transposed(mask)

    def batch_loss(params: Tree, batch: Batch) -> jax.Array:
        return loss(problem.kind, problem.apply(_transposed(params), batch.x), batch.y)

    gradient = jax.grad(batch_loss)
    if precision != "network":
        gradient = at_precision(gradient, precision)

    def step(carry, batch):
        count, params, state = carry
        if problem.augment is not None and key is not None:
            step_key = jax.random.fold_in(key, count)
            batch = batch._replace(x=problem.augment(step_key, batch.x))
        gradients = apply_mask(gradient(params, batch), mask)
        updates, state = transformation.update(gradients, state, params)
        # Masked again: an optimizer may change parameters of zero gradient, for example by noise.
        params = optax.apply_updates(params, apply_mask(updates, mask))
        return (count + 1, params, state), None

    def epoch(carry, indices):
        # Gathered once per epoch, because a gather per step costs more than the step's first layer.
        batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
        return jax.lax.scan(step, carry, batches)

    params = apply_mask(_transposed(problem.params), mask)
    start = jnp.int32(0), params, transformation.init(params)
    (_, trained, _), _ = jax.lax.scan(epoch, start, order)
    return _transposed(trained)


def train_in_random_order(
    key: jax.Array,
    problem: Problem,
    mask: Tree,
    epochs: int,
    batch_size: int = BATCH_SIZE,
    optimizer: Optimizer = ADAM,
) -> Tree:
    """train() in an order drawn from a key, as a part of a search.

    Args:
        key: decides the order, and the augmentation if the problem has one.
        problem, mask, optimizer: as in train().
        epochs, batch_size: as in shuffles().

    Returns:
        The trained parameters.
    """
    order = shuffles(key, epochs, problem.batch.x.shape[0], batch_size)
    # The epochs' keys are fold_in(key, 0) to fold_in(key, epochs - 1).
    augment_key = jax.random.fold_in(key, epochs)
    return train(problem, mask, order, optimizer=optimizer, key=augment_key)
