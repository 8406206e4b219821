"""PHEW: paths by walks that prefer large weights."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Found
from ticketjax.checks import Options, option
from ticketjax.masks import prunable_leaves
from ticketjax.networks.layers import wires
from ticketjax.networks.paths import live_edges
from ticketjax.networks.wiring import by_tap
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.drawn.filling import fill, paths_at_once
from ticketjax.seekers.drawn.walks import Part, Walks, parts_of, sizes_of, split
from ticketjax.selection import Scope, budgets_of, check_scope

# Chances are multiples of 2^-24, which float32 holds exactly.
CHANCE_BITS = 24


class _Chances(NamedTuple):
    """Where a walk goes on from each neuron of a layer: rising shares of 2^24, int32.

    Args:
        forward: (sources, taps * sinks).
        backward: (sinks, taps * sources).
    """

    forward: jax.Array
    backward: jax.Array


def _rising(magnitudes: jax.Array) -> jax.Array:
    """Of each row, the cumulative sum of its entries, scaled to end at 2^24."""
    sums = jnp.cumsum(magnitudes, axis=1)
    total = sums[:, -1:]
    shares = sums / jnp.where(total > 0, total, 1.0) * 2.0**CHANCE_BITS
    return jnp.clip(shares, 0, 2.0**CHANCE_BITS).astype(jnp.int32)


def chances_of(flat: jax.Array, parts: list[Part]) -> list[_Chances]:
    """The chances of all steps, in proportion to the weights' magnitudes.

    Args:
        flat: (parameters,), as walks have them.
        parts: the layers.

    Returns:
        Those of every layer.
    """
    found = []
    for part in parts:
        kernel = flat[part.kernel : part.kernel + part.rows * part.sinks]
        kernel = jnp.abs(kernel).reshape(part.rows, part.sinks)
        from_source = by_tap(kernel, part.sources).transpose(1, 0, 2).reshape(part.sources, -1)
        found.append(_Chances(_rising(from_source), _rising(kernel.T)))
    return found


def _chosen(rising: jax.Array, rows: jax.Array, bits: jax.Array) -> jax.Array:
    """The first entry of each of these rows that exceeds a random number; the last if none does."""
    target = (bits >> (32 - CHANCE_BITS)).astype(jnp.int32)
    last = rising.shape[1] - 1

    def halve(_: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = (low + high) // 2
        above = rising[rows, middle] > target
        return jnp.where(above, low, middle + 1), jnp.where(above, middle, high)

    bounds = jnp.zeros_like(target), jnp.full_like(target, last)
    return jax.lax.fori_loop(0, last.bit_length(), halve, bounds)[1]


def _forward(
    bits: jax.Array, parts: list[Part], chances: list[_Chances], start: jax.Array, size: int
) -> Walks:
    """Walks from these inputs to an output; bits is (2 * layers, walks)."""
    space, neuron = jnp.zeros_like(start), start
    weights, biases = [], []
    for i, (part, chance) in enumerate(zip(parts, chances, strict=True)):
        branch, which = bits[2 * i : 2 * i + 2]
        # This layer, and those after it that read the same space.
        ways = sum(one.wire.reads == part.wire.reads for one in parts[i:])
        on_path = (space == part.wire.reads) & (branch % ways == 0)
        chosen = _chosen(chance.forward, jnp.where(on_path, neuron, 0), which)
        row = chosen // part.sinks * part.sources + neuron
        sink = chosen % part.sinks
        weights.append(jnp.where(on_path, part.kernel + row * part.sinks + sink, size))
        has_bias = on_path & (part.bias is not None)
        biases.append(jnp.where(has_bias, (part.bias or 0) + sink, size))
        space = jnp.where(on_path, part.wire.writes, space)
        neuron = jnp.where(on_path, sink, neuron)
    return Walks(jnp.stack(weights), jnp.stack(biases))


def _backward(
    bits: jax.Array, parts: list[Part], chances: list[_Chances], start: jax.Array, size: int
) -> Walks:
    """Walks from these outputs to an input; bits is (2 * layers, walks)."""
    space, neuron = jnp.full_like(start, parts[-1].wire.writes), start
    weights, biases = [], []
    for i in reversed(range(len(parts))):
        part, (branch, which) = parts[i], bits[2 * i : 2 * i + 2]
        into = part.wire.writes
        # This layer, those before it that write to the same space, or the end at the input.
        ways = sum(one.wire.writes == into for one in parts[: i + 1]) + (into == 0)
        on_path = (space == into) & (branch % ways == 0)
        row = _chosen(chances[i].backward, jnp.where(on_path, neuron, 0), which)
        weights.append(jnp.where(on_path, part.kernel + row * part.sinks + neuron, size))
        has_bias = on_path & (part.bias is not None)
        biases.append(jnp.where(has_bias, (part.bias or 0) + neuron, size))
        space = jnp.where(on_path, part.wire.reads, space)
        neuron = jnp.where(on_path, row % part.sources, neuron)
    return Walks(jnp.stack(weights[::-1]), jnp.stack(biases[::-1]))


def draw_weighted_walks(
    key: jax.Array,
    parts: list[Part],
    chances: list[_Chances],
    size: int,
    pairs: int,
    block: jax.Array | int,
) -> Walks:
    """Draw walks, in turn one from an input and one from an output; inputs and outputs in turn.

    Where several layers read or write a space of neurons, as residual branches do, a walk passes
    through each with equal probability.

    Args:
        key: decides the walks.
        parts: the layers.
        chances: of chances_of().
        size: of the vector of parameters.
        pairs: how many walks of each direction.
        block: how many times as many walks have been drawn.

    Returns:
        (layers, 2 * pairs) walks, with every prunable bias of their neurons.
    """
    bits = jax.random.bits(key, (4 * len(parts), pairs), jnp.uint32)
    numbers = block * pairs + jnp.arange(pairs, dtype=jnp.int32)
    there = _forward(bits[::2], parts, chances, numbers % parts[0].sources, size)
    back = _backward(bits[1::2], parts, chances, numbers % parts[-1].sinks, size)
    return Walks(
        *(
            jnp.stack([one, other], axis=2).reshape(len(parts), 2 * pairs)
            for one, other in zip(there, back, strict=True)
        )
    )


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Phew(Options):
    """A seeker that keeps what biased random walks run through, without training and data.

    Walks start at the inputs and at the outputs, one after the other, and go through the network to
    the other end. A step follows a connection of its neuron with a probability in proportion to
    |theta|. All weights of a walk are kept, and the prunable biases of its neurons, until a walk
    does not fit into the budget. The rest of the budget goes to parameters between neurons that
    some walk has reached, larger ones with larger probability; only if there are too few, to any
    others. So every kept parameter lies on a path.

    At most about as many walks are made as there are prunable parameters (or 128, if that is more);
    the rest of higher densities is drawn like the rest above. Found.scores rank the parameters as
    the selection did: above 3 those of walks, above 2 those between reached neurons.

    Args:
        scope: as in problem.select(). With budgets per layer, walks end when one layer is full.

    Raises:
        ValueError: an option of another type or range.

    Source: Patil and Dovrolis 2021, arXiv 2010.11354, "PHEW".
    Published: of kernels; walks until the number of weights is reached.
    Departures: biases count where they are prunable; the walk that does not fit is not kept;
        exactly the budget. Of several branches, a walk takes each with equal probability.

    >>> Phew()  # (key, problem, density) -> Found
    Phew()
    """

    scope: Scope = option("global", free=True)

    name: ClassVar[str] = "phew"

    def check(self) -> None:
        """Refuse a scope that is none."""
        check_scope(self.scope)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density = resolve_density(problem, density)
        seen, parts = problem.view(problem.params), parts_of(problem)
        layers = prunable_leaves(seen, problem.prune_bias)
        flat = jnp.concatenate([leaf.ravel() for layer in layers for leaf in layer])
        sizes = sizes_of(seen, problem.prune_bias)
        budgets = jnp.stack(
            [jnp.asarray(k, jnp.int32) for k in budgets_of(density, sizes, self.scope)]
        )
        pairs = -(-paths_at_once(flat.size) // 2)
        walk_key, rest_key = jax.random.split(key)
        chances = chances_of(flat, parts)
        filled = fill(
            lambda block: draw_weighted_walks(
                jax.random.fold_in(walk_key, block), parts, chances, flat.size, pairs, block
            ),
            flat.size,
            2 * pairs,
            budgets,
        )
        kept = filled.kept[:-1]
        reached = _between_reached(problem, kept, parts)
        level = jnp.where(kept, 3, jnp.where(reached, 2, 0))
        # Of keys log |theta| + Gumbel, the largest are a draw in proportion to |theta|.
        gumbel = jax.random.gumbel(rest_key, flat.shape, jnp.float32)
        among = jax.nn.sigmoid(jnp.log(jnp.abs(flat)) + gumbel)
        ranks = level + 0.01 + 0.98 * among
        scores = problem.restore(
            split(ranks, seen, problem.prune_bias, rest=0.0),
            jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), problem.params),
        )
        return Found(problem.select(scores, density, self.scope), scores, {})


def _between_reached(problem: Problem, kept: jax.Array, parts: list[Part]) -> jax.Array:
    """Which parameters would lie on a path of kept ones; (parameters,) bool."""
    seen = split(kept, problem.view(problem.params), problem.prune_bias, rest=True)
    pieces = []
    live = live_edges(seen, wires(problem.known_layers))
    for part, (wire, sources, sinks) in zip(parts, live, strict=True):
        fed = jnp.tile(sources, part.rows // part.sources)
        pieces.append((fed[:, None] & sinks[None, :]).ravel())
        if part.bias is not None:
            kernel = seen[wire.layer]["kernel"].reshape(part.rows, part.sinks)
            pieces.append(jnp.any(kernel, axis=0) & sinks)
    return jnp.concatenate(pieces)
