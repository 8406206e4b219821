"""Records on disk: a manifest and one Parquet part per finished chunk, made to be resumed."""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ticketjax.base import CLASSIFICATION, REGRESSION
from ticketjax.records.lock import lock
from ticketjax.records.manifest import CHECKED_PACKAGES, changed, differences, growth, manifest
from ticketjax.runs.grid import MLP, Grid
from ticketjax.runs.record import RUN, SCHEMA, seconds_of, with_seconds
from ticketjax.tasks import TASKS
from ticketjax.tasks.image_files import DATASETS

MANIFEST = "manifest.json"
PARTS = "parts"
LOCK = "lock"
TEMPORARY = ".tmp"
DAMAGED = ".damaged"
# As long as a network file system may remember that a file was not there.
SECONDS_TO_APPEAR = 60
# Records of earlier versions do not say these: tasks were the library's own, or their names alone.
KINDS = {name: CLASSIFICATION for name in DATASETS} | {n: task.kind for n, task in TASKS.items()}
GRID_ORDER = ("task", "model", "depth", "width", "noise", "seeker", "density", "seed")


def write_whole(path: str | os.PathLike, write: Callable[[BinaryIO], Any]) -> None:
    """Write under a temporary name, then rename: a file under its own name is always whole."""
    path = pathlib.Path(path)
    # Of this process alone, also where several machines share the directory.
    temporary = path.with_name(f"{path.name}.{platform.node()}.{os.getpid()}{TEMPORARY}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # A disk that is full while a file is written says so without a name.
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _content_hash(content: bytes | pa.Buffer) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_part(path: pathlib.Path) -> pa.Table | None:
    """A part's records; None, with a warning, if the file is damaged."""
    content = path.read_bytes()
    own = _content_hash(content)
    try:
        # Those of earlier versions are named otherwise, and have Parquet's own checks alone.
        if len(path.stem) == len(own) and path.stem != own:
            raise pa.ArrowInvalid("its content does not match its name")
        # read_table() leaves threads behind that now and then abort a process which exits soon
        # after (apache/arrow#34314), whatever is asked of it.
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        # Columns that an earlier version did not have are null.
        seconds = seconds_of(table)
        table = pa.concat_tables([SCHEMA.empty_table(), table], promote_options="default")
        return with_seconds(_completed(table.select(SCHEMA.names)), seconds)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        warnings.warn(f"{path} is damaged and will be computed again: {reason}", stacklevel=4)
        return None


def _completed(table: pa.Table) -> pa.Table:
    """Records of earlier versions with the kind of their task, and the network there was."""
    if not table["kind"].null_count and not table["model"].null_count:
        return table
    kinds = [KINDS.get(task, REGRESSION) for task in table["task"].to_pylist()]
    for name, value in (("kind", pa.array(kinds, pa.string())), ("model", pa.scalar(MLP))):
        whole = pc.coalesce(table[name], value)
        table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), whole)
    return table


def _parts(directory: pathlib.Path) -> Iterator[tuple[pathlib.Path, pa.Table | None]]:
    for path in sorted((directory / PARTS).glob("*.parquet")):
        # Another process of a job may just have put a damaged one aside.
        with contextlib.suppress(FileNotFoundError):
            yield path, _read_part(path)


def _runs(records: pa.Table) -> set[tuple]:
    """Tuples of the RUN columns."""
    columns = records.select(RUN).to_pydict()
    return set(zip(*columns.values(), strict=True))


def _is_foreign(path: pathlib.Path) -> bool:
    # What another process leaves that is opening the same directory at this moment is not.
    return path.name not in (PARTS, LOCK) and not path.name.endswith(TEMPORARY)


class Store:
    """One grid's results directory: manifest.json, parts/*.parquet, and a lock.

    Opening it writes the manifest. The same grid resumes it, also with more seeds, densities or
    seekers, another chunk size, or check_budget=False. While the store exists, no other process can
    open the directory.

    Args:
        directory: is created if it does not exist.
        grid: determines the records.
        wait: for another process that has the directory open, instead of refusing.
        share: (index, count) of this process, as in run(): the first one locks the directory for
            all, writes the manifest, and is to open it before the others.

    Raises:
        ValueError: the directory belongs to another grid or contains something else, a seeker or
            function of the same name has changed, the records in it were made by another version of
            ticketjax or jax, or, as InUse, another process has it open.
        OSError: it cannot be written.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        grid: Grid,
        *,
        wait: bool = False,
        share: tuple[int, int] = (0, 1),
    ):
        self.directory = pathlib.Path(directory)
        index, count = share
        if index > 0:
            self._wait_for_manifest()
            self._manifest(grid)
            return
        # Before anything is made, and again once nobody else can write.
        self._manifest(grid)
        (self.directory / PARTS).mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.directory / LOCK, wait)
        if count == 1:
            self._remove_temporaries()
        content = (json.dumps(self._manifest(grid), indent=2) + "\n").encode()
        write_whole(self.directory / MANIFEST, lambda file: file.write(content))

    def _wait_for_manifest(self) -> None:
        """Give a network file system the time to show what process 0 has written."""
        path, end = self.directory / MANIFEST, time.monotonic() + SECONDS_TO_APPEAR
        while not path.exists():
            if time.monotonic() > end:
                raise ValueError(
                    f"{path} of process 0 is not visible: all processes must share the directory"
                )
            time.sleep(0.1)

    def _manifest(self, grid: Grid) -> dict[str, Any]:
        """The grid's manifest, with the seeds, densities and seekers that are there already."""
        new, path = manifest(grid), self.directory / MANIFEST
        if path.exists():
            new["configuration"] |= self._check(path, new)
        elif self.directory.exists() and any(map(_is_foreign, self.directory.iterdir())):
            raise ValueError(f"{self.directory} is not empty and has no {MANIFEST}")
        return new

    @staticmethod
    def _check(path: pathlib.Path, new: dict[str, Any]) -> dict[str, Any]:
        """The growing fields of the manifest there and of this one; both must be of one grid."""
        config = new["configuration"]
        try:
            old = json.loads(path.read_bytes())
            different = differences(old["configuration"], config)
            made_by = {name: old["versions"][name] for name in CHECKED_PACKAGES}
            different += differences(made_by, {name: new["versions"][name] for name in made_by})
            if not different:
                different = changed(old["configuration"], config)
                grown = growth(old["configuration"], config)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a manifest of ticketjax: {error!r}") from None
        if different:
            raise ValueError(
                f"{path.parent} holds another grid: {'; '.join(different)}; "
                "choose another directory (--out)"
            )
        return grown

    def _remove_temporaries(self) -> None:
        """What killed processes have left; of those alive, none but this one writes here."""
        for folder in (self.directory, self.directory / PARTS):
            for path in folder.glob(f"*{TEMPORARY}"):
                path.unlink(missing_ok=True)

    def done(self) -> set[tuple]:
        """Runs whose records are there.

        Damaged parts are named in a warning and put aside, under *.damaged.

        Returns:
            Tuples of the runs' RUN columns.
        """
        found = set()
        for path, table in _parts(self.directory):
            if table is None:
                with contextlib.suppress(FileNotFoundError):
                    path.rename(path.with_name(path.name + DAMAGED))
            else:
                found |= _runs(table)
        return found

    def write(self, records: pa.Table) -> None:
        """Add a finished chunk's records as one part, named by the hash of its content."""
        _write_part(self.directory, records)


def _write_part(directory: pathlib.Path, records: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(records, sink)
    content = sink.getvalue()
    path = directory / PARTS / f"{_content_hash(content)}.parquet"
    write_whole(path, lambda file: file.write(content))


def check_records(directory: str | os.PathLike, runs: set[tuple]) -> None:
    """Refuse a directory to which records of these runs cannot be added by add_records().

    Args:
        directory: need not exist.
        runs: as tuples of their RUN columns.

    Raises:
        ValueError: the directory is a grid's, holds something else, or some of these runs.
    """
    directory = pathlib.Path(directory)
    if not directory.exists():
        return
    if (directory / MANIFEST).exists():
        raise ValueError(f"{directory} holds the records of a grid; choose another directory")
    if not directory.is_dir() or any(map(_is_foreign, directory.iterdir())):
        raise ValueError(f"{directory} contains something other than records")
    for _, table in _parts(directory):
        there = set() if table is None else _runs(table) & runs
        if there:
            run = dict(zip(RUN, min(there, key=repr), strict=True))
            raise ValueError(
                f"{directory} has records of {run['seeker']} on these instances already "
                f"({run['task']}, seed {run['seed']})"
            )


def add_records(directory: str | os.PathLike, records: pa.Table) -> None:
    """Add records that no grid made to a directory, where tables and pages find them.

    Args:
        directory: made if it is not there; see check_records().
        records: of SCHEMA.

    Raises:
        OSError: they cannot be written.
    """
    (pathlib.Path(directory) / PARTS).mkdir(parents=True, exist_ok=True)
    _write_part(pathlib.Path(directory), records)


def load_records(directory: str | os.PathLike) -> pa.Table:
    """All records of a results directory, in the order of the grid.

    A damaged part is skipped with a warning. Every run is returned once, even if processes without
    a common lock have written some of them twice.

    Args:
        directory: what a command was given as --out.

    Returns:
        An Arrow table with a row per run; docs/protocol.md defines the columns.

    Raises:
        ValueError: there are none.
    """
    directory = pathlib.Path(directory)
    tables = []
    seen: set[tuple] = set()
    for _, table in _parts(directory):
        if table is None:
            continue
        runs = _runs(table)
        if runs & seen:
            rows = zip(*table.select(RUN).to_pydict().values(), strict=True)
            table = table.filter(pa.array([row not in seen for row in rows]))
        tables.append(table)
        seen |= runs
    if not tables:
        raise ValueError(f"{directory} holds no records ({directory / PARTS}/*.parquet)")
    # The times are those of single parts.
    records = pa.concat_tables(tables).replace_schema_metadata(None)
    return records.sort_by([(name, "ascending") for name in GRID_ORDER])


def load_seconds(directory: str | os.PathLike) -> dict[tuple[str, str], float]:
    """How long the searches of a results directory took.

    Args:
        directory: what a command was given as --out.

    Returns:
        Seconds per run, by (task, label of the seeker): of wall time on the machine that has run
        it, with all its devices, without compiling, planting and measuring. What no part tells is
        left out.
    """
    seconds: dict[tuple[str, str], float] = collections.defaultdict(float)
    runs: dict[tuple[str, str], int] = collections.defaultdict(int)
    for _, table in _parts(pathlib.Path(directory)):
        if table is None:
            continue
        counts = collections.Counter(
            zip(table["task"].to_pylist(), table["seeker"].to_pylist(), strict=True)
        )
        told = seconds_of(table)
        for (task, label), count in counts.items():
            if label in told:
                seconds[task, label] += told[label] * count
                runs[task, label] += count
    return {key: total / runs[key] for key, total in seconds.items()}
