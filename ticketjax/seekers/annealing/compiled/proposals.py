"""Proposals made from random numbers one by one, as moves.py makes them in batches."""

import math

import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled, inlined
from ticketjax.seekers.annealing.compiled.network import READER, SOURCE
from ticketjax.seekers.annealing.evaluation import MOST_CHANGED
from ticketjax.seekers.annealing.moves import MOST_LEAVING, SHARES, choices_of, counts_of

TOGGLE, SWAP, REWIRE, EXCHANGE, BUILD, SPLIT = range(len(SHARES))
# No place, no neuron.
NONE = -1
_ONE, _TWO = np.float32(1), np.float32(2)
# Where a proposal's numbers begin that belong to its kind.
_OF_KIND = 2 + MOST_LEAVING


def kinds_of(batch: int) -> np.ndarray:
    """The kinds of a batch's proposals, (2, batch): for the last layer alone, and for others."""
    rows = [counts_of(batch, whole) for whole in (False, True)]
    return np.stack(
        [np.repeat([list(SHARES).index(name) for name in row], list(row.values())) for row in rows]
    )


def numbered_choices(layers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """choices_of(): the kinds and layers as numbers, and where their shares end."""
    pairs, ends = choices_of(layers)
    kinds = [list(SHARES).index(name) for name, _ in pairs]
    return np.array(kinds), np.array([level for _, level in pairs]), ends


@compiled
def pick(u, count):
    """A whole number below `count`, from one in [0, 1) in single precision."""
    return int(math.floor(np.float32(u) * np.float32(count)))


@compiled
def _member(u, members):
    """One of the places that are True, drawn by u; NONE if none is."""
    count = 0
    for i in range(members.size):
        count += members[i]
    if count == 0:
        return NONE
    rank = pick(u, count)
    for i in range(members.size):
        if members[i]:
            if rank == 0:
                return i
            rank -= 1
    return NONE


@compiled
def find_active(kept, network, links, active):
    """Mark the neurons fed by an input or a bias, and read by an output; inputs are active."""
    sizes, starts, offsets, _ = network
    counts, rows, _ = links
    layers = sizes.size - 1
    active[0] = True
    for layer in range(1, layers + 1):
        bias = starts[layer - 1] + sizes[layer - 1] * sizes[layer]
        for j in range(sizes[layer]):
            row, is_fed = offsets[layer] + j, kept[bias + j]
            for k in range(counts[SOURCE, row]):
                is_fed |= active[layer - 1, rows[SOURCE, row, k] - offsets[layer - 1]]
            active[layer, j] = is_fed
    active[layers] = True
    for layer in range(layers - 1, 0, -1):
        for i in range(sizes[layer]):
            row, is_read = offsets[layer] + i, False
            for k in range(counts[READER, row]):
                is_read |= active[layer + 1, rows[READER, row, k] - offsets[layer + 1]]
            active[layer, i] &= is_read


@compiled
def find_live(kept, network, links, level, active, live):
    """Mark the neurons from a level on that have something kept on both sides."""
    sizes, starts, offsets, _ = network
    counts = links[0]
    layers = sizes.size - 1
    live[level] = active[level]
    live[layers] = True
    for layer in range(level + 1, layers):
        bias = starts[layer - 1] + sizes[layer - 1] * sizes[layer]
        for j in range(sizes[layer]):
            row = offsets[layer] + j
            is_fed = kept[bias + j] or counts[SOURCE, row] > 0
            live[layer, j] = is_fed and counts[READER, row] > 0


@compiled
def find_leaving(kept, may, start, leaving):
    """List the kept prunable places from a start on, in order; returns their number."""
    count = 0
    for place in range(start, kept.size):
        if kept[place] and may[place]:
            leaving[count] = place
            count += 1
    return count


@compiled
def find_entering(kept, may, sizes, starts, level, live, members, entering):
    """List the places from a level on that may be added, in order; returns their number.

    members: room for one number of each neuron of a layer.
    """
    count = 0
    for layer in range(level, sizes.size - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        n_live = 0
        for j in range(n_out):
            if live[layer + 1, j]:
                members[n_live] = j
                n_live += 1
        for i in range(n_in + 1):
            if i == n_in or live[layer, i]:
                row = starts[layer] + i * n_out
                for k in range(n_live):
                    place = row + members[k]
                    if may[place] and not kept[place]:
                        entering[count] = place
                        count += 1
    return count


@inlined
def _set(trial, touched, count, place, value):
    """Change a place of a trial mask, and note it; returns how many were noted."""
    if trial[place] != value:
        trial[place] = value
        touched[count] = place
        count += 1
    return count


@inlined
def _is_among(touched, count, place):
    """Whether a place is one of the first `count` that were noted."""
    for i in range(count):
        if touched[i] == place:
            return True
    return False


@compiled
def propose(kind, u, level, network, links, kept, may, live, gone, new, room, trial, touched):
    """Make a proposal in `trial`, which is equal to `kept`; see moves.py.

    Args:
        u: (NUMBERS,).
        links: of `kept`.
        gone: (1 + MOST_LEAVING,) places that leave, and
        new: one that enters; NONE for none.
        touched: room for the places that are changed.

    Returns:
        How many places were noted in `touched`, some of them perhaps twice.
    """
    sizes, starts, offsets, _ = network
    counts, _, places = links
    v, count = u[_OF_KIND:], 0
    if kind == TOGGLE or kind == SWAP:
        removes = kind == SWAP or v[0] < 0.5
        adds = kind == SWAP or v[0] >= 0.5
        if removes and gone[0] != NONE:
            count = _set(trial, touched, count, gone[0], False)
        if adds and new != NONE:
            count = _set(trial, touched, count, new, True)
        return count
    if kind == REWIRE:
        if gone[0] == NONE:
            return count
        layer = level
        while layer + 1 < starts.size and gone[0] >= starts[layer + 1]:
            layer += 1
        n_in, n_out = sizes[layer], sizes[layer + 1]
        row, column = (gone[0] - starts[layer]) // n_out, (gone[0] - starts[layer]) % n_out
        if v[0] < 0.5:
            sources = live[layer, : n_in + 1].copy()
            sources[n_in] = True
            row = _member(v[1], sources)
        else:
            column = _member(v[1], live[layer + 1, :n_out])
        if column != NONE and live[layer + 1, column]:
            count = _set(trial, touched, count, gone[0], False)
            count = _set(trial, touched, count, starts[layer] + row * n_out + column, True)
        return count
    n_in, width, n_out = sizes[level], sizes[level + 1], sizes[level + 2]
    into, out, rows = starts[level], starts[level + 1], offsets[level + 1]
    if kind == BUILD:
        neuron = pick(v[0], width)
        neuron_row = rows + neuron
        for k in range(counts[SOURCE, neuron_row]):
            count = _set(trial, touched, count, places[SOURCE, neuron_row, k], False)
        for k in range(counts[READER, neuron_row]):
            count = _set(trial, touched, count, places[READER, neuron_row, k], False)
        count = _set(trial, touched, count, into + n_in * width + neuron, v[3] < 0.5)
        for i in range(2):
            drawn = v[1] if i == 0 else _TWO * v[2] - _ONE
            source = _member(drawn, live[level, :n_in]) if i == 0 or v[2] >= 0.5 else NONE
            if source != NONE:
                count = _set(trial, touched, count, into + source * width + neuron, True)
            drawn = v[4] if i == 0 else _TWO * v[5] - _ONE
            reader = _member(drawn, live[level + 2, :n_out]) if i == 0 or v[5] >= 0.5 else NONE
            if reader != NONE:
                count = _set(trial, touched, count, out + neuron * n_out + reader, True)
    else:
        one, other = _member(v[0], live[level + 1, :width]), pick(v[1], width)
        one = width - 1 if one == NONE else one
        if one == other:
            return count
        a, b = into + n_in * width + one, into + n_in * width + other
        if kind == EXCHANGE:
            count = _set(trial, touched, count, a, kept[b])
        count = _set(trial, touched, count, b, kept[a])
        first = pick(v[2], n_out)
        # The places of both neurons' links: those that both have come twice, with the same result.
        for neuron in (one, other):
            for k in range(counts[SOURCE, rows + neuron]):
                a = places[SOURCE, rows + neuron, k] + one - neuron
                b = a + other - one
                if kind == EXCHANGE:
                    count = _set(trial, touched, count, a, kept[b])
                count = _set(trial, touched, count, b, kept[a])
            for k in range(counts[READER, rows + neuron]):
                a = places[READER, rows + neuron, k] + (one - neuron) * n_out
                b = a + (other - one) * n_out
                if kind == EXCHANGE:
                    count = _set(trial, touched, count, a, kept[b])
                    count = _set(trial, touched, count, b, kept[a])
                else:
                    taken = (a - out - one * n_out - first) % n_out < (n_out + 1) // 2
                    count = _set(trial, touched, count, b, kept[a] and taken)
                    if taken:
                        count = _set(trial, touched, count, a, False)
    if kind != EXCHANGE:
        excess = -room
        for i in range(count):
            place = touched[i]
            if may[place] and trial[place] != kept[place] and not _is_among(touched, i, place):
                excess += 1 if trial[place] else -1
        for i in range(min(excess, MOST_LEAVING)):
            if gone[i] != NONE:
                count = _set(trial, touched, count, gone[i], False)
    return count


@compiled
def settle(kept, may, trial, touched, count):
    """Undo what is not prunable, and list the changed places once each at the front of `touched`.

    Returns:
        Their number, and how many more prunable places the trial keeps.
    """
    changed, more = 0, 0
    for i in range(count):
        place = touched[i]
        if not may[place]:
            trial[place] = kept[place]
        if trial[place] != kept[place]:
            if not _is_among(touched, changed, place):
                more += 1 if trial[place] else -1
                touched[changed] = place
                changed += 1
    return changed, more


@compiled
def changes_few(level, network, touched, changed, marked):
    """Whether at most MOST_CHANGED neurons of the first layer have other parameters."""
    sizes, _, offsets, ends = network
    if level == sizes.size - 2:
        return True
    first, end, count = offsets[level + 1], offsets[level + 2], 0
    for i in range(changed):
        source, reader = ends[SOURCE, touched[i]], ends[READER, touched[i]]
        neuron = reader if reader < end else source
        if first <= neuron < end and not marked[neuron]:
            marked[neuron] = True
            count += 1
    marked[first:end] = False
    return count <= MOST_CHANGED
