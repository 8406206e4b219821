"""Kill a grid at random moments, start it again, and compare its records with an undisturbed run's.

    python -m benchmarks.crashes --kills=52

A grid of many small chunks is started and killed (SIGKILL), again and again in the same directory,
until a start is left to finish; then the next directory. Half of the kills come at any moment of a
run, its compilation and its figure included, the other half while chunks are being written; once in
every directory Ctrl-C (SIGINT) does it. Prints what each left behind, and whether the records are
bit for bit those of the run that nobody disturbed. Every process is forked from one that has
imported all modules, which would otherwise be most of its time. A few minutes on two idle cores.
"""

import multiprocessing
import os
import pathlib
import random
import runpy
import signal
import sys
import tempfile
import time

from absl import flags

from experiments.flags import FLAGS, start

flags.DEFINE_integer("kills", 52, "SIGKILLs in all.", lower_bound=1)
flags.DEFINE_integer("kills_per_directory", 13, "Before a start is left to finish.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Of the random moments.", lower_bound=0)

# A chunk holds sixteen runs.
SEEDS = 960
MOST_NEW_CHUNKS = 6
GRID = (
    *("--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=0"),
    *("--seekers=magnitude", "--densities=ticket", "--chunk_size=1", f"--seeds={SEEDS}"),
)
ENVIRONMENT = {
    # One device and one run at once: the programs are the same, however much there is to be done.
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
TEMPORARY = "*.tmp"
FORKED = multiprocessing.get_context("forkserver")


def _command(directory: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    # A shell's background job, and what it starts, would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["singleshot", *GRID, f"--out={directory}"]
    runpy.run_module("experiments.singleshot", run_name="__main__")


def begin(directory: pathlib.Path) -> multiprocessing.Process:
    process = FORKED.Process(target=_command, args=(str(directory),))
    process.start()
    return process


def parts(directory: pathlib.Path) -> int:
    return len(list(directory.glob("parts/*.parquet")))


def wait_for_parts(process: multiprocessing.Process, directory: pathlib.Path, count: int) -> None:
    while process.is_alive() and parts(directory) < count:
        time.sleep(0.001)


def _disturb(directory: pathlib.Path, how: int, seconds: float, chance: random.Random) -> dict:
    """Start the grid and end it by a signal; what is there then."""
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


def finish(directory: pathlib.Path) -> None:
    process = begin(directory)
    process.join()
    if process.exitcode:
        sys.exit(f"{directory} was not finished: exit status {process.exitcode}")


def main() -> int:
    """Kill, finish and compare; exit status 1 if any record differs, is missing or there twice."""
    from benchmarks.machine import describe
    from ticketjax.store import load_records

    print(describe(), flush=True)
    chance = random.Random(FLAGS.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        os.environ.update(ENVIRONMENT, JAX_COMPILATION_CACHE_DIR=str(root / "compiled"))
        FORKED.set_forkserver_preload(["experiments.running"])
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
        print("directory  signals  no manifest  half-written  chunks at each end", flush=True)
        kills = same = directories = 0
        while kills < FLAGS.kills:
            directory = root / f"killed-{directories}"
            ends = []
            for _ in range(FLAGS.kills_per_directory):
                ends.append(_disturb(directory, signal.SIGKILL, seconds, chance))
                # Those that came after the run had ended are none.
                kills += ends[-1]["status"] == -signal.SIGKILL
                if ends[-1]["after"] == parts(root / "undisturbed"):
                    break
            ends.append(_disturb(directory, signal.SIGINT, seconds, chance))
            finish(directory)
            found = load_records(directory)
            equal = found.equals(expected) and not list(directory.rglob(TEMPORARY))
            print(
                f"{directories:9}{len(ends):9}{sum(not end['manifest'] for end in ends):13}"
                f"{sum(end['temporary'] > 0 for end in ends):14}  "
                f"{' '.join(str(end['after']) for end in ends)}  "
                f"{'same records' if equal else f'DIFFERENT: {found.num_rows} records'}",
                flush=True,
            )
            directories += 1
            same += equal
        print(
            f"\n{kills} kills of running processes in {directories} directories: {same} of these "
            "with the records of the undisturbed run, bit for bit, none missing, none twice, no "
            "file half-written"
        )
    return 0 if same == directories else 1


if __name__ == "__main__":
    start(main)
