"""Layers in any parameter tree: the chain-like view that planting and measuring work on.

The view of a tree is {"layer_0": {"kernel": ..., "bias": ...}, "layer_1": ...}, its layers in the
order in which they compute. A layer without a bias has no "bias" entry. Parameters that belong to
no layer, a normalisation's for example, are not in the view: they are never pruned.
"""

import functools
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ticketjax.base import Layer, Params, Tree, Wire
from ticketjax.masks import layer_names

SEPARATOR = "/"
KERNELS = ("kernel", "weight")


def leaf_paths(tree: Tree) -> list[str]:
    """The path of every leaf, "block/kernel", in the order of jax.tree.leaves()."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator=SEPARATOR) for path, _ in flat]


def join(*names: str) -> str:
    """A path from its parts; parts may be empty."""
    return SEPARATOR.join(filter(None, names))


def layer_title(layer: Layer) -> str:
    """The name of a layer in messages: its path, or its kernel's name if the path is empty."""
    return layer.path or str(layer.kernel)


def _parts(layer: Layer, paths: Mapping[str, int]) -> dict[str, int]:
    """The positions of a layer's kernel and, if it has one, of its bias among the leaves."""
    names = KERNELS if layer.kernel is None else (layer.kernel,)
    there = [join(layer.path, name) for name in names if join(layer.path, name) in paths]
    if not there:
        raise ValueError(
            f"layer {layer_title(layer)!r} has no {' or '.join(names)}; the parameters are "
            f"{', '.join(paths)}"
        )
    parts = {"kernel": paths[there[0]]}
    if layer.bias is not None:
        bias = join(layer.path, layer.bias)
        if bias in paths:
            parts["bias"] = paths[bias]
        elif layer.bias != "bias":
            raise ValueError(
                f"layer {layer_title(layer)!r} has no {layer.bias}; use bias=None for a "
                "layer without a bias"
            )
    return parts


@functools.lru_cache(maxsize=256)
def _positions(paths: tuple[str, ...], layers: tuple[Layer, ...]) -> tuple[dict[str, int], ...]:
    at = {path: i for i, path in enumerate(paths)}
    positions = tuple(_parts(layer, at) for layer in layers)
    taken = [i for parts in positions for i in parts.values()]
    if len(set(taken)) < len(taken):
        twice = next(paths[i] for i in taken if taken.count(i) > 1)
        raise ValueError(f"{twice} belongs to two layers")
    return positions


def positions(tree: Tree, layers: tuple[Layer, ...]) -> tuple[dict[str, int], ...]:
    """For every layer, the positions of its "kernel" and "bias" among the tree's leaves.

    Args:
        tree: parameters, any tree.
        layers: the network's.

    Returns:
        {"kernel": position, "bias": position} for each layer, without "bias" where there is none.

    Raises:
        ValueError: a layer that the tree does not have, which the message names; a leaf of two
            layers.
    """
    return _positions(tuple(leaf_paths(tree)), layers)


def view(tree: Tree, layers: tuple[Layer, ...]) -> Params:
    """The layers of a tree as {"layer_0": {"kernel", "bias"}, ...}; nothing is copied."""
    leaves = jax.tree.leaves(tree)
    return {
        f"layer_{i}": {part: leaves[at] for part, at in parts.items()}
        for i, parts in enumerate(positions(tree, layers))
    }


def restore(tree: Tree, seen: Params, layers: tuple[Layer, ...]) -> Tree:
    """The tree with the entries of a view in place of its own; other leaves are unchanged."""
    leaves, structure = jax.tree.flatten(tree)
    for i, parts in enumerate(positions(tree, layers)):
        for part, at in parts.items():
            leaves[at] = seen[f"layer_{i}"][part]
    return jax.tree.unflatten(structure, leaves)


def is_plain_chain(params: Tree) -> bool:
    """Whether this is a tree {"layer_0": {"kernel", ...}, "layer_1": ...}."""
    return isinstance(params, dict) and all(
        isinstance(name, str)
        and re.fullmatch(r"layer_\d+", name)
        and isinstance(layer, dict)
        and "kernel" in layer
        for name, layer in params.items()
    )


def chain_layers(params: Tree) -> tuple[Layer, ...]:
    """The layers of a tree of layer_0, layer_1, ..., which are assumed to be consecutive.

    Args:
        params: {"layer_0": {"kernel", ...}, "layer_1": ...}.

    Returns:
        The layers in their order.

    Raises:
        ValueError: any other tree.
    """
    if not is_plain_chain(params):
        raise ValueError(
            "model=... must define the layers of a tree that is not {'layer_0': {'kernel', "
            f"'bias'}}, 'layer_1': ...}}; got {', '.join(leaf_paths(params)[:8])}"
        )
    return tuple(Layer(name, i, i + 1) for i, name in enumerate(layer_names(params)))


def wires(layers: tuple[Layer, ...]) -> tuple[Wire, ...]:
    """The wiring of the view's layers."""
    return tuple(
        Wire(f"layer_{i}", layer.reads, layer.writes, layer.normalised)
        for i, layer in enumerate(layers)
    )


def is_chain(layers: tuple[Layer, ...]) -> bool:
    """Whether every layer reads only the output of the layer before it."""
    return all((layer.reads, layer.writes) == (i, i + 1) for i, layer in enumerate(layers))


def why_no_planting(layers: tuple[Layer, ...], *, as_chain: bool) -> str:
    """Why nothing can be planted, naming the layer; empty if planting is possible.

    Args:
        layers: the network's.
        as_chain: whether what is to be planted is a plain ReLU network of layers one after the
            other; otherwise it is a network of the same structure.

    Returns:
        The reason.
    """
    for i, layer in enumerate(layers):
        reason = layer.obstacle
        if not reason and as_chain:
            reason = layer.deviation
            if not reason and (layer.reads, layer.writes) != (i, i + 1):
                reason = "it is not one of layers one after the other (a branch or a residual sum)"
        if reason:
            return f"{layer_title(layer)}: {reason}"
    return ""


def keep_the_rest(tree: Tree, seen: Params, layers: tuple[Layer, ...]) -> Tree:
    """A mask of the whole tree from that of its layers: parameters of no layer are kept."""
    everything = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), tree)
    return restore(everything, seen, layers)


def target_view(target: Tree, layers: tuple[Layer, ...]) -> Params:
    """The layers of a target: in order for a chain, by place for a tree like the network's.

    Args:
        target: a tree {"layer_0": ...} of layers one after the other, or one like the network's.
        layers: the network's.

    Returns:
        A view {"layer_0": {"kernel", "bias"}, ...}.
    """
    return view(target, chain_layers(target) if is_plain_chain(target) else layers)
