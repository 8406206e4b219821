"""Which neurons each layer reads and writes: chains, and residual networks."""

import re

import jax

from ticketjax.base import Params, Wire
from ticketjax.masks import layer_names


def chain(params: Params) -> tuple[Wire, ...]:
    """The wiring of layers one after the other.

    Args:
        params: {"layer_0": {"kernel", ...}, "layer_1": ...}.

    Returns:
        A Wire for each layer.

    Raises:
        ValueError: layers that are not called layer_0, layer_1, ...; another wiring cannot be
            inferred from the parameters.
    """
    names = layer_names(params)
    if not all(re.fullmatch(r"layer_\d+", name) for name in names):
        raise ValueError(
            "model=... must define the layers of a tree that is not layer_0, layer_1, ...; got "
            f"{', '.join(names)}"
        )
    return tuple(Wire(name, i, i + 1) for i, name in enumerate(names))


def wiring_of(params: Params, wiring: tuple[Wire, ...] | None) -> tuple[Wire, ...]:
    """The given wiring, or that of a chain for None.

    Args:
        params: {layer: {"kernel", ...}, ...}.
        wiring: a Wire for each layer, in the order in which they compute; None for a chain.

    Returns:
        The wiring.

    Raises:
        ValueError: the wiring does not name exactly the network's layers or reads a space that no
            layer before has written; the last layer is normalised or not the only one at the
            outputs; no wiring is given and the layers are no chain.
    """
    if wiring is None:
        return chain(params)
    if {wire.layer for wire in wiring} != set(params) or len(wiring) != len(params):
        raise ValueError(
            f"wiring names the layers {', '.join(wire.layer for wire in wiring)}, the network has "
            f"{', '.join(layer_names(params))}"
        )
    written = {0}
    for wire in wiring:
        if wire.reads not in written:
            raise ValueError(f"{wire.layer} reads space {wire.reads}, which nothing has written")
        written.add(wire.writes)
    last = wiring[-1]
    if last.normalised or sum(last.writes in (wire.reads, wire.writes) for wire in wiring) > 1:
        raise ValueError(
            f"{last.layer}, the last layer, must be the only one at the outputs, and not normalised"
        )
    return wiring


def is_chain(wiring: tuple[Wire, ...]) -> bool:
    """Whether these are layers one after the other."""
    return all((wire.reads, wire.writes) == (i, i + 1) for i, wire in enumerate(wiring))


def is_dense_chain(params: Params, wiring: tuple[Wire, ...]) -> bool:
    """Whether these are dense layers one after the other, and nothing else."""
    return is_chain(wiring) and all(layer["kernel"].ndim == 2 for layer in params.values())


def space_widths(params: Params, wiring: tuple[Wire, ...]) -> dict[int, int]:
    """How many neurons or channels every space has."""
    first = params[wiring[0].layer]["kernel"]
    return {
        0: first.shape[-2],
        **{wire.writes: params[wire.layer]["kernel"].shape[-1] for wire in wiring},
    }


def by_tap(kernel: jax.Array, sources: int) -> jax.Array:
    """A kernel as (taps, sources, neurons).

    The taps of a convolution are the places of its window. Those of a dense layer after one are
    the places of the image, whose channels lie next to each other. Any other layer has one tap.

    Args:
        kernel: (inputs, neurons), or (height, width, inputs, neurons) for a convolution.
        sources: number of channels that the kernel reads.

    Returns:
        (taps, sources, neurons).
    """
    return kernel.reshape(-1, sources, kernel.shape[-1])
