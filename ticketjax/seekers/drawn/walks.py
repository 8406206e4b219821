"""Random paths from an input to an output, as positions in one vector of prunable parameters."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Wire
from ticketjax.masks import prunable_leaves
from ticketjax.networks.layers import wires
from ticketjax.networks.wiring import by_tap, space_widths
from ticketjax.problem import Problem


class Part(NamedTuple):
    """A layer of the vector.

    Args:
        wire: what it connects.
        kernel, bias: where they begin in the vector; bias is None where there is none to prune.
        rows: inputs of each neuron, taps * sources.
        sources, sinks: neurons that it reads from and writes to.
    """

    wire: Wire
    kernel: int
    bias: int | None
    rows: int
    sources: int
    sinks: int


def sizes_of(seen: Params, prune_bias: bool) -> list[int]:
    """Entries of each layer in the vector."""
    return [sum(leaf.size for leaf in layer) for layer in prunable_leaves(seen, prune_bias)]


def parts_of(problem: Problem) -> list[Part]:
    """The layers of the vector, in the order in which they compute; each kernel before its bias."""
    seen, wiring = problem.view(problem.params), wires(problem.known_layers)
    widths = space_widths(seen, wiring)
    parts, at = [], 0
    for wire, (kernel, *bias) in zip(
        wiring, prunable_leaves(seen, problem.prune_bias), strict=True
    ):
        sources, sinks = widths[wire.reads], kernel.shape[-1]
        end = at + kernel.size
        parts.append(Part(wire, at, end if bias else None, kernel.size // sinks, sources, sinks))
        at = end + sum(leaf.size for leaf in bias)
    return parts


def split(flat: jax.Array, seen: Params, prune_bias: bool, rest: bool | float) -> Params:
    """The view of a vector.

    Args:
        flat: (parameters,).
        seen: any view of the network's shapes.
        prune_bias: whether biases are in the vector.
        rest: the value of biases that are not.

    Returns:
        A tree like seen.
    """
    names = [(n, p) for n in seen for p in ("kernel", "bias") if p in seen[n]]
    inside = [(n, p) for n, p in names if prune_bias or p == "kernel"]
    ends = list(itertools.accumulate(seen[n][p].size for n, p in inside))
    pieces = dict(zip(inside, jnp.split(flat, ends[:-1]), strict=True))
    view: Params = {name: {} for name in seen}
    for n, p in names:
        leaf = seen[n][p]
        view[n][p] = (
            pieces[n, p].reshape(leaf.shape)
            if (n, p) in pieces
            else jnp.full(leaf.shape, rest, flat.dtype)
        )
    return view


class Walks(NamedTuple):
    """Paths, as the positions of their parameters in the vector; its size stands for none.

    Args:
        weights: (layers, paths) int32, one weight of each layer that the path runs through.
        biases: (layers, paths) int32, the biases that come with it.
    """

    weights: jax.Array
    biases: jax.Array


def draw_walks(key: jax.Array, parts: list[Part], size: int, count: int) -> Walks:
    """Draw complete paths, every neuron along one uniformly.

    A path is drawn from the output to the input. Of several layers that write to a neuron's space,
    as residual branches do, it comes through each with equal probability; of the inputs of a neuron
    (sources and taps of a convolution) each is equally likely. Every prunable bias of its neurons
    comes with it with probability 1/2.

    Args:
        key: decides the paths.
        parts: the layers.
        size: of the vector.
        count: how many paths.

    Returns:
        The paths.
    """
    # One draw for all: a draw per layer would take most of the program's compilation. The remainder
    # of 32 bits prefers no neuron by more than a part in 2^32 / neurons.
    bits = jax.random.bits(key, (3 * len(parts) + 1, count), jnp.uint32)
    last = parts[-1]
    space = jnp.full(count, last.wire.writes, jnp.int32)
    neuron = (bits[-1] % last.sinks).astype(jnp.int32)
    weights, biases = [], []
    for i in reversed(range(len(parts))):
        part, (branch, which, coin) = parts[i], bits[3 * i : 3 * i + 3]
        into = part.wire.writes
        # This layer, those before it that write to the same space, or the end at the input.
        ways = sum(one.wire.writes == into for one in parts[: i + 1]) + (into == 0)
        on_path = (space == into) & (branch % ways == 0)
        row = (which % part.rows).astype(jnp.int32)
        weights.append(jnp.where(on_path, part.kernel + row * part.sinks + neuron, size))
        with_bias = on_path & (coin % 2 == 0) & (part.bias is not None)
        biases.append(jnp.where(with_bias, (part.bias or 0) + neuron, size))
        space = jnp.where(on_path, part.wire.reads, space)
        neuron = jnp.where(on_path, row % part.sources, neuron)
    return Walks(jnp.stack(weights[::-1]), jnp.stack(biases[::-1]))


def unread(mask: jax.Array, parts: list[Part]) -> jax.Array:
    """Which parameters lead into a neuron, other than an output, that no kept weight reads.

    Such parameters change nothing.

    Args:
        mask: (parameters,) bool.
        parts: the layers.

    Returns:
        (parameters,) bool.
    """
    read = {part.wire.writes: jnp.zeros(part.sinks, bool) for part in parts}
    read[parts[-1].wire.writes] = jnp.ones(parts[-1].sinks, bool)
    for part in parts:
        kernel = mask[part.kernel : part.kernel + part.rows * part.sinks]
        used = jnp.any(by_tap(kernel.reshape(part.rows, part.sinks), part.sources), axis=(0, 2))
        read[part.wire.reads] = read.get(part.wire.reads, False) | used
    pieces = []
    for part in parts:
        idle = ~read[part.wire.writes]
        pieces.append(jnp.tile(idle, part.rows))
        if part.bias is not None:
            pieces.append(idle)
    return jnp.concatenate(pieces)
