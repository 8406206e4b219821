"""The search: round by round, the best change that the screening finds is made."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, Tree
from ticketjax.problem import Problem
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.exchange.activity import fill, pool, useful
from ticketjax.seekers.exchange.neighbourhood import (
    Neighbourhood,
    Network,
    draw,
    shapes_of_draws,
)
from ticketjax.seekers.exchange.screening import Limits, Samples, improve
from ticketjax.seekers.exchange.slopes import draw_samples, loss_of, slope_and_root
from ticketjax.seekers.exchange.vectors import (
    biases_of,
    check_dense,
    flatten,
    outputs_of,
    prunable_of,
    sizes_of,
    unflatten,
)


class Move(NamedTuple):
    """The result of one round; every entry ().

    Args:
        loss: of the mask kept after the round.
        kept: its prunable parameters that can matter.
        accepted: whether the round changed it.
    """

    loss: jax.Array
    kept: jax.Array
    accepted: jax.Array


class Moves(NamedTuple):
    """The results of all rounds.

    Args:
        loss, kept, accepted: as in Move, (rounds,).
        checkpoints: the best masks after some rounds, see checkpoints.as_info().
    """

    loss: jax.Array
    kept: jax.Array
    accepted: jax.Array
    checkpoints: dict[str, Any]


class _Search(NamedTuple):
    mask: jax.Array
    flipped: jax.Array  # (parameters,) the round in which each was added or removed last
    outputs: jax.Array  # (outputs, n) on all training data
    loss: jax.Array
    best_mask: jax.Array
    best_loss: jax.Array
    checkpoints: jax.Array  # (marks, parameters) the best masks until then


class _Task(NamedTuple):
    """The network and its training data as the search has them.

    prunable, narrow_prunable: of the network and of the narrower one that a round looks at.
    x: (inputs, n), y: in an order in which every part of them has its share of a sample.
    """

    sizes: tuple[int, ...]
    narrow: tuple[int, ...]
    theta: jax.Array
    prunable: jax.Array
    narrow_prunable: jax.Array
    x: jax.Array
    y: jax.Array


def _task_of(problem: Problem, width: int) -> _Task:
    check_dense(problem)
    seen = problem.view(problem.params)
    sizes, biases = sizes_of(seen), biases_of(seen)
    narrow = (sizes[0], *(min(width, size) for size in sizes[1:-1]), sizes[-1])
    prunable, narrow_prunable = (
        jnp.asarray(prunable_of(each, biases, problem.prune_bias)) for each in (sizes, narrow)
    )
    x, y = problem.batch.x.reshape(problem.batch.x.shape[0], -1).T, problem.batch.y
    order = jnp.lexsort((x[0], y)) if problem.kind == CLASSIFICATION else jnp.argsort(x[0])
    theta = flatten(seen)
    return _Task(sizes, narrow, theta, prunable, narrow_prunable, x[:, order], y[order])


def search(
    problem: Problem,
    mask: Tree,
    size: jax.Array | int,
    key: jax.Array,
    *,
    rounds: int,
    samples: int,
    temperature: float = 0.0,
    neighbourhood: Neighbourhood = Neighbourhood(),  # noqa: B008
) -> tuple[Tree, Moves]:
    """The best mask of `size` prunable parameters that a local search meets, from a given one.

    Each round takes what lowers the loss most per parameter that it adds, among the changes of the
    neighbourhood that leave at most `size`. First all of them are screened: a change's own effect
    on the outputs, its partner's, and how the two add up, by the loss's slope and curvature there.
    The best are then evaluated exactly. While there is room, a round only adds; when it is for one
    parameter, another may also leave for that one.

    Args:
        problem: of a network of dense layers one after the other, with ReLU between.
        mask: to start from, a tree like the problem's parameters. What it has above `size` has to
            go, whatever the loss.
        size: how many prunable parameters to keep; may be traced.
        key: of the random numbers.
        rounds: how many.
        samples: training samples that a round screens changes with, drawn anew in every round: a
            search on the same few fits them, not the task. What is best in the screening is
            decided on all training data.
        temperature: T, falling linearly from this to 0. What is decided on all training data is
            drawn among what looks good on the samples, by a change of the log loss of r in
            proportion to exp(-r / T), and a change for the worse is made with that probability.
            With 0 the best is decided on, and the loss never rises.
        neighbourhood: the changes that a round looks at.

    Returns:
        A mask that keeps exactly `size` (parameters that change nothing fill what is left), and the
        rounds.

    Raises:
        ValueError: another network; the message names the layer.
    """
    task = _task_of(problem, neighbourhood.width)
    sizes, narrow, theta, prunable, narrow_prunable, x, y = task
    shapes = shapes_of_draws(sizes, narrow, neighbourhood)

    def step(state: _Search, inputs: tuple[jax.Array, jax.Array]) -> tuple[_Search, Move]:
        k, heat = inputs
        draws = draw(jax.random.fold_in(key, k), shapes)
        where, fits = pool(draws.neurons, state.mask, sizes, narrow)
        free = k > state.flipped[where] + neighbourhood.tenure
        network = Network(narrow, theta[where], state.mask[where], narrow_prunable, free)
        slope, _ = slope_and_root(problem, state.outputs, y)
        some, weights = draw_samples(draws.samples, slope, min(samples, y.shape[0]))
        looked_at = Samples(x[:, some], y[some], weights)
        limits = Limits(size, heat)
        masks, more = improve(problem, network, looked_at, limits, draws, neighbourhood)
        results = jax.vmap(lambda m: outputs_of(theta[where] * m, x, narrow))(masks)
        losses = jax.vmap(lambda result: loss_of(problem, result, y))(results)
        before = state.loss
        losses = jnp.where(jnp.isfinite(more) & (losses != before), losses, jnp.inf)
        rises = jnp.log(losses) - jnp.log(before)
        chosen = jnp.argmax(jnp.where(jnp.isfinite(losses), -rises / more, -jnp.inf))
        found, after, outputs, rise = (all_[chosen] for all_ in (masks, losses, results, rises))
        warm = rise < -heat * jnp.log1p(-draws.warmth)
        forced = jnp.sum(state.mask & prunable) > size
        accepted = fits & jnp.isfinite(after) & ((after < before) | warm | forced)
        mask = jnp.where(accepted, state.mask.at[where].set(found), state.mask)
        flipped = jnp.where(mask != state.mask, k, state.flipped)
        outputs = jnp.where(accepted, outputs, state.outputs)
        now = jnp.where(accepted, after, before)
        kept = jnp.sum(mask & prunable)
        better = (now < state.best_loss) & (kept <= size)
        best = jnp.where(better, mask, state.best_mask)
        least = jnp.where(better, now, state.best_loss)
        checkpoints = with_checkpoint(state.checkpoints, k + 1, rounds, lambda: best)
        after_it = _Search(mask, flipped, outputs, now, best, least, checkpoints)
        return after_it, Move(now, kept, accepted)

    start = useful(flatten(problem.view(mask)) != 0, sizes, prunable)
    outputs = outputs_of(theta * start, x, sizes)
    first = loss_of(problem, outputs, y)
    first_that_counts = jnp.where(jnp.sum(start & prunable) <= size, first, jnp.inf)
    numbers = jnp.arange(rounds, dtype=jnp.int32)
    heats = temperature * (1 - numbers.astype(jnp.float32) / max(rounds, 1))
    never = jnp.full(start.shape, -neighbourhood.tenure - 1, jnp.int32)
    nothing = no_checkpoints(start, rounds)
    begin = _Search(start, never, outputs, first, start, first_that_counts, nothing)
    state, moves = jax.lax.scan(step, begin, (numbers, heats))

    def whole(best: jax.Array) -> Tree:
        filled = fill(best, size, prunable, sizes)
        return problem.restore(unflatten(filled, problem.view(mask)), mask)

    checkpoints = as_info(jax.vmap(whole)(state.checkpoints), rounds) if rounds else {}
    return whole(state.best_mask), Moves(*moves, checkpoints)
