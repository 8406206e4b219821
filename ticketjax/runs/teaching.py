"""Make a ticket to plant: a network that is pruned and trained until it solves its task."""

import jax

from ticketjax.base import Tree
from ticketjax.optimizers import ADAM, Optimizer
from ticketjax.problem import Problem
from ticketjax.seekers.registry import get_seeker
from ticketjax.training import BATCH_SIZE, shuffles, train


def teach(
    key: jax.Array,
    problem: Problem,
    density: jax.Array | float,
    *,
    seeker: str = "synflow",
    rounds: int = 10,
    round_epochs: int = 5,
    epochs: int = 10,
    batch_size: int = BATCH_SIZE,
    optimizer: Optimizer = ADAM,
) -> Tree:
    """Prune a network in rounds and train what is left. Pruned parameters are 0.

    Plant the result with plant(), or make it a task with tasks.teacher. Pure, for jit and vmap.

    Args:
        key: determines everything that is random.
        problem: its params are the initial values.
        density: of the ticket, in (0, 1], kept exactly. It may be traced.
        seeker: a score's name.
        rounds, round_epochs: of training and pruning, as in multishot().
        epochs: of the last training.
        batch_size, optimizer: as in train().

    Returns:
        The trained parameters, a tree like problem.params.

    Source: Fischer and Burkholz 2022, appendix, for the ticket that they plant in a VGG16.
    """
    seek_key, order_key, train_key = jax.random.split(key, 3)
    seek = get_seeker(
        seeker,
        strategy="multishot",
        rounds=rounds,
        round_epochs=round_epochs,
        batch_size=batch_size,
        optimizer=optimizer,
    )
    mask = seek(seek_key, problem, density).mask
    order = shuffles(order_key, epochs, problem.batch.x.shape[0], batch_size)
    return train(problem, mask, order, optimizer=optimizer, key=train_key)
