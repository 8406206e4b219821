"""The search: round by round, the best change that the screening finds is made."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, Params, Problem
from ticketjax.seekers.exchange.activity import fill, pool, useful
from ticketjax.seekers.exchange.neighbourhood import Draws, Neighbourhood, draws_needed
from ticketjax.seekers.exchange.screening import improve
from ticketjax.seekers.exchange.slopes import draw_samples, loss_of, slope_and_root
from ticketjax.seekers.exchange.vectors import flatten, forward, is_bias, sizes_of, unflatten


class Move(NamedTuple):
    """What one round led to; every entry ().

    loss: of the mask kept after the round. kept: its prunable parameters that can matter.
    accepted: whether the round changed it.
    """

    loss: jax.Array
    kept: jax.Array
    accepted: jax.Array


class _Search(NamedTuple):
    mask: jax.Array
    flipped: jax.Array  # (parameters,) the round in which each was added or removed last
    outputs: jax.Array  # (outputs, n) on all training data
    loss: jax.Array
    best_mask: jax.Array
    best_loss: jax.Array


def search(
    problem: Problem,
    mask: Params,
    size: jax.Array | int,
    key: jax.Array,
    *,
    rounds: int,
    samples: int,
    temperature: float = 0.0,
    excess: float = 0.0,
    neighbourhood: Neighbourhood = Neighbourhood(),  # noqa: B008
) -> tuple[Params, Move]:
    """The best mask of `size` prunable parameters that a local search meets, from a given one.

    Each round takes what lowers the loss most per parameter that it adds, among the changes of the
    neighbourhood that leave at most `size`. First all of them are screened: a change's own effect
    on the outputs, its partner's, and how the two add up, by the loss's slope and curvature there.
    The best are then evaluated exactly. While there is room, a round only adds; when it is for one
    parameter, another may also leave for that one.

    rounds: how many. samples: training samples that a round screens changes with, drawn anew in
        every round: a search that sees the same few fits them, not the task. What the screening
        likes best is decided on all training data.
    temperature: T, falling linearly from this to 0. What is decided on all training data is drawn
        among what looks good on the samples, by a change of the log loss of r in proportion to
        exp(-r / T), and a change for the worse is made with that probability. With 0 the best is
        decided on, and the loss never rises.
    excess: the share of `size` that masks may have more at the start, falling linearly to 0 after
        three quarters of the rounds; what is too much then has to go, whatever the loss.

    Returns a mask that keeps exactly `size` (parameters that change nothing fill what is left),
    and the rounds. Of dense ReLU networks only; ValueError for others.
    """
    sizes = sizes_of(problem.params)
    narrow = (sizes[0], *(min(neighbourhood.width, s) for s in sizes[1:-1]), sizes[-1])
    prunable, narrow_prunable = (
        jnp.asarray(~is_bias(s) | problem.prune_bias) for s in (sizes, narrow)
    )
    theta = flatten(problem.params)
    n = problem.batch.x.shape[0]
    x, y = problem.batch.x.T, problem.batch.y
    # In this order, a systematic sample has its share of every class and every part of the inputs.
    order = jnp.lexsort((x[0], y)) if problem.kind == CLASSIFICATION else jnp.argsort(x[0])
    x, y = x[:, order], y[order]

    needed = draws_needed(sizes, neighbourhood)

    def step(state, inputs):
        k, heat, limit = inputs
        draws = Draws(jax.random.fold_in(key, k), needed)
        where, fits = pool(draws, state.mask, sizes, narrow)
        slope, _ = slope_and_root(problem, state.outputs, y)
        some, weights = draw_samples(draws.take(), slope, min(samples, n))
        masks, more = improve(
            problem,
            theta[where],
            x[:, some],
            y[some],
            weights,
            narrow_prunable,
            narrow,
            limit,
            state.mask[where],
            k > state.flipped[where] + neighbourhood.tenure,
            draws,
            neighbourhood,
            heat,
        )
        results = jax.vmap(lambda m: forward(theta[where] * m, x, narrow)[1][-1])(masks)
        losses = jax.vmap(lambda result: loss_of(problem, result, y))(results)
        before = state.loss
        losses = jnp.where(jnp.isfinite(more) & (losses != before), losses, jnp.inf)
        rises = jnp.log(losses) - jnp.log(before)
        chosen = jnp.argmax(jnp.where(jnp.isfinite(losses), -rises / more, -jnp.inf))
        found, after, outputs, rise = (all_[chosen] for all_ in (masks, losses, results, rises))
        warm = rise < -heat * jnp.log1p(-draws.take())
        forced = jnp.sum(state.mask & prunable) > limit
        accepted = fits & jnp.isfinite(after) & ((after < before) | warm | forced)
        mask = jnp.where(accepted, state.mask.at[where].set(found), state.mask)
        flipped = jnp.where(mask != state.mask, k, state.flipped)
        outputs = jnp.where(accepted, outputs, state.outputs)
        now = jnp.where(accepted, after, before)
        kept = jnp.sum(mask & prunable)
        better = (now < state.best_loss) & (kept <= size)
        best = jnp.where(better, mask, state.best_mask), jnp.where(better, now, state.best_loss)
        return _Search(mask, flipped, outputs, now, *best), Move(now, kept, accepted)

    start = useful(flatten(mask), sizes, prunable)
    outputs = forward(theta * start, x, sizes)[1][-1]
    first = loss_of(problem, outputs, y)
    done = jnp.arange(rounds, dtype=jnp.float32)
    heats = temperature * (1 - done / max(rounds, 1))
    shrinking = jnp.maximum(1 - done / max(0.75 * rounds, 1), 0)
    limits = jnp.floor(size * (1 + excess * shrinking)).astype(jnp.int32)
    never = jnp.full(start.shape, -neighbourhood.tenure - 1)
    begin = _Search(start, never, outputs, first, start, first)
    state, moves = jax.lax.scan(step, begin, (jnp.arange(rounds), heats, limits))
    return unflatten(fill(state.best_mask, size, prunable, sizes), problem.params), moves
