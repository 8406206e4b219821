"""The changes that a round looks at: how many of which kind, and those that are drawn."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.seekers.exchange.activity import active_neurons
from ticketjax.seekers.exchange.vectors import layers_of

# Share of a segment's neurons that come with their bias: half would leave few segments with none.
BIASED = 0.25


class Neighbourhood(NamedTuple):
    """What is looked at in a round.

    width: neurons of a hidden layer; the active ones and, drawn anew every round, others. A mask
        with more active neurons than that in a layer is left as it is.
    singles: pruned parameters, half of them by least loss, half at random. segments: random pieces
        of path. detours: the best pieces of path through one new neuron, of all. replacements: the
        best exchanges of an active neuron for another one, of all.
    leaving: kept parameters, the least useful ones, that may make room. removals: how many of them
        may do so for one segment; 0 for no exchange, only additions.
    candidates: how many changes are evaluated exactly on the samples of the round.
    finalists: how many of those, the best, are evaluated on all training data.
    tenure: for how many rounds a parameter that was added or removed may not be so singly again,
        which would only undo a change for the worse (tabu search, Glover 1989).
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


class Draws:
    """Uniform numbers of a round, handed out one array after the other.

    They are drawn at once: a draw per array would take most of the program's compilation.
    """

    def __init__(self, key: jax.Array, count: int):
        self._numbers, self._at = jax.random.uniform(key, (count,), jnp.float32), 0

    def take(self, *shape: int) -> jax.Array:
        """The next numbers in [0, 1), an array of this shape."""
        at, self._at = self._at, self._at + math.prod(shape)
        return self._numbers[at : self._at].reshape(shape)

    def below(self, count: int, size: jax.Array | int) -> jax.Array:
        """`count` whole numbers from 0 to size - 1."""
        return jnp.floor(self.take(count) * size).astype(jnp.int32)

    def among(self, count: int, members: jax.Array) -> jax.Array:
        """`count` indices of True entries, of all or of a row each; the last if there is none."""
        rank = jnp.floor(self.take(count) * jnp.sum(members, axis=-1))
        before = jnp.broadcast_to(jnp.cumsum(members, axis=-1), (count, members.shape[-1]))
        return jnp.sum(before[:, :-1] <= rank[:, None], axis=1)


def draws_needed(sizes: tuple[int, ...], around: Neighbourhood) -> int:
    """Enough for a round: neurons, singles, segments, candidates, samples, acceptance."""
    per_segment = 3 * len(sizes) + 2
    return sum(sizes) + around.singles + around.segments * per_segment + around.candidates + 2


def segments(draws: Draws, count: int, mask, prunable, sizes, theta, received):
    """Masks with a random piece of path added, (count, parameters).

    It leaves an active neuron (an input, if there is no other), runs through one or more random
    neurons of the layers that follow, with or without their biases, and enters an active neuron or
    an output. Neurons are drawn among those that pass something on of what they get along the
    piece: of nine weights in a row, all but one choice in 256 would be dead.

    theta: parameters, a vector. received: what each layer receives, (n_in, n) per layer.
    """
    layers = len(sizes) - 1
    # One layer would be a single parameter, which is looked at anyway.
    shortest = min(2, layers)
    length = shortest + draws.below(count, layers + 1 - shortest)
    start = jnp.floor(draws.take(count) * (layers - length + 1)).astype(jnp.int32)
    actives = active_neurons(mask, sizes)
    source = draws.among(count, actives[0])
    passed = received[0][source]
    added = []
    weights, kept = layers_of(theta, sizes), layers_of(mask, sizes)
    for i, ((kernel, bias), (_, kept_bias)) in enumerate(zip(weights, kept, strict=True)):
        on = (i >= start) & (i < start + length)
        inner = on & (i + 1 < start + length)
        biased = inner & (draws.take(count) < BIASED)
        shift = (biased[:, None] | kept_bias[None]) * bias[None]
        given = jnp.maximum(kernel[source][:, :, None] * passed[:, None] + shift[:, :, None], 0)
        alive = jnp.any(given > 0, axis=-1)
        # None of them may be: then any is as good.
        alive = alive | ~jnp.any(alive, axis=1, keepdims=True)
        between, end = draws.among(count, alive), draws.among(count, actives[i + 1])
        sink = jnp.where(inner, between, end)
        into = (jnp.arange(sizes[i + 1])[None] == sink[:, None]) & on[:, None]
        leaves = jnp.arange(sizes[i])[None] == source[:, None]
        added.append((leaves[:, :, None] & into[:, None]).reshape(count, -1))
        added.append(into & biased[:, None])
        if i + 1 < layers:
            along = jnp.take_along_axis(given, sink[:, None, None], 1)[:, 0]
            passed = jnp.where(inner[:, None], along, received[i + 1][sink])
            source = sink
    return mask[None] | (jnp.concatenate(added, axis=1) & prunable[None])
