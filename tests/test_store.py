"""Results directories: written whole, locked, continued, and checked when they are read."""

import dataclasses
import errno
import fcntl
import json
import os
import re
import threading
import warnings

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticketjax.records import store
from ticketjax.records.lock import InUse
from ticketjax.records.manifest import configuration
from ticketjax.records.store import (
    LOCK,
    MANIFEST,
    PARTS,
    Store,
    load_records,
    write_whole,
)
from ticketjax.runs.engine import run
from ticketjax.runs.grid import make_grid
from ticketjax.runs.record import RUN
from ticketjax.tasks import TASKS

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
    grid = make_grid(**FIELDS, seeds=3)
    store = Store(tmp_path / "out", grid)
    for records in run(grid):
        store.write(records)
    return tmp_path / "out"


def finish(directory, **changes):
    """Run what is missing, as the commands do; return the number of runs."""
    grid = make_grid(**{**FIELDS, "seeds": 3, **changes})
    store = Store(directory, grid)
    new = 0
    for records in run(grid, store.done()):
        store.write(records)
        new += records.num_rows
    return new


def test_records_come_back_as_they_were_written(filled):
    records = load_records(filled)
    again = [row for table in run(make_grid(**FIELDS, seeds=3)) for row in table.to_pylist()]
    order = sorted(again, key=lambda row: (row["density"], row["seed"]))
    assert records.to_pylist() == order


def test_numpys_numbers_are_written_as_others_are():
    sizes = {name: FIELDS[name] for name in ("samples", "epochs", "chunk_size")}
    sizes |= {"tickets": 1, "decoys": 0, "rounds": 2, "round_epochs": 1, "score_samples": 5}
    fields = {**FIELDS, "seekers": "snip", "strategy": "multishot", "seeds": 3, **sizes}
    numpys = {name: np.int64(value) for name, value in sizes.items()}
    written = json.dumps(configuration(make_grid(**{**fields, **numpys})))
    assert written == json.dumps(configuration(make_grid(**fields)))


def test_a_directory_is_of_one_source_of_data_and_tickets(tmp_path):
    def grid(images, seeds):
        task = dataclasses.replace(TASKS["relu"], name="own", source=(("images", images),))
        return make_grid(**{**FIELDS, "task": task}, seeds=seeds)

    for seeds in ((3, 1), (2,)):
        Store(tmp_path, grid(16, seeds))
    written = json.loads((tmp_path / MANIFEST).read_text())["configuration"]
    assert written["source"] == {"own": {"images": 16}} and written["seeds"] == [1, 2, 3]
    with pytest.raises(
        ValueError,
        match=r"another grid: own images was 16, is 20; choose another .*\(--out\)$",
    ):
        Store(tmp_path, grid(20, (1,)))
    assert "source" not in configuration(make_grid(**FIELDS))


def test_a_finished_directory_is_left_alone(filled):
    before = {p.name: p.stat().st_mtime_ns for p in (filled / PARTS).iterdir()}
    assert finish(filled) == 0
    assert {p.name: p.stat().st_mtime_ns for p in (filled / PARTS).iterdir()} == before


def test_more_seeds_and_other_chunks_continue_a_directory(filled):
    assert finish(filled, seeds=5, chunk_size=3) == 4
    assert load_records(filled).num_rows == 10
    assert json.loads((filled / MANIFEST).read_text())["configuration"]["seeds"] == list(range(5))
    assert finish(filled, seeds=2) == 0


def test_a_directory_grows_by_seekers_and_densities(filled):
    whole = load_records(filled)
    grown = {
        "seekers": {
            "magnitude": "magnitude",
            "IMP": "multishot(magnitude, rounds=2, round_epochs=0)",
        }
    }
    grown["densities"] = ("ticket", 0.5)
    # The new seeker at both densities, and the old one at the new density.
    assert finish(filled, **grown) == 3 * 3
    config = json.loads((filled / MANIFEST).read_text())["configuration"]
    assert config["densities"] == ["ticket", 1.0, 0.5]
    assert list(config["seekers"]) == ["magnitude", "IMP"]
    records = load_records(filled)
    assert records.num_rows == 6 + 9
    known = {tuple(row[name] for name in RUN): row for row in records.to_pylist()}
    for row in whole.to_pylist():
        assert known[tuple(row[name] for name in RUN)] == row
    assert finish(filled, **grown) == finish(filled) == 0


def test_a_label_stays_one_seeker_s(filled):
    with pytest.raises(ValueError, match=r"'magnitude' was singleshot\(magnitude\), is .*random"):
        finish(filled, seekers={"magnitude": "random"})


def test_a_function_that_was_edited_is_refused(tmp_path):
    def make(power):
        def own(key, problem, params, mask):
            return jax.tree.map(lambda p: abs(p) ** power, params)

        return own

    fields = {**FIELDS, "seeds": 1}
    Store(tmp_path / "out", make_grid(**{**fields, "seekers": [make(1)]}))
    Store(tmp_path / "out", make_grid(**{**fields, "seekers": [make(1)]}))
    with pytest.raises(ValueError, match="own was edited since"):
        Store(tmp_path / "out", make_grid(**{**fields, "seekers": [make(2)]}))


def test_lost_part_and_leftover_of_a_killed_writer(filled):
    parts = sorted((filled / PARTS).glob("*.parquet"))
    whole = load_records(filled)
    os.rename(parts[0], parts[0].with_name(parts[0].name + ".4711.tmp"))
    assert finish(filled) > 0
    assert load_records(filled) == whole


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("chunk_size", [1, 3])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "bit in data", "bit in footer"])
def test_damaged_part_is_named_and_computed_again(filled, damage, chunk_size):
    whole = load_records(filled)
    part = sorted((filled / PARTS).glob("*.parquet"))[0]
    content = part.read_bytes()
    damaged = {
        "truncated": content[:-50],
        "empty": b"",
        "noise": b"\0" * 500,
        "bit in data": flipped(content, content.rindex(b"magnitude")),
        "bit in footer": flipped(content, len(content) - 200),
    }[damage]
    part.write_bytes(damaged)
    with pytest.warns(UserWarning, match=part.name):
        assert finish(filled, chunk_size=chunk_size) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_records(filled)
    assert again.schema == whole.schema
    for name, column, expected in zip(again.column_names, again, whole, strict=True):
        if chunk_size == FIELDS["chunk_size"] or not pa.types.is_float32(column.type):
            assert column == expected, name
        else:
            # The number of runs at once may change the last digit.
            np.testing.assert_allclose(
                column.to_numpy(), expected.to_numpy(), rtol=1e-5, err_msg=name
            )
    # Moved aside, for inspection.
    assert (filled / PARTS / f"{part.name}.damaged").read_bytes() == damaged


def test_no_bit_of_a_part_can_change_unseen(filled):
    (part,) = (filled / PARTS).glob("*.parquet")
    content = part.read_bytes()
    # Parquet itself would read many of these as different records.
    for place in range(0, len(content), 997):
        part.write_bytes(flipped(content, place))
        with (
            pytest.warns(UserWarning, match="is damaged"),
            pytest.raises(ValueError, match="holds no records"),
        ):
            load_records(filled)


def test_parts_that_are_not_named_by_their_content_are_read(filled):
    whole = load_records(filled)
    part = sorted((filled / PARTS).glob("*.parquet"))[0]
    part.rename(part.with_name("0123456789abcdef.parquet"))
    assert finish(filled) == 0
    assert load_records(filled) == whole


def test_a_part_that_cannot_be_read_is_no_damage(filled, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(PermissionError):
        load_records(filled)


def test_runs_that_were_written_twice_are_read_once(filled):
    whole = load_records(filled)
    pq.write_table(whole.slice(0, 3), filled / PARTS / "copied.parquet")
    assert load_records(filled).num_rows == whole.num_rows
    assert load_records(filled).sort_by("seed") == whole.sort_by("seed")


def test_leftovers_of_killed_writers_are_removed(filled):
    for folder in (filled, filled / PARTS):
        (folder / "something.elsewhere.4711.tmp").write_text("half")
    # In a job, another process may be writing them at this moment.
    Store(filled, make_grid(**FIELDS, seeds=3), share=(0, 2))
    assert len(list(filled.rglob("*.tmp"))) == 2
    Store(filled, make_grid(**FIELDS, seeds=3))
    assert not list(filled.rglob("*.tmp"))


@pytest.fixture
def others_lock(filled):
    """A lock like that of a process on another machine: flock distinguishes a second open file."""
    with open(filled / LOCK, "w") as file:
        file.write("process 4711 on elsewhere, since yesterday\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def test_a_directory_in_use_is_refused_and_its_user_named(filled, others_lock):
    before = {path: path.stat().st_mtime_ns for path in filled.rglob("*")}
    with pytest.raises(InUse, match="out is in use by process 4711 on elsewhere, since yesterday"):
        Store(filled, make_grid(**FIELDS, seeds=3))
    assert {path: path.stat().st_mtime_ns for path in filled.rglob("*")} == before
    # The second process of a job relies on the first one's check.
    Store(filled, make_grid(**FIELDS, seeds=3), share=(1, 2))
    others_lock.close()
    Store(filled, make_grid(**FIELDS, seeds=3))


def test_who_waits_goes_on_when_the_other_has_ended(filled, others_lock):
    opened = []

    def wait():
        opened.append(Store(filled, make_grid(**FIELDS, seeds=3), wait=True))

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive() and not opened
    others_lock.close()
    waiting.join(60)
    assert len(opened) == 1
    with open(filled / LOCK) as file:
        assert file.read().startswith(f"process {os.getpid()} on ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_refused_and_left_alone(filled):
    there = sorted(filled.rglob("*"))
    for path in (filled, filled / PARTS):
        path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            Store(filled, make_grid(**FIELDS, seeds=3))
        assert sorted(filled.rglob("*")) == there
        assert load_records(filled).num_rows > 0
    finally:
        for path in (filled, filled / PARTS):
            path.chmod(0o755)


def test_a_lock_is_one_process_own_and_goes_with_the_store(filled):
    first, second = (Store(filled, make_grid(**FIELDS, seeds=3)) for _ in range(2))
    with open(filled / LOCK) as file:
        assert file.read().startswith(f"process {os.getpid()} on ")
        del first
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        del second
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_without_locks_a_warning_says_so(filled, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="out is on a file system without locks"):
        Store(filled, make_grid(**FIELDS, seeds=3))


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, call):
    (tmp_path / "there").write_text("before")

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    named = f"No space left on device: '{tmp_path / 'there'}'"
    with monkeypatch.context() as patch, pytest.raises(OSError, match=re.escape(named)):
        patch.setattr(*(("builtins.open", fail) if call == "open" else (os, call, fail)))
        write_whole(tmp_path / "there", lambda file: file.write(b"after"))
    assert os.listdir(tmp_path) == ["there"]
    assert (tmp_path / "there").read_text() == "before"


def test_a_run_goes_on_where_the_disk_was_full(filled, monkeypatch):
    whole = load_records(filled)
    (part,) = (filled / PARTS).glob("*.parquet")
    part.unlink()

    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", fail)
        finish(filled)
    assert finish(filled) > 0
    assert load_records(filled) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 1}, "epochs was 0, is 1"),
        ({"match": "hidden"}, "match was 'cosine', is 'hidden'"),
        ({"task": "helix", "width": 40}, "task was"),
    ],
)
def test_another_grid_is_refused_and_the_difference_shown(filled, change, message):
    before = (filled / MANIFEST).read_text()
    with pytest.raises(ValueError, match=message):
        Store(filled, make_grid(**{**FIELDS, "seeds": 3, **change}))
    assert (filled / MANIFEST).read_text() == before


def test_a_directory_older_than_an_option_is_refused_and_the_option_named(filled):
    manifest = json.loads((filled / MANIFEST).read_text())
    del manifest["configuration"]["planting"]["match"]
    (filled / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"match was not an option, is 'cosine'; choose"):
        Store(filled, make_grid(**FIELDS, seeds=3))


def test_another_version_is_refused(filled):
    manifest = json.loads((filled / MANIFEST).read_text())
    manifest["versions"]["jax"] = "0.1"
    (filled / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"jax was '0.1'"):
        Store(filled, make_grid(**FIELDS, seeds=3))


def test_the_other_processes_of_a_job_want_what_the_first_one_has_written(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SECONDS_TO_APPEAR", 0.2)
    with pytest.raises(ValueError, match="all processes must share the directory"):
        Store(tmp_path / "out", make_grid(**FIELDS), share=(1, 2))
    assert os.listdir(tmp_path) == []
    Store(tmp_path / "out", make_grid(**FIELDS), share=(0, 2))
    Store(tmp_path / "out", make_grid(**FIELDS), share=(1, 2))
    with pytest.raises(ValueError, match="epochs was 0, is 3"):
        Store(tmp_path / "out", make_grid(**{**FIELDS, "epochs": 3}), share=(1, 2))


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty"):
        Store(tmp_path, make_grid(**FIELDS))
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    "content", [b"{}", b"", b"[]", b"\xff\xfe", b'{"configuration": 3}', b'{"configuration": {}}']
)
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match="not a manifest"):
        Store(tmp_path, make_grid(**FIELDS))
    assert os.listdir(tmp_path) == [MANIFEST]


def test_done_names_the_runs(filled):
    done = Store(filled, make_grid(**FIELDS, seeds=3)).done()
    density = make_grid(**FIELDS).settings()[0].setting.ticket_density
    assert done == {
        ("relu", "mlp", 3, 6, 0.01, seed, "magnitude", d)
        for seed in range(3)
        for d in (density, 1.0)
    }


def test_no_records(tmp_path):
    with pytest.raises(ValueError, match="holds no records"):
        load_records(tmp_path)
