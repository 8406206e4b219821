"""Grids that are killed and stopped at any moment; benchmarks/crashes.py repeats this often."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from benchmarks import crashes
from tests.processes import python
from ticketjax.commands.interruption import RESUME
from ticketjax.records.lock import InUse, lock
from ticketjax.records.store import LOCK, load_records

# Ten chunks.
SEEDS = 160


@pytest.mark.long
def test_a_killed_grid_is_finished_with_the_records_of_an_undisturbed_one(tmp_path, monkeypatch):
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    for name, value in {**crashes.ENVIRONMENT, **cache}.items():
        monkeypatch.setenv(name, value)
    # Compilation takes longer than computing.
    fast = "--xla_backend_optimization_level=0"
    monkeypatch.setenv("XLA_FLAGS", f"{crashes.ENVIRONMENT['XLA_FLAGS']} {fast}")
    crashes.FORKED.set_forkserver_preload(["ticketjax.commands.running"])
    crashes.finish(tmp_path / "undisturbed", SEEDS)
    directory = tmp_path / "killed"

    first = crashes.begin(directory, SEEDS)
    crashes.wait_for_parts(first, directory, 1)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(InUse, match=f"is in use by process {first.pid} on "):
        lock(directory / LOCK)
    first.kill()
    first.join()
    there = crashes.parts(directory)
    assert first.exitcode == -signal.SIGKILL and there < SEEDS / 16

    second = crashes.begin(directory, SEEDS)
    crashes.wait_for_parts(second, directory, there + 1)
    os.kill(second.pid, signal.SIGINT)
    second.join()
    assert second.exitcode == 130

    crashes.finish(directory, SEEDS)
    assert load_records(directory).equals(load_records(tmp_path / "undisturbed"))
    assert not list(directory.rglob("*.tmp"))


# From the first import to the middle of compilation, on an idle machine.
SECONDS = 4
INTERRUPTS = 6


@pytest.mark.long
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux alone tells of signals")
def test_signals_end_a_command_at_once_from_its_first_import_on(tmp_path, monkeypatch):
    for name, value in crashes.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for n in range(INTERRUPTS):
        how = (signal.SIGINT, signal.SIGTERM)[n % 2]
        ended = crashes.interrupt(tmp_path / "out", how, SECONDS * n / INTERRUPTS)
        assert ended.status == 128 + how, ended.printed
        # On an idle machine, it takes a hundredth of this.
        assert ended.seconds < 5
        assert ended.printed.splitlines()[-1] == f"stopped; {RESUME}"
        assert "Traceback" not in ended.printed


ON_ITS_OWN = """
import os, signal, sys, time
import ticketjax.progress
from ticketjax.commands import interruption
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
signal.signal(signal.SIGINT, signal.SIG_IGN)
interruption.install()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.2)
print("printed")
ticketjax.progress.line_is_begun = True
sys.stderr.write("a bar")
sys.stderr.flush()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


def test_what_is_printed_stays_and_what_is_ignored_is_ignored(tmp_path):
    result = python("-c", ON_ITS_OWN, directory=tmp_path)
    assert result.returncode == 128 + signal.SIGTERM
    assert (result.stdout, result.stderr) == ("printed\n", f"a bar\nstopped; {RESUME}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_ends_leaves_the_status(number):
    # Objects in a module are deleted after Python has removed its signal handlers.
    program = f"""
import os
from ticketjax.commands import interruption
interruption.install()
class Last:
    def __del__(self, kill=os.kill, process=os.getpid()):
        kill(process, {int(number)})
last = Last()
"""
    root = pathlib.Path(crashes.__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", program], check=False, cwd=root)
    assert ended.returncode == 0
