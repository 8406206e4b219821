"""The sweeps of a step, on the host: the same chain as in XLA, which evaluates whole batches."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.seekers.annealing.compiled.callback import call_on_host
from ticketjax.seekers.annealing.compiled.compiling import compiled, inlined
from ticketjax.seekers.annealing.compiled.energies import log_error, sample_losses
from ticketjax.seekers.annealing.compiled.network import (
    ROW,
    compute_all,
    empty_plan,
    evaluate,
    find_ends,
    find_links,
    plan_changes,
    take_outputs,
    update_links,
)
from ticketjax.seekers.annealing.compiled.proposals import (
    NONE,
    changes_few,
    find_active,
    find_entering,
    find_leaving,
    find_live,
    kinds_of,
    numbered_choices,
    pick,
    propose,
    settle,
)
from ticketjax.seekers.annealing.evaluation import DOUBT, Energy
from ticketjax.seekers.annealing.moves import MOST_LEAVING, NUMBERS
from ticketjax.seekers.exchange.vectors import starts_of


@compiled
def _starting(network, theta, kept, samples, loss):
    """The network on the samples: its neurons, those of a proposal, and the losses of both."""
    sizes, _, offsets, _ = network
    x, y, weights = samples
    parts, n, layers = x.shape[0], x.shape[2], sizes.size - 1
    # Each array on its own: Numba takes what is unpacked from an array for not contiguous.
    before = np.zeros((parts, offsets[-1], n), np.float32)
    fresh = np.empty((parts, offsets[-1], n), np.float32)
    losses = np.zeros((parts, n), np.float32)
    new_losses = np.empty((parts, n), np.float32)
    outputs = np.empty((sizes[layers], n), np.float32)
    unchanged = np.zeros(offsets[-1], np.bool_)
    rooms, powers = np.empty((2, n), np.float32), np.empty(n, np.int32)
    classifies, _, scale, smooth = loss
    for part in range(parts):
        before[part, : sizes[0]] = x[part]
        compute_all(network, theta, kept, before, part)
        if classifies:
            take_outputs(before, fresh, part, unchanged, offsets[layers], outputs)
            sample_losses(outputs, y[part], scale, smooth, rooms, powers, losses[part])
    return before, fresh, losses, new_losses, outputs, rooms, powers


@inlined
def _rise(network, samples, loss, values, losses, new_losses, planned, dirty, first, energy, most):
    """By how much the energy rises for a planned proposal; infinity if certainly too much.

    Args:
        losses, new_losses: (parts, n) of the mask, and room for those of the proposal.
        planned: the list of the neurons that change, and their number.
        dirty: (rows,) which of all they are.
        first: the part to begin with.
        energy: of the mask.
        most: by how much it may rise.
    """
    sizes, _, offsets, _ = network
    x, y, weights = samples
    classifies, rescaled, scale, smooth = loss
    before, fresh, outputs, rooms, powers = values
    plan, count = planned
    parts, last = x.shape[0], offsets[sizes.size - 1]
    seen, sums, squares, mean = 0.0, 0.0, 0.0, 0.0
    for k in range(parts):
        part = (first + k) % parts
        evaluate(plan, count, True, offsets, before, fresh, part)
        take_outputs(before, fresh, part, dirty, last, outputs)
        if not classifies:
            return log_error(outputs, y, weights[0], rescaled) - energy
        new = new_losses[part]
        sample_losses(outputs, y[part], scale, smooth, rooms, powers, new)
        old, weight = losses[part], weights[part]
        number, one, two = np.float32(0), np.float32(0), np.float32(0)
        for i in range(new.size):
            change = new[i] - old[i]
            number += weight[i]
            one += weight[i] * change
            two += weight[i] * change * change
        seen, sums, squares = seen + float(number), sums + float(one), squares + float(two)
        mean = sums / seen
        variance = max(squares / seen - mean * mean, 0.0)
        if k < parts - 1 and not mean - DOUBT * math.sqrt(variance / seen) <= most:
            return np.inf
    return mean


@inlined
def _attempt(kind, drawn, level, first, problem, state, drawn_from, scratch, temperature):
    """Make a proposal, and accept it by Metropolis' rule.

    Args:
        kind, level: of the proposal, and the first layer that it changes.
        drawn: (NUMBERS,).
        first: the part of a classification's data to begin with.
        problem: network, theta, may, samples, loss, as sweep() takes them.
        state: kept, its links, trial, which is equal; what _starting() makes; the energy, and room,
            how many more prunable parameters there may be.
        drawn_from: live neurons; leaving and entering, lists of places with their numbers.
        scratch: what _scratch() makes.

    Returns:
        Whether it is accepted, the energy and the room then, and how many places are other ones:
        the first of scratch's `touched`.
    """
    network, theta, may, samples, loss = problem
    kept, links, trial, values, energy, room = state
    live, leaving, n_leaving, entering, n_entering = drawn_from
    plan, gone, touched, marked, dirty = scratch
    before, fresh, losses, new_losses, outputs, rooms, powers = values
    offsets, ends = network[2], network[3]
    for i in range(1 + MOST_LEAVING):
        gone[i] = leaving[pick(drawn[i], n_leaving)] if n_leaving else NONE
    new = entering[pick(drawn[1 + MOST_LEAVING], n_entering)] if n_entering else NONE
    count = propose(
        kind, drawn, level, network, links, kept, may, live, gone, new, room, trial, touched
    )
    changed, more = settle(kept, may, trial, touched, count)
    rise, accepts, count = 0.0, False, 0
    if changed > 0 and more <= room and changes_few(level, network, touched, changed, marked):
        count = plan_changes(
            level, network, theta, kept, links, trial, touched, changed, plan, dirty
        )
        highest = np.float32(-temperature * math.log1p(-drawn[NUMBERS - 2]))
        rise = _rise(
            network, samples, loss, (before, fresh, outputs, rooms, powers), losses, new_losses,
            (plan, count), dirty, first, energy, highest,
        )  # fmt: skip
        accepts = rise <= highest
    for q in range(count):
        dirty[plan[0][ROW, q]] = False
    if not accepts:
        for i in range(changed):
            trial[touched[i]] = kept[touched[i]]
        return False, energy, room, 0
    for part in range(before.shape[0]):
        evaluate(plan, count, False, offsets, before, fresh, part)
        for q in range(count):
            row = plan[0][ROW, q]
            before[part, row] = fresh[part, row]
    losses[:] = new_losses
    for i in range(changed):
        kept[touched[i]] = trial[touched[i]]
    update_links(ends, links, kept, touched, changed)
    return True, energy + rise, room - more, changed


@compiled
def _scratch(network, parameters):
    """Room for a proposal: a plan, places that leave, places that change, and marks."""
    sizes, neurons = network[0], network[2][-1]
    return (
        empty_plan(sizes.size - 1, max(sizes) + 1, parameters),
        np.empty(1 + MOST_LEAVING, np.int64),
        np.empty(4 * parameters, np.int64),
        np.zeros(neurons, np.bool_),
        np.zeros(neurons, np.bool_),
    )


@compiled
def sweep(network, theta, may, kept, size, samples, loss, energy, least, temperature, u, kinds,
          number):  # fmt: skip
    """Make the proposals of a step, in batches; those after an accepted one are discarded.

    Args:
        network: of the narrow network: sizes (layers + 1,); starts (layers,) of each layer's
            parameters; offsets (layers + 2,) of each layer's neurons among the rows of all.
        theta, may, kept: (parameters,) values, which are prunable, the mask.
        size: how many prunable ones to keep at most.
        samples: x (parts, inputs, n); y (parts, n) labels, or (outputs, n) targets; weights
            (parts, n).
        loss: classifies, rescaled, scale, smooth, as in evaluation.Energy and Look.
        energy, least: of the mask, and of the best one.
        temperature: of the step.
        u: (sweeps, layers, batch, NUMBERS).
        kinds: of a batch, kinds_of().
        number: of the first sweep.

    Returns:
        The mask and its energy; the best one of this step, if its energy is below `least`, and the
        least energy; how many proposals were accepted.
    """
    sizes, starts, offsets = network
    network = sizes, starts, offsets, find_ends(sizes, starts, offsets)
    layers, parts, most = sizes.size - 1, samples[0].shape[0], max(sizes) + 1
    kept, trial, best = kept.copy(), kept.copy(), kept.copy()
    values = _starting(network, theta, kept, samples, loss)
    problem = network, theta, may, samples, loss
    active = np.zeros((layers + 1, most), np.bool_)
    live = np.zeros((layers + 1, most), np.bool_)
    leaving, entering = np.empty(kept.size, np.int64), np.empty(kept.size, np.int64)
    scratch, links = _scratch(network, kept.size), find_links(network, kept)
    members = np.empty(most, np.int64)
    accepted, room = 0, size - np.sum(kept & may)
    for s in range(u.shape[0]):
        for level in range(layers):
            first = ((number + s) * layers + level) % parts
            batch, own_kinds = u[s, level], kinds[int(level < layers - 1)]
            find_active(kept, network, links, active)
            find_live(kept, network, links, level, active, live)
            n_leaving = find_leaving(kept, may, starts[level], leaving)
            n_entering = find_entering(kept, may, sizes, starts, level, live, members, entering)
            drawn_from = live, leaving, n_leaving, entering, n_entering
            for b in np.argsort(batch[:, NUMBERS - 1]):
                accepts, energy, room, _ = _attempt(
                    own_kinds[b], batch[b], level, first, problem,
                    (kept, links, trial, values, energy, room), drawn_from, scratch, temperature,
                )  # fmt: skip
                if accepts:
                    accepted += 1
                    if energy < least:
                        least = energy
                        best[:] = kept
                    break
    return kept, energy, best, least, accepted


@compiled
def _update_leaving(leaving, count, kept, may, touched, changed):
    """Keep the list of the kept prunable places in order; returns their number."""
    for i in range(changed):
        place = touched[i]
        if not may[place]:
            continue
        at = np.searchsorted(leaving[:count], place)
        if kept[place]:
            for k in range(count, at, -1):
                leaving[k] = leaving[k - 1]
            leaving[at] = place
            count += 1
        else:
            count -= 1
            for k in range(at, count):
                leaving[k] = leaving[k + 1]
    return count


@compiled
def sequence(network, theta, may, kept, size, samples, loss, energy, least, temperature, u, choices,
             number):  # fmt: skip
    """Make the proposals of a step one after the other, each from what the last one left.

    Args:
        u: (proposals, NUMBERS).
        choices: kinds, layers and where their shares end, as numbered_choices() makes them.
        number: of the first proposal.
        network, theta, may, kept, size, samples, loss, energy, least, temperature: as in sweep().

    Returns:
        As sweep() does.
    """
    sizes, starts, offsets = network
    network = sizes, starts, offsets, find_ends(sizes, starts, offsets)
    layers, parts, most = sizes.size - 1, samples[0].shape[0], max(sizes) + 1
    kept, trial, best = kept.copy(), kept.copy(), kept.copy()
    values = _starting(network, theta, kept, samples, loss)
    problem = network, theta, may, samples, loss
    active = np.zeros((layers + 1, most), np.bool_)
    live = np.zeros((layers, layers + 1, most), np.bool_)
    leaving, entering = np.empty(kept.size, np.int64), np.empty(kept.size, np.int64)
    scratch, links = _scratch(network, kept.size), find_links(network, kept)
    members, before_level = np.empty(most, np.int64), np.empty(layers, np.int64)
    kinds, levels, ends = choices
    n_leaving, n_entering = find_leaving(kept, may, 0, leaving), 0
    accepted, room, is_stale = 0, size - n_leaving, True
    for i in range(u.shape[0]):
        if is_stale:
            find_active(kept, network, links, active)
            for level in range(layers):
                find_live(kept, network, links, level, active, live[level])
                before_level[level] = np.searchsorted(leaving[:n_leaving], starts[level])
            n_entering = find_entering(kept, may, sizes, starts, 0, live[0], members, entering)
            is_stale = False
        choice = np.searchsorted(ends[:-1], u[i, NUMBERS - 1], side="right")
        level = levels[choice]
        begin = before_level[level]
        drawn_from = live[level], leaving[begin:], n_leaving - begin, entering, n_entering
        is_stale, energy, room, changed = _attempt(
            kinds[choice], u[i], level, (number + i) % parts, problem,
            (kept, links, trial, values, energy, room), drawn_from, scratch, temperature,
        )  # fmt: skip
        if is_stale:
            accepted += 1
            n_leaving = _update_leaving(leaving, n_leaving, kept, may, scratch[2], changed)
            if energy < least:
                least = energy
                best[:] = kept
    return kept, energy, best, least, accepted


def swept(
    sizes: tuple[int, ...],
    energy: Energy,
    theta: jax.Array,
    prunable: jax.Array,
    size: jax.Array | int,
    look: tuple[jax.Array, jax.Array],
    mask: tuple[jax.Array, jax.Array, jax.Array],
    u: jax.Array,
    temperature: jax.Array,
    number: jax.Array,
) -> tuple[jax.Array, ...]:
    """sweep(), or sequence() for batches of one, as a callback of a program.

    Under vmap, one network follows the other.

    Args:
        sizes: neurons of the narrow network's layers.
        energy: what is lowered.
        theta, prunable, size, u, temperature, number: as sweep() takes them.
        look: scale and smooth.
        mask: what is kept, its energy, and the least energy until now.

    Returns:
        As sweep() does.
    """
    starts = np.array([start.kernel for start in starts_of(sizes)])
    network = np.array(sizes), starts, np.cumsum([0, *sizes])
    samples, batch = energy.samples, u.shape[2]
    run, what = (
        (sequence, numbered_choices(len(sizes) - 1)) if batch == 1 else (sweep, kinds_of(batch))
    )

    def on_host(theta, prunable, size, scale, smooth, kept, now, least, x, y, weights, temperature,
                u, number):  # fmt: skip
        if batch == 1:
            u, number = u.reshape(-1, NUMBERS), number * u.shape[1]
        kept, now, best, least, accepted = run(
            network, theta, prunable, kept, int(size), (x, y, weights),
            (energy.classifies, energy.rescaled, scale, bool(smooth)), float(now), float(least),
            float(temperature), u, what, int(number),
        )  # fmt: skip
        return kept, np.float32(now), best, np.float32(least), np.int32(accepted)

    vector = jax.ShapeDtypeStruct(theta.shape, jnp.bool_)
    real = jax.ShapeDtypeStruct((), jnp.float32)
    return call_on_host(
        on_host,
        (vector, real, vector, real, jax.ShapeDtypeStruct((), jnp.int32)),
        theta, prunable, size, *look, *mask, samples.x,
        samples.y if energy.classifies else samples.y[0], samples.weights, temperature, u, number,
    )  # fmt: skip
