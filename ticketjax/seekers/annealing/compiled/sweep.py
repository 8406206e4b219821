"""The proposals of a step, on the host: the same chain as in XLA, which evaluates whole batches."""

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.seekers.annealing.compiled.attempt import attempt, empty_scratch, starting
from ticketjax.seekers.annealing.compiled.callback import call_on_host
from ticketjax.seekers.annealing.compiled.compiling import compiled
from ticketjax.seekers.annealing.compiled.network import find_ends, find_links
from ticketjax.seekers.annealing.compiled.proposals import (
    find_active,
    find_entering,
    find_leaving,
    find_live,
    kinds_of,
    numbered_choices,
)
from ticketjax.seekers.annealing.evaluation import Energy
from ticketjax.seekers.annealing.moves import NUMBERS
from ticketjax.seekers.exchange.vectors import starts_of


@compiled
def _begin(network, theta, kept, samples, loss):
    """What a step needs.

    Returns:
        The network with its parameters' ends; its values on the samples; room for proposals; the
        links; and room for active neurons, places that leave or enter, and a layer's neurons.
    """
    sizes, starts, offsets = network
    network = sizes, starts, offsets, find_ends(sizes, starts, offsets)
    values = starting(network, theta, kept, samples, loss)
    lists = (
        np.zeros((sizes.size, max(sizes) + 1), np.bool_),
        np.empty(kept.size, np.int64),
        np.empty(kept.size, np.int64),
        np.empty(max(sizes) + 1, np.int64),
    )
    return network, values, empty_scratch(network, kept.size), find_links(network, kept), lists


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
    layers, parts, most = sizes.size - 1, samples[0].shape[0], max(sizes) + 1
    kept, trial, best = kept.copy(), kept.copy(), kept.copy()
    network, values, scratch, links, lists = _begin(network, theta, kept, samples, loss)
    problem = network, theta, may, samples, loss
    active, leaving, entering, members = lists
    live = np.zeros((layers + 1, most), np.bool_)
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
                accepts, energy, room, _ = attempt(
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
    layers, parts, most = sizes.size - 1, samples[0].shape[0], max(sizes) + 1
    kept, trial, best = kept.copy(), kept.copy(), kept.copy()
    network, values, scratch, links, lists = _begin(network, theta, kept, samples, loss)
    problem = network, theta, may, samples, loss
    active, leaving, entering, members = lists
    live = np.zeros((layers, layers + 1, most), np.bool_)
    before_level = np.empty(layers, np.int64)
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
        is_stale, energy, room, changed = attempt(
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
