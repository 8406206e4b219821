"""The programs that a sweep compiles, their compile time, and what the compilation cache saves.

    python -m benchmarks.compilation

Runs Figure 3's grid of Circle twice, each time in a separate process with the same compilation
cache, which is empty at first. Prints how many programs of each kind were built, how many of them
came from the cache, and the seconds of tracing, lowering and compiling; then what a sweep over
other seeds builds in addition: nothing. The runs are few and short. About a minute on two cores.
"""

import collections
import dataclasses
import tempfile
import types

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch
from ticketjax.compiling import Compiling

flags.DEFINE_list("task", ["circle"], "Tasks of the grid.")
flags.DEFINE_integer(
    "seeds",
    5,
    "Seeds of the grid; from 4 on, a sweep on a CPU also compiles its narrower programs.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "epochs", 1, "Epochs of the final training; they take no longer to compile.", lower_bound=0
)

HIT = "/jax/compilation_cache/cache_hits"
OTHERS = "single operations"


class _Watch(Compiling):
    """Counts and times the compilations of each program of a sweep."""

    def __init__(self):
        import jax

        super().__init__()
        self.now = OTHERS
        self.seconds = collections.defaultdict(collections.Counter)
        jax.monitoring.register_event_listener(self.on_event)

    def entry(self) -> collections.Counter:
        return self.seconds[self.now]

    def name(self, program: str, function):
        """The function; whatever its calls compile is counted for the program."""

        def call(*arguments):
            before, self.now = self.now, program
            try:
                return function(*arguments)
            finally:
                self.now = before

        return call

    def on_event(self, event: str, **_) -> None:
        if event == HIT:
            self.entry()["from cache"] += 1

    def take(self) -> dict:
        """The counts since the last call."""
        taken = {name: dict(e) for name, e in self.seconds.items() if e["programs"]}
        self.seconds.clear()
        return taken


def _named(watch: _Watch, sharded, seekers: dict):
    """A wrapper of the engine's sharded() that counts for each program by name."""

    def make(function, devices, in_axes=0):
        # A search is a partial function of its seeker, a measurement one of its width.
        kind = getattr(function, "func", function).__name__
        given = getattr(function, "args", ())
        of = [str(seekers.get(one, one)) for one in given if one in seekers or isinstance(one, int)]
        name, program = " ".join([kind, *of]), sharded(function, devices, in_axes)

        def lower(*arguments):
            lowered = watch.name(name, program.lower)(*arguments)
            return types.SimpleNamespace(compile=watch.name(name, lowered.compile))

        return types.SimpleNamespace(lower=lower)

    return make


def measure(task: list[str], seeds: int, epochs: int, cache: str) -> dict:
    """Run a sweep, and one over other seeds, in this process."""
    import jax

    import ticketjax as tj
    from benchmarks.machine import describe
    from benchmarks.timing import seconds
    from ticketjax.runs import engine, programs

    jax.config.update("jax_compilation_cache_dir", cache)
    # The threshold that the commands use.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    watch = _Watch()
    first = tj.make_grid(task=task, epochs=epochs, seeds=seeds)
    grids = [first, dataclasses.replace(first, seeds=tuple(range(seeds, 2 * seeds)))]
    names = {seeker: label for label, seeker in first.seekers}
    programs.sharded = _named(watch, programs.sharded, names)
    answer = {"machine": describe(), "runs": grids[0].runs}
    watch.take()
    for name, grid in zip(("first", "other seeds"), grids, strict=True):
        answer[name] = {
            "seconds": seconds(lambda g=grid: list(engine.run(g))),
            "programs": watch.take(),
        }
    return answer


COLUMNS = ("programs", "from cache", "tracing", "lowering", "compiling")


def _print(programs: dict[str, dict]) -> None:
    total = collections.Counter()
    for entry in programs.values():
        total.update(entry)
    for name, entry in [*programs.items(), ("together", total)]:
        counts = "".join(f"{entry.get(column, 0):>14.0f}" for column in COLUMNS[:2])
        times = "".join(f"{entry.get(column, 0):>14.2f}" for column in COLUMNS[2:])
        print(f"{name:20}{counts}{times}")


def main() -> int:
    """Start twice with the same cache, print what each start compiled."""
    from benchmarks import fresh

    head = f"{'program':20}" + "".join(f"{column:>14}" for column in COLUMNS[:2])
    head += "".join(f"{column + ', s':>14}" for column in COLUMNS[2:])
    with tempfile.TemporaryDirectory() as cache:
        for start_number, title in enumerate(("empty cache", "second start, same cache")):
            answer = fresh.call(
                "benchmarks.compilation",
                "measure",
                task=FLAGS.task,
                seeds=FLAGS.seeds,
                epochs=FLAGS.epochs,
                cache=cache,
            )
            if start_number == 0:
                print(answer["machine"])
                print(f"tasks: {', '.join(FLAGS.task)}; epochs: {FLAGS.epochs}")
            first, other = answer["first"], answer["other seeds"]
            print(f"\n{title}: {answer['runs']} runs in {first['seconds']:.1f} s\n{head}")
            _print(first["programs"])
            print(f"other seeds: {answer['runs']} runs in {other['seconds']:.1f} s")
            if other["programs"]:
                _print(other["programs"])
            else:
                print("nothing more compiled")
    return 0


if __name__ == "__main__":
    launch(main)
