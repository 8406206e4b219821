"""The minimum work of a run: FLOP of its matrix products, bytes of its arrays.

sizes: neurons of every layer, including the input: (2, 100, 100, 100, 4) is Circle at depth 5 and
width 100. A product of (a, b) and (b, c) is 2abc FLOP; other operations count only in bytes. Bytes
are those of every array that must be read or written at least once. Arrays that stay in caches or
registers in between (activations, gradients) are free.
"""

import itertools
from typing import NamedTuple

FLOAT = INDEX = 4
BOOL = 1


class Work(NamedTuple):
    """FLOP of matrix products and bytes of arrays."""

    flop: int
    bytes: int


def parameters(sizes: tuple[int, ...]) -> int:
    """Weights and biases of a network."""
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def forward_flop(sizes: tuple[int, ...], samples: int) -> int:
    """One product per layer."""
    return 2 * samples * sum(a * b for a, b in itertools.pairwise(sizes))


def gradient_flop(sizes: tuple[int, ...], samples: int) -> int:
    """Three products per layer: outputs, gradients of kernel and input; the data needs none."""
    return 3 * forward_flop(sizes, samples) - 2 * samples * sizes[0] * sizes[1]


def hessian_gradient_flop(sizes: tuple[int, ...], samples: int) -> int:
    """FLOP of the gradient g and of H g.

    Each of the gradient's products is differentiated by both of its factors. The data is constant,
    so the two products of the first layer are differentiated by one factor each.

    Args:
        sizes: neurons of every layer, the input included.
        samples: the number of samples.

    Returns:
        FLOP of all matrix products.
    """
    first = 2 * samples * sizes[0] * sizes[1]
    return (
        gradient_flop(sizes, samples)
        + 2 * (gradient_flop(sizes, samples) - 2 * first)
        + (2 * first)
    )


def instance(sizes, ticket_sizes, samples: int, orders: int) -> Work:
    """Draw data and order, plant, measure the bare ticket.

    The only products are those of the ticket. The arrays written are inputs and labels, the order
    of training, the parameters and the planted mask. Planting reads and writes each parameter once
    more.

    Args:
        sizes: neurons of every layer of the network, the input included.
        ticket_sizes: neurons of every layer of the ticket, the input included.
        samples: the number of samples.
        orders: the number of indices in the order of training.

    Returns:
        FLOP and bytes for one instance.
    """
    count = parameters(sizes)
    data = samples * (sizes[0] + 1) * FLOAT
    return Work(
        forward_flop(ticket_sizes, samples),
        data + orders * INDEX + count * (3 * FLOAT + BOOL),
    )


def scores(sizes, samples: int) -> Work:
    """All five scores once: SNIP takes a gradient, GraSP H g, SynFlow a gradient at one sample.

    Each score reads the parameters and writes its values; random only writes.

    Args:
        sizes: neurons of every layer, the input included.
        samples: the number of samples that SNIP and GraSP use.

    Returns:
        FLOP and bytes for the five scores together.
    """
    flop = gradient_flop(sizes, samples) + hessian_gradient_flop(sizes, samples)
    return Work(flop + gradient_flop(sizes, 1), 9 * parameters(sizes) * FLOAT)


def selection(sizes) -> Work:
    """One mask from one set of scores: read the scores, write the mask."""
    return Work(0, parameters(sizes) * (FLOAT + BOOL))


def ranking(sizes) -> Work:
    """The ranking of the planted parameters by one set of scores: read scores and planted mask."""
    return Work(0, parameters(sizes) * (FLOAT + BOOL))


def training(sizes, steps: int, batch_size: int) -> Work:
    """A gradient per step; Adam reads and writes parameters and two moments, and reads the mask."""
    per_step = parameters(sizes) * (6 * FLOAT + BOOL) + batch_size * (sizes[0] + 1) * FLOAT
    return Work(steps * gradient_flop(sizes, batch_size), steps * per_step)


def evaluation(sizes, training_samples: int, held_out_samples: int) -> Work:
    """Outputs on all data before training, on held-out data after it; recovery from two masks."""
    samples = training_samples + 2 * held_out_samples
    arrays = parameters(sizes) * (2 * FLOAT + 2 * BOOL) + samples * (sizes[0] + 1) * FLOAT
    return Work(forward_flop(sizes, samples), arrays)
