"""What the manifest of a results directory says, and how the manifests of two grids differ."""

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
from typing import Any

import jax

from ticketjax.base import Task
from ticketjax.fingerprints import own_functions
from ticketjax.runs.grid import Grid
from ticketjax.seekers.registry import seeker_text
from ticketjax.version import VERSION

PACKAGES = ("ticketjax", "jax", "jaxlib", "flax", "optax", "numpy", "pyarrow")
# Records of different versions of these are not mixed.
CHECKED_PACKAGES = ("ticketjax", "jax")
# These change no record that is there: a directory may grow by them; chunks are only a matter of
# memory, and records outside their budget are marked.
GROWING = ("seeds", "densities", "seekers", "functions")
FREE_FIELDS = (*GROWING, "chunk_size", "check_budget")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, Task):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in _fields(value)}
    return getattr(value, "__name__", repr(value)) if callable(value) else value


def _fields(value: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(value)


def configuration(grid: Grid) -> dict[str, Any]:
    """A grid as plain JSON values.

    Args:
        grid: any.

    Returns:
        The fields by name. Seekers are {label: expression}, tasks and networks their names;
        "functions" are the fingerprints of all functions that are not the library's own; "source"
        says of tasks that know it what their data and tickets are made from.
    """
    config = {field.name: _plain(getattr(grid, field.name)) for field in _fields(grid)}
    config["seekers"] = {label: seeker_text(seeker) for label, seeker in grid.seekers}
    config["model"] = [label for label, _ in grid.model]
    config["training"]["optimizer"] = grid.training.text
    # Newer than directories that would be the same without it.
    if grid.training.training_precision == "network":
        del config["training"]["training_precision"]
    functions = own_functions([seeker for _, seeker in grid.seekers])
    functions |= own_functions(grid.training.augment)
    functions |= {
        f"model {label}": mark for label, model in grid.model for mark in (_mark(model),) if mark
    }
    tasks = [task for task in grid.axis("task") if isinstance(task, Task)]
    functions |= {f"task {task.name}": mark for task in tasks for mark in (_mark(task),) if mark}
    source = {
        task.name: {name: _plain(value) for name, value in task.source}
        for task in tasks
        if task.source
    }
    return {**config, **({"source": source} if source else {}), "functions": functions}


def _mark(value: Any) -> str:
    """One fingerprint of all functions of somebody's own in a value; empty if there are none."""
    return "-".join(own_functions(value).values())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """The versions of the packages that records follow from."""
    return {package: _version(package) for package in PACKAGES} | {"ticketjax": VERSION}


def manifest(grid: Grid) -> dict[str, Any]:
    """All that is needed to make the records again: configuration, versions, machine, a hash."""
    config = configuration(grid)
    fixed = {name: value for name, value in config.items() if name not in FREE_FIELDS}
    return {
        "configuration": config,
        "hash": hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest(),
        "versions": versions(),
        "python": platform.python_version(),
        "devices": [str(device) for device in jax.devices()],
        "machine": platform.platform(),
    }


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose planting and training are fields like the others, and sources too."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if name == "source":
            flat |= {f"{task} {what}": said for task in value for what, said in value[task].items()}
        else:
            flat |= value if name in ("planting", "training") else {name: value}
    return flat


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What is not the same in two configurations, apart from the fields that may differ."""

    # An option that is newer than the directory has no value there, which equals none.
    def said(values: dict[str, Any], name: str) -> str:
        return repr(values[name]) if name in values else "not an option"

    old, new = _flat(old), _flat(new)
    names = sorted((set(old) | set(new)) - set(FREE_FIELDS))
    return [
        f"{name} was {said(old, name)}, is {said(new, name)}"
        for name in names
        if name not in old or name not in new or old[name] != new[name]
    ]


def changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What has kept its name and is something else now: seekers, and functions by their source."""
    seekers = [
        f"seeker {label!r} was {old['seekers'][label]}, is {text}"
        for label, text in new.get("seekers", {}).items()
        if old["seekers"].get(label, text) != text
    ]
    functions = [
        f"{name} was edited since"
        for name, mark in new.get("functions", {}).items()
        if old["functions"].get(name, mark) != mark
    ]
    return seekers + functions


def growth(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The growing fields of both."""
    grown: dict[str, Any] = {"seeds": sorted({*map(int, old["seeds"]), *new["seeds"]})}
    for name in ("seekers", "functions"):
        if name in new:
            grown[name] = {**old[name], **new[name]}
    if "densities" in new:
        grown["densities"] = list(dict.fromkeys([*old["densities"], *new["densities"]]))
    return grown
