"""The proposals of a step: masks of a narrow network, all made from the same one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.seekers.exchange.neighbourhood import among, below

# How many parameters may leave for a neuron that is built.
MOST_LEAVING = 4
# Random numbers of one proposal: for parameters that leave, and one that enters; of its kind; for
# the threshold; the order, or for a proposal on its own what it is.
OF_KIND = 6
NUMBERS = 1 + MOST_LEAVING + 1 + OF_KIND + 2
# Which share of the proposals is of which kind; what builds a neuron is both its birth and its
# replacement.
SHARES = {
    "toggle": 0.15,
    "swap": 0.25,
    "rewire": 0.25,
    "exchange": 0.13,
    "build": 0.17,
    "split": 0.05,
}
# Those that leave whole neurons as they are: all that the last layer has.
SINGLE = ("toggle", "swap", "rewire")


class State(NamedTuple):
    """The mask that proposals change, from a layer on.

    Args:
        sizes: neurons of the narrow network from what that layer reads to the outputs.
        mask: (parameters,) of these layers; kernels row-major, each with its bias as the last row.
        prunable: (parameters,) which may change.
        room: () how many more prunable parameters there may be.
    """

    sizes: tuple[int, ...]
    mask: jax.Array
    prunable: jax.Array
    room: jax.Array


class _Tables(NamedTuple):
    """What proposals are drawn from.

    Args:
        grids: every layer's mask, (n_in + 1, n_out).
        rows, columns: (layers, most) of every layer, which sources (and the bias) and which neurons
            are live.
        kept: (batch, 1 + MOST_LEAVING) places of kept prunable parameters, drawn for each proposal.
        new: (batch,) places of parameters that are not kept, between live neurons. The number of
            parameters stands for none.
    """

    grids: list[jax.Array]
    rows: jax.Array
    columns: jax.Array
    kept: jax.Array
    new: jax.Array

    def of(self, part: slice) -> "_Tables":
        """What some of the proposals are drawn from."""
        return self._replace(kept=self.kept[part], new=self.new[part])


def counts_of(batch: int, whole: bool) -> dict[str, int]:
    """How many of a step's proposals are of which kind.

    Args:
        batch: of all kinds.
        whole: whether neurons may change; otherwise the kinds of SINGLE alone.

    Returns:
        Counts that add up to batch, in proportion to SHARES.

    >>> counts_of(32, True)
    {'toggle': 5, 'swap': 8, 'rewire': 8, 'exchange': 4, 'build': 5, 'split': 2}
    """
    names = [name for name in SHARES if whole or name in SINGLE]
    ends = np.cumsum([SHARES[name] for name in names])
    ends = np.floor(ends / ends[-1] * batch + 0.5).astype(int)
    return dict(zip(names, np.diff(ends, prepend=0).tolist(), strict=True))


def choices_of(layers: int) -> tuple[list[tuple[str, int]], np.ndarray]:
    """What a proposal may be that is made on its own: its kind, and the first layer it changes.

    Args:
        layers: of the network.

    Returns:
        Kinds and layers; and where each one's share of [0, 1) ends, float32. The kinds of SINGLE
        change any layer. Neurons are of any hidden layer.

    >>> choices_of(2)[0]
    [('toggle', 0), ('swap', 0), ('rewire', 0), ('exchange', 0), ('build', 0), ('split', 0)]
    """
    shares = {(name, 0): SHARES[name] for name in SINGLE}
    for level in range(layers - 1):
        whole = {(k, level): share / (layers - 1) for k, share in SHARES.items() if k not in SINGLE}
        shares |= whole
    ends = np.cumsum(list(shares.values()))
    return list(shares), (ends / ends[-1]).astype(np.float32)


def grids_of(flat: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """The layers of vectors (..., parameters): (..., n_in + 1, n_out), the bias in the last row."""
    grids, at = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        end = at + (n_in + 1) * n_out
        grids.append(flat[..., at:end].reshape(*flat.shape[:-1], n_in + 1, n_out))
        at = end
    return grids


def _flat(grids: list[jax.Array]) -> jax.Array:
    return jnp.concatenate([grid.reshape(*grid.shape[:-2], -1) for grid in grids], axis=-1)


def _live(grids: list[jax.Array]) -> list[jax.Array]:
    """Which neurons have something kept on both sides; of what is read first, all that is read."""
    fed = [jnp.any(grid, axis=0) for grid in grids[:-1]]
    read = [jnp.any(grid[:-1], axis=1) for grid in grids[1:]]
    inner = [a & b for a, b in zip(fed, read, strict=True)]
    return [*inner, jnp.ones(grids[-1].shape[1], bool)]


def _ranked(members: jax.Array) -> jax.Array:
    """How many of the entries until each one are members, itself included; rows of any number."""
    # A product, as a CPU computes a cumulative sum of short rows one number at a time.
    upper = jnp.triu(jnp.ones((members.shape[-1],) * 2, jnp.float32))
    return jnp.matmul(members.astype(jnp.float32), upper, precision="highest")


def nth(rank: jax.Array, members: jax.Array) -> jax.Array:
    """Where the member is that has so many before it.

    Args:
        rank: (count,).
        members: bool, a row (n,) for all or rows (count, n).

    Returns:
        (count,) int32; n if there is no such member.
    """
    ranked = jnp.atleast_2d(_ranked(members))
    return jnp.sum(ranked <= rank[:, None], axis=1, dtype=jnp.int32)


def _places(drawn: jax.Array, grids: list[jax.Array]) -> jax.Array:
    """Places of members of some grids, from numbers in [0, 1)."""
    most = max(grid.shape[1] for grid in grids)
    stacked = jnp.concatenate([jnp.pad(g, ((0, 0), (0, most - g.shape[1]))) for g in grids])
    ends = _ranked(jnp.sum(stacked, axis=1))
    rank = jnp.floor(drawn * ends[-1])
    row = jnp.sum(ends[None] <= rank[:, None], axis=1, dtype=jnp.int32)
    widths = np.concatenate([np.full(grid.shape[0], grid.shape[1]) for grid in grids])
    starts = jnp.asarray(np.cumsum(np.append(0, widths)))[:-1]
    before = jnp.append(0.0, ends)[row]
    row = jnp.minimum(row, ends.size - 1)
    place = starts[row] + nth(rank - before, stacked[row])
    return jnp.where(ends[-1] > 0, place, sum(grid.size for grid in grids))


def _tables(u: jax.Array, state: State, sources: jax.Array) -> _Tables:
    grids, free = grids_of(state.mask, state.sizes), grids_of(state.prunable, state.sizes)
    live = [sources, *_live(grids)]
    rows = [jnp.append(one, True) for one in live[:-1]]
    kept = [grid & may for grid, may in zip(grids, free, strict=True)]
    new = [
        row[:, None] & column[None] & ~grid & may
        for row, column, grid, may in zip(rows, live[1:], grids, free, strict=True)
    ]
    most = max(state.sizes) + 1

    def stacked(vectors: list[jax.Array]) -> jax.Array:
        return jnp.stack([jnp.pad(one, (0, most - one.size)) for one in vectors])

    leaving = u[:, : 1 + MOST_LEAVING]
    return _Tables(
        grids,
        stacked(rows),
        stacked(live[1:]),
        _places(leaving.ravel(), kept).reshape(leaving.shape),
        _places(u[:, 1 + MOST_LEAVING], new),
    )


def _changed(mask: jax.Array, leaving: jax.Array, entering: jax.Array) -> jax.Array:
    """Masks without one parameter and with another, (count, parameters)."""
    places = jnp.arange(mask.size)[None]
    return (mask[None] & (places != leaving[:, None])) | (places == entering[:, None])


def _toggle(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    none, removes = state.mask.size, u[:, 0] < 0.5
    leaving = jnp.where(removes, tables.kept[:, 0], none)
    return _changed(state.mask, leaving, jnp.where(removes, none, tables.new))


def _swap(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    del u
    return _changed(state.mask, tables.kept[:, 0], tables.new)


def _rewire(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    """Another source, or another neuron, for a kept parameter."""
    leaving = tables.kept[:, 0]
    starts = np.cumsum([0, *(grid.size for grid in tables.grids)])
    layer = jnp.sum(leaving[:, None] >= starts[None, 1:-1], axis=1)
    start, width = jnp.asarray(starts)[layer], jnp.asarray(state.sizes[1:])[layer]
    row, column = (leaving - start) // width, (leaving - start) % width
    moves_row = u[:, 0] < 0.5
    other_row = among(u[:, 1], tables.rows[layer])
    other_column = among(u[:, 1], tables.columns[layer])
    row, column = jnp.where(moves_row, other_row, row), jnp.where(moves_row, column, other_column)
    # Nothing is kept, or no neuron is live.
    none = (leaving == state.mask.size) | ~tables.columns[layer, column]
    entering = jnp.where(none, leaving, start + row * width + column)
    return _changed(state.mask, leaving, entering)


def _with_layers(tables: _Tables, first: jax.Array, second: jax.Array) -> jax.Array:
    """Masks (count, parameters) of two new layers, the second without its biases; then the rest."""
    count = first.shape[0]

    def repeated(grid: jax.Array) -> jax.Array:
        return jnp.broadcast_to(grid[None], (count, *grid.shape))

    second = jnp.concatenate([second, repeated(tables.grids[1][-1:])], axis=1)
    return _flat([first, second, *(repeated(grid) for grid in tables.grids[2:])])


def _live_neuron(drawn: jax.Array, tables: _Tables) -> jax.Array:
    width = tables.grids[0].shape[1]
    return among(drawn, jnp.broadcast_to(tables.columns[0, :width], (drawn.size, width)))


def _exchange(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    """A live neuron and any other one change places."""
    one, other = _live_neuron(u[:, 0], tables), below(u[:, 1], state.sizes[1])
    places = jnp.arange(state.sizes[1])
    is_one, is_other = _is_among(places, one), _is_among(places, other)
    into, out = tables.grids[0].T, tables.grids[1][:-1]
    first = jnp.where(is_other[:, None], into[one][:, :, None], tables.grids[0][None])
    first = jnp.where(is_one[:, None], into[other][:, :, None], first)
    second = jnp.where(is_other[:, :, None], out[one][:, None], out[None])
    second = jnp.where(is_one[:, :, None], out[other][:, None], second)
    return _with_layers(tables, first, second)


def _making_room(masks: jax.Array, state: State, tables: _Tables) -> jax.Array:
    """Masks without random kept parameters, as many as are too many."""
    before = jnp.sum(state.mask & state.prunable)
    excess = jnp.sum(masks & state.prunable[None], axis=1) - before - state.room
    places = jnp.arange(state.mask.size)[None]
    for i in range(MOST_LEAVING):
        masks &= (i >= excess)[:, None] | (places != tables.kept[:, i, None])
    return masks


def _is_among(numbers: jax.Array, place: jax.Array) -> jax.Array:
    return numbers[None] == place[:, None]


def _build(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    """Any neuron, live or not, with one or two sources, a bias or none, and one or two readers."""
    n_in, width, n_out = state.sizes[:3]
    neuron = _is_among(jnp.arange(width), below(u[:, 0], width))
    count = u.shape[0]
    sources, readers = tables.rows[0, :n_in], tables.columns[1, :n_out]

    def one_or_two(first: jax.Array, second: jax.Array, members: jax.Array) -> jax.Array:
        rows, places = jnp.broadcast_to(members, (count, members.size)), jnp.arange(members.size)
        both = _is_among(places, among(2 * second - 1, rows)) & (second >= 0.5)[:, None]
        return (_is_among(places, among(first, rows)) | both) & members[None]

    into = one_or_two(u[:, 1], u[:, 2], sources)
    into = jnp.concatenate([into, u[:, 3:4] < 0.5], axis=1)
    out = one_or_two(u[:, 4], u[:, 5], readers)
    first = jnp.where(neuron[:, None], into[:, :, None], tables.grids[0][None])
    second = jnp.where(neuron[:, :, None], out[:, None], tables.grids[1][None, :-1])
    return _making_room(_with_layers(tables, first, second), state, tables)


def _split(u: jax.Array, state: State, tables: _Tables) -> jax.Array:
    """A neuron with the sources of a live one takes over half of what reads that one."""
    width, n_out = state.sizes[1:3]
    one, other = _live_neuron(u[:, 0], tables), below(u[:, 1], width)
    places = jnp.arange(width)
    is_one, is_other = _is_among(places, one), _is_among(places, other)
    is_other &= (one != other)[:, None]
    first = jnp.where(is_other[:, None], tables.grids[0].T[one][:, :, None], tables.grids[0][None])
    out = tables.grids[1][:-1]
    half = ((jnp.arange(n_out)[None] - below(u[:, 2], n_out)[:, None]) % n_out) < (n_out + 1) // 2
    second = jnp.where(is_other[:, :, None], (out[one] & half)[:, None], out[None])
    taken = is_one[:, :, None] & half[:, None] & (one != other)[:, None, None]
    second = second & ~taken
    return _making_room(_with_layers(tables, first, second), state, tables)


_KINDS = {
    "toggle": _toggle,
    "swap": _swap,
    "rewire": _rewire,
    "exchange": _exchange,
    "build": _build,
    "split": _split,
}


def propose(
    u: jax.Array, state: State, sources: jax.Array, counts: dict[str, int]
) -> tuple[jax.Array, jax.Array]:
    """The proposals of a step.

    Args:
        u: (batch, NUMBERS) in [0, 1).
        state: what is changed.
        sources: (sizes[0],) bool, which of the neurons that the first layer reads are live.
        counts: how many proposals are of which kind; they add up to batch.

    Returns:
        Masks (batch, parameters), and which of them are possible: others than the state's own, of
        the budget at most.
    """
    tables = _tables(u, state, sources)
    of_kind = u[:, 2 + MOST_LEAVING :]
    masks, at = [], 0
    for name, count in counts.items():
        if count:
            part = slice(at, at + count)
            masks.append(_KINDS[name](of_kind[part], state, tables.of(part)))
        at += count
    proposed = jnp.where(state.prunable[None], jnp.concatenate(masks), state.mask[None])
    more = jnp.sum(proposed & state.prunable[None], axis=1) - jnp.sum(state.mask & state.prunable)
    return proposed, jnp.any(proposed != state.mask[None], axis=1) & (more <= state.room)
