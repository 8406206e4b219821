"""ProsPr: sensitivity of the loss after a few steps of training."""

import dataclasses

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem, Score

# The published rate is 0.5, for networks with normalisation. In these, three such steps diverge: of
# 20 planted networks for ReLU, depth 5 and width 100, none had finite scores at 0.5, 13 at 0.1, and
# all at 0.01.
STEPS, LEARNING_RATE, MOMENTUM = 3, 0.01, 0.9


def _batches(batch: Batch, count: int) -> list[Batch]:
    """So many batches of as many samples each, the first ones of the data."""
    samples = batch.x.shape[0]
    if samples < count:
        raise ValueError(
            f"score_samples must be at least {count} for prospr, one for each of its "
            f"{count - 1} steps and one for the score; got {samples}"
        )
    size = samples // count
    return [Batch(*(array[i * size : (i + 1) * size] for array in batch)) for i in range(count)]


def after_steps(steps: int, learning_rate: float, momentum: float) -> Score:
    """The score |dL(theta_n) / dm| with n steps of gradient descent between m and the loss.

    Args:
        steps: n, at least 0. With 0 it is SNIP.
        learning_rate, momentum: of the steps, v <- momentum * v + g, theta <- theta - rate * v.

    Returns:
        A score, as prospr is one.
    """

    def score(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
        del key
        kept = apply_mask(params, mask)
        *training, last = (
            dataclasses.replace(problem, batch=batch).descent_loss
            for batch in _batches(problem.batch, steps + 1)
        )

        def trained_loss(theta: Tree) -> jax.Array:
            velocity = jax.tree.map(jnp.zeros_like, theta)
            for loss in training:
                gradient = apply_mask(jax.grad(loss)(theta), mask)
                velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradient)
                theta = jax.tree.map(lambda p, v: p - learning_rate * v, theta, velocity)
            return last(theta)

        return jax.tree.map(lambda p, g: jnp.abs(p * g), kept, jax.grad(trained_loss)(kept))

    return score


def prospr(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score |dL(theta_3)/dm|, theta_3 the parameters m * theta after three steps of training.

    The gradient goes through the steps, so it sees how the loss will fall. The samples are divided
    into four batches: one for each step, and one for the loss that is differentiated. With the
    rescaled objective, the output's scale is held constant in second derivatives.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params.

    Raises:
        ValueError: fewer than four samples.

    Source: Alizadeh, Tailor, Zintgraf, van Amersfoort, Farquhar, Lane and Gal 2022,
    arXiv 2202.08132, "ProsPr".
    Published: three steps of SGD, learning rate 0.5, momentum 0.9, a new batch each (CIFAR-10); of
        kernels.
    Departures: a learning rate of 0.01, because networks without normalisation diverge at 0.5;
        biases are scored too where they are prunable; batches are quarters of the 40 samples unless
        told otherwise, see Singleshot.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> seeker = get_seeker("singleshot(prospr, score_samples=400)")
    """
    return after_steps(STEPS, LEARNING_RATE, MOMENTUM)(key, problem, params, mask)
