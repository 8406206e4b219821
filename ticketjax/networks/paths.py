"""Paths of kept weights from an input to an output: how many are left, and where they end.

A path runs through neurons, or channels; a kernel's taps are edges between the same two. `wiring`
is the model's, None for a chain.
"""

import jax
import jax.numpy as jnp

from ticketjax.base import Params, Wire
from ticketjax.masks import count_prunable, prunable_leaves, share
from ticketjax.networks.wiring import by_tap, space_widths, wiring_of

Wiring = tuple[Wire, ...] | None


def _edges(mask: Params, wiring: Wiring) -> list[tuple[Wire, jax.Array]]:
    """Each layer with its number of kept weights between two neurons, (sources, neurons)."""
    wires = wiring_of(mask, wiring)
    widths = space_widths(mask, wires)
    return [
        (wire, jnp.sum(by_tap(mask[wire.layer]["kernel"] != 0, widths[wire.reads]), axis=0))
        for wire in wires
    ]


def _nothing(mask: Params, wiring: Wiring) -> dict[int, jax.Array]:
    widths = space_widths(mask, wiring_of(mask, wiring))
    return {space: jnp.zeros(width, bool) for space, width in widths.items()}


def _reached(mask: Params, wiring: Wiring) -> list[tuple[jax.Array, jax.Array]]:
    """For each layer, which sources and which neurons have a path from an input so far."""
    reached = _nothing(mask, wiring)
    reached[0] = ~reached[0]
    steps = []
    for wire, edge in _edges(mask, wiring):
        before = reached[wire.reads]
        fed = jnp.any((edge > 0) & before[:, None], axis=0)
        reached[wire.writes] = reached[wire.writes] | fed
        steps.append((before, reached[wire.writes]))
    return steps


def live_edges(mask: Params, wiring: Wiring = None) -> list[tuple[Wire, jax.Array, jax.Array]]:
    """Every layer, and which of its sources and neurons have paths to the inputs and outputs.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        wiring: the model's, None for a chain.

    Returns:
        (wire, sources, neurons) for each layer, bool vectors: whether a source has a path from an
        input, through layers that compute before this one, and whether a neuron has a path to an
        output, through layers that compute after it.
    """
    edges = _edges(mask, wiring)
    sources = [before for before, _ in _reached(mask, wiring)]
    reaching = _nothing(mask, wiring)
    last = edges[-1][0].writes
    reaching[last] = ~reaching[last]
    live: list[tuple[Wire, jax.Array, jax.Array]] = []
    for (wire, edge), fed in zip(reversed(edges), reversed(sources), strict=True):
        live.insert(0, (wire, fed, reaching[wire.writes]))
        read = jnp.any((edge > 0) & reaching[wire.writes][None, :], axis=1)
        reaching[wire.reads] = reaching[wire.reads] | read
    return live


def live_neurons(mask: Params, wiring: Wiring = None) -> list[jax.Array]:
    """Which neurons lie on a path of kept weights from an input to an output.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        wiring: the model's, None for a chain.

    Returns:
        One bool vector per space of neurons, the input first.
    """
    live = _nothing(mask, wiring)
    for (wire, sources, neurons), (_, edge) in zip(
        live_edges(mask, wiring), _edges(mask, wiring), strict=True
    ):
        on_path = (edge > 0) & sources[:, None] & neurons[None, :]
        live[wire.reads] = live[wire.reads] | jnp.any(on_path, axis=1)
        live[wire.writes] = live[wire.writes] | jnp.any(on_path, axis=0)
    return [live[space] for space in sorted(live)]


def collapsed(mask: Params, wiring: Wiring = None) -> jax.Array:
    """Whether no path of kept weights is left from any input to any output; () bool."""
    return ~jnp.any(live_neurons(mask, wiring)[-1])


def first_dead_layer(mask: Params, wiring: Wiring = None) -> jax.Array:
    """First layer after which no path of kept weights from an input continues; -1 if none.

    Layers of parameters are counted from 0, in the order in which they compute. A network is
    collapsed exactly if there is such a layer: a dead residual branch leaves its stream alive.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        wiring: the model's, None for a chain.

    Returns:
        () int32.
    """
    ends = jnp.stack([~jnp.any(after) for _, after in _reached(mask, wiring)])
    first = jnp.where(jnp.any(ends), jnp.argmax(ends), -1)
    return jnp.where(ends[-1], first, -1).astype(jnp.int32)


def log10_paths(mask: Params, wiring: Wiring = None) -> jax.Array:
    """Decimal logarithm of the number of kept paths from an input to an output; -inf for none.

    Every tap of a kernel is a separate edge. Paths are counted layer by layer, and each count is
    divided by the largest, so that 10^24 paths do not overflow.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        wiring: the model's, None for a chain.

    Returns:
        () float32.
    """
    edges = _edges(mask, wiring)
    widths = space_widths(mask, tuple(wire for wire, _ in edges))
    # Each space's counts, and the logarithm of their divisor so far.
    counts = {
        space: (jnp.zeros(width, jnp.float32), jnp.float32(-jnp.inf))
        for space, width in widths.items()
    }
    counts[0] = jnp.ones(widths[0], jnp.float32), jnp.float32(0)
    for wire, edge in edges:
        count, size = counts[wire.reads]
        count = jnp.matmul(count, edge.astype(jnp.float32), precision="highest")
        there, size_there = counts[wire.writes]
        largest = jnp.maximum(jnp.max(count), 0)
        total = size + jnp.log10(largest)
        common = jnp.maximum(total, size_there)
        finite = jnp.where(jnp.isfinite(common), common, 0)
        added = count / jnp.where(largest > 0, largest, 1) * 10 ** (total - finite)
        counts[wire.writes] = added + there * 10 ** (size_there - finite), common
    count, size = counts[edges[-1][0].writes]
    return jnp.where(jnp.any(count > 0), size + jnp.log10(jnp.sum(count)), -jnp.inf)


def live_parameters(mask: Params, wiring: Wiring = None) -> Params:
    """The mask without the parameters that lie on no path from an input to an output.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        wiring: the model's, None for a chain.

    Returns:
        A bool tree like mask. A kept weight stays if its source has a path from an input and its
        neuron one to an output, a kept bias if its neuron lies on a path.
    """
    neurons = live_neurons(mask, wiring)
    live = {}
    for wire, sources, sinks in live_edges(mask, wiring):
        kernel = mask[wire.layer]["kernel"] != 0
        weights = by_tap(kernel, sources.size) & sources[None, :, None] & sinks[None, None, :]
        live[wire.layer] = {"kernel": weights.reshape(kernel.shape)}
        if "bias" in mask[wire.layer]:
            bias = mask[wire.layer]["bias"] != 0
            live[wire.layer]["bias"] = bias & sinks & neurons[wire.writes]
    return live


def effective_density(mask: Params, prune_bias: bool = True, wiring: Wiring = None) -> jax.Array:
    """Share of the prunable parameters that are kept and on a live path; () float32."""
    live = live_parameters(mask, wiring)
    kept = sum(jnp.sum(leaf) for layer in prunable_leaves(live, prune_bias) for leaf in layer)
    return share(kept, count_prunable(mask, prune_bias))
