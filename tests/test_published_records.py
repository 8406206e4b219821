"""The published file of records: nothing is lost or mixed up, and nothing damaged gets in."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from benchmarks import records as published
from tests.example_records import records
from ticketjax.records.store import Store, add_records, load_records
from ticketjax.runs.grid import Grid
from ticketjax.runs.record import SCHEMA
from ticketjax.version import VERSION


@pytest.fixture
def results(tmp_path):
    """A grid's directory within another one, and one of scored masks."""
    grid = Grid(task="circle", seekers="snip", densities=(0.1,), seeds=(1000, 1001))
    store = Store(tmp_path / "paper" / "singleshot", grid)
    seeds = records([0.5, 0.75])
    store.write(seeds.set_column(SCHEMA.get_field_index("seed"), "seed", [[1000, 1001]]))
    add_records(tmp_path / "mine", records([0.25], seeker="own"))
    return [tmp_path / "paper", tmp_path / "mine"]


def test_every_record_is_there_with_what_it_follows_from(results, tmp_path):
    path = published.write(published.read_sources(results), tmp_path / "out")
    assert path.name == f"ticketjax-records-{VERSION}.parquet"
    table = pq.ParquetFile(path).read()
    assert table.column_names == ["source", "configuration_hash", *SCHEMA.names]
    assert table["source"].to_pylist() == ["mine", "paper/singleshot", "paper/singleshot"]
    own = [load_records(results[1]), load_records(results[0] / "singleshot")]
    assert table.select(SCHEMA.names).to_pylist() == [*own[0].to_pylist(), *own[1].to_pylist()]
    manifest = json.loads((results[0] / "singleshot" / "manifest.json").read_text())
    assert table["configuration_hash"].to_pylist() == [None, *[manifest["hash"]] * 2]
    described = json.loads(table.schema.metadata[b"ticketjax"])
    assert described["sources"] == {"mine": {}, "paper/singleshot": manifest}
    assert (described["version"], described["license"]) == (VERSION, "Apache-2.0")


def test_the_readme_names_sources_columns_and_hash(results, tmp_path):
    path = published.write(published.read_sources(results), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "| paper/singleshot | 2 | circle | 1 | 1000 to 1001 (results) | ticketjax" in text
    assert "| mine | 1 | circle | 1 | of instances |  |  |" in text
    columns = text.partition("\n## Columns\n")[2]
    named = [f"`{one.name}` {one.type}" for one in [*published.ADDED, *SCHEMA]]
    assert [name for name in named if name not in columns] == []


def test_the_same_records_give_the_same_bytes(results, tmp_path):
    paths = [
        published.write(published.read_sources(given), tmp_path / name)
        for given, name in ((results, "one"), (results[::-1], "other"))
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def spoil_part(directory):
    (part,) = (directory / "parts").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-9])


def change_configuration(directory):
    path = directory / "manifest.json"
    path.write_text(path.read_text().replace('"samples": 10000', '"samples": 10001'))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_part, r"singleshot: .*parquet is damaged"),
        (change_configuration, "singleshot: its configuration was altered"),
        (lambda d: (d / "manifest.json").write_text("{"), r"manifest\.json cannot be read"),
        (lambda d: (d.parent / "other" / "parts").mkdir(parents=True), "other: .*no records"),
    ],
)
def test_what_is_damaged_is_not_published(spoil, message, results):
    spoil(results[0] / "singleshot")
    with pytest.raises(ValueError, match=message):
        published.read_sources(results)


def test_what_is_no_results_directory_is_refused(results, tmp_path):
    with pytest.raises(ValueError, match="none: is not a directory"):
        published.read_sources([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: contains no results"):
        published.read_sources([tmp_path / "empty"])
    with pytest.raises(ValueError, match="another directory is called mine"):
        published.read_sources([*results, results[1]])
