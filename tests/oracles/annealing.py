"""The chain of masks in plain Python: proposals one after the other, networks in float64."""

import jax
import numpy as np

from tests.oracles import backprop

LEAVING = 4
KINDS = ("toggle", "swap", "rewire", "exchange", "build", "split")
SHARES = {"toggle": 15, "swap": 25, "rewire": 25, "exchange": 13, "build": 17, "split": 5}


def grids_of(flat, sizes):
    """(n_in + 1, n_out) of each layer, the bias in the last row; views of the vector."""
    grids, at = [], 0
    for m, n in zip(sizes, sizes[1:], strict=False):
        grids.append(flat[at : at + (m + 1) * n].reshape(m + 1, n))
        at += (m + 1) * n
    return grids


def pick(u, members):
    """One element of a list, None if it is empty; the product is in single precision."""
    return members[int(np.float32(u) * np.float32(len(members)))] if len(members) else None


def kinds_of(batch, whole):
    names = KINDS if whole else KINDS[:3]
    ends, total = 0, sum(SHARES[name] for name in names)
    kinds = []
    for name in names:
        ends += SHARES[name]
        kinds += [name] * (int(np.floor(ends / total * batch + 0.5)) - len(kinds))
    return kinds


def choice(u, levels):
    """The kind and the first layer of a proposal that is made on its own."""
    shares = [(kind, 0, SHARES[kind] * (levels - 1)) for kind in KINDS[:3]]
    shares += [(kind, level, SHARES[kind]) for level in range(levels - 1) for kind in KINDS[3:]]
    total, end = sum(share for _, _, share in shares), 0
    for kind, level, share in shares:
        end += share
        if u < end / total:
            return kind, level
    return shares[-1][:2]


def live_of(grids, sources):
    inner = [a.any(0) & b[:-1].any(1) for a, b in zip(grids, grids[1:], strict=False)]
    return [sources, *inner, np.ones(grids[-1].shape[1], bool)]


def propose(kind, u, mask, prunable, sizes, room, sources):
    """The mask that a proposal's numbers u make from a mask, or None if it is not possible."""
    live = live_of(grids_of(mask, sizes), sources)
    rows = [np.append(one, True) for one in live[:-1]]
    open_ = np.concatenate([np.outer(r, c).ravel() for r, c in zip(rows, live[1:], strict=True)])
    kept = np.flatnonzero(mask & prunable)
    leaving = [pick(v, kept) for v in u[: 1 + LEAVING]]
    new = pick(u[1 + LEAVING], np.flatnonzero(open_ & ~mask & prunable))
    u = u[2 + LEAVING :]
    result = mask.copy()
    layers = grids_of(result, sizes)

    def flip(out, in_):
        if out is not None:
            result[out] = False
        if in_ is not None:
            result[in_] = True

    def make_room():
        excess = int((result & prunable).sum() - (mask & prunable).sum() - room)
        for place in leaving[: max(excess, 0)][:LEAVING]:
            if place is not None:
                result[place] = False

    if kind == "toggle":
        flip(leaving[0], None) if u[0] < 0.5 else flip(None, new)
    elif kind == "swap":
        flip(leaving[0], new)
    elif kind == "rewire" and leaving[0] is not None:
        places = grids_of(np.arange(mask.size), sizes)
        layer = next(i for i, grid in enumerate(places) if leaving[0] <= grid[-1, -1])
        row, column = np.argwhere(places[layer] == leaving[0])[0]
        if u[0] < 0.5:
            row = pick(u[1], np.flatnonzero(rows[layer]))
        else:
            column = pick(u[1], np.flatnonzero(live[layer + 1]))
        if column is not None and live[layer + 1][column]:
            flip(leaving[0], places[layer][row, column])
    elif kind in ("exchange", "split"):
        members = np.flatnonzero(live[1])
        one = pick(u[0], members) if members.size else sizes[1] - 1
        other = int(np.float32(u[1]) * np.float32(sizes[1]))
        into, out = layers[0], layers[1][:-1]
        if kind == "exchange":
            into[:, [one, other]] = into[:, [other, one]]
            out[[one, other]] = out[[other, one]]
        elif one != other:
            n = sizes[2]
            half = (np.arange(n) - int(np.float32(u[2]) * np.float32(n))) % n < (n + 1) // 2
            into[:, other] = into[:, one]
            out[other] = out[one] & half
            out[one] &= ~half
        make_room() if kind == "split" else None
    elif kind == "build":
        neuron = int(np.float32(u[0]) * np.float32(sizes[1]))
        into, out = layers[0], layers[1][:-1]
        into[:, neuron], out[neuron] = False, False
        for members, along, first, second in (
            (np.flatnonzero(live[0]), into[:, neuron], u[1], u[2]),
            (np.flatnonzero(live[2]), out[neuron], u[4], u[5]),
        ):
            for v in (first, np.float32(2) * second - np.float32(1)) if second >= 0.5 else (first,):
                if members.size:
                    along[pick(v, members)] = True
        into[-1, neuron] = u[3] < 0.5
        result[~prunable] = mask[~prunable]
        make_room()
    result[~prunable] = mask[~prunable]
    more = (result & prunable).sum() - (mask & prunable).sum()
    return None if more > room or np.array_equal(result, mask) else result


def active_of(grids):
    """Which neurons are fed by an input or a bias, and read by an output; inputs first."""
    fed = [np.ones(len(grids[0]) - 1, bool)]
    for grid in grids:
        fed.append(grid[:-1][fed[-1]].any(0) | grid[-1])
    read = [np.ones(grids[-1].shape[1], bool)]
    for grid in reversed(grids):
        read.insert(0, grid[:-1][:, read[0]].any(1))
    inner = [a & b for a, b in zip(fed[1:-1], read[1:-1], strict=True)]
    return [fed[0], *inner, read[-1]]


def useful(mask, prunable, sizes):
    result = mask.copy()
    active = active_of(grids_of(mask, sizes))
    for grid, source, sink in zip(grids_of(result, sizes), active, active[1:], strict=False):
        grid[~np.append(source, True)] = False
        grid[:, ~sink] = False
    return np.where(prunable, result, mask)


def outputs(theta, mask, sizes, x):
    grids = grids_of(np.where(mask, theta, 0), sizes)
    return backprop.outputs([(grid[:-1], grid[-1]) for grid in grids], x)


class Energy:
    """Energy of a mask: the logarithm of the rescaled error, or a mean loss of the samples."""

    def __init__(self, kind, x, y):
        self.kind, self.x, self.y, self.scale, self.smooth = kind, x, y, 1.0, False

    def losses(self, out):
        if not self.smooth:
            return -np.log(backprop.softmax(out * self.scale)[np.arange(len(self.y)), self.y])
        own = out[np.arange(len(self.y)), self.y]
        other = np.where(np.eye(out.shape[1], dtype=bool)[self.y], -np.inf, out).max(1)
        return 1 / (1 + np.exp(self.scale * (own - other)))

    def __call__(self, out):
        if self.kind == "classification":
            return self.losses(out).mean()
        scale = backprop.fitted_scale(self.kind, out, self.y)
        return np.log(np.mean((out * scale - self.y) ** 2) + 1e-12 * np.mean(self.y**2))


def is_accepted(energy, now, out, new, rise, parts, first):
    """Whether a proposal is accepted, by its energy, or by successive parts of the samples."""
    if energy.kind != "classification":
        return energy(new) - energy(out) <= rise
    change = energy.losses(new) - now
    seen = []
    for i in range(len(parts)):
        seen = np.append(seen, change[parts[(first + i) % len(parts)]])
        if seen.mean() - 2.5 * seen.std() / np.sqrt(seen.size) > rise:
            return False
    return seen.mean() <= rise


def chain(layers, energy, size, key, numbers, *, steps, sweeps, batch, width, heats, smooth,
          parts=(), prunable):  # fmt: skip
    """The best mask of a chain from disjoint paths; energies after each step, and acceptances."""
    theta = np.concatenate([part.ravel() for layer in layers for part in layer])
    sizes = (layers[0][0].shape[0], *(bias.size for _, bias in layers))
    narrow = (sizes[0], *(min(width, n) for n in sizes[1:-1]), sizes[-1])
    hidden, levels = sum(sizes[1:-1]), len(layers)
    ends = np.cumsum(sizes[1:-1])[:-1]

    def places(neurons):
        grids = grids_of(np.arange(theta.size), sizes)
        return np.concatenate(
            [
                grid[np.ix_(np.append(a, len(grid) - 1), b)].ravel()
                for grid, a, b in zip(grids, neurons, neurons[1:], strict=False)
            ]
        )

    def uniform(key, count):
        return np.asarray(jax.random.uniform(key, (count,), np.float32))

    start_key, key = jax.random.split(key)
    drawn = np.split(uniform(start_key, hidden), ends)
    middle = [
        np.argsort(-u, kind="stable")[:w] if w < u.size else np.arange(u.size)
        for u, w in zip(drawn, narrow[1:-1], strict=True)
    ]
    neurons = [np.arange(sizes[0]), *middle, np.arange(sizes[-1])]
    may = prunable[places(neurons)]
    mask = ~may
    for path in range(min(size // levels, *narrow[1:-1])):
        for grid, m, n in zip(grids_of(mask, narrow), narrow, narrow[1:], strict=False):
            grid[path % m, path % n] = True
    starts = [grid[0, 0] for grid in grids_of(np.arange(may.size), narrow)]
    best, best_neurons, least = mask, neurons, np.inf
    energies, accepted = [], []
    for step in range(steps):
        turns = smooth[step] and not (step and smooth[step - 1])
        if turns and least < np.inf:
            mask, neurons = best, best_neurons
        mask = useful(mask, may, narrow)
        u = uniform(jax.random.fold_in(key, step), hidden + sweeps * levels * batch * numbers)
        active = active_of(grids_of(mask, narrow))
        neurons = list(neurons)
        for i, v in enumerate(np.split(u[:hidden], ends), 1):
            if narrow[i] < sizes[i]:
                used = np.isin(np.arange(sizes[i]), neurons[i][active[i]])
                others = iter(np.argsort(v + used, kind="stable"))
                neurons[i] = np.array(
                    [n if a else next(others) for n, a in zip(neurons[i], active[i], strict=True)]
                )
        own = theta[places(neurons)]
        out = outputs(own, mask, narrow, energy.x)
        if energy.kind == "classification":
            fitted = backprop.fitted_scale(energy.kind, out, energy.y)
            energy.smooth = smooth[step]
            energy.scale = fitted if not smooth[step] else 3 * fitted if turns else energy.scale
        if turns or least == np.inf:
            best, best_neurons, least = mask, neurons, energy(out)
        count = 0
        u = u[hidden:].reshape(sweeps, levels, batch, numbers)
        for sweep, level in np.ndindex(sweeps, levels):
            batch_u = u[sweep, level]
            first = ((step * sweeps + sweep) * levels + level) % max(len(parts), 1)
            kinds = kinds_of(batch, level < levels - 1)
            if batch == 1:
                kinds[0], level = choice(batch_u[0, -1], levels)
            start, rest = starts[level], narrow[level:]
            room = size - int((mask & may).sum())
            sources = active_of(grids_of(mask, narrow))[level]
            now = energy.losses(out) if energy.kind == "classification" else None
            for i in np.argsort(batch_u[:, -1]):
                tail = propose(kinds[i], batch_u[i], mask[start:], may[start:], rest, room, sources)
                if tail is None or changed(mask[start:], tail, rest) > 4:
                    continue
                new = np.concatenate([mask[:start], tail])
                new_out = outputs(own, new, narrow, energy.x)
                rise = -heats[step] * np.log1p(-np.float64(batch_u[i, -2]))
                if is_accepted(energy, now, out, new_out, rise, parts, first):
                    mask, out, count = new, new_out, count + 1
                    if energy(out) < least:
                        best, best_neurons, least = mask, neurons, energy(out)
                    break
        energies.append(energy(out))
        accepted.append(count)
    whole = np.zeros(theta.size, bool)
    whole[places(best_neurons)] = best
    return useful(np.where(prunable, whole, ~prunable), prunable, sizes), energies, accepted


def changed(mask, new, sizes):
    """How many neurons of the first layer have different parameters."""
    if len(sizes) == 2:
        return 0
    first, second = (grid for grid in grids_of(mask != new, sizes)[:2])
    return int((first.any(0) | second[:-1].any(1)).sum())
