"""The sweeps of a step, on the host: the same chain as in XLA, which evaluates whole batches."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled
from ticketjax.seekers.annealing.compiled.energies import log_error, sample_losses
from ticketjax.seekers.annealing.compiled.network import (
    compute_all,
    empty_links,
    empty_plan,
    evaluate,
    find_links,
    plan_changes,
    take_outputs,
)
from ticketjax.seekers.annealing.compiled.proposals import (
    NONE,
    changes_few,
    find_active,
    find_live,
    find_places,
    kinds_of,
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
    sizes, starts, offsets = network
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
        compute_all(sizes, starts, offsets, theta, kept, before[part])
        if classifies:
            take_outputs(before[part], fresh[part], unchanged, offsets[layers], outputs)
            sample_losses(outputs, y[part], scale, smooth, rooms, powers, losses[part])
    return before, fresh, losses, new_losses, outputs, rooms, powers


@compiled
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
    sizes, _, offsets = network
    x, y, weights = samples
    classifies, rescaled, scale, smooth = loss
    before, fresh, outputs, rooms, powers = values
    plan, count = planned
    parts, last = x.shape[0], offsets[sizes.size - 1]
    seen, sums, squares, mean = 0.0, 0.0, 0.0, 0.0
    for k in range(parts):
        part = (first + k) % parts
        evaluate(plan, count, True, offsets, before[part], fresh[part])
        take_outputs(before[part], fresh[part], dirty, last, outputs)
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


@compiled
def sweep(network, theta, may, kept, size, samples, loss, energy, least, temperature, u, kinds,
          number):  # fmt: skip
    """Make the proposals of a step.

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
    layers, parts, most = sizes.size - 1, samples[0].shape[0], max(sizes) + 1
    kept, trial, best = kept.copy(), kept.copy(), kept.copy()
    before, fresh, losses, new_losses, outputs, rooms, powers = _starting(
        network, theta, kept, samples, loss
    )
    values = before, fresh, outputs, rooms, powers
    active = np.zeros((layers + 1, most), np.bool_)
    live = np.zeros((layers + 1, most), np.bool_)
    leaving, entering = np.empty(kept.size, np.int64), np.empty(kept.size, np.int64)
    gone, touched = np.empty(1 + MOST_LEAVING, np.int64), np.empty(4 * kept.size, np.int64)
    marked, dirty = np.zeros(most, np.bool_), np.zeros(offsets[-1], np.bool_)
    plan, links = empty_plan(offsets[-1], kept.size), empty_links(offsets[-1], most)
    ends = np.empty((2, touched.size), np.int64)
    find_links(network, kept, links)
    accepted, room = 0, size - np.sum(kept & may)
    for s in range(u.shape[0]):
        for level in range(layers):
            first = ((number + s) * layers + level) % parts
            batch, own_kinds = u[s, level], kinds[int(level < layers - 1)]
            find_active(kept, sizes, starts, active)
            find_live(kept, sizes, starts, level, active, live)
            n_leaving, n_entering = find_places(
                kept, may, sizes, starts, level, live, leaving, entering
            )
            for b in np.argsort(batch[:, NUMBERS - 1]):
                drawn = batch[b]
                for i in range(1 + MOST_LEAVING):
                    gone[i] = leaving[pick(drawn[i], n_leaving)] if n_leaving else NONE
                new = entering[pick(drawn[1 + MOST_LEAVING], n_entering)] if n_entering else NONE
                count = propose(
                    own_kinds[b], drawn, level, sizes, starts, kept, may, live, gone, new, room,
                    trial, touched,
                )  # fmt: skip
                changed, more = settle(kept, may, trial, touched, count)
                rise, accepts, count = 0.0, False, 0
                if (
                    changed > 0
                    and more <= room
                    and changes_few(level, sizes, starts, touched, changed, marked)
                ):
                    count = plan_changes(
                        level, network, theta, kept, links, trial, touched, changed, ends, plan,
                        dirty,
                    )  # fmt: skip
                    highest = np.float32(-temperature * math.log1p(-drawn[NUMBERS - 2]))
                    rise = _rise(
                        network, samples, loss, values, losses, new_losses, (plan, count), dirty,
                        first, energy, highest,
                    )  # fmt: skip
                    accepts = rise <= highest
                if accepts:
                    for part in range(parts):
                        evaluate(plan, count, False, offsets, before[part], fresh[part])
                        for q in range(count):
                            row = plan[0][q]
                            before[part, row] = fresh[part, row]
                    losses, new_losses = new_losses, losses
                    energy += rise
                    accepted, room = accepted + 1, room - more
                for q in range(count):
                    dirty[plan[0][q]] = False
                for i in range(changed):
                    place = touched[i]
                    if accepts:
                        kept[place] = trial[place]
                    else:
                        trial[place] = kept[place]
                if accepts:
                    find_links(network, kept, links)
                    if energy < least:
                        least = energy
                        best[:] = kept
                    break
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
    """sweep() as a callback of a program, one network after the other under vmap.

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
    kinds, samples = kinds_of(u.shape[2]), energy.samples

    def on_host(*given: jax.Array) -> tuple[np.ndarray | np.generic, ...]:
        (theta, prunable, size, scale, smooth, kept, now, least, x, y, weights, temperature, u,
         number) = (np.asarray(array)[()] for array in given)  # fmt: skip
        kept, now, best, least, accepted = sweep(
            network, theta, prunable, kept, int(size), (x, y, weights),
            (energy.classifies, energy.rescaled, scale, bool(smooth)), float(now), float(least),
            float(temperature), u, kinds, int(number),
        )  # fmt: skip
        return kept, np.float32(now), best, np.float32(least), np.int32(accepted)

    vector = jax.ShapeDtypeStruct(theta.shape, jnp.bool_)
    real = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(
        on_host,
        (vector, real, vector, real, jax.ShapeDtypeStruct((), jnp.int32)),
        theta, prunable, size, *look, *mask, samples.x,
        samples.y if energy.classifies else samples.y[0], samples.weights, temperature, u, number,
        vmap_method="sequential",
    )  # fmt: skip
