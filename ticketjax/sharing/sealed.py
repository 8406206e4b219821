"""The files of a sealed suite: public instances, sealed files, and the list of hashes.

DIR/instances/NAME.safetensors and DIR/instances/suite.json are public. The organiser keeps
DIR/sealed, which contains a file of the same name for each instance, and sealed.json.
"""

import dataclasses
import datetime
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.records.manifest import versions
from ticketjax.records.store import write_whole
from ticketjax.sharing.instances import (
    SUFFIX,
    Description,
    answer_shapes,
    check_metadata,
    content_hash,
    instance_shapes,
    load_whole,
)
from ticketjax.sharing.suite_v2 import NAME, NOISE, Made, derived
from ticketjax.sharing.trees import Tree, flatten, save_tree, tree_shapes
from ticketjax.version import VERSION

INSTANCE_FORMAT = "ticketjax-instance-2"
SEALED_FORMAT = "ticketjax-sealed-2"
SUITE_FORMAT = "ticketjax-suite-2"
PUBLIC, SEALED = "instances", "sealed"
SUITE_FILE, SEALED_FILE, BEGUN_FILE = "suite.json", "sealed.json", "begun.json"
# Group of an instance while the sealed files have not been read.
UNKNOWN_GROUP = "v2"
# In bytes; far more than the list of any suite.
MOST_JSON = 2**26


class Opened(NamedTuple):
    """A public instance.

    Args:
        description: the shapes and the kind. The seed is derived from the content, for seekers and
            for the order of training; it is unrelated to how the instance was made.
        tree: "params" and "train".
        budget: the largest number of parameters that a mask may keep.
        sha256: content hash of the tree.
    """

    description: Description
    tree: Tree
    budget: int
    sha256: str


class Unsealed(NamedTuple):
    """An instance with its sealed part.

    Args:
        description: with group and noise.
        tree: "params", "train" and "held_out".
        answer: "mask", "target" and "output_scale".
        budget: as in Opened.
    """

    description: Description
    tree: Tree
    answer: Tree
    budget: int


class Entry(NamedTuple):
    """The entry of an instance in the public list.

    Args:
        kind, inputs, outputs, depth, width, budget: of the instance.
        sha256, sealed_sha256: hashes of the bytes of its two files, in hexadecimal.
    """

    kind: str
    inputs: int
    outputs: int
    depth: int
    width: int
    budget: int
    sha256: str
    sealed_sha256: str


def file_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, as sha256sum prints it."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write a JSON file, completely or not at all."""
    text = json.dumps(value, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def read_json(path: pathlib.Path, format_name: str) -> dict[str, Any]:
    """Read a JSON file of this format, which does not have to be trusted.

    Raises:
        ValueError: the file is not of this format; the error names it.
        FileNotFoundError: there is no such file.
    """
    if path.stat().st_size > MOST_JSON:
        raise ValueError(f"{path} holds more than {MOST_JSON} bytes")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is not complete JSON") from None
    if not isinstance(value, dict) or value.get("format") != format_name:
        raise ValueError(f"{path}: its format is not {format_name}")
    return value


def is_sealed_suite(directory: str | os.PathLike) -> bool:
    """Whether the list in a directory says that it is the public part of a sealed suite."""
    try:
        read_json(pathlib.Path(directory) / SUITE_FILE, SUITE_FORMAT)
    except (ValueError, OSError):
        return False
    return True


def begin(directory: pathlib.Path, secret: bytes) -> str:
    """Begin a suite of this secret in a directory, or resume it.

    Returns:
        The date on which the suite was begun, YYYY-MM-DD.

    Raises:
        ValueError: the suite was begun with another secret or version, or the directory has other
            files.
        OSError: the directory cannot be written.
    """
    path = directory / SEALED / BEGUN_FILE
    own = {
        "format": SUITE_FORMAT,
        "name": NAME,
        "ticketjax": VERSION,
        "check": derived(secret, "check").hex(),
    }
    if path.exists():
        begun = read_json(path, SUITE_FORMAT)
        date = str(begun.pop("date", ""))
        if begun.get("check") != own["check"]:
            raise ValueError(f"the suite in {directory} was begun with another secret")
        if begun != own:
            made_by = str(begun.get("ticketjax"))[:20]
            raise ValueError(f"the suite in {directory} was begun by ticketjax {made_by}")
        return date
    if directory.exists() and any(directory.iterdir()):
        raise ValueError(f"{directory} contains something other than a suite")
    for part in (PUBLIC, SEALED):
        (directory / part).mkdir(parents=True, exist_ok=True)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_json(path, own | {"date": date})
    return date


def write_made(directory: pathlib.Path, made: Made, group: str) -> None:
    """Write an instance's two files, the sealed one first, so that no instance is without it."""
    sha256 = content_hash(made.instance)
    sealed = {
        "format": SEALED_FORMAT,
        "group": group,
        "noise": json.dumps(NOISE),
        "key": made.key,
        "instance_sha256": sha256,
        "sha256": content_hash(made.sealed),
    }
    kind = CLASSIFICATION if made.instance["train"]["y"].ndim == 1 else REGRESSION
    public = {
        "format": INSTANCE_FORMAT,
        "kind": kind,
        "budget": str(made.budget),
        "sha256": sha256,
    }
    save_tree(directory / SEALED / f"{made.name}{SUFFIX}", made.sealed, sealed)
    save_tree(directory / PUBLIC / f"{made.name}{SUFFIX}", made.instance, public)


def _described(metadata: Mapping[str, str], shapes: Tree) -> tuple[Description, int]:
    """The description that follows from an instance's shapes, without a seed, and its budget."""
    check_metadata(metadata, {"format": INSTANCE_FORMAT})
    flat = flatten(shapes)
    layers = sum(name.startswith("params.") and name.endswith(".bias") for name in flat)
    first = flat.get("params.layer_0.bias")
    if first is None or len(first.shape) != 1:
        raise ValueError("no instance: params.layer_0.bias is missing")
    width, kind, budget = first.shape[0], metadata.get("kind", ""), metadata.get("budget", "")
    if kind not in (REGRESSION, CLASSIFICATION):
        raise ValueError(f"kind must be {REGRESSION} or {CLASSIFICATION}, got {kind[:80]!r}")
    if not (budget.isascii() and budget.isdigit() and 1 <= len(budget) <= 10 and int(budget) > 0):
        raise ValueError(f"budget must be a whole number from 1, got {budget[:80]!r}")
    known = Description(UNKNOWN_GROUP, kind, layers + 1, width, seed=0, noise=0.0, match="hidden")
    return known, int(budget)


def is_open_instance(path: str | os.PathLike) -> bool:
    """Whether a file's metadata say that it is an instance of a sealed suite."""
    try:
        return tree_shapes(path)[1].get("format") == INSTANCE_FORMAT
    except (ValueError, OSError):
        return False


def read_open(path: str | os.PathLike) -> Opened:
    """Read a public instance, which does not have to be trusted.

    Raises:
        ValueError: the file is not an instance, or was changed since it was written; the error
            names the file.
        FileNotFoundError: there is no such file.
    """
    shapes, metadata = tree_shapes(path)
    try:
        description, budget = _described(metadata, shapes)
        expected = instance_shapes(description, shapes, ("train",))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    tree, sha256 = load_whole(path, expected, metadata), metadata["sha256"]
    seed = int(sha256[:8], 16) >> 1
    return Opened(dataclasses.replace(description, seed=seed), tree, budget, sha256)


def read_sealed(path: str | os.PathLike, opened: Opened) -> Unsealed:
    """Read the sealed part of an instance.

    Args:
        path: of the sealed file.
        opened: from read_open().

    Raises:
        ValueError: the file is not a sealed file, or belongs to another instance; the error names
            the file.
        FileNotFoundError: there is no such file.
    """
    shapes, metadata = tree_shapes(path)
    try:
        of_this = {"format": SEALED_FORMAT, "instance_sha256": opened.sha256}
        check_metadata(metadata, of_this)
        expected = answer_shapes(opened.description, opened.tree["params"], shapes)
        expected["held_out"] = _held_out_shapes(opened, shapes)
        noise, group = float(metadata.get("noise", "")), metadata.get("group", "")
        if not (math.isfinite(noise) and noise >= 0 and group):
            raise ValueError("its noise or group is missing")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    sealed = load_whole(path, expected, metadata)
    held_out = sealed.pop("held_out")
    description = dataclasses.replace(opened.description, task=group, noise=noise)
    return Unsealed(description, opened.tree | {"held_out": held_out}, sealed, opened.budget)


def _held_out_shapes(opened: Opened, shapes: Tree) -> Tree:
    """The shapes of the training data, with the number of samples in the file."""
    x = flatten(shapes).get("held_out.x")
    if x is None or not x.shape:
        raise ValueError("held_out.x is missing")
    return {
        name: jax.ShapeDtypeStruct((x.shape[0], *leaf.shape[1:]), jnp.asarray(leaf).dtype)
        for name, leaf in opened.tree["train"].items()
    }


def entry_of(directory: pathlib.Path, name: str) -> tuple[Entry, Unsealed]:
    """Read both files of an instance, and make its entry of the list."""
    paths = [directory / part / f"{name}{SUFFIX}" for part in (PUBLIC, SEALED)]
    opened = read_open(paths[0])
    unsealed = read_sealed(paths[1], opened)
    known, params = opened.description, opened.tree["params"]
    entry = Entry(
        known.kind,
        params["layer_0"]["kernel"].shape[0],
        params[f"layer_{known.depth - 2}"]["bias"].size,
        known.depth,
        known.width,
        opened.budget,
        *map(file_hash, paths),
    )
    return entry, unsealed


def finish(
    directory: pathlib.Path,
    names: Mapping[str, Sequence[str]],
    entries: Mapping[str, Entry],
    audits: Mapping[str, Any],
) -> None:
    """Write the suite's two lists. The public one comes last, and marks the suite as finished.

    Args:
        directory: of the suite.
        names: of each group's instances.
        entries: of all instances.
        audits: of each group, written to the sealed list.

    Raises:
        OSError: the lists cannot be written.
    """
    kept = {"format": SUITE_FORMAT, "name": NAME, "versions": versions()}
    kept |= {"groups": {name: list(names[name]) for name in names}, "audits": dict(audits)}
    write_json(directory / SEALED / SEALED_FILE, kept)
    listed = [{"name": name, **entry._asdict()} for name, entry in sorted(entries.items())]
    public = {"format": SUITE_FORMAT, "name": NAME, "instances": listed}
    write_json(directory / PUBLIC / SUITE_FILE, public)


def read_list(directory: pathlib.Path) -> dict[str, Entry]:
    """The instances of a suite by name, from its public list.

    Raises:
        ValueError: the file is not such a list; the error names it.
        FileNotFoundError: there is no such file.
    """
    path = directory / SUITE_FILE
    listed = read_json(path, SUITE_FORMAT).get("instances")
    entries: dict[str, Entry] = {}
    for one in listed if isinstance(listed, list) else ():
        name, entry = _entry(one)
        if entry is None or name in entries:
            raise ValueError(f"{path}: its list of instances is not complete")
        entries[name] = entry
    if not entries:
        raise ValueError(f"{path}: it lists no instances")
    return entries


def _entry(listed: Any) -> tuple[str, Entry | None]:
    """An instance's name and its entry of the list; None if that is incomplete."""
    if not isinstance(listed, dict) or listed.keys() != {"name", *Entry._fields}:
        return "", None
    name = listed["name"]
    values = [listed[field] for field in Entry._fields]
    kinds = (str, *[int] * 5, str, str)
    whole = all(type(value) is kind for value, kind in zip(values, kinds, strict=True))
    # Names are used as names of files.
    if not whole or not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,100}", name):
        return "", None
    return name, Entry(*values)


def check_hash(path: pathlib.Path, sha256: str) -> None:
    """Raise ValueError if a file is not the published one."""
    if file_hash(path) != sha256:
        raise ValueError(f"{path}: was altered; its SHA-256 is not the published one")
