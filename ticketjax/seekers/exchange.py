"""Exchange: a local search among sparse masks that looks at thousands of changes per round."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, Params, Problem
from ticketjax.masks import layer_names, top_k_mask
from ticketjax.objective import loss, output_scale, rescale

# Share of a segment's neurons that come with their bias: half would leave few segments with none.
BIASED = 0.25


class Neighbourhood(NamedTuple):
    """What is looked at in a round.

    width: neurons of a hidden layer; the active ones and, drawn anew every round, others. A mask
        with more active neurons than that in a layer is left as it is.
    singles: pruned parameters, half of them by least loss, half at random. segments: random pieces
        of path. rewirings: exchanges of an active neuron for another one.
    leaving: kept parameters, the least useful ones, that may make room. removals: how many of them
        may do so for one segment; 0 for no exchange, only additions.
    candidates: how many changes are evaluated exactly on the samples of the round.
    finalists: how many of those, the best, are evaluated on all training data.
    tenure: for how many rounds a parameter that was added or removed may not be so singly again,
        which would only undo a change for the worse (tabu search, Glover 1989).
    """

    width: int = 40
    singles: int = 512
    segments: int = 64
    rewirings: int = 32
    leaving: int = 160
    removals: int = 4
    candidates: int = 32
    finalists: int = 3
    tenure: int = 10


class Move(NamedTuple):
    """What one round led to; every entry ().

    loss: of the mask kept after the round. kept: its prunable parameters that can matter.
    accepted: whether the round changed it.
    """

    loss: jax.Array
    kept: jax.Array
    accepted: jax.Array


class _Search(NamedTuple):
    mask: jax.Array
    flipped: jax.Array  # (parameters,) the round in which each was added or removed last
    outputs: jax.Array  # (outputs, n) on all training data
    loss: jax.Array
    best_mask: jax.Array
    best_loss: jax.Array


def _sizes(params: Params) -> tuple[int, ...]:
    kernels = [params[name]["kernel"] for name in layer_names(params)]
    if any(kernel.ndim != 2 for kernel in kernels):
        raise ValueError(
            "params must be those of a dense ReLU network, with kernels (n_in, n_out); got shapes "
            f"{[kernel.shape for kernel in kernels]}"
        )
    return (kernels[0].shape[0], *(kernel.shape[1] for kernel in kernels))


def _flatten(tree: Params) -> jax.Array:
    """One vector: layers from input to output, the kernel row-major before the bias."""
    names = layer_names(tree)
    return jnp.concatenate(
        [tree[name][part].ravel() for name in names for part in ("kernel", "bias")]
    )


def _layers(flat: jax.Array, sizes: tuple[int, ...]) -> list[tuple[jax.Array, jax.Array]]:
    """The kernels and biases of a vector."""
    layers, at = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        kernel = flat[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        layers.append((kernel, flat[at : at + n_out]))
        at += n_out
    return layers


def _unflatten(flat: jax.Array, params: Params) -> Params:
    layers = _layers(flat, _sizes(params))
    return {
        name: {"kernel": kernel, "bias": bias}
        for name, (kernel, bias) in zip(layer_names(params), layers, strict=True)
    }


def _join(layers: list[tuple[jax.Array, jax.Array]]) -> jax.Array:
    return jnp.concatenate([part.ravel() for layer in layers for part in layer])


def _is_bias(sizes: tuple[int, ...]) -> np.ndarray:
    pairs = zip(sizes, sizes[1:], strict=False)
    return np.concatenate([np.repeat([False, True], [m * n, n]) for m, n in pairs])


def _sinks(sizes: tuple[int, ...]) -> np.ndarray:
    """The neuron that each parameter feeds, counted over all layers but the input."""
    sinks, first = [], 0
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        sinks.append(np.tile(np.arange(first, first + n_out), n_in + 1))
        first += n_out
    return np.concatenate(sinks)


def _active(mask: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
    """Which neurons can matter, layer by layer: not always 0, and read by an output."""
    layers = _layers(mask, sizes)
    fed = [jnp.ones(sizes[0], bool)]
    for kernel, bias in layers:
        fed.append(jnp.any(kernel & fed[-1][:, None], axis=0) | bias)
    read = [jnp.ones(sizes[-1], bool)]
    for kernel, _ in reversed(layers):
        read.insert(0, jnp.any(kernel & read[0][None, :], axis=1))
    return [
        jnp.ones(sizes[0], bool),
        *(f & r for f, r in zip(fed[1:-1], read[1:-1], strict=True)),
        jnp.ones(sizes[-1], bool),
    ]


def _useful(mask: jax.Array, sizes: tuple[int, ...], prunable: jax.Array) -> jax.Array:
    """The mask without what cannot matter: weights and biases of neurons that are not active."""
    active = _active(mask, sizes)
    layers = [
        (kernel & source[:, None] & sink[None, :], bias & sink)
        for (kernel, bias), source, sink in zip(
            _layers(mask, sizes), active, active[1:], strict=False
        )
    ]
    return jnp.where(prunable, _join(layers), mask)


def _forward(flat: jax.Array, x: jax.Array, sizes: tuple[int, ...]):
    """What each layer receives and its pre-activations; samples in the last axis."""
    received, before = [x], []
    layers = _layers(flat, sizes)
    for kernel, bias in layers:
        before.append(jnp.matmul(kernel.T, received[-1], precision="highest") + bias[:, None])
        received.append(jnp.maximum(before[-1], 0))
    return received[:-1], before


def _loss(problem: Problem, outputs: jax.Array, y: jax.Array, weights=None) -> jax.Array:
    """The problem's loss of outputs (outputs, n), weights (n,) as in loss()."""
    outputs = outputs.T
    if problem.objective == "rescaled":
        outputs = rescale(outputs, output_scale(problem.kind, outputs, y, weights))
    return loss(problem.kind, outputs, y, weights)


def _slope_and_root(problem: Problem, outputs: jax.Array, y: jax.Array, weights=None):
    """The loss's slope by the outputs (n, o), and a root of its curvature (n, o, o).

    The output scale is held: at its best value, the loss is stationary in it.
    """
    n, o = outputs.shape[1], outputs.shape[0]
    outputs = outputs.T
    scale = jnp.ones(())
    if problem.objective == "rescaled":
        scale = output_scale(problem.kind, outputs, y, weights)
    scale = jnp.broadcast_to(scale, (o,))
    scaled = outputs * scale[None]
    if problem.kind == CLASSIFICATION:
        share = jax.nn.softmax(scaled)
        slope = (share - jax.nn.one_hot(y, o)) / n
        root = jnp.sqrt(share)
        # (diag(sqrt p) - p sqrt p^T) times its transpose is diag(p) - p p^T, the curvature.
        curvature = (jnp.eye(o)[None] * root[:, None] - share[:, :, None] * root[:, None]) / n**0.5
    else:
        slope = 2 * (scaled - y) / (n * o)
        curvature = jnp.broadcast_to(jnp.eye(o)[None] * (2 / (n * o)) ** 0.5, (n, o, o))
    slope, curvature = slope * scale[None], curvature * scale[None, :, None]
    if weights is not None:
        slope, curvature = slope * weights[:, None], curvature * weights[:, None, None] ** 0.5
    return slope, curvature


def _sample(u: jax.Array, slope: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Samples to screen with, (count,), and their weights, which make up for how they are drawn.

    Half by chance, half in proportion to the slope (n, o) of the loss: where the network is right
    already, most changes make no difference. One u in [0, 1) draws all (systematic sampling).
    """
    n = slope.shape[0]
    if count >= n:
        return jnp.arange(n), jnp.ones(n)
    steep = jnp.linalg.norm(slope, axis=1)
    total = jnp.sum(steep)
    usable = (total > 0) & (total < jnp.inf)
    share = jnp.where(usable, 0.5 / n + 0.5 * steep / jnp.where(usable, total, 1.0), 1 / n)
    places = jnp.cumsum(share)
    drawn = jnp.searchsorted(places, (u + jnp.arange(count)) / count * places[-1])
    drawn = jnp.minimum(drawn, n - 1)
    return drawn, 1 / (n * share[drawn])


def _influence(
    theta: jax.Array, before: list[jax.Array], sizes: tuple[int, ...]
) -> list[jax.Array]:
    """The outputs' derivative by what each layer gives out: (neurons, n, outputs) per layer."""
    n, o = before[0].shape[1], sizes[-1]
    influence = [jnp.broadcast_to(jnp.eye(o)[:, None], (o, n, o))]
    layers = _layers(theta, sizes)
    for i in reversed(range(1, len(layers))):
        later = influence[0]
        if i < len(layers) - 1:
            later = later * (before[i] > 0)[:, :, None]
        influence.insert(0, jnp.einsum("ij,jno->ino", layers[i][0], later))
    return influence


def _flips(theta, mask, received, before, sizes):
    """What a neuron gives out more if one parameter that it has is flipped, (parameters, n)."""
    changes = []
    flipped = _layers(jnp.where(mask, -theta, theta), sizes)
    for i, ((kernel, bias), inputs, pre) in enumerate(zip(flipped, received, before, strict=True)):
        inputs = jnp.concatenate([inputs, jnp.ones_like(inputs[:1])])
        rows = jnp.concatenate([kernel, bias[None]])
        change = rows[:, :, None] * inputs[:, None]
        if i < len(before) - 1:
            change = jnp.maximum(pre[None] + change, 0) - jnp.maximum(pre, 0)[None]
        changes.append(change.reshape(-1, change.shape[-1]))
    return jnp.concatenate(changes)


class _Draws:
    """Uniform numbers of a round, handed out one array after the other.

    They are drawn at once: a draw per array would take most of the program's compilation.
    """

    def __init__(self, key: jax.Array, count: int):
        self._numbers, self._at = jax.random.uniform(key, (count,)), 0

    def take(self, *shape: int) -> jax.Array:
        at, self._at = self._at, self._at + math.prod(shape)
        return self._numbers[at : self._at].reshape(shape)

    def below(self, count: int, size: jax.Array | int) -> jax.Array:
        """`count` whole numbers from 0 to size - 1."""
        return jnp.floor(self.take(count) * size).astype(jnp.int32)

    def among(self, count: int, members: jax.Array) -> jax.Array:
        """`count` indices of True entries; of the last entry if there is none."""
        rank = self.below(count, jnp.sum(members))
        return jnp.sum(jnp.cumsum(members)[None, :-1] <= rank[:, None], axis=1)


def _draws_needed(sizes: tuple[int, ...], around: Neighbourhood) -> int:
    """Enough for a round: neurons, singles, segments, rewirings, samples, acceptance."""
    per_segment, per_rewiring = 3 * len(sizes) + 2, 2 * len(sizes) + 1
    return (
        sum(sizes)
        + around.singles
        + around.segments * per_segment
        + around.rewirings * per_rewiring
        + 2
    )


def _segments(draws: _Draws, count: int, mask, prunable, sizes):
    """Masks with a random piece of path added, (count, parameters).

    It leaves an active neuron (an input, if there is no other), runs through one or more random
    neurons of the layers that follow, with or without their biases, and enters an active neuron or
    an output.
    """
    layers = len(sizes) - 1
    # One layer would be a single parameter, which is looked at anyway.
    shortest = min(2, layers)
    length = shortest + draws.below(count, layers + 1 - shortest)
    start = jnp.floor(draws.take(count) * (layers - length + 1)).astype(jnp.int32)
    neurons, biased = [], []
    for i, (size, active) in enumerate(zip(sizes, _active(mask, sizes), strict=True)):
        ends, between = draws.among(count, active), draws.below(count, size)
        neurons.append(jnp.where((i == start) | (i == start + length), ends, between))
        biased.append(draws.take(count) < BIASED)

    added = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        on = (i >= start) & (i < start + length)
        source = jnp.arange(n_in)[None] == neurons[i][:, None]
        sink = (jnp.arange(n_out)[None] == neurons[i + 1][:, None]) & on[:, None]
        inner = biased[i] & (i + 1 < start + length)
        added.append((source[:, :, None] & sink[:, None]).reshape(count, -1))
        added.append(sink & inner[:, None])
    return mask[None] | (jnp.concatenate(added, axis=1) & prunable[None])


def _rewirings(draws: _Draws, count: int, mask, prunable, sizes):
    """Masks in which an active hidden neuron has changed places with another one."""
    layer = 1 + draws.below(count, len(sizes) - 2)
    orders = []
    for i, (size, active) in enumerate(zip(sizes, _active(mask, sizes), strict=True)):
        one, other = draws.among(count, active)[:, None], draws.below(count, size)[:, None]
        order = jnp.broadcast_to(jnp.arange(size)[None], (count, size))
        swapped = jnp.where(order == one, other, jnp.where(order == other, one, order))
        orders.append(jnp.where((layer == i)[:, None], swapped, order))
    moved = []
    for i, (kernel, bias) in enumerate(_layers(mask, sizes)):
        source, sink = orders[i], orders[i + 1]
        moved.append(kernel[source[:, :, None], sink[:, None]].reshape(count, -1))
        moved.append(bias[sink])
    return jnp.where(prunable[None], jnp.concatenate(moved, axis=1), mask[None])


def _least(values: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` smallest of each row and where they are, in ascending order."""
    if count > 1:
        negative, index = jax.lax.top_k(-values, count)
        return -negative, index
    index = jnp.argmin(values, axis=-1, keepdims=True)
    return jnp.take_along_axis(values, index, -1), index


def _improve(problem, theta, x, y, weights, prunable, sizes, size, mask, free, draws, around):
    """The best changes of a neighbourhood, (finalists, parameters), and what each adds.

    What is impossible, or changes nothing, adds a number of parameters that is infinite.
    mask: without anything that cannot matter. size: how many prunable parameters it may have.
    free: which parameters may be added or removed singly.
    """
    received, before = _forward(theta * mask, x, sizes)
    outputs = before[-1]
    slope, root = _slope_and_root(problem, outputs, y, weights)
    influence = jnp.concatenate(_influence(theta * mask, before, sizes))
    sinks = jnp.asarray(_sinks(sizes))
    changes = _flips(theta, mask, received, before, sizes)
    pull = jnp.sum(influence * slope[None], -1)
    reach = jnp.einsum("jno,nop->jnp", influence, root)
    own = jnp.sum(changes * pull[sinks] + 0.5 * changes**2 * jnp.sum(reach**2, -1)[sinks], axis=1)
    count = jnp.sum(mask & prunable)

    def effects(index):
        return (changes[index][:, :, None] * reach[sinks[index]]).reshape(index.size, -1)

    kept_own = jnp.where(mask & prunable & free, own, jnp.inf)
    leaving_own, leaving = _least(kept_own, min(around.leaving, own.size))
    leaving_effects = effects(leaving)

    def screen(own, effects, new, most, limit):
        """The most promising of some additions, and what leaves for each."""
        most = min(most, leaving.size)
        removed = jnp.maximum(count + new - size, 0)
        estimate, out = own, jnp.zeros((own.size, 0), jnp.int32)
        if most > 0:
            together = jnp.matmul(effects, leaving_effects.T) + leaving_own[None]
            losses, which = _least(together, most)
            leaves = jnp.arange(most)[None] < removed[:, None]
            estimate = own + jnp.sum(jnp.where(leaves, losses, 0.0), 1)
            out = jnp.where(leaves, leaving[which], mask.size)
        possible = (removed <= most) & (estimate < jnp.inf)
        estimate = jnp.where(possible, estimate, jnp.inf)
        more = jnp.maximum(new - removed, 1)
        _, chosen = _least(estimate / more, min(limit, own.size))
        return chosen, out[chosen], more[chosen], possible[chosen]

    pruned_own = jnp.where(prunable & ~mask & free, own, jnp.inf)
    half = min(around.singles // 2, own.size)
    _, best = _least(pruned_own, half)
    singles = jnp.concatenate([best, draws.below(half, own.size)])
    limit = around.candidates // 2
    new = jnp.ones(singles.size, count.dtype)
    chosen, out, *first = screen(
        pruned_own[singles], effects(singles), new, min(around.removals, 1), limit
    )
    masks = jax.vmap(lambda index: mask.at[index].set(True))(singles[chosen])
    first_masks = _without(masks, out)

    sampled = _segments(draws, around.segments, mask, prunable, sizes)
    # Nothing added: what is above the limit has to go.
    sampled = jnp.concatenate([sampled, mask[None]])
    if around.rewirings and len(sizes) > 2:
        moved = _rewirings(draws, around.rewirings, mask, prunable, sizes)
        sampled = jnp.concatenate([sampled, moved])
    moved = jax.vmap(lambda m: _forward(theta * m, x, sizes)[1][-1])(sampled) - outputs[None]
    moved = jnp.swapaxes(moved, 1, 2)
    sampled_effects = jnp.einsum("bno,nop->bnp", moved, root).reshape(sampled.shape[0], -1)
    sampled_own = jnp.sum(moved * slope[None], (1, 2)) + 0.5 * jnp.sum(sampled_effects**2, 1)
    new = jnp.sum(sampled & prunable[None], 1) - count
    # The scale of the outputs is held in an estimate. Where a change is so large that it has to be
    # another one, as with the first paths, the best may look bad: so some are taken untested.
    untested = jnp.arange(sampled.shape[0]) < around.candidates // 4
    sampled_own = jnp.where(untested & jnp.isfinite(sampled_own), -jnp.inf, sampled_own)
    chosen, out, *second = screen(
        sampled_own, sampled_effects, new, around.removals, around.candidates - limit
    )
    masks = jnp.concatenate([first_masks, _without(sampled[chosen], out)])
    more, possible = (jnp.concatenate(pair) for pair in zip(first, second, strict=True))

    masks = jax.vmap(lambda m: _useful(m, sizes, prunable))(masks)
    results = jax.vmap(lambda m: _forward(theta * m, x, sizes)[1][-1])(masks)
    losses = jax.vmap(lambda result: _loss(problem, result, y, weights))(results)
    now = _loss(problem, outputs, y, weights)
    # What changes nothing would stand in the way of a slightly worse move that is accepted.
    more = jnp.where(possible & (losses != now), more, jnp.inf)
    # NaN would be the best of all.
    gains = jnp.where(jnp.isfinite(losses) & jnp.isfinite(more), (now - losses) / more, -jnp.inf)
    _, best = _least(-gains, min(around.finalists, gains.size))
    return masks[best], jnp.where(gains[best] > -jnp.inf, more[best], jnp.inf)


def _without(masks: jax.Array, out: jax.Array) -> jax.Array:
    """Masks without the parameters listed, one row each; an index beyond the last is none."""
    return jax.vmap(lambda mask, gone: mask.at[gone].set(False, mode="drop"))(masks, out)


def _pool(draws, mask, sizes, narrow):
    """Where the parameters of a narrower network are in the vector; whether it is wide enough.

    It has all active neurons and random other ones.
    """
    active = _active(mask, sizes)
    neurons = []
    for among, n, width in zip(active, sizes, narrow, strict=True):
        first = jnp.argsort(-(draws.take(n) + among))[:width] if n > width else jnp.arange(n)
        neurons.append(first)
    counts = jnp.stack([jnp.sum(among) for among in active])
    where, at = [], 0
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        where.append((at + neurons[i][:, None] * n_out + neurons[i + 1][None]).ravel())
        where.append(at + n_in * n_out + neurons[i + 1])
        at += (n_in + 1) * n_out
    return jnp.concatenate(where), jnp.all(counts <= jnp.asarray(narrow))


def _fill(mask, size, prunable, sizes):
    """The mask with exactly `size` prunable parameters: first added is what changes nothing."""
    layers = _layers(mask, sizes)
    unread = [~jnp.any(kernel, axis=1) for kernel, _ in layers[1:]]
    unread.append(jnp.zeros(sizes[-1], bool))
    harmless = _join(
        [
            (jnp.broadcast_to(sink[None, :], kernel.shape), sink)
            for (kernel, _), sink in zip(layers, unread, strict=True)
        ]
    )
    rank = jnp.where(mask, 2.0, jnp.where(harmless, 1.0, 0.0))
    chosen = top_k_mask(jnp.where(prunable, rank, -1.0), size)
    return jnp.where(prunable, chosen, mask)


def search(
    problem: Problem,
    mask: Params,
    size: jax.Array | int,
    key: jax.Array,
    *,
    rounds: int,
    samples: int,
    temperature: float = 0.0,
    excess: float = 0.0,
    neighbourhood: Neighbourhood = Neighbourhood(),  # noqa: B008
) -> tuple[Params, Move]:
    """The best mask of `size` prunable parameters that a local search meets, from a given one.

    Each round takes what lowers the loss most per parameter that it adds, among the changes of the
    neighbourhood that leave at most `size`. First all of them are screened: a change's own effect
    on the outputs, its partner's, and how the two add up, by the loss's slope and curvature there.
    The best are then evaluated exactly. While there is room, a round only adds.

    rounds: how many. samples: training samples that a round screens changes with, drawn anew in
        every round: a search that sees the same few fits them, not the task. What the screening
        likes best is decided on all training data.
    temperature: a change by which the loss grows to exp(r) of what it was is made with probability
        exp(-r / T), T falling linearly from this to 0. With 0 the loss never rises.
    excess: the share of `size` that masks may have more at the start, falling linearly to 0 after
        three quarters of the rounds; what is too much then has to go, whatever the loss.

    Returns a mask that keeps exactly `size` (parameters that change nothing fill what is left),
    and the rounds. Of dense ReLU networks only; ValueError for others.
    """
    sizes = _sizes(problem.params)
    narrow = (sizes[0], *(min(neighbourhood.width, s) for s in sizes[1:-1]), sizes[-1])
    prunable, narrow_prunable = (
        jnp.asarray(~_is_bias(s) | problem.prune_bias) for s in (sizes, narrow)
    )
    theta = _flatten(problem.params)
    n = problem.batch.x.shape[0]
    x, y = problem.batch.x.T, problem.batch.y
    # In this order, a systematic sample has its share of every class and every part of the inputs.
    order = jnp.lexsort((x[0], y)) if problem.kind == CLASSIFICATION else jnp.argsort(x[0])
    x, y = x[:, order], y[order]

    needed = _draws_needed(sizes, neighbourhood)

    def step(state, inputs):
        k, heat, limit = inputs
        draws = _Draws(jax.random.fold_in(key, k), needed)
        where, fits = _pool(draws, state.mask, sizes, narrow)
        slope, _ = _slope_and_root(problem, state.outputs, y)
        some, weights = _sample(draws.take(), slope, min(samples, n))
        masks, more = _improve(
            problem,
            theta[where],
            x[:, some],
            y[some],
            weights,
            narrow_prunable,
            narrow,
            limit,
            state.mask[where],
            k > state.flipped[where] + neighbourhood.tenure,
            draws,
            neighbourhood,
        )
        results = jax.vmap(lambda m: _forward(theta[where] * m, x, narrow)[1][-1])(masks)
        losses = jax.vmap(lambda result: _loss(problem, result, y))(results)
        before = state.loss
        losses = jnp.where(jnp.isfinite(more) & (losses != before), losses, jnp.inf)
        chosen = jnp.argmax(jnp.where(jnp.isfinite(losses), (before - losses) / more, -jnp.inf))
        found, after, outputs = masks[chosen], losses[chosen], results[chosen]
        rise = jnp.log(after) - jnp.log(before)
        warm = rise < -heat * jnp.log1p(-draws.take())
        forced = jnp.sum(state.mask & prunable) > limit
        accepted = fits & jnp.isfinite(after) & ((after < before) | warm | forced)
        mask = jnp.where(accepted, state.mask.at[where].set(found), state.mask)
        flipped = jnp.where(mask != state.mask, k, state.flipped)
        outputs = jnp.where(accepted, outputs, state.outputs)
        now = jnp.where(accepted, after, before)
        kept = jnp.sum(mask & prunable)
        better = (now < state.best_loss) & (kept <= size)
        best = jnp.where(better, mask, state.best_mask), jnp.where(better, now, state.best_loss)
        return _Search(mask, flipped, outputs, now, *best), Move(now, kept, accepted)

    start = _useful(_flatten(mask), sizes, prunable)
    outputs = _forward(theta * start, x, sizes)[1][-1]
    first = _loss(problem, outputs, y)
    heats = temperature * (1 - jnp.arange(rounds) / max(rounds, 1))
    shrinking = jnp.maximum(1 - jnp.arange(rounds) / max(0.75 * rounds, 1), 0)
    limits = jnp.floor(size * (1 + excess * shrinking)).astype(jnp.int32)
    never = jnp.full(start.shape, -neighbourhood.tenure - 1)
    begin = _Search(start, never, outputs, first, start, first)
    state, moves = jax.lax.scan(step, begin, (jnp.arange(rounds), heats, limits))
    return _unflatten(_fill(state.best_mask, size, prunable, sizes), problem.params), moves
