"""Screening: the best of thousands of changes, by slope and curvature first, then exactly."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.problem import Problem
from ticketjax.seekers.exchange.activity import useful
from ticketjax.seekers.exchange.least import least
from ticketjax.seekers.exchange.neighbourhood import (
    Draws,
    Neighbourhood,
    Network,
    Pieces,
    below,
    segments,
)
from ticketjax.seekers.exchange.neurons import State, detours, replacements, state_of
from ticketjax.seekers.exchange.slopes import flips, loss_of, pulled_back, slope_and_root
from ticketjax.seekers.exchange.vectors import forward, outputs_of, sinks_of


class Samples(NamedTuple):
    """What a round screens changes with: x (inputs, n), y, and the weights (n,) of the errors."""

    x: jax.Array
    y: jax.Array
    weights: jax.Array


class Limits(NamedTuple):
    """What bounds a round.

    Args:
        size: how many prunable parameters a mask may have.
        heat: if it is not 0, the finalists are drawn, each with probability in proportion to
            exp(fall of the log loss per parameter / heat).
    """

    size: jax.Array | int
    heat: jax.Array | float


class _Look(NamedTuple):
    """The network on the samples, and what every single flip of a parameter would do to the loss.

    Args:
        state: of the network.
        outputs: (outputs, n).
        slope, root: of the loss by the outputs: its slope and the root of its curvature.
        own: (parameters,), the estimated change of the loss.
        changes: (parameters, n), what the neuron that the parameter feeds gives out more.
        reach: (neurons, n, outputs), the root by what neurons give out.
    """

    state: State
    outputs: jax.Array
    slope: jax.Array
    root: jax.Array
    own: jax.Array
    changes: jax.Array
    reach: jax.Array

    def effects(self, index: jax.Array) -> jax.Array:
        """What some flips do to the outputs, times the root of the loss's curvature."""
        sinks = jnp.asarray(sinks_of(self.state.network.sizes))[index]
        return (self.changes[index][:, :, None] * self.reach[sinks]).reshape(index.size, -1)


class _Additions(NamedTuple):
    """Changes that add something.

    Args:
        own: (changes,), the estimated change of the loss.
        effects: as in _Look.
        new: (changes,), how many parameters they add.
    """

    own: jax.Array
    effects: jax.Array
    new: jax.Array


class _Candidates(NamedTuple):
    """Masks to be evaluated.

    Args:
        masks: (candidates, parameters).
        more: (candidates,), how many parameters each adds, at least 1.
        possible: (candidates,), whether it is a possible one at all.
    """

    masks: jax.Array
    more: jax.Array
    possible: jax.Array


def _look(problem: Problem, network: Network, samples: Samples) -> _Look:
    sizes, theta, mask, *_ = network
    received, before = forward(theta * mask, samples.x, sizes)
    slope, root = slope_and_root(problem, before[-1], samples.y, samples.weights)
    by_outputs = jnp.concatenate([slope.T[:, :, None], jnp.swapaxes(root, 0, 1)], axis=2)
    pulled = pulled_back(theta * mask, before, sizes, by_outputs)
    pulls, reaches = [each[:, :, 0] for each in pulled], [each[:, :, 1:] for each in pulled]
    pull, reach = jnp.concatenate(pulls), jnp.concatenate(reaches)
    sinks = jnp.asarray(sinks_of(sizes))
    changes = flips(theta, mask, received, before, sizes)
    own = jnp.sum(changes * pull[sinks] + 0.5 * changes**2 * jnp.sum(reach**2, -1)[sinks], axis=1)
    state = state_of(network, received, before, pulls, reaches)
    return _Look(state, before[-1], slope, root, own, changes, reach)


class _Leaving(NamedTuple):
    """The kept parameters that are missed least: where they are, and what it costs."""

    where: jax.Array
    own: jax.Array
    effects: jax.Array


def _leaving(look: _Look, count: int) -> _Leaving:
    _, _, mask, prunable, free = look.state.network
    removable = jnp.where(mask & prunable & free, look.own, jnp.inf)
    own, where = least(removable, min(count, look.own.size))
    return _Leaving(where, own, look.effects(where))


def _screen(
    network: Network, leaving: _Leaving, size: jax.Array | int, additions: _Additions, most: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Estimates of additions (infinite where impossible), what leaves for each, and what each adds.

    most: how many parameters may leave for one.
    """
    own, effects, new = additions
    most = min(most, leaving.where.size)
    count = jnp.sum(network.mask & network.prunable)
    removed = jnp.maximum(count + new - size, 0)
    estimate, out = own, jnp.zeros((own.size, 0), jnp.int32)
    if most > 0:
        together = jnp.matmul(effects, leaving.effects.T) + leaving.own[None]
        losses, which = least(together, most)
        # The last room, too small for a path: were it only added to, the search could stand still
        # although an exchange is better.
        last = (new == 1) & (count + 1 == size)
        removed = jnp.where(last & (losses[:, 0] < 0), 1, removed)
        leaves = jnp.arange(most)[None] < removed[:, None]
        estimate = own + jnp.sum(jnp.where(leaves, losses, 0.0), 1)
        out = jnp.where(leaves, leaving.where[which], network.mask.size)
    return jnp.where(removed <= most, estimate, jnp.inf), out, jnp.maximum(new - removed, 1)


def _best(
    masks: jax.Array, screened: tuple[jax.Array, jax.Array, jax.Array], wanted: int
) -> _Candidates:
    """The most promising of some masks, without what leaves for what they add."""
    estimate, out, more = screened
    _, chosen = least(estimate / more, min(wanted, estimate.size))
    # Beyond the last parameter is none.
    masks = jax.vmap(lambda mask, gone: mask.at[gone].set(False, mode="drop"))(
        masks[chosen], out[chosen]
    )
    return _Candidates(masks, more[chosen], (estimate < jnp.inf)[chosen])


def _singles(look: _Look, drawn: jax.Array, around: Neighbourhood) -> tuple[jax.Array, _Additions]:
    """Single parameters to add: the best and others at random."""
    _, _, mask, prunable, free = look.state.network
    own = jnp.where(prunable & ~mask & free, look.own, jnp.inf)
    _, best = least(own, min(around.singles // 2, own.size))
    index = jnp.concatenate([best, below(drawn, own.size)])
    return index, _Additions(own[index], look.effects(index), jnp.ones(index.size, jnp.int32))


def _pieces(
    problem: Problem, look: _Look, samples: Samples, draws: Pieces, around: Neighbourhood
) -> tuple[jax.Array, _Additions]:
    """Masks with a piece of path or another neuron, and what they add."""
    network = look.state.network
    sizes, theta, mask, prunable, _ = network
    # With nothing added as well: what is above the limit has to go.
    masks = jnp.concatenate([segments(draws, network, look.state.received), mask[None]])
    if len(sizes) > 2 and around.detours:
        longer = detours(look.state, around.detours, problem.prune_bias)
        masks = jnp.concatenate([masks, longer])
    if len(sizes) > 2 and around.replacements:
        masks = jnp.concatenate([masks, replacements(look.state, around.replacements)])
    moved = jax.vmap(lambda m: outputs_of(theta * m, samples.x, sizes))(masks)
    moved = jnp.swapaxes(moved - look.outputs[None], 1, 2)
    effects = jnp.einsum("bno,nop->bnp", moved, look.root).reshape(masks.shape[0], -1)
    own = jnp.sum(moved * look.slope[None], (1, 2)) + 0.5 * jnp.sum(effects**2, 1)
    # The scale of the outputs is held in an estimate. Where a change is so large that it has to be
    # another one, as with the first paths, the best may look bad: so some are taken untested.
    untested = jnp.arange(masks.shape[0]) < around.candidates // 4
    own = jnp.where(untested & jnp.isfinite(own), -jnp.inf, own)
    new = jnp.sum(masks & prunable[None], 1) - jnp.sum(mask & prunable)
    return masks, _Additions(own, effects, new.astype(jnp.int32))


def improve(
    problem: Problem,
    network: Network,
    samples: Samples,
    limits: Limits,
    draws: Draws,
    around: Neighbourhood,
) -> tuple[jax.Array, jax.Array]:
    """The best changes of a neighbourhood.

    Args:
        problem: whose loss is to fall.
        network: the narrow one of the round.
        samples: to screen with.
        limits: of the round.
        draws: its random numbers.
        around: the neighbourhood.

    Returns:
        Masks, (finalists, parameters), and how many parameters each adds: infinitely many for what
        is impossible or changes nothing.
    """
    sizes, theta, mask, prunable, _ = network
    look = _look(problem, network, samples)
    leaving = _leaving(look, around.leaving)
    index, additions = _singles(look, draws.singles, around)
    screened = _screen(network, leaving, limits.size, additions, min(around.removals, 1))
    added = jax.vmap(lambda one: mask.at[one].set(True))(index)
    wanted = max(around.candidates // 2, 1)
    first = _best(added, screened, wanted)
    pieces, additions = _pieces(problem, look, samples, draws.pieces, around)
    screened = _screen(network, leaving, limits.size, additions, around.removals)
    second = _best(pieces, screened, max(around.candidates - wanted, 1))
    both = zip(first, second, strict=True)
    masks, more, possible = (jnp.concatenate(pair) for pair in both)

    masks = jax.vmap(lambda m: useful(m, sizes, prunable))(masks)
    results = jax.vmap(lambda m: outputs_of(theta * m, samples.x, sizes))(masks)
    losses = jax.vmap(lambda result: loss_of(problem, result, samples.y, samples.weights))(results)
    now = loss_of(problem, look.outputs, samples.y, samples.weights)
    # What changes nothing would stand in the way of a slightly worse move that is accepted.
    more = jnp.where(possible & (losses != now), more.astype(jnp.float32), jnp.inf)
    # The largest of values with Gumbel noise is drawn in proportion to their exponentials.
    noise = -jnp.log(jnp.maximum(-jnp.log1p(-draws.noise[: losses.size]), 1e-30))
    worth = (jnp.log(now) - jnp.log(losses)) / more + limits.heat * noise
    # NaN would be the best of all.
    worth = jnp.where(jnp.isfinite(losses) & jnp.isfinite(more), worth, -jnp.inf)
    _, best = least(-worth, min(around.finalists, worth.size))
    return masks[best], jnp.where(worth[best] > -jnp.inf, more[best], jnp.inf)
