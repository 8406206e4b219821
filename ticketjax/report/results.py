"""Results directories in any state: complete, incomplete, damaged, or without a manifest."""

import json
import pathlib
import warnings
from typing import Any, NamedTuple

import pyarrow as pa

from ticketjax.records.store import MANIFEST, PARTS, load_records
from ticketjax.runs.record import SCHEMA


class Results(NamedTuple):
    """One grid's results.

    Args:
        directory: where they lie.
        manifest: {} if there is none that can be read.
        records: without rows if there are none.
        damages: what could not be read, a sentence each.
    """

    directory: pathlib.Path
    manifest: dict[str, Any]
    records: pa.Table
    damages: list[str]

    @property
    def configuration(self) -> dict[str, Any]:
        """The requested grid; {} if it is unknown."""
        return self.manifest.get("configuration", {})


def _holds_results(directory: pathlib.Path) -> bool:
    return (directory / MANIFEST).is_file() or (directory / PARTS).is_dir()


def find_results(directory: pathlib.Path) -> list[pathlib.Path]:
    """The directory itself, or those in it that contain results, by name.

    Args:
        directory: where to look.

    Returns:
        The directories that hold results.

    Raises:
        ValueError: there are none.
    """
    if _holds_results(directory):
        return [directory]
    found = sorted(path for path in directory.iterdir() if path.is_dir() and _holds_results(path))
    if not found:
        raise ValueError(
            f"contains no results: neither {MANIFEST} nor {PARTS}/, in it or in its subdirectories"
        )
    return found


def _read_manifest(path: pathlib.Path) -> tuple[dict[str, Any], list[str]]:
    if not path.is_file():
        return {}, [
            f"There is no {MANIFEST}, so the requested runs and their environment are unknown."
        ]
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest["configuration"], dict):
            raise TypeError("configuration is not an object")
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        return {}, [f"{MANIFEST} cannot be read: {error!r}"]
    return manifest, []


def read_results(directory: pathlib.Path) -> Results:
    """All that can be read of one results directory."""
    manifest, damages = _read_manifest(directory / MANIFEST)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            records = load_records(directory)
        except (ValueError, pa.ArrowException) as error:
            records = SCHEMA.empty_table()
            if not caught and any((directory / PARTS).glob("*.parquet")):
                damages.append(f"The records cannot be read: {error}")
    damages += [f"{str(warning.message).rstrip('.')}." for warning in caught]
    return Results(directory, manifest, records, damages)
