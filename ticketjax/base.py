"""The types that every part of ticketjax exchanges: shapes and meaning, no logic."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = dict[str, dict[str, jax.Array]]
"""{"layer_0": {"kernel": (n_in, n_out), "bias": (n_out,)}, "layer_1": ...}, input to output.

Targets, and the view of a network's layers, have this form. A convolution's kernel is (height,
width, n_in, n_out): its neurons are the filters. A layer without a bias has no "bias".
"""

Tree = Any
"""Parameters of any network: any tree of arrays."""

REGRESSION = "regression"
CLASSIFICATION = "classification"


class Batch(NamedTuple):
    """Samples.

    Args:
        x: (n, inputs) float32, or images (n, height, width, channels).
        y: (n, outputs) float32 for regression, (n,) int32 class for classification.
    """

    x: jax.Array
    y: jax.Array

    def split(self, count: int) -> "tuple[Batch, Batch]":
        """The first samples, and the others.

        Args:
            count: how many are the first ones.
        """
        return Batch(self.x[:count], self.y[:count]), Batch(self.x[count:], self.y[count:])


@dataclasses.dataclass(frozen=True)
class Task:
    """Data to learn, and a sparse network that is known to solve the task.

    Args:
        name: the name in records.
        inputs, outputs: widths of the network's first and last layer; inputs of an image task are
            (height, width, channels).
        kind: "regression" (mean squared error) or "classification" (cross entropy, accuracy).
        sample: (key, n, noise) -> Batch; a pure function, the noise level may be traced.
        ticket: (depth) -> target parameters without padding; depth counts layers of neurons,
            including the input. It raises ValueError for a depth that has no such ticket.
        data: () -> training and held-out samples, NumPy arrays, for a task that has these instead
            of sample(): the same for every seed, without noise.
        ticket_of: (seed) -> the ticket of that seed's run, for a task that has one ticket per seed;
            all have the same shapes and size. ticket(depth) then only has to have these shapes and
            counts, which are taken from it.
        sample_of: (key, n, noise, ticket) -> Batch, for such a task whose data follow from the
            ticket, which may be traced. sample() then only gives shapes, and inputs.
        source: what data and tickets are made from, as (name, plain value) pairs; a results
            directory contains records of one source only.
    """

    name: str
    inputs: int | tuple[int, int, int]
    outputs: int
    kind: str
    sample: Callable[..., Batch]
    ticket: Callable[..., Params]
    data: Callable[[], tuple[Batch, Batch]] | None = None
    ticket_of: Callable[[int], Tree] | None = None
    sample_of: Callable[..., Batch] | None = None
    source: tuple[tuple[str, Any], ...] = ()


class Wire(NamedTuple):
    """The spaces of neurons (or channels) that a layer of parameters connects.

    Args:
        layer: its name.
        reads, writes: numbers of the spaces; 0 is the input. The outputs of several layers that
            write to one space are added, as residual branches are to their stream.
        normalised: whether the layer's output is divided by its size, channel by channel, before it
            is added.
    """

    layer: str
    reads: int
    writes: int
    normalised: bool = False


@dataclasses.dataclass(frozen=True)
class Layer:
    """Location of a layer's kernel and bias in a network's tree, and the spaces that it connects.

    Args:
        path: path of the subtree that contains both, "block/dense"; empty for the root.
        reads, writes: numbers of the spaces of neurons; 0 is the input. The outputs of several
            layers that write to one space are added, as residual branches are to their stream.
        kernel: its name in the subtree; None for "kernel" or "weight". The shape is (inputs,
            outputs), or (height, width, inputs, outputs) for a convolution.
        bias: its name; None for a layer without one. A subtree without a "bias" has none either.
        normalised: whether the layer's output is divided by its size, channel by channel, before it
            is added.
        obstacle: why nothing can be planted; empty if planting is possible. An example is a
            function between this layer and the one before that is not positively homogeneous.
        deviation: how the layer's input differs from the ReLU of what was written, or the network's
            outputs from the layer's output. A chain of plain layers is then not a ticket of this
            network.
    """

    path: str
    reads: int
    writes: int
    kernel: str | None = None
    bias: str | None = "bias"
    normalised: bool = False
    obstacle: str = ""
    deviation: str = ""


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as pure functions.

    Args:
        init: (key) -> params, float32, any tree.
        apply: (params, x) -> outputs, x (n, inputs), outputs (n, outputs); logits for
            classification.
        layers: its layers in the order in which they compute. None to find them: a tree of layer_0,
            layer_1, ... is a chain, any other is followed through one call of apply.
        flow: apply without normalisation, for seekers that follow signals rather than data; None if
            apply has no normalisation to leave out.
        resizable: whether apply also takes parameters of other widths, such as a bare ticket's.
    """

    init: Callable[[jax.Array], Tree]
    apply: Callable[[Tree, jax.Array], jax.Array]
    layers: tuple[Layer, ...] | None = None
    flow: Callable[[Tree, jax.Array], jax.Array] | None = None
    resizable: bool = False


class Planted(NamedTuple):
    """A network with a ticket in it.

    Args:
        params: all parameters of the mother network, including the ticket's, in its own tree.
        mask: bool, True where the ticket's parameters are; a tree like params.
        output_scale: () float32; apply(params * mask, x) * output_scale is the target network.
    """

    params: Tree
    mask: Tree
    output_scale: jax.Array


class Found(NamedTuple):
    """What a seeker returns.

    Args:
        mask: bool, True where a parameter is kept; a tree like the problem's params.
        scores: float32, the scores that the last selection ranked; -inf where already pruned.
        info: any further results of the seeker, a dict of arrays or trees of arrays. "params", if
            it is there, are the parameters that the search has trained under the mask, a tree like
            the problem's; they are measured as well (own_metric, own_loss).
    """

    mask: Tree
    scores: Tree
    info: dict[str, Any]


class Point(NamedTuple):
    """One point of the grid; both values may be traced.

    Args:
        density: fraction of the prunable parameters to keep.
        noise: the task's noise level.
    """

    density: jax.Array | float
    noise: jax.Array | float
