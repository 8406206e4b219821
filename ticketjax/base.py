"""The types that every part of ticketjax exchanges: shapes and meaning, no logic."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Params = dict[str, dict[str, jax.Array]]
"""{"layer_0": {"kernel": (n_in, n_out), "bias": (n_out,)}, "layer_1": ...}, input to output.

Parameters, scores, masks (bool leaves) and targets all have this form. A convolution's kernel is
(height, width, n_in, n_out): its neurons are the filters.
"""

REGRESSION = "regression"
CLASSIFICATION = "classification"


class Batch(NamedTuple):
    """Samples.

    x: (n, inputs) float32, or images (n, height, width, channels).
    y: (n, outputs) float32 for regression, (n,) int32 class for classification.
    """

    x: jax.Array
    y: jax.Array


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be learned, and a sparse network that is known to solve it.

    name: how records call it.
    inputs, outputs: widths of the network's first and last layer; inputs of an image task are
        (height, width, channels).
    kind: "regression" (mean squared error) or "classification" (cross entropy, accuracy).
    sample: (key, n, noise) -> Batch; a pure function, the noise level may be traced.
    ticket: (depth) -> target parameters without padding; depth counts layers of neurons, the
        input included. Raises ValueError for a depth that has no such ticket.
    """

    name: str
    inputs: int | tuple[int, int, int]
    outputs: int
    kind: str
    sample: Callable[..., Batch]
    ticket: Callable[..., Params]


class Wire(NamedTuple):
    """Between which spaces of neurons (or channels) a layer of parameters lies.

    layer: its name. reads, writes: numbers of the spaces; 0 is the input. Several layers that
        write to one space add up, as residual branches do to their stream.
    normalised: whether what the layer computes is divided by its size, channel by channel, before
        it is added.
    """

    layer: str
    reads: int
    writes: int
    normalised: bool = False


@dataclasses.dataclass(frozen=True)
class Model:
    """A network as pure functions.

    init: (key) -> params, float32.
    apply: (params, x) -> outputs, x (n, inputs), outputs (n, outputs); logits for classification.
        It takes parameters of other widths too, such as a bare ticket's.
    wiring: how its layers are connected, in the order in which they compute; None for a chain.
    flow: apply without normalisation, for seekers that follow signals rather than data; None if
        there is none to leave out.
    """

    init: Callable[[jax.Array], Params]
    apply: Callable[[Params, jax.Array], jax.Array]
    wiring: tuple[Wire, ...] | None = None
    flow: Callable[[Params, jax.Array], jax.Array] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """All that a seeker may see of a planted network: never the planted mask.

    params: initial parameters.
    batch: training data.
    apply: (params, x) -> outputs.
    kind: the task's kind.
    objective: "raw" (loss of the output as it is) or "rescaled" (loss after the best output
        scale, or temperature, is fitted).
    prune_bias: whether biases count as prunable; otherwise every mask keeps all of them.
    ticket_density: the density that "ticket" stands for; None where the task has no ticket.
    ticket_layers: how many parameters of each layer that is, for the scope "oracle" alone.
    wiring, flow: as in Model.
    augment: (key, x) -> x, changes a training batch's inputs at every step of train(); None for not
        at all. Seekers' own searches see the data as it is.

    params and batch are traced under jit, the rest is static.
    """

    params: Params
    batch: Batch
    apply: Callable[[Params, jax.Array], jax.Array] = dataclasses.field(metadata={"static": True})
    kind: str = dataclasses.field(metadata={"static": True})
    objective: str = dataclasses.field(default="raw", metadata={"static": True})
    prune_bias: bool = dataclasses.field(default=True, metadata={"static": True})
    ticket_density: float | None = dataclasses.field(default=None, metadata={"static": True})
    ticket_layers: tuple[int, ...] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    wiring: tuple[Wire, ...] | None = dataclasses.field(default=None, metadata={"static": True})
    flow: Callable[[Params, jax.Array], jax.Array] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )


class Planted(NamedTuple):
    """A network with a ticket in it.

    params: all parameters of the mother network, the ticket's own among them.
    mask: bool, True where the ticket's parameters are.
    output_scale: () float32; apply(params * mask, x) * output_scale is the target network.
    """

    params: Params
    mask: Params
    output_scale: jax.Array


class Found(NamedTuple):
    """What a seeker returns.

    mask: bool, True where a parameter is kept.
    scores: float32, what the last selection ranked; -inf where already pruned.
    info: anything the seeker wants to tell, a dict of arrays.
    """

    mask: Params
    scores: Params
    info: dict[str, Any]


class Point(NamedTuple):
    """One point of the grid. Both may be traced.

    density: fraction of the prunable parameters to keep.
    noise: the task's noise level.
    """

    density: jax.Array | float
    noise: jax.Array | float


Score = Callable[[jax.Array, Problem, Params, Params], Params]
"""Rates every parameter: (key, problem, params, mask) -> scores, of which the highest are kept.

params are those of the moment, trained or not; mask is what earlier rounds have kept. Scores have
the shapes of params; NaN ranks lowest.
"""
Seeker = Callable[[jax.Array, Problem, jax.Array | float], Found]
"""Looks for a ticket: (key, problem, density) -> Found.

Pure, and made for jit and vmap: the density may be traced. The mask keeps exactly
round(density * prunable parameters) of them.
"""
