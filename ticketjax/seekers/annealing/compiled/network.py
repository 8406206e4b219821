"""A narrow network on the samples: only the neurons that a proposal changes are computed."""

import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled, inlined

# How a neuron of a plan is computed, and whether any other one reads it.
COMPLETE, CHANGED, UNREAD_COMPLETE, UNREAD_CHANGED = range(4)
# What a bias has for a source.
BIAS = -1
# The ends of a parameter, and the two lists of a neuron's links.
SOURCE, READER = range(2)
# What a plan lists of a neuron: its row, how it is computed, and where its terms begin.
ROW, NEED, BEGIN = range(3)
_ZERO = np.float32(0)


@compiled
def find_ends(sizes, starts, offsets):
    """Every parameter's source and reader among the rows of all neurons, (2, parameters) int32."""
    layers = sizes.size - 1
    count = starts[layers - 1] + (sizes[layers - 1] + 1) * sizes[layers]
    ends = np.empty((2, count), np.int32)
    for layer in range(layers):
        place = starts[layer]
        for i in range(sizes[layer] + 1):
            for j in range(sizes[layer + 1]):
                ends[SOURCE, place] = offsets[layer] + i if i < sizes[layer] else BIAS
                ends[READER, place] = offsets[layer + 1] + j
                place += 1
    return ends


@compiled
def empty_plan(layers, most, parameters):
    """Room for what plan_changes() lists."""
    return (
        np.empty((3, layers * most + 1), np.int32),
        np.empty(layers * most, np.float32),
        np.empty(2 * parameters, np.int32),
        np.empty(2 * parameters, np.float32),
        np.zeros((layers + 1, most + 1), np.int32),
    )


@compiled
def find_links(network, kept):
    """Every neuron's kept weights: how many it reads and is read by, their other ends and places.

    Args:
        network: sizes, starts, offsets and ends, as in sweep.sweep().
        kept: (parameters,).

    Returns:
        Numbers (2, neurons); neurons and places, (2, neurons, most). The first of each belongs to a
        neuron's sources, the second to its readers.
    """
    sizes, _, offsets, ends = network
    neurons, most = offsets[-1], max(sizes) + 1
    links = (
        np.zeros((2, neurons), np.int32),
        np.empty((2, neurons, most), np.int32),
        np.empty((2, neurons, most), np.int32),
    )
    for place in range(kept.size):
        if kept[place] and ends[SOURCE, place] != BIAS:
            _link(links, SOURCE, ends[READER, place], ends[SOURCE, place], place)
            _link(links, READER, ends[SOURCE, place], ends[READER, place], place)
    return links


@inlined
def _link(links, side, row, other, place):
    """Put a place, and the neuron that it links, on a neuron's list."""
    counts, rows, places = links
    at = counts[side, row]
    rows[side, row, at], places[side, row, at] = other, place
    counts[side, row] = at + 1


@inlined
def _unlink(links, side, row, place):
    """Take a place, and the neuron that it links, off a neuron's list."""
    counts, rows, places = links
    last = counts[side, row] - 1
    for k in range(last):
        if places[side, row, k] == place:
            rows[side, row, k] = rows[side, row, last]
            places[side, row, k] = places[side, row, last]
            break
    counts[side, row] = last


@compiled
def update_links(ends, links, kept, touched, changed):
    """Change the links at the places where a mask has changed, `changed` of those touched."""
    for i in range(changed):
        place = touched[i]
        source, reader = ends[SOURCE, place], ends[READER, place]
        if source != BIAS:
            if kept[place]:
                _link(links, SOURCE, reader, source, place)
                _link(links, READER, source, reader, place)
            else:
                _unlink(links, SOURCE, reader, place)
                _unlink(links, READER, source, place)


@inlined
def _mark(pending, dirty, layer, row):
    """Put a neuron on the list of its layer, once; the last entry of a list is its length."""
    if not dirty[row]:
        dirty[row] = True
        last = pending.shape[1] - 1
        pending[layer, pending[layer, last]] = row
        pending[layer, last] += 1


@compiled
def plan_changes(level, network, theta, kept, links, trial, touched, changed, plan, dirty):
    """List the neurons whose values change, layer by layer, and what each is the sum of.

    Args:
        level: the first layer whose parameters change.
        network: sizes, starts, offsets and ends, as in sweep.sweep().
        theta: (parameters,).
        kept, links: the mask, (parameters,), and its links.
        trial: (parameters,) the mask of the proposal.
        touched: the places where it differs, `changed` of them.
        plan: (listed, constants, sources, weights, pending), as empty_plan() makes it. Neuron q is
            row listed[ROW, q]. Its value before the ReLU is constants[q] and the terms from
            listed[BEGIN, q] to listed[BEGIN, q + 1], each a weight times the value of a source; to
            be added to the old value if listed[NEED, q] is CHANGED or UNREAD_CHANGED. A source of
            at least offsets[-1] is a new value, of the row that exceeds this.
        dirty: (rows,) False; those of the list are set.

    Returns:
        The number of neurons in the list.
    """
    sizes, starts, offsets, ends = network
    listed, constants, sources, weights, pending = plan
    counts, rows, places = links
    layers, fresh, last = sizes.size - 1, offsets[-1], pending.shape[1] - 1
    for i in range(changed):
        row, layer = ends[READER, touched[i]], level + 1
        while row >= offsets[layer + 1]:
            layer += 1
        _mark(pending, dirty, layer, row)
    count, terms = 0, 0
    for layer in range(level + 1, layers + 1):
        first_bias = starts[layer - 1] + sizes[layer - 1] * sizes[layer] - offsets[layer]
        for p in range(pending[layer, last]):
            row = pending[layer, p]
            is_read = layer == layers
            for k in range(counts[READER, row]):
                _mark(pending, dirty, layer + 1, rows[READER, row, k])
                is_read |= trial[places[READER, row, k]]
            complete, partial = 0, 0
            for k in range(counts[SOURCE, row]):
                stays = trial[places[SOURCE, row, k]]
                complete += stays
                partial += 1 + stays if dirty[rows[SOURCE, row, k]] else not stays
            for i in range(changed):
                place = touched[i]
                if trial[place]:
                    is_read |= ends[SOURCE, place] == row
                    enters = ends[READER, place] == row and ends[SOURCE, place] != BIAS
                    complete += enters
                    partial += enters
            by_change = partial < complete
            if is_read:
                listed[NEED, count] = CHANGED if by_change else COMPLETE
            else:
                listed[NEED, count] = UNREAD_CHANGED if by_change else UNREAD_COMPLETE
            bias = first_bias + row
            constants[count] = theta[bias] if trial[bias] else _ZERO
            if by_change and kept[bias]:
                constants[count] -= theta[bias]
            listed[ROW, count], listed[BEGIN, count] = row, terms
            for k in range(counts[SOURCE, row]):
                place, source = places[SOURCE, row, k], rows[SOURCE, row, k]
                stays, is_dirty = trial[place], dirty[source]
                if stays and (is_dirty or not by_change):
                    sources[terms] = source + (fresh if is_dirty else 0)
                    weights[terms] = theta[place]
                    terms += 1
                if by_change and (is_dirty or not stays):
                    sources[terms], weights[terms] = source, -theta[place]
                    terms += 1
            for i in range(changed):
                place = touched[i]
                source = ends[SOURCE, place]
                if trial[place] and ends[READER, place] == row and source != BIAS:
                    sources[terms] = source + (fresh if dirty[source] else 0)
                    weights[terms] = theta[place]
                    terms += 1
            count += 1
        pending[layer, last] = 0
    listed[BEGIN, count] = terms
    return count


@compiled
def _add_term(target, values, part, row, source, weight, rectified):
    """Add a weight times a row of values, after the ReLU or as they are, to a row of the target."""
    # Rows are indexed where they are used: a view for each costs more than the sum.
    if rectified:
        for k in range(target.shape[2]):
            value = values[part, source, k]
            target[part, row, k] += weight * (value if value > _ZERO else _ZERO)
    else:
        for k in range(target.shape[2]):
            target[part, row, k] += weight * values[part, source, k]


@compiled
def evaluate(plan, count, read, offsets, before, fresh, part):
    """Compute the listed neurons before the ReLU on a part of the samples.

    Args:
        plan, count: the list and its length, of plan_changes().
        read: whether to compute the neurons that are read; otherwise the others.
        offsets: where each layer's rows begin.
        before, fresh: (parts, rows, n) old values, and new ones of the listed rows.
        part: of the samples.
    """
    listed, constants, sources, weights, _ = plan
    inputs, total, n = offsets[1], offsets[-1], fresh.shape[2]
    for q in range(count):
        need = listed[NEED, q]
        if (need == COMPLETE or need == CHANGED) != read:
            continue
        row, constant = listed[ROW, q], constants[q]
        if need == CHANGED or need == UNREAD_CHANGED:
            for k in range(n):
                fresh[part, row, k] = before[part, row, k] + constant
        else:
            for k in range(n):
                fresh[part, row, k] = constant
        for t in range(listed[BEGIN, q], listed[BEGIN, q + 1]):
            source, weight = sources[t], weights[t]
            if source >= total:
                _add_term(fresh, fresh, part, row, source - total, weight, True)
            else:
                _add_term(fresh, before, part, row, source, weight, source >= inputs)


@compiled
def take_outputs(before, fresh, part, dirty, first, outputs):
    """Copy the output rows, which begin with row `first`: the new ones where they change."""
    for c in range(outputs.shape[0]):
        if dirty[first + c]:
            for k in range(outputs.shape[1]):
                outputs[c, k] = fresh[part, first + c, k]
        else:
            for k in range(outputs.shape[1]):
                outputs[c, k] = before[part, first + c, k]


@compiled
def compute_all(network, theta, kept, before, part):
    """Compute all neurons before the ReLU on a part of the samples; the inputs' rows are given."""
    sizes, starts, offsets, _ = network
    for layer in range(sizes.size - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        for j in range(n_out):
            row, bias = offsets[layer + 1] + j, starts[layer] + n_in * n_out + j
            before[part, row] = theta[bias] if kept[bias] else _ZERO
            for i in range(n_in):
                place = starts[layer] + i * n_out + j
                if kept[place]:
                    source = offsets[layer] + i
                    _add_term(before, before, part, row, source, theta[place], layer > 0)
