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

from ticketjax.store import load_records

ROOT = pathlib.Path(__file__).parents[1]
GRID = [
    *("--task=relu", "--depth=3", "--width=8", "--seekers=snip", "--densities=ticket,0.5"),
    *("--seeds=5", "--samples=100", "--epochs=1"),
]


def start(*flags, directory):
    # One device for each process: the machine that runs the tests has few.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": re.sub(r"(device_count)=\d+", r"\1=1", os.environ["XLA_FLAGS"]),
        # What one process has compiled, the next ones need not.
        "JAX_COMPILATION_CACHE_DIR": str(directory.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.singleshot", *flags],
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


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("alone")
    process = start(*GRID, "--out=out", directory=directory)
    printed = process.communicate(timeout=200)
    assert process.returncode == 0, printed
    return load_records(directory / "out")


def test_processes_together_make_the_records_of_one(alone, tmp_path):
    count = 3
    job = [f"--coordinator_address=localhost:{free_port()}", f"--num_processes={count}"]
    processes = [
        start(*GRID, "--out=out", "--distributed", *job, f"--process_id={i}", directory=tmp_path)
        for i in range(count)
    ]
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
    # Five instances in shares of two, two and one: each process wrote its own.
    assert len(list((tmp_path / "out" / "parts").glob("*.parquet"))) >= count


def test_a_process_of_a_job_ends_when_the_batch_system_says_so(tmp_path):
    job = [f"--coordinator_address=localhost:{free_port()}", "--num_processes=1", "--process_id=0"]
    process = start(*GRID, "--out=out", "--distributed", *job, directory=tmp_path)
    while process.poll() is None and not (tmp_path / "out" / "manifest.json").exists():
        time.sleep(0.01)
    # JAX has taken SIGTERM by now, to tell of preemptions.
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM, printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--process_id=1"], "--process_id means something with --distributed only"),
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
