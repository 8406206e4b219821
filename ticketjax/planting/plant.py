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
from ticketjax.networks.wiring import is_dense_chain, space_widths, wiring_of
from ticketjax.planting.cosine import Placed, plant_layer
from ticketjax.planting.hidden import plant_hidden


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
    """Refuse a ticket with a bias where the network has none; a traced one is not looked at."""
    for (name, wanted), layer in zip(target.items(), layers, strict=True):
        bias = wanted.get("bias")
        if "bias" in params[name] or bias is None or isinstance(bias, jax.core.Tracer):
            continue
        if np.any(bias):
            raise ValueError(f"{layer_title(layer)} has no bias, and the ticket needs one there")


def planting_views(target: Tree, params: Tree, layers: tuple[Layer, ...]) -> tuple[Params, Params]:
    """The views of target and network that planting works on, every layer with a bias.

    Raises ValueError, naming the layer, where the one cannot be planted into the other.
    """
    wanted, seen = target_view(target, layers), view(params, layers)
    if len(wanted) == len(seen):
        # A tree like the network's own is a network of its structure; any other one is a chain.
        same = bool(jax.tree.structure(target) == jax.tree.structure(params))  # type: ignore[operator]
        reason = why_no_planting(layers, as_chain=not same)
        if reason:
            raise ValueError(f"nothing can be planted: {reason}")
        _check_biases(wanted, seen, layers)
    _check_shapes(wanted, seen, layers)
    return _with_biases(wanted), _with_biases(seen)


def give_back(planted: Planted, params: Tree, layers: tuple[Layer, ...]) -> Planted:
    """A planted view as the network's own tree; its mask is False for what belongs to no layer."""
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
) -> Planted:
    """Write a target network into a random one of the same depth, and say where it went.

    Layer by layer from the input, hardest neuron (highest in-degree) first, each target neuron
    takes the unused neuron whose incoming parameters have the largest cosine with its own (equally
    good ones draw lots). Those parameters are overwritten up to a positive factor, which the next
    layer makes good for (relu is positively homogeneous). The output layer stays in place, with one
    factor for all outputs. Everything that is not the ticket's stays bit for bit. (Fischer and
    Burkholz 2022, Algorithm 1 and appendix A.3; there, each output has a factor of its own.)

    Convolutions alike: a filter is a neuron, and pooling commutes with positive factors. Where
    residual branches add to one stream, its channels have one place and one factor, chosen by the
    first layer that writes to it and kept to by all the others. Behind a normalisation, which takes
    the factor out, it is one.

    Pure; works under jit and vmap, for either argument.

    Args:
        target: a tree {"layer_0": {"kernel", "bias"}, ...} of layers one after the other, kernels
            (n_in, n_out) or (height, width, n_in, n_out) and biases (n_out,), without padding; or a
            tree like params, for a network that is no such chain. Zeros are no parameters.
        params: the mother network; same layers and inputs and outputs, at least as wide.
        model: the mother network's, whose layers say where things lie; None for a tree of layer_0,
            layer_1, ...
        match: "cosine", the above, or "hidden", which makes the ticket inconspicuous instead: lots
            choose the neurons, and then all factors together, those that change the sizes of the
            mother's parameters least (not in the paper; docs/protocol.md has the formulas and
            ticketjax.audit the measure). The result is the same for any positive rescaling of the
            target's neurons and any order of the mother's, but for rounding. Of dense chains only.
        zero_path_biases: also set to zero the biases that planted neurons have in the mother but
            not in the target: needed where masks cannot prune biases.

    Returns:
        params, mask and output_scale () > 0 with apply(params * mask, x) * output_scale == the
        target's output. Both are trees like params.

    Raises:
        ValueError: naming the layer, if the network is too narrow or not of the same depth or kind,
            if something stands between two layers that planting cannot be carried through, or if
            the target has a bias where the network has none; for an unknown match.

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
        wanted, seen, wires(layers), match=match, zero_path_biases=zero_path_biases
    )
    return give_back(planted, params, layers)


def layers_of_tree(model: Model | None, params: Tree) -> tuple[Layer, ...]:
    """The layers that a model says, those of a chain without any.

    Raises ValueError for another tree than a chain whose layers nobody says.
    """
    return chain_layers(params) if model is None or model.layers is None else model.layers


def plant_view(
    target: Params,
    params: Params,
    wiring: tuple[Wire, ...],
    *,
    match: str = "cosine",
    zero_path_biases: bool = False,
) -> tuple[Planted, list[jax.Array]]:
    """Plant one view, as planting_views() gives them, into another, and tell where.

    Returns:
        The planted view, and for each space of neurons from the inputs to the outputs, which of the
        network's neurons the target's are: (target neurons,) integers.
    """
    check_choice("match", match, MATCHES)
    if match == "hidden":
        if not is_dense_chain(params, wiring):
            raise ValueError('match "hidden" is for dense layers one after the other, not for this')
        return plant_hidden(target, params, zero_path_biases)
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
            normalised=wire.normalised,
            one_scale=wire.writes in of_one_scale,
            is_last=wire is wiring[-1],
            zero_path_biases=zero_path_biases,
        )
    planted = Planted(planted_params, planted_mask, placed[wiring[-1].writes].scale[0])
    return planted, [placed[space].neurons for space in sorted(placed)]
