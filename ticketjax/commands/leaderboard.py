r"""The leaderboard: every seeker at equal compute on the three tasks, before and after training.

    python -m experiments.leaderboard --seeds=25 --out=results/leaderboard
    python -m experiments.leaderboard --seeker=path/to/file.py:function

Every seeker looks for a ticket at the planted one's own density. One that trains, scores or gates,
may pass --passes times over the training data; scores at initialisation take what they take. Prints
the standings and draws them; both tell the passes and the seconds. --only names entries to run.

Seconds are wall time within compiled programs, on all devices of the machine, over the runs that it
was spent on: of drawing, planting, seeking, the final training and measuring, without compiling.
"""

import collections
import dataclasses
import json
import os
import pathlib
from typing import Any

from absl import flags

from experiments.flags import (
    FLAGS,
    FlagError,
    define_budget,
    define_running,
    density_of,
    named_or_own,
    naming,
    running,
    start,
)

SINGLESHOT = ("random", "erk", "balanced", "magnitude", "snip", "grasp", "synflow")
MULTISHOT = ("magnitude", "snip", "grasp", "synflow", "rewinding")
GATES = (
    "probabilistic",
    "concrete",
    "relaxed_bernoulli",
    "continuous_sparsification",
    "gem_miner",
)
# Of a search with restarts, so many share the passes.
ROUNDS, RESTARTS = 10, 4
PURSUIT_ROUNDS = 1000
# How much a seeker computes that has no passes over the data.
UNKNOWN = float("nan")
TIMES = "seconds.json"

define_running(out="results/leaderboard")
flags.DEFINE_list("task", ["relu", "circle", "helix"], "Tasks, a panel each.")
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=2)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
flags.DEFINE_string("density", "ticket", 'A number, or "ticket", the planted ticket\'s own.')
flags.DEFINE_integer("seeds", 25, "Seeds 0 to N-1.", lower_bound=1)
flags.DEFINE_integer("passes", 100, "Over the training data, of each search.", lower_bound=ROUNDS)
flags.DEFINE_integer("samples", 10_000, "Samples per run, a tenth held out.", lower_bound=1)
flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=0)
flags.DEFINE_multi_string("seeker", [], "path/to/file.py:function of your own, as often as wanted.")
define_budget()
flags.DEFINE_list("only", [], "Directories of the entries to run; all if empty.")


@dataclasses.dataclass(frozen=True)
class Contender:
    """A line of the leaderboard.

    fields: of its Grid. passes: over the training data, with gradients, in one search.
    """

    title: str
    fields: dict[str, Any]
    passes: float


def contenders(passes: int) -> dict[str, Contender]:
    """All that the registry has, by directory name, with so many passes for those that train."""
    in_rounds = {"rounds": ROUNDS, "round_epochs": passes // ROUNDS, "strategy": "multishot"}
    parts = {"search_epochs": passes // RESTARTS, "options": {"restarts": RESTARTS}}
    annealed = {"seekers": "edge_popup", "strategy": "annealed", "search_epochs": passes}

    def search(seeker: str, strategy: str = "plain") -> dict[str, Any]:
        return {"seekers": seeker, "strategy": strategy, "search_epochs": passes}

    listed: list[tuple[str, str, dict[str, Any], float]] = [
        *((name, name, {"seekers": name}, 0) for name in SINGLESHOT),
        ("synflow-100", "synflow, 100 rounds", {"seekers": "synflow", "rounds": 100}, 0),
        *(
            (f"{name}-multishot", f"{name}, multishot", {"seekers": name, **in_rounds}, passes)
            for name in MULTISHOT
        ),
        (
            "iterative_hard_thresholding",
            "iterative_hard_thresholding",
            search("iterative_hard_thresholding", "annealed"),
            passes,
        ),
        (
            "edge_popup-published",
            "edge_popup, as published",
            {**annealed, "scope": "local", "objective": "raw"},
            passes,
        ),
        (
            "edge_popup-global",
            "edge_popup, global",
            {**annealed, "options": {"normalise": True}},
            passes,
        ),
        *((name, name, search(name), passes) for name in GATES),
        (
            "concrete-restarts",
            f"concrete, {RESTARTS} restarts",
            {**search("concrete"), **parts},
            passes,
        ),
        (
            "probabilistic-refined",
            "probabilistic, refined",
            search("probabilistic", "refined"),
            passes,
        ),
        ("path_pursuit", "path_pursuit", search("path_pursuit"), UNKNOWN),
        (
            "path_pursuit-refined",
            "path_pursuit, refined",
            {**search("path_pursuit", "refined"), "options": {"rounds": PURSUIT_ROUNDS}},
            UNKNOWN,
        ),
    ]
    return {name: Contender(title, fields, used) for name, title, fields, used in listed}


def _own() -> dict[str, Contender]:
    """The seekers of --seeker; how much they compute is theirs to say."""
    own = {}
    with naming("seeker"):
        for text in FLAGS.seeker:
            function = named_or_own(text)
            own[f"own-{function.__name__}"] = Contender(
                function.__name__, {"seekers": function}, UNKNOWN
            )
    return own


def _density() -> str | float:
    with naming("density"):
        return density_of(FLAGS.density)


class _Clock:
    """Seconds that the compiled programs of chunks took, kept beside the records."""

    def __init__(self, path: str):
        self.path = pathlib.Path(path)
        self.times: dict[str, list] = collections.defaultdict(list)
        if self.path.exists():
            for name, chunks in json.loads(self.path.read_text(encoding="utf-8")).items():
                # Earlier versions subtracted the compilation, now and then more than there was.
                self.times[name] = [(runs, seconds) for runs, seconds in chunks if seconds >= 0]

    def chunk(self, directory: str, runs: int, seconds: float) -> None:
        """Note a chunk's runs and seconds."""
        from ticketjax.store import write_whole

        self.times[os.path.basename(directory)].append((runs, seconds))
        write_whole(self.path, lambda file: file.write(json.dumps(self.times).encode()))

    def seconds_per_run(self, name: str) -> float:
        """Of all chunks that this clock has seen; NaN if it saw none."""
        runs = sum(runs for runs, _ in self.times.get(name, ()))
        seconds = sum(seconds for _, seconds in self.times.get(name, ()))
        return seconds / runs if runs else float("nan")


def main() -> int:
    """Run what each contender still lacks, print the standings, draw them."""
    from experiments.running import run_grids

    if FLAGS.distributed:
        raise FlagError("--distributed: the leaderboard tells one machine's seconds")
    listed = {**contenders(FLAGS.passes), **_own()}
    with naming("only"):
        unknown = [name for name in FLAGS.only if name not in listed]
        if unknown:
            raise ValueError(f"must be among {', '.join(listed)}")
    chosen = {name: c for name, c in listed.items() if not FLAGS.only or name in FLAGS.only}
    common = {
        "task": FLAGS.task,
        "samples": FLAGS.samples,
        "depth": FLAGS.depth,
        "width": FLAGS.width,
        "densities": _density(),
        "seeds": FLAGS.seeds,
        "epochs": FLAGS.epochs,
        "objective": "rescaled",
        "check_budget": FLAGS.check_budget,
        **running(),
    }
    clock = _Clock(f"{FLAGS.out}/{TIMES}")
    run_grids(
        {f"{FLAGS.out}/{name}": {**common, **c.fields} for name, c in chosen.items()}, clock.chunk
    )
    _show(chosen, clock)
    return 0


def _show(chosen: dict[str, Contender], clock: _Clock) -> None:
    import pyarrow.compute as pc

    from ticketjax import leaderboard, store
    from ticketjax.summaries import QUALITIES, mean_of_finite, outside_budget
    from ticketjax.titles import seeker_title

    entries, tickets = [], {}
    for name, contender in chosen.items():
        records = store.load_records(f"{FLAGS.out}/{name}")
        metrics = {}
        for task in FLAGS.task:
            own = records.filter(pc.equal(records["task"], task))
            for quality in QUALITIES:
                metrics[task, quality] = own[f"{quality}_metric"].to_numpy().astype(float)
            tickets[task] = mean_of_finite(own["ticket_metric"].to_numpy())
        seconds = clock.seconds_per_run(name)
        first, comma, rest = contender.title.partition(",")
        title = f"{seeker_title(first)}{comma}{rest}"
        outside = outside_budget(records)
        kept = float(records["kept"].to_numpy()[outside].mean()) if outside.any() else None
        entries.append(leaderboard.Entry(title, contender.passes, seconds, metrics, kept))
    density = "the planted ticket's density" if FLAGS.density == "ticket" else FLAGS.density
    title = f"{FLAGS.seeds} seeds, depth {FLAGS.depth}, width {FLAGS.width}, at {density}"
    text = leaderboard.leaderboard_table(entries, tickets)
    path = f"{FLAGS.out}/leaderboard"
    content = f"{title}\n\n{text}\n".encode()
    store.write_whole(f"{path}.txt", lambda file: file.write(content))
    leaderboard.leaderboard_figure(entries, tickets, f"{path}.png", title=title)
    print(f"{title}\n\n{text}\n\nfigure: {path}.png\ntable: {path}.txt")


if __name__ == "__main__":
    start(main)
