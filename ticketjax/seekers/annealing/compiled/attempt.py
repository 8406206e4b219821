"""A proposal: made, evaluated part by part until it is certainly too bad, and accepted or not."""

import math

import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled, inlined
from ticketjax.seekers.annealing.compiled.energies import log_error, sample_losses
from ticketjax.seekers.annealing.compiled.network import (
    ROW,
    compute_all,
    empty_plan,
    evaluate,
    plan_changes,
    take_outputs,
    update_links,
)
from ticketjax.seekers.annealing.compiled.proposals import (
    NONE,
    changes_few,
    pick,
    propose,
    settle,
)
from ticketjax.seekers.annealing.evaluation import DOUBT
from ticketjax.seekers.annealing.moves import MOST_LEAVING, NUMBERS


@compiled
def starting(network, theta, kept, samples, loss):
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
def attempt(kind, drawn, level, first, problem, state, drawn_from, scratch, temperature):
    """Make a proposal, and accept it by Metropolis' rule.

    Args:
        kind, level: of the proposal, and the first layer that it changes.
        drawn: (NUMBERS,).
        first: the part of a classification's data to begin with.
        problem: network, theta, may, samples, loss, as sweep.sweep() takes them.
        state: kept, its links, trial, which is equal; what starting() makes; the energy, and room,
            how many more prunable parameters there may be.
        drawn_from: live neurons; leaving and entering, lists of places with their numbers.
        scratch: what empty_scratch() makes.

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
def empty_scratch(network, parameters):
    """Room for a proposal: a plan, places that leave, places that change, and marks."""
    sizes, neurons = network[0], network[2][-1]
    return (
        empty_plan(sizes.size - 1, max(sizes) + 1, parameters),
        np.empty(1 + MOST_LEAVING, np.int64),
        np.empty(4 * parameters, np.int64),
        np.zeros(neurons, np.bool_),
        np.zeros(neurons, np.bool_),
    )
