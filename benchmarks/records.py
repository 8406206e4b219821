r"""Gather the records of results directories into one Parquet file to be published, with a README.

    python -m benchmarks.records benchmarks/results/paper benchmarks/results/tune
    make records ARGS=results/mine

Every argument is a results directory, or a directory of them. The file has a row per run: the
columns of the records, the directory that they come from, and the hash of its configuration. Whole
configurations, versions and the licence are in the file's metadata. The same records give the same
bytes. Takes seconds.
"""

import hashlib
import json
import pathlib
import re
import sys
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags

from ticketjax.records.manifest import FREE_FIELDS
from ticketjax.records.store import MANIFEST, write_whole
from ticketjax.report.results import find_results, read_results
from ticketjax.runs.record import SCHEMA
from ticketjax.tuning.seeds import purposes
from ticketjax.version import VERSION

flags.DEFINE_string("out", "build/records", "Directory of the Parquet file and its README.")
FLAGS = flags.FLAGS

FORMAT = "ticketjax-records-1"
NAME = f"ticketjax-records-{VERSION}"
LICENSE = "Apache-2.0"
# Where the README takes the meaning of each column from.
PROTOCOL = pathlib.Path(__file__).parents[1] / "docs" / "protocol.md"
# What the file has in front of the records' own columns.
ADDED = pa.schema([("source", pa.string()), ("configuration_hash", pa.string())])


class Source(NamedTuple):
    """One results directory.

    Args:
        name: the directory given, and the one in it.
        manifest: {} if no grid made the records (`score --out`).
        records: as load_records() returns them.
    """

    name: str
    manifest: dict[str, Any]
    records: pa.Table


def read_source(name: str, directory: pathlib.Path) -> Source:
    """Read one results directory.

    Raises:
        ValueError: it is damaged, has no records, or its configuration is not that of its hash.
    """
    _, manifest, records, damages = read_results(directory)
    if not (directory / MANIFEST).exists():
        # Records of scored masks have none; the notice about it is the first one.
        damages = damages[1:]
    if damages or not records.num_rows:
        raise ValueError(f"{directory}: {' '.join(damages) or 'has no records'}")
    if manifest:
        config = manifest["configuration"]
        fixed = {field: value for field, value in config.items() if field not in FREE_FIELDS}
        digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
        if manifest.get("hash") != digest:
            raise ValueError(f"{directory}: its configuration was altered; it is not that of hash")
    return Source(name, manifest, records)


def read_sources(given: list[pathlib.Path]) -> list[Source]:
    """Read the results directories in the directories given, sorted by name.

    Raises:
        ValueError: there are none, one cannot be read, or two have the same name.
    """
    sources: dict[str, Source] = {}
    for directory in given:
        if not directory.is_dir():
            raise ValueError(f"{directory}: is not a directory")
        try:
            found = find_results(directory)
        except ValueError as error:
            raise ValueError(f"{directory}: {error}") from None
        for path in found:
            name = "/".join((directory.resolve().name, *path.relative_to(directory).parts))
            if name in sources:
                raise ValueError(f"{path}: another directory is called {name}, too")
            sources[name] = read_source(name, path)
    return [sources[name] for name in sorted(sources)]


def gathered(sources: list[Source]) -> pa.Table:
    """The records of all sources in one table, with what they follow from in its metadata."""
    tables = []
    for source in sources:
        added = [source.name, source.manifest.get("hash")]
        columns = [
            pa.array([value] * source.records.num_rows, field.type)
            for value, field in zip(added, ADDED, strict=True)
        ]
        columns += [source.records[name].combine_chunks() for name in SCHEMA.names]
        tables.append(pa.table(columns, schema=pa.schema([*ADDED, *SCHEMA])))
    described = {
        "format": FORMAT,
        "version": VERSION,
        "license": LICENSE,
        "sources": {source.name: source.manifest for source in sources},
    }
    metadata = {"ticketjax": json.dumps(described, sort_keys=True)}
    return pa.concat_tables(tables).replace_schema_metadata(metadata)


def column_lines(schema: pa.Schema) -> list[str]:
    """The rows of the protocol's table of columns, with types."""
    text = PROTOCOL.read_text().partition("\n## Columns\n")[2]
    lines = []
    for names, meaning in re.findall(r"^\| (`[^|]*) \| (.*) \|$", text, re.MULTILINE):
        typed = [f"`{name}` {schema.field(name).type}" for name in re.findall(r"`(\w+)`", names)]
        lines.append(f"| {', '.join(typed)} | {meaning} |")
    return lines


def _row(source: Source) -> str:
    records, manifest = source.records, source.manifest
    seeds = sorted(set(records["seed"].to_pylist()))
    kinds = " and ".join(purposes(seeds))
    made_by = manifest.get("versions", {})
    cells = (
        source.name,
        str(records.num_rows),
        ", ".join(sorted(set(records["task"].to_pylist()))),
        str(len(set(records["seeker"].to_pylist()))),
        f"{seeds[0]} to {seeds[-1]} ({kinds})" if manifest else "of instances",
        ", ".join(f"{name} {made_by[name]}" for name in ("ticketjax", "jax") if name in made_by),
        f"`{manifest['hash'][:12]}`" if manifest else "",
    )
    return f"| {' | '.join(cells)} |"


def readme(sources: list[Source], table: pa.Table, sha256: str) -> str:
    """The README that is published with the file."""
    return f"""# {NAME}

Records of planted lottery tickets: what pruning algorithms found, one row per run.

- File: `{NAME}.parquet`, {table.num_rows:,} rows, {table.num_columns} columns. SHA-256: `{sha256}`
- Made by ticketjax {VERSION}, `make records`. Format: `{FORMAT}`. Licence: {LICENSE}
- All numbers are drawn at random by the program; there is nothing about people.
- Seeds 0 to 99 are for development: settings were chosen on them. Compare algorithms on seeds from
  1000 on.

```python
import json
import pyarrow.parquet as pq

records = pq.read_table("{NAME}.parquet")
configurations = json.loads(records.schema.metadata[b"ticketjax"])["sources"]
```

The metadata contain the manifest of every source: the configuration and its hash, versions, and the
machine. The records can be made again from it, unless it names functions or networks of somebody's
own. The hash leaves out seeds, densities and seekers, by which a directory grows. Records of scored
masks have no manifest and no hash.

## Sources

| source | rows | tasks | seekers | seeds | made by | configuration |
|---|---|---|---|---|---|---|
{chr(10).join(map(_row, sources))}

## Columns

A column is null where it does not apply, or where the version that made the records did not have
it. The measures are defined in the protocol, `docs/protocol.md` of ticketjax {VERSION}.

| column | meaning |
|---|---|
| `source` string | the results directory that the run is from |
| `configuration_hash` string | SHA-256 of its configuration without what a directory grows by |
{chr(10).join(column_lines(table.schema))}
"""


def write(sources: list[Source], out: pathlib.Path) -> pathlib.Path:
    """Write the Parquet file and its README, each whole or not at all.

    Returns:
        The path of the Parquet file.
    """
    table, sink = gathered(sources), pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    text = readme(sources, table, hashlib.sha256(content).hexdigest())
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{NAME}.parquet"
    write_whole(path, lambda file: file.write(content))
    write_whole(out / "README.md", lambda file: file.write(text.encode()))
    return path


def main(argv):
    """Read all directories, then write."""
    if len(argv) < 2:
        sys.exit("error: which results directories?")
    try:
        sources = read_sources([pathlib.Path(given) for given in argv[1:]])
    except ValueError as error:
        sys.exit(f"error: {error}")
    path = write(sources, pathlib.Path(FLAGS.out))
    runs = sum(source.records.num_rows for source in sources)
    print(f"{path}: {runs} runs of {len(sources)} directories, {path.stat().st_size} bytes")


if __name__ == "__main__":
    app.run(main)
