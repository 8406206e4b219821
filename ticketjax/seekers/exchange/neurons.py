"""Changes of whole neurons, all of them screened at once: one more, or one for another."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.seekers.exchange.activity import active_neurons
from ticketjax.seekers.exchange.least import least
from ticketjax.seekers.exchange.neighbourhood import Network
from ticketjax.seekers.exchange.vectors import layers_of, starts_of


class State(NamedTuple):
    """A masked network on some samples, as the screening uses it.

    Args:
        network: with the mask.
        received: what each layer receives, (n_in, n) per layer.
        pulls: the loss's slope by what a layer's neurons receive, (neurons, n) per layer.
        reaches: the root of the loss's curvature by the same, (neurons, n, outputs) per layer.
    """

    network: Network
    received: list[jax.Array]
    pulls: list[jax.Array]
    reaches: list[jax.Array]


def state_of(
    network: Network,
    received: list[jax.Array],
    before: list[jax.Array],
    pulls: list[jax.Array],
    reaches: list[jax.Array],
) -> State:
    """The state, from pre-activations, and slope and root by what the layers give out."""
    on = [*(pre > 0 for pre in before[:-1]), jnp.ones(before[-1].shape, bool)]
    pulls = [pull * passing for pull, passing in zip(pulls, on, strict=True)]
    reaches = [reach * passing[:, :, None] for reach, passing in zip(reaches, on, strict=True)]
    return State(network, received, pulls, reaches)


def _best(values: list[jax.Array], count: int) -> tuple[jax.Array, jax.Array]:
    """Where the `count` least of several arrays are, counted through all; which are finite."""
    flat = jnp.concatenate([value.ravel() for value in values])
    lowest, index = least(flat, min(count, flat.size))
    return index, lowest < jnp.inf


def _grid(*sizes: int) -> list[jax.Array]:
    return [axis.ravel() for axis in jnp.meshgrid(*map(jnp.arange, sizes), indexing="ij")]


def detours(state: State, count: int, prune_bias: bool) -> jax.Array:
    """Masks with one neuron more, which receives from one active neuron and feeds another one.

    Args:
        state: of the network.
        count: how many masks.
        prune_bias: whether biases may be pruned; then neurons with and without their bias are
            tried.

    Returns:
        (count, parameters), of all such neurons those by which the loss falls most per parameter;
        fewer if there are not as many.
    """
    sizes, theta, mask, prunable, _ = state.network
    nothing = mask.size
    active = active_neurons(mask, sizes)
    layers, starts = layers_of(theta, sizes), starts_of(sizes)
    values, added = [], []
    for i, ((first, bias), (second, _)) in enumerate(zip(layers, layers[1:], strict=False)):
        possible = (
            active[i][:, None, None] & ~active[i + 1][None, :, None] & active[i + 2][None, None]
        )
        squared = jnp.sum(state.reaches[i + 1] ** 2, -1)
        source, new, sink = _grid(*sizes[i : i + 3])
        into = starts[i].kernel + source * sizes[i + 1] + new
        out = starts[i + 1].kernel + new * sizes[i + 2] + sink
        passed = first[:, :, None] * state.received[i][:, None]
        for biased in (False, True) if prune_bias else (True,):
            given = jnp.maximum(passed + bias[None, :, None] if biased else passed, 0)
            linear = jnp.einsum("ihn,jn->ihj", given, state.pulls[i + 1])
            square = jnp.einsum("ihn,jn->ihj", given**2, squared)
            value = second[None] * linear + 0.5 * second[None] ** 2 * square
            value = value / (2 + (biased and prune_bias))
            # What is never active, or reaches no output, changes nothing.
            values.append(jnp.where(possible & (square > 0), value, jnp.inf))
            own_bias = starts[i].bias + new if biased else jnp.full(new.shape, nothing)
            added.append(jnp.stack([into, own_bias, out], axis=-1))
    chosen, good = _best(values, count)
    new = jnp.where(good[:, None], jnp.concatenate(added)[chosen], nothing)
    masks = jax.vmap(lambda index: mask.at[index].set(True, mode="drop"))(new)
    return jnp.where(prunable[None], masks, mask[None])


def replacements(state: State, count: int) -> jax.Array:
    """Masks in which a hidden neuron that is not active takes the place of an active one.

    Args:
        state: of the network.
        count: how many masks.

    Returns:
        (count, parameters), of all such pairs those by which the loss falls most; fewer if there
        are not as many.
    """
    sizes, theta, mask, prunable, _ = state.network
    active = active_neurons(mask, sizes)
    weights, kept = layers_of(theta, sizes), layers_of(mask, sizes)
    values, swaps = [], []
    for i, ((first, bias), (second, _)) in enumerate(zip(weights, weights[1:], strict=False)):
        (into, own_bias), (out, _) = kept[i], kept[i + 1]
        # one: the neuron that leaves; h: the one that takes its place, with the same connections.
        given = jnp.einsum("io,ih,in->ohn", into.astype(jnp.float32), first, state.received[i])
        given = jnp.maximum(given + (own_bias[:, None] * bias[None])[:, :, None], 0)
        effect = jnp.concatenate([state.pulls[i + 1][:, None], state.reaches[i + 1].mT], axis=1)
        after = jnp.einsum("oj,hj,jpn->ohpn", out.astype(jnp.float32), second, effect)
        lost = jnp.einsum("oj,oj,jpn->opn", out.astype(jnp.float32), second, effect)
        lost = lost * state.received[i + 1][:, None]
        change = given[:, :, None] * after - lost[:, None]
        value = jnp.sum(change[:, :, 0], -1) + 0.5 * jnp.sum(change[:, :, 1:] ** 2, (-1, -2))
        possible = active[i + 1][:, None] & ~active[i + 1][None]
        values.append(jnp.where(possible, value, jnp.inf))
        one, other = _grid(sizes[i + 1], sizes[i + 1])
        swaps.append(jnp.stack([jnp.full(one.size, i + 1), one, other]))
    chosen, good = _best(values, count)
    layer, one, other = jnp.concatenate(swaps, axis=1)[:, chosen, None]
    other = jnp.where(good[:, None], other, one)
    orders = []
    for i, size in enumerate(sizes):
        order = jnp.arange(size)[None]
        swapped = jnp.where(order == one, other, jnp.where(order == other, one, order))
        orders.append(jnp.where(layer == i, swapped, order))
    moved = []
    for (kernel, own_bias), source, sink in zip(kept, orders, orders[1:], strict=False):
        moved.append(kernel[source[:, :, None], sink[:, None]].reshape(chosen.size, -1))
        moved.append(own_bias[sink])
    return jnp.where(prunable[None], jnp.concatenate(moved, axis=1), mask[None])
