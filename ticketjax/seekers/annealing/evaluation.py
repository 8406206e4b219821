"""Proposals evaluated by what they change, and the first of them that is acceptable."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.seekers.annealing.energies import log_error, sample_losses
from ticketjax.seekers.annealing.moves import grids_of, nth
from ticketjax.seekers.annealing.samples import Samples

# Neurons of one layer that a proposal may change; one that changes more is not possible.
MOST_CHANGED = 4
# A proposal is given up once the mean difference of its samples' losses, less so many standard
# errors, exceeds what would be accepted.
DOUBT = 2.5


class Energy(NamedTuple):
    """What is lowered.

    Args:
        classifies: whether it is a mean loss of logits; otherwise the logarithm of an error.
        rescaled: whether the output scale is fitted.
        samples: the data.
    """

    classifies: bool
    rescaled: bool
    samples: Samples


class Look(NamedTuple):
    """The network of a chain's mask on the samples.

    Args:
        theta: (parameters,) of the narrow network.
        before: (parts, neurons, n), the inputs and every layer's neurons before the ReLU.
        losses: (parts, n) of a classification's samples.
        scale: () inverse temperature of the logits.
        smooth: () bool, which loss of a classification it is.
    """

    theta: jax.Array
    before: list[jax.Array]
    losses: jax.Array
    scale: jax.Array
    smooth: jax.Array

    def received(self, level: int) -> jax.Array:
        """(parts, neurons, n), what a layer receives."""
        return jnp.maximum(self.before[level], 0) if level else self.before[0]

    def around(self, level: int, part: jax.Array | int) -> tuple[jax.Array, jax.Array]:
        """What a layer receives, and the layer after it before the ReLU; (neurons, n) each."""
        received = self.before[level][part]
        received = jnp.maximum(received, 0) if level else received
        return received, self.before[min(level + 2, len(self.before) - 1)][part]


def _affine(weights: jax.Array, received: jax.Array) -> jax.Array:
    """(..., n_out, n) of weights (..., n_in + 1, n_out), the bias in the last row."""
    product = jnp.matmul(weights[..., :-1, :].mT, received, precision="highest")
    return product + weights[..., -1, :, None]


def forward(weights: list[jax.Array], received: jax.Array) -> list[jax.Array]:
    """The layers that have these weights, before the ReLU.

    Args:
        weights: (..., n_in + 1, n_out) of each layer, the bias in the last row.
        received: (..., n_in, n) what the first of them receives.

    Returns:
        (..., n_out, n) of each layer.
    """
    before = [_affine(weights[0], received)]
    for weight in weights[1:]:
        before.append(_affine(weight, jnp.maximum(before[-1], 0)))
    return before


def losses_of(energy: Energy, outputs: jax.Array, scale: jax.Array, smooth: jax.Array) -> jax.Array:
    """(parts, n) losses of a classification's outputs (parts, outputs, n); else nothing."""
    if not energy.classifies:
        return jnp.zeros(energy.samples.weights.shape, jnp.float32)
    of_part = jax.vmap(sample_losses, (0, 0, None, None))
    return of_part(outputs, energy.samples.y, scale, smooth)


def energy_of(energy: Energy, outputs: jax.Array, losses: jax.Array) -> jax.Array:
    """() of outputs (parts, outputs, n) and what losses_of() gives for them."""
    samples = energy.samples
    if energy.classifies:
        return jnp.sum(losses * samples.weights) / jnp.sum(samples.weights)
    return log_error(outputs[0], samples.y[0], samples.weights[0], energy.rescaled)


class _Changes(NamedTuple):
    """What the first layers of proposals have else than the chain's.

    Args:
        into: (batch, n_in + 1, 2 MOST_CHANGED), the weights of the neurons that are changed, and
            what they were.
        out: (batch, 2 MOST_CHANGED, n_out), what these give to the layer after, and the negative of
            what they gave.
        shift: (batch, n_out), by which that layer's biases grow.
    """

    into: jax.Array
    out: jax.Array
    shift: jax.Array


class Proposals(NamedTuple):
    """Masks that are made of a chain's, from a layer on.

    Args:
        weights: (batch, n_in + 1, n_out) of every layer.
        changes: None for the last layer alone.
        possible: (batch,) which of them are.
        rises: (batch,) by how much the energy may rise for each.
        order: (batch,) in which they are looked at, the least first.
    """

    weights: list[jax.Array]
    changes: _Changes | None
    possible: jax.Array
    rises: jax.Array
    order: jax.Array


def changes_of(
    theta: jax.Array, masks: jax.Array, mask: jax.Array, sizes: tuple[int, ...]
) -> tuple[list[jax.Array], _Changes | None, jax.Array]:
    """The weights of proposals, their changes, and which change few enough neurons.

    Args:
        theta: (parameters,) from a layer on.
        masks: (batch, parameters) proposed.
        mask: (parameters,) that they are made of.
        sizes: neurons of these layers.
    """
    weights, old = grids_of(theta[None] * masks, sizes), grids_of(theta * mask, sizes)
    if len(sizes) == 2:
        return weights, None, jnp.ones(masks.shape[0], bool)
    first, second = grids_of(masks != mask[None], sizes)[:2]
    differs = jnp.any(first, axis=1) | jnp.any(second[:, :-1], axis=2)
    which = jax.vmap(nth, (None, 0))(jnp.arange(MOST_CHANGED, dtype=jnp.float32), differs)
    there = (which < sizes[1])[:, :, None]
    at = jnp.minimum(which, sizes[1] - 1)
    new_into = jnp.take_along_axis(weights[0].mT, at[:, :, None], axis=1)
    into = jnp.concatenate([new_into, old[0].T[at]], axis=1).mT
    new_out = jnp.take_along_axis(weights[1][:, :-1], at[:, :, None], axis=1)
    out = jnp.concatenate([new_out * there, -old[1][at] * there], axis=1)
    shift = weights[1][:, -1] - old[1][None, -1]
    return weights, _Changes(into, out, shift), jnp.sum(differs, axis=1) <= MOST_CHANGED


def outputs_of(
    weights: list[jax.Array], changes: _Changes | None, received: jax.Array, after: jax.Array
) -> jax.Array:
    """Outputs of proposals.

    Args:
        weights, changes: of the proposals; with or without an axis for them.
        received: (n_in, n), what the first of their layers receives.
        after: (neurons, n), the layer after that before the ReLU, of the chain's mask.

    Returns:
        (..., outputs, n).
    """
    if changes is None:
        return _affine(weights[0], received)
    # Only some neurons of the first layer are others than the chain's; so what the next one gets
    # changes by a product with these.
    changed = jnp.maximum(_affine(changes.into, received), 0)
    change = jnp.matmul(changes.out.mT, changed, precision="highest")
    before = jnp.broadcast_to(after, change.shape) + change + changes.shift[..., None]
    return before if len(weights) == 2 else forward(weights[2:], jnp.maximum(before, 0))[-1]


class Verdict(NamedTuple):
    """Whether a proposal is accepted, which one, and by how much the energy then rises; () each."""

    accepted: jax.Array
    chosen: jax.Array
    rise: jax.Array


def _first(order: jax.Array, members: jax.Array) -> jax.Array:
    return jnp.argmin(jnp.where(members, order, jnp.inf))


def _by_error(
    energy: Energy, look: Look, level: int, proposals: Proposals, now: jax.Array
) -> Verdict:
    """The first acceptable proposal of a regression, all evaluated on all samples."""
    outputs = outputs_of(proposals.weights, proposals.changes, *look.around(level, 0))
    y, weights = energy.samples.y[0], energy.samples.weights[0]
    energies = jax.vmap(log_error, (0, None, None, None))(outputs, y, weights, energy.rescaled)
    rises = energies - now
    acceptable = proposals.possible & (rises <= proposals.rises)
    chosen = _first(proposals.order, acceptable)
    return Verdict(jnp.any(acceptable), chosen, rises[chosen])


class _Test(NamedTuple):
    """A sequential test of proposals, one after the other and part after part.

    Args:
        waiting: (batch,) which proposals are neither accepted nor given up.
        parts: () int32, on how many parts the one that is being tested has been evaluated.
        sums, squares: (batch,) of the differences of the samples' losses.
        accepted: () whether one is.
    """

    waiting: jax.Array
    parts: jax.Array
    sums: jax.Array
    squares: jax.Array
    accepted: jax.Array


def _by_losses(
    energy: Energy, look: Look, level: int, proposals: Proposals, first: jax.Array
) -> Verdict:
    """The first acceptable proposal of a classification; most are given up after few samples."""
    samples = energy.samples
    parts = samples.weights.shape[0]
    sizes = jnp.sum(samples.weights, axis=1)

    def differences(own: Proposals, part: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = outputs_of(own.weights, own.changes, *look.around(level, part))
        losses = jax.vmap(sample_losses, (0, None, None, None))(
            outputs, samples.y[part], look.scale, look.smooth
        )
        change = losses - look.losses[part][None]
        weighted = change * samples.weights[part][None]
        return jnp.sum(weighted, axis=1), jnp.sum(weighted * change, axis=1)

    def hopeless(test: _Test, seen: jax.Array) -> jax.Array:
        mean = test.sums / seen
        variance = jnp.maximum(test.squares / seen - mean**2, 0.0)
        return ~(mean - DOUBT * jnp.sqrt(variance / seen) <= proposals.rises)

    def go_on(test: _Test) -> _Test:
        one = _first(proposals.order, test.waiting)
        own = jax.tree.map(lambda leaf: leaf[one][None], proposals)
        sums, squares = differences(own, (first + test.parts) % parts)
        done = test.parts + 1
        seen = jnp.sum(jnp.where((jnp.arange(parts) - first) % parts < done, sizes, 0.0))
        test = test._replace(
            sums=test.sums.at[one].add(sums[0]), squares=test.squares.at[one].add(squares[0])
        )
        last = done == parts
        accepted = last & (test.sums[one] / seen <= proposals.rises[one])
        over = (last | hopeless(test, seen)[one]) & ~accepted
        return test._replace(
            waiting=test.waiting.at[one].set(~over),
            parts=jnp.where(over, 1, done),
            accepted=accepted,
        )

    sums, squares = differences(proposals, first)
    test = _Test(proposals.possible, jnp.int32(1), sums, squares, jnp.bool(False))
    waiting = test.waiting & ~hopeless(test, sizes[first])
    if parts == 1:
        waiting &= sums / sizes[first] <= proposals.rises
        test = test._replace(waiting=waiting, accepted=jnp.any(waiting))
    else:
        test = jax.lax.while_loop(
            lambda test: jnp.any(test.waiting) & ~test.accepted,
            go_on,
            test._replace(waiting=waiting),
        )
    chosen = _first(proposals.order, test.waiting)
    return Verdict(test.accepted, chosen, test.sums[chosen] / jnp.sum(sizes))


def judge(
    energy: Energy,
    look: Look,
    level: int,
    proposals: Proposals,
    now: jax.Array,
    first: jax.Array,
) -> Verdict:
    """The first acceptable proposal.

    Args:
        energy: what is lowered.
        look: of the chain's mask.
        level: the first layer that they change.
        proposals: all made from that mask.
        now: () its energy.
        first: () int32, the part of a classification's data that they are evaluated on first.
    """
    if energy.classifies:
        return _by_losses(energy, look, level, proposals, first)
    return _by_error(energy, look, level, proposals, now)
