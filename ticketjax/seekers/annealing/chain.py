"""A chain of masks: each proposal is accepted by Metropolis' rule, and the best one met is kept."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, Tree
from ticketjax.masks import full_mask
from ticketjax.objective import output_scale
from ticketjax.problem import Problem
from ticketjax.seekers.annealing.evaluation import (
    Energy,
    Look,
    Proposals,
    changes_of,
    energy_of,
    forward,
    judge,
    losses_of,
)
from ticketjax.seekers.annealing.moves import (
    NUMBERS,
    State,
    choices_of,
    counts_of,
    grids_of,
    propose,
)
from ticketjax.seekers.annealing.neurons import Neurons, most_connected, places_of, redrawn
from ticketjax.seekers.annealing.samples import samples_of
from ticketjax.seekers.annealing.tempering import exchanged
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.exchange.activity import active_neurons, fill, useful
from ticketjax.seekers.exchange.vectors import (
    biases_of,
    check_dense,
    flatten,
    prunable_of,
    sizes_of,
    starts_of,
    unflatten,
)

# The smooth error's inverse temperature, in parts of that which fits the cross entropy best.
SHARPNESS = 3.0


class Schedule(NamedTuple):
    """How a chain runs.

    Args:
        steps: of the chain; in each, the neurons that are not in use are drawn anew.
        proposals: of a step, for each layer.
        batch: how many of them are evaluated at once; 1 for one after the other, of any layer.
        width: neurons of a hidden layer at once, those in use and others.
        temperatures: (steps,) float32 of the energy.
        smooth: (steps,) bool, whether a classification's energy is the smooth error.
        bins, part: as in samples_of().
        exchanges: whether chains exchange their masks after each step, under a vmap over
            tempering.AXIS; their temperatures differ.
    """

    steps: int
    proposals: int
    batch: int
    width: int
    temperatures: jax.Array
    smooth: jax.Array
    bins: int
    part: int
    exchanges: bool = False
    engine: str = "xla"


class _Task(NamedTuple):
    """What does not change in a chain; parameters as vectors, of the whole and the narrow network.

    Args:
        sizes, narrow: neurons of the layers.
        theta: (parameters,).
        prunable, narrow_prunable: which parameters are.
        size: () how many of them to keep.
        energy: what is lowered.
    """

    sizes: tuple[int, ...]
    narrow: tuple[int, ...]
    theta: jax.Array
    prunable: jax.Array
    narrow_prunable: jax.Array
    size: jax.Array | int
    energy: Energy


class _Mask(NamedTuple):
    """A mask of the narrow network.

    Args:
        neurons: of the narrow network.
        kept: (narrow parameters,) bool.
        energy: ().
    """

    neurons: Neurons
    kept: jax.Array
    energy: jax.Array


class _Chain(NamedTuple):
    """Where a chain is.

    Args:
        now, best: its mask, and the best one until now.
        scale: () inverse temperature of the logits.
        accepted: () int32, how many proposals were.
    """

    now: _Mask
    best: _Mask
    scale: jax.Array
    accepted: jax.Array


def _choose(first: jax.Array, one: _Mask, other: _Mask) -> _Mask:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)


def _task_of(problem: Problem, size: jax.Array | int, schedule: Schedule) -> _Task:
    check_dense(problem, "annealed")
    seen = problem.view(problem.params)
    sizes, biases = sizes_of(seen), biases_of(seen)
    narrow = (sizes[0], *(min(schedule.width, n) for n in sizes[1:-1]), sizes[-1])
    prunable, narrow_prunable = (
        jnp.asarray(prunable_of(each, biases, problem.prune_bias)) for each in (sizes, narrow)
    )
    energy = Energy(
        problem.kind == CLASSIFICATION,
        problem.objective == "rescaled",
        samples_of(problem, schedule.bins, schedule.part),
    )
    return _Task(sizes, narrow, flatten(seen), prunable, narrow_prunable, size, energy)


def _fitted_scale(task: _Task, outputs: jax.Array) -> jax.Array:
    """The inverse temperature that fits the labels best; outputs (parts, outputs, n)."""
    if not task.energy.rescaled:
        return jnp.float32(1.0)
    logits = outputs.transpose(0, 2, 1).reshape(-1, outputs.shape[1])
    samples = task.energy.samples
    return output_scale(CLASSIFICATION, logits, samples.y.ravel(), samples.weights.ravel())


def _refreshed(
    task: _Task, chain: _Chain, u: jax.Array, smooth: jax.Array, turns: jax.Array
) -> tuple[_Chain, Look]:
    """The chain with other neurons beside the active ones, its scale fitted, its energy exact.

    turns: whether the energy becomes another one; then the best mask is the one to go on with.
    """
    now = _choose(turns & (chain.best.energy < jnp.inf), chain.best, chain.now)
    kept = useful(now.kept, task.narrow, task.narrow_prunable)
    neurons = redrawn(u, now.neurons, active_neurons(kept, task.narrow), task.sizes)
    theta = task.theta[places_of(neurons, task.sizes)]
    weights = [weight[None] for weight in grids_of(theta * kept, task.narrow)]
    x = task.energy.samples.x
    before = forward(weights, x)
    scale = chain.scale
    if task.energy.classifies:
        fitted = _fitted_scale(task, before[-1])
        scale = jnp.where(smooth, jnp.where(turns, SHARPNESS * fitted, scale), fitted)
    losses = losses_of(task.energy, before[-1], scale, smooth)
    now = _Mask(neurons, kept, energy_of(task.energy, before[-1], losses))
    fresh = turns | ~(chain.best.energy < jnp.inf)
    chain = _Chain(now, _choose(fresh, now, chain.best), scale, chain.accepted)
    return chain, Look(theta, [x, *before], losses, scale, smooth)


def _batch(
    task: _Task,
    level: int,
    chain: _Chain,
    look: Look,
    u: jax.Array,
    temperature: jax.Array,
    first: jax.Array,
    counts: dict[str, int],
) -> tuple[_Chain, Look]:
    """A batch of proposals for a layer and those after it: at most one is accepted.

    u: (batch, NUMBERS); counts: how many are of which kind.
    """
    start, sizes = starts_of(task.narrow)[level].kernel, task.narrow[level:]
    now = chain.now
    room = task.size - jnp.sum(now.kept & task.narrow_prunable)
    state = State(sizes, now.kept[start:], task.narrow_prunable[start:], room)
    masks, possible = propose(u, state, active_neurons(now.kept, task.narrow)[level], counts)
    theta = look.theta[start:]
    weights, changes, few = changes_of(theta, masks, state.mask, sizes)
    rises = -temperature * jnp.log1p(-u[:, -2])
    proposals = Proposals(weights, changes, possible & few, rises, u[:, -1])
    verdict = judge(task.energy, look, level, proposals, now.energy, first)

    def accept() -> tuple[_Chain, Look]:
        chosen = masks[verdict.chosen]
        mask = _Mask(now.neurons, now.kept.at[start:].set(chosen), now.energy + verdict.rise)
        best = _choose(mask.energy < chain.best.energy, mask, chain.best)
        later = forward(
            [weight[None] for weight in grids_of(theta * chosen, sizes)], look.received(level)
        )
        losses = losses_of(task.energy, later[-1], look.scale, look.smooth)
        new_look = look._replace(before=[*look.before[: level + 1], *later], losses=losses)
        return _Chain(mask, best, chain.scale, chain.accepted + 1), new_look

    if not task.energy.classifies:
        return jax.lax.cond(verdict.accepted, accept, lambda: (chain, look))
    # All data take their time, and a cond under vmap computes both of its branches: so it is a loop
    # of one round or none.
    _, after = jax.lax.while_loop(
        lambda carry: carry[0],
        lambda _: (jnp.bool(False), accept()),
        (verdict.accepted, (chain, look)),
    )
    return after


def _one(
    task: _Task,
    chain: _Chain,
    look: Look,
    u: jax.Array,
    temperature: jax.Array,
    first: jax.Array,
) -> tuple[_Chain, Look]:
    """A proposal on its own, of a random kind and layer; u: (NUMBERS,)."""
    choices, ends = choices_of(len(task.narrow) - 1)

    def of_choice(name: str, level: int) -> Callable[..., tuple[_Chain, Look]]:
        return lambda chain, look: _batch(
            task, level, chain, look, u[None], temperature, first, {name: 1}
        )

    branches = [of_choice(name, level) for name, level in choices]
    chosen = jnp.sum(u[-1] >= ends[:-1], dtype=jnp.int32)
    return jax.lax.switch(chosen, branches, chain, look)


def _by_numba(
    task: _Task,
    chain: _Chain,
    look: Look,
    u: jax.Array,
    temperature: jax.Array,
    number: jax.Array,
) -> _Chain:
    """The sweeps of a step, compiled by Numba instead of XLA."""
    from ticketjax.seekers.annealing.compiled.sweep import swept

    now, best = chain.now, chain.best
    kept, energy, found, least, accepted = swept(
        task.narrow, task.energy, look.theta, task.narrow_prunable, task.size,
        (look.scale, look.smooth), (now.kept, now.energy, best.energy), u, temperature, number,
    )  # fmt: skip
    best = _choose(least < best.energy, _Mask(now.neurons, found, least), best)
    return _Chain(_Mask(now.neurons, kept, energy), best, chain.scale, chain.accepted + accepted)


def _empty(problem: Problem) -> Tree:
    """The view of a mask that keeps nothing but biases that are not prunable."""
    return {
        name: {
            part: jnp.full(leaf.shape, part == "bias" and not problem.prune_bias)
            for part, leaf in layer.items()
        }
        for name, layer in problem.view(problem.params).items()
    }


def _paths(sizes: tuple[int, ...], size: jax.Array | int) -> jax.Array:
    """Paths without a neuron in common, through the first neurons of every hidden layer."""
    levels = len(sizes) - 1
    count = jnp.minimum(size // levels, min(sizes[1:-1], default=1))
    grids = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        source, sink = jnp.arange(n_in + 1)[:, None], jnp.arange(n_out)[None]
        path = jnp.arange(max(sizes))[:, None, None]
        on = (path % n_in == source[None]) & (path % n_out == sink[None]) & (path < count)
        grids.append(jnp.any(on, axis=0).ravel())
    return jnp.concatenate(grids)


def anneal(
    problem: Problem, mask: Tree | None, size: jax.Array | int, key: jax.Array, schedule: Schedule
) -> tuple[Tree, dict[str, Any]]:
    """The best mask of `size` prunable parameters that a chain meets, from a given one.

    Args:
        problem: of a network of dense layers one after the other, with ReLU between.
        mask: to start from, of at most `size` prunable parameters; a tree like the problem's. None
            for random paths that have no neuron in common, as many as the budget and the narrow
            network hold.
        size: may be traced.
        key: of the random numbers.
        schedule: of the chain.

    Returns:
        A mask that keeps exactly `size`, what changes nothing filling up what is left; and the
        entries of Found.info.

    Raises:
        ValueError: another network; the message names the layer.
    """
    task = _task_of(problem, size, schedule)
    levels, hidden = len(task.narrow) - 1, sum(task.sizes[1:-1])
    sweeps = max(1, round(schedule.proposals / schedule.batch))
    parts = task.energy.samples.weights.shape[0]
    empty = problem.restore(_empty(problem), full_mask(problem.params))
    given = problem.view(empty if mask is None else mask)
    begin = useful(flatten(given) != 0, task.sizes, task.prunable)

    def widened(chain: _Chain) -> jax.Array:
        places = places_of(chain.best.neurons, task.sizes)
        whole = jnp.zeros(begin.size, bool).at[places].set(chain.best.kept)
        return jnp.where(task.prunable, useful(whole, task.sizes, task.prunable), begin)

    def step(carry: tuple, inputs: tuple) -> tuple[tuple, tuple[jax.Array, jax.Array]]:
        chain, checkpoints = carry
        number, temperature, smooth, turns = inputs
        shape = (sweeps, levels, schedule.batch, NUMBERS)
        count = hidden + math.prod(shape)
        u = jax.random.uniform(jax.random.fold_in(key, number), (count,), jnp.float32)

        def sweep(carry: tuple[_Chain, Look], inputs: tuple) -> tuple:
            u, i = inputs
            if schedule.batch == 1:

                def one(carry: tuple[_Chain, Look], inputs: tuple) -> tuple:
                    return _one(task, *carry, inputs[0], temperature, inputs[1]), None

                firsts = (i * levels + jnp.arange(levels)) % parts
                return jax.lax.scan(one, carry, (u[:, 0], firsts))
            for level in range(levels):
                first = (i * levels + level) % parts
                counts = counts_of(schedule.batch, level < levels - 1)
                carry = _batch(task, level, *carry, u[level], temperature, first, counts)
            return carry, None

        carry = _refreshed(task, chain, u[:hidden], smooth, turns)
        if schedule.engine == "numba":
            chain = _by_numba(task, *carry, u[hidden:].reshape(shape), temperature, number * sweeps)
        else:
            numbers = number * sweeps + jnp.arange(sweeps, dtype=jnp.int32)
            (chain, _), _ = jax.lax.scan(sweep, carry, (u[hidden:].reshape(shape), numbers))
        if schedule.exchanges:
            one = jax.random.uniform(jax.random.fold_in(exchange_key, number))
            mine = (chain.now, chain.scale)
            now, scale = exchanged(one, mine, chain.now.energy, temperature, number % 2)
            chain = chain._replace(now=now, scale=scale)
        checkpoints = with_checkpoint(
            checkpoints, number + 1, schedule.steps, lambda: widened(chain)
        )
        return (chain, checkpoints), (chain.now.energy, chain.accepted)

    start_key, key = jax.random.split(key)
    exchange_key = jax.random.fold_in(start_key, 0)
    u = jax.random.uniform(start_key, (hidden,), jnp.float32)
    neurons = most_connected(u, begin, task.sizes, task.narrow)
    infinite = jnp.float32(jnp.inf)
    kept = begin[places_of(neurons, task.sizes)]
    if mask is None:
        kept |= _paths(task.narrow, size) & task.narrow_prunable
    first = _Mask(neurons, kept, infinite)
    chain = _Chain(first, first, jnp.float32(1.0), jnp.int32(0))
    numbers = jnp.arange(schedule.steps, dtype=jnp.int32)
    turns = jnp.diff(schedule.smooth.astype(jnp.int32), prepend=0) > 0
    (chain, checkpoints), (energies, accepted) = jax.lax.scan(
        step,
        (chain, no_checkpoints(begin, schedule.steps)),
        (numbers, schedule.temperatures, schedule.smooth, turns),
    )

    def filled(flat: jax.Array) -> Tree:
        whole = fill(flat, size, task.prunable, task.sizes)
        return problem.restore(unflatten(whole, given), empty)

    info: dict[str, Any] = {"energies": energies, "accepted": accepted}
    return filled(widened(chain)), info | as_info(jax.vmap(filled)(checkpoints), schedule.steps)
