"""A grid that is killed and stopped while it writes; benchmarks/crashes.py does it many times."""

import os
import signal

import pytest

from benchmarks import crashes
from ticketjax.lock import InUse, lock
from ticketjax.store import LOCK, load_records


def test_a_killed_grid_is_finished_with_the_records_of_an_undisturbed_one(tmp_path, monkeypatch):
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    for name, value in {**crashes.ENVIRONMENT, **cache}.items():
        monkeypatch.setenv(name, value)
    crashes.FORKED.set_forkserver_preload(["experiments.running"])
    crashes.finish(tmp_path / "undisturbed")
    directory = tmp_path / "killed"

    first = crashes.begin(directory)
    crashes.wait_for_parts(first, directory, 1)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(InUse, match=f"is in use by process {first.pid} on "):
        lock(directory / LOCK)
    first.kill()
    first.join()
    there = crashes.parts(directory)
    assert first.exitcode == -signal.SIGKILL and there < crashes.SEEDS / 16

    second = crashes.begin(directory)
    crashes.wait_for_parts(second, directory, there + 1)
    os.kill(second.pid, signal.SIGINT)
    second.join()
    assert second.exitcode == 130

    crashes.finish(directory)
    assert load_records(directory).equals(load_records(tmp_path / "undisturbed"))
    assert not list(directory.rglob("*.tmp"))
