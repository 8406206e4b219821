"""Records on disk: a manifest and one Parquet part per finished chunk, made to be resumed."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import warnings
from typing import Any

import jax
import pyarrow as pa
import pyarrow.parquet as pq

from ticketjax.base import Task
from ticketjax.grid import IDENTITY, Grid, seeker_name
from ticketjax.sweep import SCHEMA

MANIFEST = "manifest.json"
PARTS = "parts"
TEMPORARY = ".tmp"
PACKAGES = ("ticketjax", "jax", "jaxlib", "flax", "optax", "numpy", "pyarrow")
# These change no record: more seeds may join a directory, and chunks are only a matter of memory.
FREE_FIELDS = ("seeds", "chunk_size")
GRID_ORDER = ("task", "depth", "width", "noise", "seeker", "density", "seed")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Task):
        return value.name
    return seeker_name(value) if callable(value) else value


def configuration(grid: Grid) -> dict[str, Any]:
    """The grid as plain JSON values; tasks and seekers by their names."""
    return {field.name: _plain(getattr(grid, field.name)) for field in dataclasses.fields(grid)}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def manifest(grid: Grid) -> dict[str, Any]:
    """All that is needed to make the records again: configuration, versions, machine, a hash."""
    config = configuration(grid)
    fixed = {name: value for name, value in config.items() if name not in FREE_FIELDS}
    return {
        "configuration": config,
        "hash": hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest(),
        "versions": {package: _version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "devices": [str(device) for device in jax.devices()],
        "machine": platform.platform(),
    }


def write_whole(path: pathlib.Path, write: Any) -> None:
    """Write under a temporary name, then rename: a file under its own name is always whole."""
    # Of this process alone, also where several machines share the directory.
    temporary = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}{TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_part(path: pathlib.Path) -> pa.Table | None:
    """A part's records; None, with a warning, if the file is damaged."""
    try:
        return pq.read_table(path, schema=SCHEMA)
    except (pa.ArrowInvalid, OSError) as error:
        warnings.warn(f"{path} is damaged and will be computed again: {error}", stacklevel=2)
        return None


def _parts(directory: pathlib.Path) -> dict[pathlib.Path, pa.Table]:
    tables = {path: _read_part(path) for path in sorted((directory / PARTS).glob("*.parquet"))}
    return {path: table for path, table in tables.items() if table is not None}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    # An option that is newer than the directory has no value there, which equals none.
    def said(values: dict[str, Any], name: str) -> str:
        return repr(values[name]) if name in values else "not an option"

    names = sorted((set(old) | set(new)) - set(FREE_FIELDS))
    return [
        f"{name} was {said(old, name)}, is {said(new, name)}"
        for name in names
        if name not in old or name not in new or old[name] != new[name]
    ]


def _is_foreign(path: pathlib.Path) -> bool:
    # What another process leaves that is opening the same directory at this moment is not.
    return path.name != PARTS and not path.name.endswith(TEMPORARY)


class Store:
    """One grid's results directory: manifest.json and parts/*.parquet.

    Opening it writes the manifest. The same grid, or the same with other seeds or another chunk
    size, continues it.

    Raises ValueError if the directory belongs to another grid or holds something else, or if the
    records in it were made by another version of ticketjax or jax.
    """

    def __init__(self, directory: str | os.PathLike, grid: Grid):
        self.directory = pathlib.Path(directory)
        new = manifest(grid)
        path = self.directory / MANIFEST
        if path.exists():
            self._check(path, new)
            seeds = json.loads(path.read_text())["configuration"]["seeds"]
            new["configuration"]["seeds"] = sorted({*seeds, *grid.axis("seeds")})
        elif self.directory.exists() and any(map(_is_foreign, self.directory.iterdir())):
            raise ValueError(f"{self.directory} is not empty and has no {MANIFEST}")
        (self.directory / PARTS).mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write((json.dumps(new, indent=2) + "\n").encode()))

    @staticmethod
    def _check(path: pathlib.Path, new: dict[str, Any]) -> None:
        try:
            old = json.loads(path.read_text())
            different = _differences(old["configuration"], new["configuration"])
            versions = {name: old["versions"][name] for name in ("ticketjax", "jax")}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a manifest of ticketjax: {error!r}") from None
        different += _differences(versions, {name: new["versions"][name] for name in versions})
        if different:
            raise ValueError(f"{path.parent} holds another grid: {'; '.join(different)}")

    def done(self) -> set[tuple]:
        """Instances whose records are all there, as tuples of their IDENTITY columns."""
        tables = [table.select(IDENTITY) for table in _parts(self.directory).values()]
        if not tables:
            return set()
        columns = pa.concat_tables(tables).to_pydict()
        return set(zip(*columns.values(), strict=True))

    def write(self, records: pa.Table) -> None:
        """Add a finished chunk's records as one part."""
        identity = json.dumps(records.select(IDENTITY).to_pydict()).encode()
        name = f"{hashlib.sha256(identity).hexdigest()[:16]}.parquet"
        write_whole(self.directory / PARTS / name, lambda file: pq.write_table(records, file))


def load_records(directory: str | os.PathLike) -> pa.Table:
    """All records of a results directory, in the order of the grid.

    directory: what a command was given as --out. A damaged part is left out, with a warning.

    Returns an Arrow table with a row per run; docs/protocol.md says what every column means.

    Raises ValueError if there are none.
    """
    directory = pathlib.Path(directory)
    tables = list(_parts(directory).values())
    if not tables:
        raise ValueError(f"{directory} holds no records ({directory / PARTS}/*.parquet)")
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in GRID_ORDER])
