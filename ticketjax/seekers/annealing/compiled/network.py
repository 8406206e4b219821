"""A narrow network on the samples: only the neurons that a proposal changes are computed."""

import numpy as np

from ticketjax.seekers.annealing.compiled.compiling import compiled

# How a neuron of a plan is computed, and whether any other one reads it.
COMPLETE, CHANGED, UNREAD_COMPLETE, UNREAD_CHANGED = range(4)
# What a bias has for a source.
BIAS = -1
_ZERO = np.float32(0)


@compiled
def empty_plan(neurons, parameters):
    """Room for what plan_changes() lists."""
    return (
        np.empty(neurons, np.int64),
        np.empty(neurons, np.int64),
        np.empty(neurons, np.float32),
        np.empty(neurons + 1, np.int64),
        np.empty(2 * parameters, np.int64),
        np.empty(2 * parameters, np.float32),
    )


@compiled
def empty_links(neurons, most):
    """Room for what find_links() lists."""
    return (
        np.empty(neurons, np.int64),
        np.empty((neurons, most), np.int64),
        np.empty((neurons, most), np.int64),
        np.empty(neurons, np.int64),
        np.empty((neurons, most), np.int64),
        np.empty((neurons, most), np.int64),
    )


@compiled
def find_links(network, kept, links):
    """List every neuron's kept weights: its number of sources, their rows and places; its readers.

    Args:
        network: sizes, starts and offsets, as in sweep.sweep().
        kept: (parameters,).
        links: what empty_links() makes, which is filled.
    """
    sizes, starts, offsets = network
    n_sources, sources, into, n_readers, readers, out = links
    n_sources[:] = 0
    n_readers[:] = 0
    for layer in range(sizes.size - 1):
        n_out, place = sizes[layer + 1], starts[layer]
        for source in range(offsets[layer], offsets[layer + 1]):
            for reader in range(offsets[layer + 1], offsets[layer + 1] + n_out):
                if kept[place]:
                    sources[reader, n_sources[reader]] = source
                    into[reader, n_sources[reader]] = place
                    n_sources[reader] += 1
                    readers[source, n_readers[source]] = reader
                    out[source, n_readers[source]] = place
                    n_readers[source] += 1
                place += 1


@compiled
def _drop(count, rows, places, row, place):
    """Take a place, and what it links, off a neuron's list."""
    last = count[row] - 1
    for k in range(last):
        if places[row, k] == place:
            rows[row, k], places[row, k] = rows[row, last], places[row, last]
            break
    count[row] = last


@compiled
def update_links(network, links, kept, touched, changed):
    """Change the links at the places where a mask has changed, `changed` of those touched."""
    sizes, starts, offsets = network
    n_sources, sources, into, n_readers, readers, out = links
    for i in range(changed):
        place, layer = touched[i], 0
        while layer + 2 < sizes.size and place >= starts[layer + 1]:
            layer += 1
        row, column = divmod(place - starts[layer], sizes[layer + 1])
        if row == sizes[layer]:
            continue
        source, reader = offsets[layer] + row, offsets[layer + 1] + column
        if kept[place]:
            sources[reader, n_sources[reader]] = source
            into[reader, n_sources[reader]] = place
            n_sources[reader] += 1
            readers[source, n_readers[source]] = reader
            out[source, n_readers[source]] = place
            n_readers[source] += 1
        else:
            _drop(n_sources, sources, into, reader, place)
            _drop(n_readers, readers, out, source, place)


@compiled
def plan_changes(level, network, theta, kept, links, trial, touched, changed, ends, plan, dirty):
    """List the neurons whose values change, layer by layer, and what each is the sum of.

    Args:
        level: the first layer whose parameters change.
        network: sizes, starts and offsets, as in sweep.sweep().
        theta: (parameters,).
        kept, links: the mask, (parameters,), and its links.
        trial: (parameters,) the mask of the proposal.
        touched: the places where it differs, `changed` of them.
        ends: (2, places), room.
        plan: (rows, needs, constants, begins, sources, weights), as empty_plan() makes it. Neuron q
            is row rows[q]. Its value before the ReLU is constants[q] and the terms from begins[q]
            to begins[q + 1], each a weight times the value of a source; to be added to the old
            value if needs[q] is CHANGED or UNREAD_CHANGED. A source of at least offsets[-1] is a
            new value, of the row that exceeds this.
        dirty: (rows,) False; those of the list are set.

    Returns:
        The number of neurons in the list.
    """
    sizes, starts, offsets = network
    rows, needs, constants, begins, sources, weights = plan
    n_kept, kept_sources, into, n_readers, readers, out = links
    layers, fresh = sizes.size - 1, offsets[-1]
    for i in range(changed):
        layer = level
        while layer + 1 < layers and touched[i] >= starts[layer + 1]:
            layer += 1
        row, column = divmod(touched[i] - starts[layer], sizes[layer + 1])
        ends[0, i] = offsets[layer] + row if row < sizes[layer] else BIAS
        ends[1, i] = offsets[layer + 1] + column
        dirty[ends[1, i]] = True
    count, terms = 0, 0
    for layer in range(level, layers):
        first_bias = starts[layer] + sizes[layer] * sizes[layer + 1]
        for row in range(offsets[layer + 1], offsets[layer + 2]):
            if not dirty[row]:
                continue
            is_read = layer == layers - 1
            for k in range(n_readers[row]):
                dirty[readers[row, k]] = True
                is_read |= trial[out[row, k]]
            complete, partial = 0, 0
            for k in range(n_kept[row]):
                stays = trial[into[row, k]]
                complete += stays
                partial += 1 + stays if dirty[kept_sources[row, k]] else not stays
            for i in range(changed):
                if trial[touched[i]]:
                    is_read |= ends[0, i] == row
                    enters = ends[1, i] == row and ends[0, i] != BIAS
                    complete += enters
                    partial += enters
            by_change = partial < complete
            if is_read:
                needs[count] = CHANGED if by_change else COMPLETE
            else:
                needs[count] = UNREAD_CHANGED if by_change else UNREAD_COMPLETE
            bias = first_bias + row - offsets[layer + 1]
            constants[count] = theta[bias] if trial[bias] else _ZERO
            if by_change and kept[bias]:
                constants[count] -= theta[bias]
            rows[count], begins[count] = row, terms
            for k in range(n_kept[row]):
                place, source = into[row, k], kept_sources[row, k]
                stays, is_dirty = trial[place], dirty[source]
                if stays and (is_dirty or not by_change):
                    sources[terms] = source + (fresh if is_dirty else 0)
                    weights[terms] = theta[place]
                    terms += 1
                if by_change and (is_dirty or not stays):
                    sources[terms], weights[terms] = source, -theta[place]
                    terms += 1
            for i in range(changed):
                if ends[1, i] == row and ends[0, i] != BIAS and trial[touched[i]]:
                    sources[terms] = ends[0, i] + (fresh if dirty[ends[0, i]] else 0)
                    weights[terms] = theta[touched[i]]
                    terms += 1
            count += 1
    begins[count] = terms
    return count


@compiled
def _add_term(target, row, values, source, weight, rectified):
    """Add a weight times a row of values, after the ReLU or as they are, to a row of the target."""
    # Rows are indexed where they are used: a view for each costs more than the sum.
    if rectified:
        for k in range(target.shape[1]):
            value = values[source, k]
            target[row, k] += weight * (value if value > _ZERO else _ZERO)
    else:
        for k in range(target.shape[1]):
            target[row, k] += weight * values[source, k]


@compiled
def evaluate(plan, count, read, offsets, before, fresh):
    """Compute the listed neurons before the ReLU on some samples.

    Args:
        plan, count: the list and its length, of plan_changes().
        read: whether to compute the neurons that are read; otherwise the others.
        offsets: where each layer's rows begin.
        before, fresh: (rows, n) old values, and new ones of the listed rows.
    """
    rows, needs, constants, begins, sources, weights = plan
    inputs, total = offsets[1], offsets[-1]
    for q in range(count):
        if (needs[q] == COMPLETE or needs[q] == CHANGED) != read:
            continue
        row, constant = rows[q], constants[q]
        if needs[q] == CHANGED or needs[q] == UNREAD_CHANGED:
            for k in range(fresh.shape[1]):
                fresh[row, k] = before[row, k] + constant
        else:
            for k in range(fresh.shape[1]):
                fresh[row, k] = constant
        for t in range(begins[q], begins[q + 1]):
            source, weight = sources[t], weights[t]
            if source >= total:
                _add_term(fresh, row, fresh, source - total, weight, True)
            else:
                _add_term(fresh, row, before, source, weight, source >= inputs)


@compiled
def take_outputs(before, fresh, dirty, first, outputs):
    """Copy the output rows, which begin with row `first`: the new ones where they change."""
    for c in range(outputs.shape[0]):
        if dirty[first + c]:
            for k in range(outputs.shape[1]):
                outputs[c, k] = fresh[first + c, k]
        else:
            for k in range(outputs.shape[1]):
                outputs[c, k] = before[first + c, k]


@compiled
def compute_all(sizes, starts, offsets, theta, kept, before):
    """Compute all neurons before the ReLU on some samples; the rows of the inputs are given."""
    for layer in range(sizes.size - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        for j in range(n_out):
            row, bias = offsets[layer + 1] + j, starts[layer] + n_in * n_out + j
            before[row] = theta[bias] if kept[bias] else _ZERO
            for i in range(n_in):
                place = starts[layer] + i * n_out + j
                if kept[place]:
                    source = offsets[layer] + i
                    _add_term(before, row, before, source, theta[place], layer > 0)
