"""Planted networks as plain trees of arrays, to be shared, checked and scored anywhere."""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Params, Task
from ticketjax.networks.mlp import mlp
from ticketjax.runs.instance import Instance
from ticketjax.sharing.trees import (
    Tree,
    flatten,
    load_tree,
    save_tree,
    tree_shapes,
)

INSTANCE_FORMAT = "ticketjax-instance-1"
ANSWER_FORMAT = "ticketjax-answer-1"
SUFFIX = ".safetensors"
ANSWER_SUFFIX = f".answer{SUFFIX}"
# Relative difference between machines that counts as rounding.
ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Description:
    """The description of an instance in its file's metadata, sufficient to make it again.

    Args:
        task: a name of tj.TASKS, or the name of your own network.
        kind: as in Task.
        depth, width, noise, prune_bias: as in Grid.
        seed: in 0..2^31-1, one of Grid's seeds.
        match, tickets, decoys, perturbation: as in Planting.
    """

    task: str
    kind: str
    depth: int
    width: int
    seed: int
    noise: float
    match: str = "cosine"
    tickets: int = 1
    decoys: int = 0
    perturbation: float = 0.0
    prune_bias: bool = True

    def metadata(self) -> dict[str, str]:
        """The fields as texts by name; values other than text in JSON."""
        values = dataclasses.asdict(self)
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    @classmethod
    def parse(cls, metadata: Mapping[str, str]) -> "Description":
        """The inverse of metadata(); raises ValueError, naming the entry, for invalid metadata."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in metadata:
                raise ValueError(f"the metadata have no {field.name}")
            text = metadata[field.name]
            kind: Any = field.type
            if kind is not str:
                try:
                    values[field.name] = json.loads(text)
                except ValueError:
                    values[field.name] = None
                allowed = (int, float) if kind is float else (kind,)
                if type(values[field.name]) not in allowed:
                    raise ValueError(
                        f"{field.name} must be {kind.__name__} in the metadata, got {text[:80]!r}"
                    )
            else:
                values[field.name] = text
        description = cls(**values)
        if description.kind not in (REGRESSION, CLASSIFICATION):
            raise ValueError(f"kind must be {REGRESSION} or {CLASSIFICATION}, got {values['kind']}")
        if not 0 <= description.seed < 2**31:
            raise ValueError(f"seed must be in 0..2^31-1, got {description.seed}")
        return description


def content_hash(tree: Tree) -> str:
    r"""SHA-256 of all arrays, in hexadecimal, without the metadata.

    Args:
        tree: nested dicts of arrays.

    Returns:
        The hash over the arrays in the order of their names' code points. Each array contributes a
        line "name type shape" in UTF-8 (such as "params.layer_0.bias float32 100\n", a shape as
        numbers joined by commas), and then its values, C-ordered and little-endian.
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(flatten(tree).items()):
        array = np.asarray(leaf, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.name} {','.join(map(str, array.shape))}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def instance_tree(instance: Instance) -> Tree:
    """The public part of an instance: the network's parameters, and the data."""
    return {
        "params": instance.planted.params,
        "train": instance.train._asdict(),
        "held_out": instance.held_out._asdict(),
    }


def answer_tree(instance: Instance, target: Params) -> Tree:
    """The part of an instance that a seeker must not receive.

    Args:
        instance: the whole instance.
        target: the planted network's parameters.

    Returns:
        The planted mask, the target and the output scale, with
        target(x) = output_scale * network(params * mask, x). If there are several tickets, or
        decoys, they are stacked along the first axis.
    """
    answer = {
        "mask": instance.planted.mask,
        "target": target,
        "output_scale": instance.planted.output_scale,
    }
    for name, several in (("tickets", instance.tickets), ("decoys", instance.decoys)):
        if several is not None:
            answer[name] = several
    return answer


def instance_shapes(
    description: Description, shapes: Tree, parts: tuple[str, ...] = ("train", "held_out")
) -> Tree:
    """The shapes and types that an instance's file must have.

    Args:
        description: from its metadata.
        shapes: of the arrays in the file.
        parts: the data in the file.

    Returns:
        A tree of shapes and types.

    Raises:
        ValueError: the shapes are not those of an instance.
    """
    flat = flatten(shapes)
    layers = description.depth - 1
    names = {
        "inputs": ("params.layer_0.kernel", 2),
        "outputs": (f"params.layer_{layers - 1}.bias", 1),
        **{part: (f"{part}.x", 2) for part in parts},
    }
    for name, axes in names.values():
        if name not in flat or len(flat[name].shape) != axes:
            raise ValueError(f"no instance of depth {description.depth}: {name} is missing")
    # From here on, depth and width are those of arrays in the file, so their size is realistic.
    hidden = flat.get("params.layer_0.bias")
    if hidden is None or (layers > 1 and hidden.shape != (description.width,)):
        raise ValueError(f"params.layer_0.bias must be of the width, {description.width}")
    inputs, outputs = (flat[names[name][0]].shape[0] for name in ("inputs", "outputs"))
    nothing: Any = None  # nothing is drawn or planted here; only the network's shape is used
    task = Task(description.task, inputs, outputs, description.kind, nothing, nothing)
    model = mlp(task, description.depth, description.width if layers > 1 else 1)
    expected = {"params": jax.eval_shape(model.init, jax.random.key(0))}
    for part in parts:
        n = flat[f"{part}.x"].shape[0]
        expected[part] = {
            "x": jax.ShapeDtypeStruct((n, inputs), jnp.float32),
            "y": jax.ShapeDtypeStruct((n,), jnp.int32)
            if description.kind == CLASSIFICATION
            else jax.ShapeDtypeStruct((n, outputs), jnp.float32),
        }
    return expected


def answer_shapes(description: Description, params: Params, shapes: Tree) -> Tree:
    """The shapes and types that an answer's file must have.

    Args:
        description: of the instance.
        params: of the instance.
        shapes: of the arrays in the file.

    Returns:
        A tree of shapes and types.

    Raises:
        ValueError: the shapes are not those of an answer.
    """
    if not isinstance(shapes.get("target"), dict):
        raise ValueError("no answer: the target is missing")

    def masks(*several: int) -> Params:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*several, *leaf.shape), bool), params
        )

    expected = {
        "mask": masks(),
        "target": shapes["target"],
        "output_scale": jax.ShapeDtypeStruct((), jnp.float32),
    }
    if description.tickets > 1:
        expected["tickets"] = masks(description.tickets)
    if description.decoys > 0:
        expected["decoys"] = masks(description.decoys)
    return expected


def answer_path(instance: str | os.PathLike) -> pathlib.Path:
    """The default path of the answer to an instance.

    Args:
        instance: path of the instance's file, such as a.safetensors.

    Returns:
        The path next to it, such as a.answer.safetensors.

    Raises:
        ValueError: the path does not end with .safetensors, or is that of an answer.
    """
    path = pathlib.Path(instance)
    if path.suffix != SUFFIX or path.name.endswith(ANSWER_SUFFIX):
        raise ValueError(f"must end with {SUFFIX} (but not {ANSWER_SUFFIX})")
    return path.with_name(path.name.removesuffix(SUFFIX) + ANSWER_SUFFIX)


def save_instance(
    path: str | os.PathLike,
    description: Description,
    instance: Tree,
    answer: Tree,
    versions: Mapping[str, str],
) -> None:
    """Write an instance, and its answer to answer_path().

    Args:
        path: of the instance's file.
        description: written to the metadata.
        instance: the tree of instance_tree().
        answer: the tree of answer_tree().
        versions: of the program and its libraries, by name.

    Raises:
        OSError: the files cannot be written.
    """
    common = {**description.metadata(), "versions": json.dumps(versions)}
    sha256 = content_hash(instance)
    own = {"format": ANSWER_FORMAT, "sha256": content_hash(answer), "instance_sha256": sha256}
    # The answer first, so that no instance is without one.
    save_tree(answer_path(path), answer, common | own)
    save_tree(path, instance, common | {"format": INSTANCE_FORMAT, "sha256": sha256})


def check_metadata(metadata: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise ValueError if a file's metadata differ from what is expected."""
    for name, value in expected.items():
        if metadata.get(name) != value:
            raise ValueError(f"its {name} is {metadata.get(name)!r:.80}, expected {value!r}")


def load_whole(path: str | os.PathLike, expected: Tree, metadata: Mapping[str, str]) -> Tree:
    """Read the arrays of a file whose metadata have their content hash.

    Raises:
        ValueError: the arrays are not as expected, or were changed since they were written; the
            error names the file.
    """
    tree, _ = load_tree(path, expected)
    if content_hash(tree) != metadata.get("sha256"):
        raise ValueError(f"{path}: its content is not what its sha256 says")
    return tree


def read_instance(path: str | os.PathLike) -> tuple[Description, Tree]:
    """Read an instance from a file, which does not have to be trusted.

    Args:
        path: of the file.

    Returns:
        Its description, and the tree as instance_tree() makes it.

    Raises:
        ValueError: the file is not an instance, or was changed since it was written; the error
            names the file.
        FileNotFoundError: there is no such file.
    """
    shapes, metadata = tree_shapes(path)
    try:
        check_metadata(metadata, {"format": INSTANCE_FORMAT})
        description = Description.parse(metadata)
        expected = instance_shapes(description, shapes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return description, load_whole(path, expected, metadata)


def read_answer(path: str | os.PathLike, description: Description, instance: Tree) -> Tree:
    """Read the answer to an instance.

    Args:
        path: of the answer's file.
        description, instance: from read_instance().

    Returns:
        The tree as answer_tree() makes it.

    Raises:
        ValueError: the file is not an answer, or the answer to another instance; the error names
            the file.
        FileNotFoundError: there is no such file.
    """
    shapes, metadata = tree_shapes(path)
    try:
        check_metadata(
            metadata, {"format": ANSWER_FORMAT, "instance_sha256": content_hash(instance)}
        )
        expected = answer_shapes(description, instance["params"], shapes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return load_whole(path, expected, metadata)


class Fingerprint(NamedTuple):
    """Hashes and sums that show whether two machines made the same instance.

    Args:
        instance, answer: content hashes, which change with every single bit.
        mask: content hash of the planted mask alone.
        sums: weighted sums of the parameters, the training and the held-out data.
    """

    instance: str
    answer: str
    mask: str
    sums: tuple[float, ...]


def _weighted(tree: Tree) -> tuple[float, float]:
    """The sum of all values with fixed weights in [-0.5, 0.5), and the sum of the terms' sizes."""
    leaves = [leaf for _, leaf in sorted(flatten(tree).items())]
    values = np.concatenate([np.ravel(leaf).astype(float) for leaf in leaves])
    # Multiples of the golden ratio modulo 1, in integers, so they are the same everywhere.
    weights = np.arange(values.size, dtype=np.uint32) * np.uint32(2654435769) / 2**32 - 0.5
    terms = weights * values
    return math.fsum(terms), math.fsum(np.abs(terms))


def fingerprint(instance: Tree, answer: Tree) -> Fingerprint:
    """The fingerprint of an instance and its answer."""
    sums = (_weighted(instance[name])[0] for name in ("params", "train", "held_out"))
    return Fingerprint(
        content_hash(instance), content_hash(answer), content_hash(answer["mask"]), tuple(sums)
    )


def compare(instance: Tree, answer: Tree, known: Fingerprint) -> str:
    """Compare an instance with a known fingerprint.

    Args:
        instance: the tree of instance_tree().
        answer: the tree of answer_tree().
        known: the fingerprint.

    Returns:
        "identical", "rounding" or "different". With "rounding", the ticket is in the same places
        and the numbers agree to about 1e-5, as with another processor or version of XLA. With
        "different", the data, the network or the ticket in it differ, and scores are comparable on
        average only.
    """
    here = fingerprint(instance, answer)
    if (here.instance, here.answer) == (known.instance, known.answer):
        return "identical"
    sizes = [_weighted(instance[name])[1] for name in ("params", "train", "held_out")]
    close = all(
        abs(a - b) <= ROUNDING * size
        for a, b, size in zip(here.sums, known.sums, sizes, strict=True)
    )
    return "rounding" if close and here.mask == known.mask else "different"
