"""Parameters and masks to and from other frameworks: PyTorch's names and layouts.

PyTorch's tensors are converted to arrays without importing torch.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names
from ticketjax.sharing.trees import DTYPES, SEPARATOR, flatten, load_tree, tree_shapes

# Names of a layer's arrays: ours, PyTorch's, and PyTorch's with masks. torch.nn.utils.prune stores
# the dense array as *_orig next to its mask, and Synaptic-Flow under its own name. Arrays that are
# not pruned keep their names.
_OURS = {"kernel", "bias"}
_TORCH = {"weight", "bias"}
_TORCH_PRUNED = {"weight", "weight_orig", "weight_mask", "bias", "bias_orig", "bias_mask"}
# From PyTorch's axes (out, in, ...) to ours (..., in, out), and back.
_TO_OURS = {2: (1, 0), 4: (2, 3, 1, 0)}
_TO_TORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


def _joined(layer: str, part: str) -> str:
    return f"{layer}{SEPARATOR}{part}" if layer else part


def _layers(names: Sequence[str], order: Sequence[str] | None) -> dict[str, set[str]]:
    """The arrays of each layer, with the layers from input to output."""
    parts: dict[str, set[str]] = {}
    for name in names:
        layer, _, part = name.rpartition(SEPARATOR)
        parts.setdefault(layer, set()).add(part)
    if order is None:
        # Files are sorted by name, so only numbers determine the order of the layers.
        if len({re.sub(r"[0-9]+", "#", layer) for layer in parts}) > 1:
            raise ValueError(
                f"the names {', '.join(parts)} differ by more than numbers, so the order of the "
                f"layers has to be given (order, or --layers of a command)"
            )
        order = layer_names(parts)
    elif sorted(order) != sorted(parts):
        raise ValueError(
            f"the order of the layers must name {', '.join(parts)}, got {', '.join(order)}"
        )
    return {layer: parts[layer] for layer in order}


def _is_ours(layers: Mapping[str, set[str]]) -> bool:
    """Whether the names imply our layout, (n_in, n_out), and not PyTorch's."""
    allowed = {"ours": _OURS, "torch": _TORCH, "pruned": _TORCH_PRUNED}
    styles = set()
    for layer, parts in layers.items():
        fitting = [style for style, known in allowed.items() if parts <= known]
        weights = parts - {"bias", "bias_orig", "bias_mask"}
        if not fitting or not weights:
            raise ValueError(
                f"{layer or 'a name without a layer'} has {', '.join(sorted(parts))}; a layer has "
                f"kernel and bias (ours), weight and bias (PyTorch), or *_orig and *_mask "
                f"(torch.nn.utils.prune)"
            )
        styles.add("kernel" in parts)
    if len(styles) > 1:
        raise ValueError("some layers have a kernel (our layout) and some a weight (PyTorch's)")
    return styles.pop()


def _numpy(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16 of its own, and PyTorch does not accept that of ml_dtypes.
        value = value.float() if value.is_floating_point() else value
    array = np.asarray(value)
    if array.dtype not in DTYPES.values():
        raise ValueError(f"{name} is of type {array.dtype}, which is not numeric")
    return array


def _to_ours(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim not in _TO_OURS:
        raise ValueError(
            f"{name} has shape {array.shape}; allowed are dense layers, (out, in), and "
            f"convolutions, (out, in, height, width)"
        )
    return array.transpose(_TO_OURS[array.ndim])


def from_state_dict(state: Mapping[str, Any], order: Sequence[str] | None = None) -> Params:
    """A network's parameters from PyTorch's.

    Args:
        state: the result of Module.state_dict(), or the arrays of a file by their joined names. A
            weight (out, in) becomes a kernel (n_in, n_out). A convolution's weight (out, in,
            height, width) becomes a kernel (height, width, in, out). Missing biases are zero.
            Masks, *_mask, are multiplied with the array next to them: *_orig, as
            torch.nn.utils.prune names it, or the array without an ending. Our own names, with
            kernels, are used unchanged.
        order: the layers' names from input to output, if these differ by more than numbers.

    Returns:
        {"layer_0": {"kernel", "bias"}, ...}, NumPy float32.

    Raises:
        ValueError: other entries (such as those of a normalisation), unknown shapes, layers that do
            not fit each other, values that are not finite, or a missing order.

    >>> import collections
    >>> state = {"0.weight": np.ones((3, 2)), "2.weight": np.ones((1, 3)), "2.bias": np.ones(1)}
    >>> params = from_state_dict(state)
    >>> [(layer["kernel"].shape, layer["bias"].shape) for layer in params.values()]
    [((2, 3), (3,)), ((3, 1), (1,))]
    """
    if not state:
        raise ValueError("a network has at least one layer, got none")
    layers = _layers(list(state), order)
    ours = _is_ours(layers)

    def value(layer: str, part: str) -> np.ndarray:
        prefix = _joined(layer, part)
        if f"{prefix}_mask" in state:
            dense = f"{prefix}_orig" if f"{prefix}_orig" in state else prefix
            mask, whole = (_numpy(name, state[name]) for name in (f"{prefix}_mask", dense))
            if mask.shape != whole.shape:
                raise ValueError(f"{prefix}_mask is {mask.shape}, {dense} {whole.shape}")
            array = np.where(mask != 0, whole, 0)
        else:
            array = _numpy(prefix, state[prefix])
        if not (np.issubdtype(array.dtype, np.floating) or array.dtype == jnp.bfloat16):
            raise ValueError(f"{prefix} is of type {array.dtype}; parameters are floating point")
        array = array.astype(np.float32)
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{prefix} has values that are not finite in float32")
        return array

    # NumPy arrays, as in files; JAX accepts them everywhere.
    params: dict[str, Any] = {}
    previous = None
    for i, (layer, parts) in enumerate(layers.items()):
        for end in ("weight", "bias"):
            dense = {end, f"{end}_orig"} & parts
            if len(dense) > 1:
                raise ValueError(f"{layer} has both {end} and {end}_orig")
            if dense != {end} and len({f"{end}_orig", f"{end}_mask"} & parts) == 1:
                raise ValueError(f"{layer} has one of {end}_orig and {end}_mask, not both")
        kernel = value(layer, "kernel") if ours else _to_ours(layer, value(layer, "weight"))
        if kernel.ndim not in _TO_OURS:
            raise ValueError(f"{layer}: kernel has shape {kernel.shape}, {kernel.ndim} axes")
        has_bias = {"bias", "bias_mask"} & parts
        bias = value(layer, "bias") if has_bias else np.zeros(kernel.shape[-1], np.float32)
        if bias.shape != kernel.shape[-1:]:
            raise ValueError(f"{layer}: the bias is {bias.shape} for {kernel.shape[-1]} outputs")
        if previous is not None and kernel.shape[-2] != previous:
            raise ValueError(
                f"{layer} has {kernel.shape[-2]} inputs, the layer before it {previous} outputs"
                + (
                    "; frameworks flatten images in different orders, so this is not guessed"
                    if kernel.ndim == 2 and kernel.shape[0] % previous == 0
                    else ""
                )
            )
        previous = kernel.shape[-1]
        params[f"layer_{i}"] = {"kernel": np.ascontiguousarray(kernel), "bias": bias}
    return params


def to_state_dict(
    params: Params, order: Sequence[str] | None = None, prefix: str = ""
) -> dict[str, np.ndarray]:
    """Parameters or masks as PyTorch names and lays them out.

    Args:
        params: {"layer_0": {"kernel", "bias"}, ...}.
        order: names of PyTorch's layers from input to output, if they differ from ours.
        prefix: text before every name.

    Returns:
        {"layer_0.weight": (out, in), ...}. Module.load_state_dict() accepts it as
        {name: torch.from_numpy(array)}, and save_tree() writes its unflatten().

    Raises:
        ValueError: the order has another length.

    >>> state = to_state_dict({"layer_0": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}}, ["0"])
    >>> {name: array.shape for name, array in state.items()}
    {'0.weight': (3, 2), '0.bias': (3,)}
    """
    names = layer_names(params)
    order = names if order is None else order
    if len(order) != len(names):
        raise ValueError(f"order must name {len(names)} layers, got {len(order)}")
    state = {}
    for ours, theirs in zip(names, order, strict=True):
        kernel = np.asarray(params[ours]["kernel"])
        weight = np.ascontiguousarray(kernel.transpose(_TO_TORCH[kernel.ndim]))
        state[f"{prefix}{theirs}.weight"] = weight
        state[f"{prefix}{theirs}.bias"] = np.array(params[ours]["bias"])
    return state


def load_target(path: str | os.PathLike, order: Sequence[str] | None = None) -> Params:
    """A network's parameters from a safetensors file, ours or PyTorch's.

    Args:
        path: of the file.
        order: as in from_state_dict().

    Returns:
        Parameters as from_state_dict() returns them.

    Raises:
        ValueError: as in load_tree() and from_state_dict().
        FileNotFoundError: there is no such file.
    """
    tree, _ = load_tree(path)
    try:
        return from_state_dict(flatten(tree), order)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load_mask(
    path: str | os.PathLike,
    params: Params,
    order: Sequence[str] | None = None,
    prune_bias: bool = True,
) -> Params:
    """A mask from a safetensors file, made by any program.

    The names determine the layout: layer_0.kernel is (n_in, n_out), layer_0.weight is PyTorch's
    (out, in). A whole state_dict with masks may be given, weight or weight_orig next to
    weight_mask. Its *_mask are then used, and arrays without a mask are kept. Values are bool, or 0
    and 1 of any type.

    Args:
        path: of the file.
        params: arrays or shapes of the network.
        order: the layers' names from input to output, if these differ by more than numbers.
        prune_bias: if False, biases need no mask and are kept.

    Returns:
        A bool tree like params.

    Raises:
        ValueError: the file is not such a mask; raised before arrays are read if the names or
            shapes show it.
        FileNotFoundError: there is no such file.
    """
    tree, _ = tree_shapes(path)
    shapes = flatten(tree)
    pruned = any(name.endswith("_mask") for name in shapes)
    try:
        layers = _layers(list(shapes), order)
        ours = _is_ours(layers)
        if len(layers) != len(params):
            raise ValueError(f"the mask has {len(layers)} layers, the network {len(params)}")
        entries = {}
        for name, (layer, parts) in zip(layer_names(params), layers.items(), strict=True):
            for part in ("kernel", "bias"):
                shape = tuple(params[name][part].shape)
                if part == "kernel" and not ours:
                    shape = tuple(shape[axis] for axis in _TO_TORCH[len(shape)])
                entry = _mask_entry(layer, parts, part, pruned, prune_bias)
                if entry is not None and shapes[entry].shape != shape:
                    raise ValueError(
                        f"{entry} is {shapes[entry].shape}, expected {shape} (a kernel is "
                        f"(n_in, n_out), a weight (out, in))"
                    )
                entries[name, part] = entry
        arrays = flatten(load_tree(path, tree)[0])
        mask: dict[str, Any] = {name: {} for name in layer_names(params)}
        for (name, part), entry in entries.items():
            if entry is None:
                mask[name][part] = np.ones(params[name][part].shape, bool)
                continue
            kept = _as_mask(entry, arrays[entry])
            turn = part == "kernel" and not ours
            mask[name][part] = np.ascontiguousarray(_to_ours(entry, kept)) if turn else kept
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(f"{path}") else f"{path}: {text}") from None
    return mask


def _mask_entry(
    layer: str, parts: set[str], part: str, pruned: bool, prune_bias: bool
) -> str | None:
    """The name of the array that masks a layer's part; None if the part is kept whole.

    pruned: whether the names are those of torch.nn.utils.prune.
    """
    theirs = "weight" if part == "kernel" and "kernel" not in parts else part
    if f"{theirs}_mask" in parts:
        return _joined(layer, f"{theirs}_mask")
    if theirs in parts and not pruned:
        return _joined(layer, theirs)
    # Arrays that torch.nn.utils.prune has not touched keep their names and values, and are no mask.
    if theirs in parts or (part == "bias" and not prune_bias):
        return None
    raise ValueError(f"{layer} has no mask of its {theirs}; to keep all of it, give a mask of ones")


def _as_mask(name: str, array: np.ndarray) -> np.ndarray:
    kept = array == 1
    if not np.all(kept | (array == 0)):
        raise ValueError(f"{name} has values other than 0 and 1, so it is not a mask")
    return kept
