"""Several real processes that share one grid, and what they refuse."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from ticketjax.records.store import load_records

ROOT = pathlib.Path(__file__).parents[1]
GRID = [
    *("--task=relu", "--depth=3", "--width=8", "--seekers=snip", "--densities=ticket,0.5"),
    *("--seeds=5", "--samples=100", "--epochs=1"),
]
COMMAND = "import runpy; runpy.run_module('experiments.singleshot', None, '__main__', True)"


def start(*flags, directory, before=""):
    """Start a command in a separate process, after some Python code of a test."""
    # One device for each process: the machine that runs the tests has few.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": re.sub(r"(device_count)=\d+", r"\1=1", os.environ["XLA_FLAGS"]),
        # Later processes reuse what one process has compiled.
        "JAX_COMPILATION_CACHE_DIR": str(directory.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{COMMAND}", *flags],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        return sock.getsockname()[1]


def start_job(*own_flags, directory):
    """Start one process for each tuple of flags."""
    job = [f"--coordinator_address=localhost:{free_port()}", f"--num_processes={len(own_flags)}"]
    common = [*GRID, "--out=out", "--distributed", *job]
    return [
        start(*common, f"--process_id={i}", *own, directory=directory)
        for i, own in enumerate(own_flags)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone")
    process = start(*GRID, "--out=out", directory=directory)
    printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    return load_records(directory / "out")


@pytest.mark.long
def test_processes_together_make_the_records_of_one(alone, tmp_path):
    count = 3
    processes = start_job(*[()] * count, directory=tmp_path)
    printed = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, printed
    # Only the first one shows the table; the records are those of one process, none twice.
    assert ["ReLU" in out for out, _ in printed] == [True] + [False] * (count - 1)
    together = load_records(tmp_path / "out")
    assert together.num_rows == alone.num_rows == 10
    for name in alone.column_names:
        got, expected = together[name].to_pylist(), alone[name].to_pylist()
        if isinstance(expected[0], float):
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7, err_msg=name)
        elif name == "layer_kept":
            np.testing.assert_allclose(got, expected, rtol=1e-6)
        else:
            assert got == expected, name
    # Five instances in shares of two, two and one: each process wrote its own share.
    assert len(list((tmp_path / "out" / "parts").glob("*.parquet"))) >= count


def test_a_process_of_a_job_ends_when_the_batch_system_says_so(tmp_path):
    job = [f"--coordinator_address=localhost:{free_port()}", "--num_processes=1", "--process_id=0"]
    process = start(*GRID, "--out=out", "--distributed", *job, directory=tmp_path)
    while process.poll() is None and not (tmp_path / "out" / "manifest.json").exists():
        time.sleep(0.01)
    # By now, JAX has a handler of SIGTERM for preemptions.
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--process_id=1"], "--process_id needs --distributed"),
        (
            ["--distributed", "--num_processes=2"],
            "--num_processes without --coordinator_address, --process_id: give all three or none",
        ),
        (
            [
                *("--distributed", "--num_processes=2", "--process_id=2"),
                "--coordinator_address=localhost:1",
            ],
            "--process_id=2: must be below --num_processes=2",
        ),
    ],
)
def test_half_a_job_is_refused_in_one_line(flags, message, tmp_path):
    process = start(*GRID, "--out=out", *flags, directory=tmp_path)
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out, err) == (2, "", f"error: {message}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            ["--epochs=3", "--seeds=4", "--chunk_size=2"],
            "process 1 has --epochs=3, --seeds=4, process 0 has --epochs=1, --seeds=5",
        ),
        pytest.param(
            ["--out=elsewhere"],
            "process 1 has --out=elsewhere, process 0 has --out=out",
            marks=pytest.mark.long,
        ),
    ],
)
def test_processes_with_different_flags_all_end_and_write_nothing(own, message, tmp_path):
    processes = start_job((), own, directory=tmp_path)
    printed = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [2, 2], printed
    for out, err in printed:
        assert (out, err.splitlines()[1:]) == ("", [f"error: --distributed: {message}"])
    assert os.listdir(tmp_path) == []


def test_a_process_waits_for_the_others_as_long_as_it_says(tmp_path):
    port = free_port()
    job = [f"--coordinator_address=localhost:{port}", "--num_processes=2", "--process_id=0"]
    before = "from ticketjax.commands import job; job.WAIT = 2"
    process = start(*GRID, "--distributed", *job, directory=tmp_path, before=before)
    out, err = process.communicate(timeout=100)
    who = f"process 0 of 2 (localhost:{port})"
    assert (process.returncode, out) == (1, "")
    assert err.splitlines() == [
        f"{who} waits for the other processes, at most 2 s",
        f"error: --distributed: not all others connected to {who} in 2 s",
    ]


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_process_is_killed_the_others_end_and_say_how_to_go_on(victim, tmp_path):
    many = "--seeds=100000"
    processes = start_job((many,), (many,), directory=tmp_path)
    while len(list(tmp_path.glob("out/parts/*.parquet"))) < 2:
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.1)
    processes[victim].kill()
    out, err = processes[1 - victim].communicate(timeout=60)
    processes[victim].communicate()
    assert (processes[1 - victim].returncode, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"error: --distributed: process {victim} ended before all runs were done; "
        "finished runs are kept: the same command resumes there"
    )
    assert "Check failure" not in err


@pytest.mark.long
def test_when_the_first_process_is_refused_the_others_end_too(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    processes = start_job((), (), directory=tmp_path)
    printed = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [2, 1], printed
    assert "is not empty and has no manifest.json" in printed[0][1]
    assert "error: --distributed: process 0 ended" in printed[1][1]
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]
