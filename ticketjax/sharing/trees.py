"""Nested dicts of arrays in safetensors files.

This is the only module that imports safetensors. Files from elsewhere are not trusted: nothing is
unpickled, and names, types and shapes are checked before any array is read.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ticketjax.records.store import write_whole
from ticketjax.sharing.headers import METADATA, in_order

SEPARATOR = "."
# Levels of a name in a file: enough for any network, and few enough that a hostile file cannot
# exceed the recursion limit.
MOST_LEVELS = 32
MOST_AXES = 32
MOST_BYTES = 2**33
DTYPES = {
    "BOOL": bool,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "U32": np.uint32,
    "I32": np.int32,
    "U64": np.uint64,
    "I64": np.int64,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F32": np.float32,
    "F64": np.float64,
}

# Nested dicts of arrays, of any depth and any shapes: parameters, masks, data.
Tree = dict[str, Any]


def flatten(tree: Tree) -> dict[str, Any]:
    """The leaves of nested dicts by their joined names: {"layer_0": {"bias": b}} -> layer_0.bias.

    Args:
        tree: nested dicts.

    Returns:
        The leaves by name.

    Raises:
        ValueError: names that would be ambiguous, or empty dicts, which would be lost.
    """
    flat = {}

    def walk(prefix: str, branch: Mapping, levels: int) -> None:
        if not branch:
            raise ValueError(f"{prefix or 'the tree'} is an empty dict, which no file can hold")
        if levels > MOST_LEVELS:
            raise ValueError(f"{prefix} is nested deeper than {MOST_LEVELS} levels")
        for name, leaf in branch.items():
            if not isinstance(name, str) or not name or SEPARATOR in name:
                raise ValueError(
                    f'names must be text without "{SEPARATOR}", got {name!r} in '
                    f"{prefix or 'the tree'}"
                )
            path = f"{prefix}{SEPARATOR}{name}" if prefix else name
            if isinstance(leaf, Mapping):
                walk(path, leaf, levels + 1)
            else:
                flat[path] = leaf

    walk("", tree, 1)
    return flat


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """Nested dicts from joined names; the inverse of flatten().

    Args:
        flat: leaves by their joined names.

    Returns:
        Nested dicts.

    Raises:
        ValueError: names with empty parts or too many levels, or that are both leaf and branch.
    """
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, last = path.split(SEPARATOR)
        if not all((*parents, last)) or len(parents) >= MOST_LEVELS:
            raise ValueError(
                f'names must be 1 to {MOST_LEVELS} words joined by "{SEPARATOR}", got {path[:80]!r}'
            )
        branch = tree
        for name in parents:
            branch = branch.setdefault(name, {})
            if not isinstance(branch, dict):
                raise ValueError(f"{name!r} in {path!r} is also the name of an array")
        if last in branch:
            raise ValueError(f"{path!r} is also the name of a group of arrays")
        branch[last] = leaf
    return tree


def save_tree(
    path: str | os.PathLike, tree: Tree, metadata: Mapping[str, str] | None = None
) -> None:
    """Write nested dicts of arrays, of any depth and shapes, as one safetensors file.

    The file appears under its name only when it is complete.

    Args:
        path: of the file.
        tree: NumPy or JAX arrays; names are joined with ".".
        metadata: texts by name.

    Raises:
        ValueError: names, types or metadata that safetensors cannot hold.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     save_tree(f"{directory}/a", {"layer_0": {"bias": np.zeros(2)}}, {"task": "relu"})
    ...     load_tree(f"{directory}/a")
    ({'layer_0': {'bias': array([0., 0.])}}, {'task': 'relu'})
    """
    metadata = dict(metadata or {})
    for name, text in metadata.items():
        if not (isinstance(name, str) and isinstance(text, str)):
            raise ValueError(f"metadata must be texts by name, got {name!r}: {text!r}")
    arrays = {}
    for name, leaf in flatten(tree).items():
        if name == METADATA:
            raise ValueError(f"{name} is the name of the metadata in safetensors")
        # The file contains the bytes in the order in which they are in memory.
        array = np.asarray(leaf, order="C")
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype not in DTYPES.values():
            raise ValueError(f"{name}: arrays of {array.dtype} cannot be written")
        arrays[name] = array
    content = in_order(save(arrays, metadata or None))
    write_whole(pathlib.Path(path), lambda file: file.write(content))


def _checked_shapes(path: pathlib.Path, file: Any) -> dict[str, jax.ShapeDtypeStruct]:
    shapes = {}
    for name in file.keys():
        entry = file.get_slice(name)
        shape, dtype = tuple(entry.get_shape()), str(entry.get_dtype())
        if dtype not in DTYPES:
            raise ValueError(f"{path}: {name} is of type {dtype}; allowed are {', '.join(DTYPES)}")
        # If one axis is empty, the others may have any length that a header can contain.
        if len(shape) > MOST_AXES or math.prod(filter(None, shape)) > MOST_BYTES:
            raise ValueError(f"{path}: {name} has a shape that is too large: {str(shape)[:80]}")
        shapes[name] = jax.ShapeDtypeStruct(shape, DTYPES[dtype])
    return shapes


def _check_expected(
    path: pathlib.Path, shapes: dict[str, jax.ShapeDtypeStruct], expected: Tree
) -> None:
    wanted = flatten(expected)
    for problem, names in (
        ("has no", wanted.keys() - shapes.keys()),
        ("has an unexpected", shapes.keys() - wanted.keys()),
    ):
        if names:
            raise ValueError(f"{path} {problem} {', '.join(sorted(names))[:300]}")
    for name, leaf in wanted.items():
        there = shapes[name]
        if (there.shape, there.dtype) != (tuple(leaf.shape), leaf.dtype):
            raise ValueError(
                f"{path}: {name} is {there.dtype} {there.shape}, expected "
                f"{leaf.dtype} {tuple(leaf.shape)}"
            )


def _read(path: str | os.PathLike, expected: Tree | None, most_bytes: int, arrays: bool):
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        # Opening checks the header: its length, its JSON, and that the arrays fill the file.
        with safe_open(path, "np") as file:
            shapes = _checked_shapes(path, file)
            try:
                tree = unflatten(shapes)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            if expected is not None:
                _check_expected(path, shapes, expected)
            metadata = file.metadata() or {}
            if not arrays:
                return tree, metadata
            size = path.stat().st_size
            if size > most_bytes:
                raise ValueError(f"{path} holds {size} bytes, more than the {most_bytes} allowed")
            return unflatten({name: _array(path, file, name) for name in shapes}), metadata
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from None


def _array(path: pathlib.Path, file: Any, name: str) -> np.ndarray:
    array = file.get_tensor(name)
    # NumPy accepts any byte as a bool, and then computes with the byte.
    if array.dtype == bool and np.any(array.view(np.uint8) > 1):
        raise ValueError(f"{path}: {name} is of type BOOL and has bytes other than 0 and 1")
    return array


def tree_shapes(path: str | os.PathLike) -> tuple[Tree, dict[str, str]]:
    """The shapes, types and metadata in the header of a safetensors file.

    Only the header is read.

    Args:
        path: of the file.

    Returns:
        Nested dicts with shapes and types instead of arrays, and the metadata.

    Raises:
        ValueError, FileNotFoundError: as in load_tree().
    """
    return _read(path, None, MOST_BYTES, arrays=False)


def load_tree(
    path: str | os.PathLike, expected: Tree | None = None, *, most_bytes: int = MOST_BYTES
) -> tuple[Tree, dict[str, str]]:
    """Read a safetensors file, which does not have to be trusted.

    Names, types and sizes are checked before any array is read.

    Args:
        path: of the file.
        expected: a tree with the shapes and types that the file must have: arrays, or the result
            of jax.eval_shape.
        most_bytes: size of the largest file that is read, in bytes.

    Returns:
        Nested dicts of NumPy arrays, and the metadata.

    Raises:
        ValueError: the file is not a complete safetensors file, or not as expected; the error
            names the file and the entry.
        FileNotFoundError: there is no such file.
    """
    return _read(path, expected, most_bytes, arrays=True)
