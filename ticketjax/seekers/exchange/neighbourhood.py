"""The changes that a round looks at: how many of which kind, and those that are drawn."""

import itertools
import math
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from ticketjax.seekers.exchange.activity import active_neurons
from ticketjax.seekers.exchange.vectors import layers_of, starts_of

# Share of a segment's neurons that come with their bias: half would leave few segments with none.
BIASED = 0.25


class Neighbourhood(NamedTuple):
    """What is looked at in a round.

    Args:
        width: neurons of a hidden layer; the active ones and, drawn anew every round, others. A
            mask with more active neurons than that in a layer is left as it is.
        singles: pruned parameters, half of them by least loss, half at random.
        segments: random pieces of path.
        detours: the best pieces of path through one new neuron, of all.
        replacements: the best exchanges of an active neuron for another one, of all.
        leaving: kept parameters, the least useful ones, that may make room.
        removals: how many of them may do so for one segment; 0 for no exchange, only additions.
        candidates: how many changes are evaluated exactly on the samples of the round.
        finalists: how many of those, the best, are evaluated on all training data.
        tenure: for how many rounds a parameter that was added or removed may not be so singly
            again, which would only undo a change for the worse (tabu search, Glover 1989).
    """

    width: int = 40
    singles: int = 512
    segments: int = 16
    detours: int = 64
    replacements: int = 32
    leaving: int = 160
    removals: int = 4
    candidates: int = 32
    finalists: int = 3
    tenure: int = 10


class Pieces(NamedTuple):
    """Numbers in [0, 1) that draw random pieces of path.

    Args:
        length, first, source: (count,): how many layers a piece runs through, the first of them,
            and the neuron that it leaves.
        layers: (layers, 3, count): in every layer, whether the neuron there has its bias, which
            neuron it is within the piece, and which at the end of it.
    """

    length: jax.Array
    first: jax.Array
    source: jax.Array
    layers: jax.Array


class Draws(NamedTuple):
    """The random numbers of a round, all in [0, 1).

    Args:
        neurons: which neurons a narrower network has besides the active ones, (n,) for every layer
            that has more than it takes, (0,) for the others.
        samples: (), which samples are drawn.
        singles: (half of Neighbourhood.singles,), which parameters are tried.
        pieces: as in Pieces.
        noise: (candidates,), at least 2, for the choice among them.
        warmth: (), whether a change for the worse is made.
    """

    neurons: tuple[jax.Array, ...]
    samples: jax.Array
    singles: jax.Array
    pieces: Pieces
    noise: jax.Array
    warmth: jax.Array


def _numbers(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def shapes_of_pieces(count: int, layers: int) -> Pieces:
    """What `count` pieces of path through so many layers take: shapes for draw()."""
    one = _numbers(count)
    return Pieces(one, one, one, _numbers(layers, 3, count))


def shapes_of_draws(
    sizes: tuple[int, ...], narrow: tuple[int, ...], around: Neighbourhood
) -> Draws:
    """What a round takes, of a network and the narrower one that it looks at: shapes for draw()."""
    parameters = starts_of(narrow)[-1].bias + narrow[-1]
    return Draws(
        tuple(_numbers(n if n > width else 0) for n, width in zip(sizes, narrow, strict=True)),
        _numbers(),
        _numbers(min(around.singles // 2, parameters)),
        shapes_of_pieces(around.segments, len(sizes) - 1),
        _numbers(max(around.candidates, 2)),
        _numbers(),
    )


Shapes = TypeVar("Shapes")


def draw(key: jax.Array, shapes: Shapes) -> Shapes:
    """A tree of uniform numbers in [0, 1).

    They are drawn at once: a draw per array would take most of the program's compilation.

    Args:
        key: of the numbers.
        shapes: a tree of arrays or shapes.

    Returns:
        A tree of float32 arrays of these shapes.
    """
    leaves, structure = jax.tree.flatten(shapes)
    *ends, count = itertools.accumulate(math.prod(leaf.shape) for leaf in leaves)
    parts = jnp.split(jax.random.uniform(key, (count,), jnp.float32), ends)
    arrays = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, arrays)


def below(drawn: jax.Array, size: jax.Array | int) -> jax.Array:
    """Whole numbers from 0 to size - 1, from numbers in [0, 1)."""
    return jnp.floor(drawn * size).astype(jnp.int32)


def among(drawn: jax.Array, members: jax.Array) -> jax.Array:
    """Indices of True entries, of all or of a row each; the last if there is none."""
    rank = jnp.floor(drawn * jnp.sum(members, axis=-1))
    before = jnp.broadcast_to(jnp.cumsum(members, axis=-1), (drawn.size, members.shape[-1]))
    return jnp.sum(before[:, :-1] <= rank[:, None], axis=1, dtype=jnp.int32)


class Network(NamedTuple):
    """The narrow network of a round, all vectors as flatten() makes them.

    Args:
        sizes: neurons of every layer.
        theta: (n,) parameters.
        mask: (n,) what is kept, without anything that cannot matter.
        prunable: (n,) which parameters are prunable.
        free: (n,) which of them may be added or removed singly in this round.
    """

    sizes: tuple[int, ...]
    theta: jax.Array
    mask: jax.Array
    prunable: jax.Array
    free: jax.Array


def segments(draws: Pieces, network: Network, received: list[jax.Array]) -> jax.Array:
    """Masks with a random piece of path added.

    A piece leaves an active neuron (an input, if there is no other), runs through one or more
    random neurons of the layers that follow, with or without their biases, and enters an active
    neuron or an output. Neurons are drawn among those that pass something on of what they get along
    the piece: of nine weights in a row, all but one choice in 256 would be dead.

    Args:
        draws: as many pieces as they are for.
        network: whose mask the pieces are added to.
        received: what each layer receives, (n_in, n) per layer.

    Returns:
        (count, parameters).
    """
    sizes, mask, count = network.sizes, network.mask, draws.length.size
    layers = len(sizes) - 1
    # One layer would be a single parameter, which is looked at anyway.
    shortest = min(2, layers)
    length = shortest + below(draws.length, layers + 1 - shortest)
    start = below(draws.first, layers - length + 1)
    actives = active_neurons(mask, sizes)
    source = among(draws.source, actives[0])
    passed = received[0][source]
    added = []
    weights, kept = layers_of(network.theta, sizes), layers_of(mask, sizes)
    for i, ((kernel, bias), (_, kept_bias)) in enumerate(zip(weights, kept, strict=True)):
        to_bias, to_between, to_end = draws.layers[i]
        on = (i >= start) & (i < start + length)
        inner = on & (i + 1 < start + length)
        biased = inner & (to_bias < BIASED)
        shift = (biased[:, None] | kept_bias[None]) * bias[None]
        given = jnp.maximum(kernel[source][:, :, None] * passed[:, None] + shift[:, :, None], 0)
        alive = jnp.any(given > 0, axis=-1)
        # None of them may be: then any is as good.
        alive = alive | ~jnp.any(alive, axis=1, keepdims=True)
        between, end = among(to_between, alive), among(to_end, actives[i + 1])
        sink = jnp.where(inner, between, end)
        into = (jnp.arange(sizes[i + 1])[None] == sink[:, None]) & on[:, None]
        leaves = jnp.arange(sizes[i])[None] == source[:, None]
        added.append((leaves[:, :, None] & into[:, None]).reshape(count, -1))
        added.append(into & biased[:, None])
        if i + 1 < layers:
            along = jnp.take_along_axis(given, sink[:, None, None], 1)[:, 0]
            passed = jnp.where(inner[:, None], along, received[i + 1][sink])
            source = sink
    return mask[None] | (jnp.concatenate(added, axis=1) & network.prunable[None])
