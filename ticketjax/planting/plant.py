"""Planting: hide a sparse target network inside a random one, exactly."""

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Layer, Model, Params, Planted, Tree, Wire
from ticketjax.checks import check_choice
from ticketjax.choices import MATCHES
from ticketjax.contract import check_parameters
from ticketjax.networks.layers import (
    chain_layers,
    layer_title,
    restore,
    target_view,
    view,
    why_no_planting,
    wires,
)
from ticketjax.networks.wiring import is_chain, space_widths, wiring_of
from ticketjax.planting.cosine import Placed, plant_layer
from ticketjax.planting.hidden import plant_hidden
from ticketjax.planting.writing import drawn_lots


def _check_shapes(target: Params, params: Params, layers: tuple[Layer, ...]) -> None:
    if len(target) != len(params):
        raise ValueError(
            f"the ticket has {len(target)} layers and the network {len(params)}: "
            f"{'too shallow' if len(params) < len(target) else 'too deep'} by "
            f"{abs(len(params) - len(target))}"
        )
    wiring = wiring_of(params, wires(layers))
    needed, there = space_widths(target, wiring), space_widths(params, wiring)
    for wire, layer in zip(wiring, layers, strict=True):
        name, reads, writes = layer_title(layer), wire.reads, wire.writes
        ours, others = target[wire.layer]["kernel"].shape, params[wire.layer]["kernel"].shape
        if reads == 0 and needed[0] != there[0]:
            raise ValueError(f"{name}: the ticket has {needed[0]} inputs, the network {there[0]}")
        if ours[:-2] != others[:-2] or ours[-2] * there[reads] != others[-2] * needed[reads]:
            raise ValueError(
                f"{name}: the ticket's kernel {ours} and the network's {others} are not of one "
                "kind: windows and places of the image must agree"
            )
        if writes == wiring[-1].writes and needed[writes] != there[writes]:
            raise ValueError(
                f"{name}: the ticket has {needed[writes]} outputs, the network {there[writes]}"
            )
        if there[writes] < needed[writes]:
            raise ValueError(
                f"{name} is too narrow: the ticket needs {needed[writes]} neurons, the network "
                f"has {there[writes]}, {needed[writes] - there[writes]} too few"
            )


def _with_biases(seen: Params) -> Params:
    """A view whose layers all have a bias, 0 where there was none."""

    def zeros(layer):
        return jnp.zeros(layer["kernel"].shape[-1], jnp.float32)

    return {name: {"bias": zeros(layer), **layer} for name, layer in seen.items()}


def _check_biases(target: Params, params: Params, layers: tuple[Layer, ...]) -> None:
    """Refuse a ticket with a bias where the network has none; a traced one is not checked."""
    for (name, wanted), layer in zip(target.items(), layers, strict=True):
        bias = wanted.get("bias")
        if "bias" in params[name] or bias is None or isinstance(bias, jax.core.Tracer):
            continue
        if np.any(bias):
            raise ValueError(f"{layer_title(layer)} has no bias, and the ticket needs one there")


def planting_views(target: Tree, params: Tree, layers: tuple[Layer, ...]) -> tuple[Params, Params]:
    """The views of target and network that planting works on, every layer with a bias.

    Args:
        target, params: as in plant().
        layers: the network's.

    Returns:
        (target, params) as {"layer_0": {"kernel", "bias"}, ...}; the biases are 0 where there are
        none.

    Raises:
        ValueError: the target cannot be planted into the network; the message names the layer.
    """
    wanted, seen = target_view(target, layers), view(params, layers)
    if len(wanted) == len(seen):
        # A target tree like the network's has its structure; any other target is a chain.
        same = bool(jax.tree.structure(target) == jax.tree.structure(params))  # type: ignore[operator]
        reason = why_no_planting(layers, as_chain=not same)
        if reason:
            raise ValueError(f"nothing can be planted: {reason}")
        _check_biases(wanted, seen, layers)
    _check_shapes(wanted, seen, layers)
    return _with_biases(wanted), _with_biases(seen)


def give_back(planted: Planted, params: Tree, layers: tuple[Layer, ...]) -> Planted:
    """A planted view as the network's own tree.

    Args:
        planted: the planted view.
        params: the network's tree.
        layers: the network's.

    Returns:
        Planted with trees like params; the mask is False for parameters that belong to no layer.
    """
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), params)
    return planted._replace(
        params=restore(params, planted.params, layers), mask=restore(nothing, planted.mask, layers)
    )


def plant(
    target: Tree,
    params: Tree,
    *,
    model: Model | None = None,
    match: str = "cosine",
    zero_path_biases: bool = False,
    key: jax.Array | None = None,
) -> Planted:
    """Write a target network into a random one of the same depth.

    The layers are planted one by one from the input, in each the hardest neuron (highest in-degree)
    first. Each target neuron takes the unused neuron whose incoming parameters have the largest
    cosine with its own; a hash decides between equally good ones. These parameters are overwritten
    up to a positive factor, for which the next layer compensates (ReLU is positively homogeneous).
    The output layer stays in place, with one factor for all outputs. All parameters outside the
    ticket stay bit-identical.

    In convolutions a filter is a neuron, and pooling commutes with positive factors. Where residual
    branches are added to one stream, each of its channels has one place and one factor, chosen by
    the first layer that writes to it and used by all the others. After a normalisation, which
    removes the factor, the factor is one.

    Pure; works under jit and vmap, for either argument.

    Args:
        target: a tree {"layer_0": {"kernel", "bias"}, ...} of layers one after the other, kernels
            (n_in, n_out) or (height, width, n_in, n_out) and biases (n_out,), without padding; or a
            tree like params, for a network that is not such a chain. Zeros do not count as
            parameters.
        params: the mother network, float32; same layers and inputs and outputs, at least as wide.
        model: the mother network's model, whose layers give the places of kernels and biases; None
            for a tree of layer_0, layer_1, ...
        match: "cosine", as above, or "hidden", which makes the ticket inconspicuous instead. Random
            numbers choose the neurons (see key), and then all factors are chosen together so that
            they change the sizes of the mother's parameters least (not in the paper;
            docs/planting.md has the formulas and ticketjax.audit the measure). The result is the
            same, up to rounding, for any positive rescaling of the target's neurons and, without a
            key, any order of the mother's. For layers one after the other, without normalisation.
        zero_path_biases: also set to zero the biases that planted neurons have in the mother but
            not in the target: needed where masks cannot prune biases.
        key: draws the lots that choose among neurons: among equally good ones under "cosine", among
            all under "hidden". Without a key, a hash of the neurons' parameters chooses, which
            anybody can compute.

    Returns:
        params, mask and output_scale () > 0 with apply(params * mask, x) * output_scale == the
        target's output. params and mask are trees like params.

    Raises:
        ValueError: the network is too narrow or not of the same depth or kind, there is something
            between two layers through which planting is impossible, or the target has a bias where
            the network has none (the message names the layer); a parameter is not float32; an
            unknown match.

    Source: Fischer and Burkholz 2022, Algorithm 1 and appendix A.3; there, each output has a factor
    of its own.

    >>> import numpy as np
    >>> target = {"layer_0": {"kernel": np.array([[2.0]]), "bias": np.array([0.0])}}
    >>> params = {"layer_0": {"kernel": jnp.array([[0.5]]), "bias": jnp.array([0.1])}}
    >>> float(plant(target, params).output_scale)
    4.0
    """
    check_parameters(params)
    layers = layers_of_tree(model, params)
    wanted, seen = planting_views(target, params, layers)
    planted, _ = plant_view(
        wanted, seen, wires(layers), match=match, zero_path_biases=zero_path_biases, key=key
    )
    return give_back(planted, params, layers)


def layers_of_tree(model: Model | None, params: Tree) -> tuple[Layer, ...]:
    """The layers that a model gives, or those of a chain if it gives none.

    Args:
        model: the network's; None for a chain.
        params: the network's parameters.

    Returns:
        The layers in the order in which they compute.

    Raises:
        ValueError: no layers are given, and the tree is no chain.
    """
    return chain_layers(params) if model is None or model.layers is None else model.layers


def plant_view(
    target: Params,
    params: Params,
    wiring: tuple[Wire, ...],
    *,
    match: str = "cosine",
    zero_path_biases: bool = False,
    key: jax.Array | None = None,
) -> tuple[Planted, list[jax.Array]]:
    """Plant one view into another, and return the places of its neurons.

    Args:
        target, params: views as planting_views() returns them.
        wiring: the network's.
        match, zero_path_biases, key: as in plant().

    Returns:
        The planted view, and for each space of neurons from the inputs to the outputs, which of the
        network's neurons the target's are: (target neurons,) integers.

    Raises:
        ValueError: an unknown match, or match "hidden" for a network with branches or
            normalisation.
    """
    check_choice("match", match, MATCHES)
    lots = None if key is None else drawn_lots(key, params)
    if match == "hidden":
        if not is_chain(wiring) or any(wire.normalised for wire in wiring):
            raise ValueError(
                'match "hidden" is for layers one after the other, without branches or '
                'normalisation; this network takes match "cosine"'
            )
        return plant_hidden(target, params, lots, zero_path_biases)
    inputs = space_widths(target, wiring)[0]
    placed = {0: Placed(jnp.arange(inputs), jnp.ones(inputs, jnp.float32))}
    of_one_scale = {wire.writes for wire in wiring if wire.normalised}
    planted_params, planted_mask = {}, {}
    for wire in wiring:
        planted_params[wire.layer], planted_mask[wire.layer], placed[wire.writes] = plant_layer(
            target[wire.layer],
            params[wire.layer],
            placed[wire.reads],
            placed.get(wire.writes),
            None if lots is None else lots[wire.layer],
            normalised=wire.normalised,
            one_scale=wire.writes in of_one_scale,
            is_last=wire is wiring[-1],
            zero_path_biases=zero_path_biases,
        )
    planted = Planted(planted_params, planted_mask, placed[wiring[-1].writes].scale[0])
    return planted, [placed[space].neurons for space in sorted(placed)]
