import json
import os
import warnings

import pytest

from ticketjax.grid import IDENTITY, Grid
from ticketjax.store import MANIFEST, PARTS, Store, load_records
from ticketjax.sweep import run

FIELDS = {
    "task": "relu",
    "depth": 3,
    "width": 6,
    "samples": 100,
    "epochs": 0,
    "seekers": "magnitude",
    "densities": ("ticket", 1.0),
    "chunk_size": 1,
}


@pytest.fixture
def filled(tmp_path):
    grid = Grid(**FIELDS, seeds=3)
    store = Store(tmp_path / "out", grid)
    for records in run(grid):
        store.write(records)
    return tmp_path / "out"


def finish(directory, **changes):
    """What the commands do: run what is missing, return how many runs that was."""
    grid = Grid(**{**FIELDS, "seeds": 3, **changes})
    store = Store(directory, grid)
    new = 0
    for records in run(grid, store.done()):
        store.write(records)
        new += records.num_rows
    return new


def test_records_come_back_as_they_were_written(filled):
    records = load_records(filled)
    again = [row for table in run(Grid(**FIELDS, seeds=3)) for row in table.to_pylist()]
    order = sorted(again, key=lambda row: (row["density"], row["seed"]))
    assert records.to_pylist() == order


def test_a_finished_directory_is_left_alone(filled):
    before = {p.name: p.stat().st_mtime_ns for p in (filled / PARTS).iterdir()}
    assert finish(filled) == 0
    assert {p.name: p.stat().st_mtime_ns for p in (filled / PARTS).iterdir()} == before


def test_more_seeds_and_other_chunks_continue_a_directory(filled):
    assert finish(filled, seeds=5, chunk_size=3) == 4
    assert load_records(filled).num_rows == 10
    assert json.loads((filled / MANIFEST).read_text())["configuration"]["seeds"] == list(range(5))
    assert finish(filled, seeds=2) == 0


def test_lost_part_and_leftover_of_a_killed_writer(filled):
    parts = sorted((filled / PARTS).glob("*.parquet"))
    whole = load_records(filled)
    os.rename(parts[0], parts[0].with_name(parts[0].name + ".4711.tmp"))
    assert finish(filled) > 0
    assert load_records(filled) == whole


@pytest.mark.parametrize("damage", ["truncated", "empty", "noise"])
def test_damaged_part_is_named_and_computed_again(filled, damage):
    whole = load_records(filled)
    part = sorted((filled / PARTS).glob("*.parquet"))[0]
    content = part.read_bytes()
    part.write_bytes({"truncated": content[:-50], "empty": b"", "noise": b"\0" * 500}[damage])
    with pytest.warns(UserWarning, match=part.name):
        assert finish(filled) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_records(filled) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 1}, "epochs was 0, is 1"),
        ({"densities": (0.5,)}, r"densities was \['ticket', 1.0\], is \[0.5\]"),
        ({"task": "helix", "width": 40}, "task was"),
    ],
)
def test_another_grid_is_refused_and_the_difference_shown(filled, change, message):
    before = (filled / MANIFEST).read_text()
    with pytest.raises(ValueError, match=message):
        Store(filled, Grid(**{**FIELDS, "seeds": 3, **change}))
    assert (filled / MANIFEST).read_text() == before


def test_a_directory_older_than_an_option_is_refused_and_the_option_named(filled):
    manifest = json.loads((filled / MANIFEST).read_text())
    del manifest["configuration"]["match"]
    (filled / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"match was not an option, is 'cosine'$"):
        Store(filled, Grid(**FIELDS, seeds=3))


def test_another_version_is_refused(filled):
    manifest = json.loads((filled / MANIFEST).read_text())
    manifest["versions"]["jax"] = "0.1"
    (filled / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"jax was '0.1'"):
        Store(filled, Grid(**FIELDS, seeds=3))


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty"):
        Store(tmp_path, Grid(**FIELDS))
    assert os.listdir(tmp_path) == ["thesis.tex"]
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match="not a manifest"):
        Store(tmp_path, Grid(**FIELDS))


def test_done_names_whole_instances(filled):
    done = Store(filled, Grid(**FIELDS, seeds=3)).done()
    assert done == {("relu", 3, 6, 0.01, seed) for seed in range(3)}
    assert len(IDENTITY) == 5


def test_no_records(tmp_path):
    with pytest.raises(ValueError, match="holds no records"):
        load_records(tmp_path)
