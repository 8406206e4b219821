"""Kill a grid at random moments, start it again, and compare its records with an undisturbed run's.

    python -m benchmarks.crashes --kills=52 --interrupts=48

A grid of many small chunks is started and killed (SIGKILL) repeatedly in one directory, until one
start is left to finish; then the next directory follows. Half of the kills come at any moment of a
run, including compilation and drawing, the other half while chunks are being written. Once per
directory, Ctrl-C (SIGINT) is sent instead. Prints what each kill left behind, and whether the
records are identical to those of an undisturbed run, bit for bit. Every process is forked from one
that has imported all modules, because imports would take most of its time.

Then the same with Ctrl-C and SIGTERM in turns, for commands started as by a user, with nothing
compiled: at any moment from the first import to the end. Prints their exit statuses, and how long
after the signal they ended. About ten minutes in all on two idle cores.
"""

import multiprocessing
import os
import pathlib
import random
import re
import runpy
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_integer("kills", 52, "SIGKILLs in all; 0 leaves them out.", lower_bound=0)
flags.DEFINE_integer("kills_per_directory", 13, "Before a start is left to finish.", lower_bound=1)
flags.DEFINE_integer(
    "interrupts", 48, "Ctrl-C and SIGTERM in all; 0 leaves them out.", lower_bound=0
)
flags.DEFINE_integer("interrupts_per_directory", 8, "As for kills.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the random moments.", lower_bound=0)

# A chunk has sixteen runs.
SEEDS = 960
MOST_NEW_CHUNKS = 6
GRID = (
    *("--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=0"),
    *("--seekers=magnitude", "--densities=ticket", "--chunk_size=1"),
)
ENVIRONMENT = {
    # One device and one run at once, so that the programs are the same for any number of runs.
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
CACHE = "JAX_COMPILATION_CACHE_DIR"
TEMPORARY = "*.tmp"
FORKED = multiprocessing.get_context("forkserver")


def _command(directory: str, seeds: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    # Without this, a shell's background job and its child processes would ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["singleshot", *GRID, f"--seeds={seeds}", f"--out={directory}"]
    runpy.run_module("experiments.singleshot", run_name="__main__")


def begin(directory: pathlib.Path, seeds: int = SEEDS) -> multiprocessing.Process:
    process = FORKED.Process(target=_command, args=(str(directory), seeds))
    process.start()
    return process


def parts(directory: pathlib.Path) -> int:
    return len(list(directory.glob("parts/*.parquet")))


def wait_for_parts(process: multiprocessing.Process, directory: pathlib.Path, count: int) -> None:
    while process.is_alive() and parts(directory) < count:
        time.sleep(0.001)


def _disturb(directory: pathlib.Path, how: int, seconds: float, chance: random.Random) -> dict:
    """Start the grid and end it by a signal; return what the directory then contains."""
    before = parts(directory)
    process = begin(directory)
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, seconds))
    else:
        wait_for_parts(process, directory, before + chance.randint(1, MOST_NEW_CHUNKS))
        time.sleep(chance.uniform(0, 0.01))
    if process.is_alive():
        os.kill(process.pid, how)
    process.join()
    return {
        "status": process.exitcode,
        "after": parts(directory),
        "manifest": (directory / "manifest.json").exists(),
        "temporary": len(list(directory.rglob(TEMPORARY))),
    }


def finish(directory: pathlib.Path, seeds: int = SEEDS) -> None:
    process = begin(directory, seeds)
    process.join()
    if process.exitcode:
        sys.exit(f"{directory} was not finished: exit status {process.exitcode}")


class Interrupt(NamedTuple):
    """The result of a signal: the command's status, seconds until its end, standard error."""

    status: int
    seconds: float
    printed: str


def start_command(directory: pathlib.Path) -> subprocess.Popen:
    """The grid as a user starts it, with nothing compiled."""
    arguments = [*GRID, f"--seeds={SEEDS}", f"--out={directory}"]
    # A shell's background job ignores Ctrl-C, and its child processes would inherit this.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.singleshot", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != CACHE},
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_first_import(process: subprocess.Popen) -> None:
    """Wait until the command handles SIGTERM, its first action; Linux shows whether it does."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16) & bit:
            return
        time.sleep(0.001)


def interrupt(directory: pathlib.Path, how: int, moment: float) -> Interrupt:
    """Start the grid as a user does, and send it a signal some seconds after its first import."""
    process = start_command(directory)
    wait_for_first_import(process)
    time.sleep(moment)
    began = time.perf_counter()
    process.send_signal(how)
    printed = process.communicate()[1]
    return Interrupt(process.returncode, time.perf_counter() - began, printed)


def _is_same(directory: pathlib.Path, expected) -> bool:
    """Finish a directory; whether its records are the expected ones, and nothing else is there."""
    from ticketjax.records.store import load_records

    finish(directory)
    return load_records(directory).equals(expected) and not list(directory.rglob(TEMPORARY))


def _kill(root: pathlib.Path, expected, seconds: float, chance: random.Random) -> bool:
    """Kill, finish and compare repeatedly; whether all records were the expected ones."""
    chunks = parts(root / "undisturbed")
    print("directory  signals  no manifest  half-written  chunks at each end", flush=True)
    kills = same = directories = 0
    while kills < FLAGS.kills:
        directory = root / f"killed-{directories}"
        ends = []
        for _ in range(FLAGS.kills_per_directory):
            ends.append(_disturb(directory, signal.SIGKILL, seconds, chance))
            # A kill after the end of the run does not count.
            kills += ends[-1]["status"] == -signal.SIGKILL
            if ends[-1]["after"] == chunks:
                break
        ends.append(_disturb(directory, signal.SIGINT, seconds, chance))
        equal = _is_same(directory, expected)
        print(
            f"{directories:9}{len(ends):9}{sum(not end['manifest'] for end in ends):13}"
            f"{sum(end['temporary'] > 0 for end in ends):14}  "
            f"{' '.join(str(end['after']) for end in ends)}  "
            f"{'same records' if equal else 'DIFFERENT RECORDS'}",
            flush=True,
        )
        directories += 1
        same += equal
    print(
        f"\n{kills} kills of running processes in {directories} directories: {same} of these "
        "with the records of the undisturbed run, bit for bit, none missing, none twice, no "
        "file half-written\n",
        flush=True,
    )
    return same == directories


def _interrupt(root: pathlib.Path, expected, chance: random.Random) -> bool:
    """The same with Ctrl-C and SIGTERM; whether the statuses were the expected ones too."""
    began = time.perf_counter()
    start_command(root / "from-cold").communicate()
    seconds = time.perf_counter() - began
    print(f"undisturbed, with nothing compiled: {seconds:.1f} s\n")
    print("directory  statuses (0: had ended)  chunks at each end", flush=True)
    hows = (signal.SIGINT, signal.SIGTERM)
    seen: list[Interrupt] = []
    right = same = directories = 0
    while len(seen) < FLAGS.interrupts:
        directory = root / f"interrupted-{directories}"
        ends, chunks = [], []
        for n in range(FLAGS.interrupts_per_directory):
            how = hows[n % len(hows)]
            ends.append(interrupt(directory, how, chance.uniform(0, seconds)))
            chunks.append(parts(directory))
            right += ends[-1].status == 128 + how
            if chunks[-1] == parts(root / "undisturbed"):
                break
        equal = _is_same(directory, expected)
        print(
            f"{directories:9}  {' '.join(str(end.status) for end in ends)}  "
            f"{' '.join(map(str, chunks))}  {'same records' if equal else 'DIFFERENT RECORDS'}",
            flush=True,
        )
        seen += [end for end in ends if end.status]
        directories += 1
        same += equal
    taken = [end.seconds for end in seen]
    print(
        f"\n{len(seen)} interrupts of running commands, {right} of them with status 130 (SIGINT) "
        f"or 143 (SIGTERM); from the signal to the end {statistics.median(taken):.2f} s in the "
        f"median, {max(taken):.2f} s at most, more than 1 s in {sum(t > 1 for t in taken)}; {same} "
        f"of {directories} directories with the records of the undisturbed run, bit for bit"
    )
    return right == len(seen) and same == directories


def main() -> int:
    """Kill, finish and compare; exit status 1 if any record differs, is missing or there twice."""
    from benchmarks.machine import describe
    from ticketjax.records.store import load_records

    print(describe(), flush=True)
    chance = random.Random(FLAGS.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        os.environ.update(ENVIRONMENT, **{CACHE: str(root / "compiled")})
        FORKED.set_forkserver_preload(["ticketjax.commands.running"])
        finish(root / "first")  # compiles
        started = time.perf_counter()
        finish(root / "undisturbed")
        seconds = time.perf_counter() - started
        expected = load_records(root / "undisturbed")
        print(
            f"undisturbed: {expected.num_rows} records in {parts(root / 'undisturbed')} chunks, "
            f"{seconds:.1f} s with everything compiled\n",
            flush=True,
        )
        right = not FLAGS.kills or _kill(root, expected, seconds, chance)
        if FLAGS.interrupts:
            right &= _interrupt(root, expected, chance)
    return 0 if right else 1


if __name__ == "__main__":
    launch(main)
