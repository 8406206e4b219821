r"""The leaderboard: every seeker at equal compute on the three tasks, before and after training.

    ticketjax leaderboard --seeds=25 --out=results/leaderboard
    ticketjax leaderboard --seeker=path/to/file.py:function

Every seeker looks for a ticket at the planted one's own density. One that trains, scores or gates,
may pass --passes times over the training data; scores at initialisation take what they take. The
baselines random_paths and random_masks draw three masks for each pass, since a loss alone costs
about a third of a gradient. Prints the standings and draws them; both tell the passes and the
seconds. --only names entries to run.

Seconds are wall time within compiled programs, on all devices of the machine, over the runs that it
was spent on: of drawing, planting, seeking, the final training and measuring, without compiling.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.choices import Training
from ticketjax.commands.flags import (
    FLAGS,
    FlagError,
    define_budget,
    define_options,
    define_running,
    define_task_and_model,
    density_of,
    naming,
    running,
    tasks_and_models,
    training,
)

if TYPE_CHECKING:
    from ticketjax.runs.grid import Grid

SINGLESHOT = ("random", "erk", "balanced", "magnitude", "snip", "grasp", "synflow")
MULTISHOT = ("magnitude", "snip", "grasp", "synflow")
GATES = (
    "probabilistic",
    "concrete",
    "relaxed_bernoulli",
    "continuous_sparsification",
    "gem_miner",
)
# Masks drawn at random, the best of which counts; "magnitude" is the third of the baselines.
DRAWN = ("random_paths", "random_masks")
# A pass without gradients takes about a third of one with them.
DRAWS_PER_PASS = 3
# Rounds of pruning; restarts of a search, which share its passes.
ROUNDS, RESTARTS = 10, 4
PURSUIT_ROUNDS = 1000
# The passes of seekers whose computation is not counted in passes over the data.
UNKNOWN = float("nan")
TIMES = "seconds.json"


def define() -> None:
    """Define the flags."""
    define_running(out="results/leaderboard")
    define_task_and_model(tasks="relu,circle,helix")
    flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=2)
    flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
    flags.DEFINE_string("density", "ticket", 'A number, or "ticket", the planted ticket\'s own.')
    flags.DEFINE_integer("seeds", 25, "Seeds 0 to N-1.", lower_bound=1)
    flags.DEFINE_integer(
        "passes", 100, "Over the training data, of each search.", lower_bound=ROUNDS
    )
    flags.DEFINE_integer("samples", 10_000, "Samples per run, a tenth held out.", lower_bound=1)
    define_options(Training)
    flags.DEFINE_multi_string(
        "seeker", [], "path/to/file.py:name of your own, or an expression, as often as wanted."
    )
    define_budget()
    flags.DEFINE_list("only", [], "Directories of the entries to run; all if empty.")


@dataclasses.dataclass(frozen=True)
class Contender:
    """A line of the leaderboard.

    Args:
        title: its name in the table and the figure.
        seeker: an expression, or a user's own seeker or score.
        passes: passes over the training data, with gradients, in one search.
        objective: the objective that the seeker optimises.
    """

    title: str
    seeker: Any
    passes: float
    objective: str = "rescaled"


def contenders(passes: int) -> dict[str, Contender]:
    """All seekers of the registry, by directory name; those that train make so many passes."""
    in_rounds = f"rounds={ROUNDS}, round_epochs={passes // ROUNDS}"
    annealed = f"annealed=True, epochs={passes}"
    restarts = f"concrete(epochs={passes // RESTARTS}, restarts={RESTARTS})"
    pursuit = f"path_pursuit(exchange=True, rounds={PURSUIT_ROUNDS})"
    return {
        **{name: Contender(name, f"singleshot({name})", 0) for name in SINGLESHOT},
        "synflow-100": Contender("synflow, 100 rounds", "singleshot(synflow, rounds=100)", 0),
        **{
            name: Contender(name, f"{name}(draws={DRAWS_PER_PASS * passes})", passes)
            for name in DRAWN
        },
        **{
            f"{name}-multishot": Contender(
                f"{name}, multishot", f"multishot({name}, {in_rounds})", passes
            )
            for name in MULTISHOT
        },
        "rewinding-multishot": Contender("rewinding, multishot", f"rewinding({in_rounds})", passes),
        "iterative_hard_thresholding": Contender(
            "iterative_hard_thresholding", f"iterative_hard_thresholding({annealed})", passes
        ),
        "edge_popup-published": Contender(
            "edge_popup, as published", f"edge_popup({annealed})", passes, objective="raw"
        ),
        "edge_popup-global": Contender(
            "edge_popup, global", f"edge_popup({annealed}, normalise=True, scope='global')", passes
        ),
        **{name: Contender(name, f"{name}(epochs={passes})", passes) for name in GATES},
        "concrete-restarts": Contender(f"concrete, {RESTARTS} restarts", restarts, passes),
        "probabilistic-refined": Contender(
            "probabilistic, refined", f"refined(probabilistic(epochs={passes}))", passes
        ),
        "path_pursuit": Contender("path_pursuit", "path_pursuit()", UNKNOWN),
        "path_pursuit-refined": Contender("path_pursuit, refined", pursuit, UNKNOWN),
    }


def _own() -> dict[str, Contender]:
    """The seekers of --seeker; the number of passes that they make is not known."""
    from ticketjax.commands.values import read_seekers

    with naming("seeker"):
        own = read_seekers(FLAGS.seeker)
    return {f"own-{label}": Contender(label, seeker, UNKNOWN) for label, seeker in own.items()}


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
                # Earlier versions subtracted the compilation, at times more than the total.
                self.times[name] = [(runs, seconds) for runs, seconds in chunks if seconds >= 0]

    def chunk(self, directory: str, runs: int, seconds: float) -> None:
        """Note a chunk's runs and seconds."""
        from ticketjax.records.store import write_whole

        self.times[os.path.basename(directory)].append((runs, seconds))
        write_whole(self.path, lambda file: file.write(json.dumps(self.times).encode()))

    def seconds_per_run(self, name: str) -> float:
        """Of all chunks that this clock has seen; NaN if it saw none."""
        runs = sum(runs for runs, _ in self.times.get(name, ()))
        seconds = sum(seconds for _, seconds in self.times.get(name, ()))
        return seconds / runs if runs else float("nan")


def main() -> int:
    """Run what each contender still lacks, print the standings, draw them."""
    from ticketjax.commands.running import grid_of, run_grids

    if FLAGS.distributed:
        raise FlagError("--distributed: the leaderboard tells one machine's seconds")
    listed = {**contenders(FLAGS.passes), **_own()}
    with naming("only"):
        unknown = [name for name in FLAGS.only if name not in listed]
        if unknown:
            raise ValueError(f"must be among {', '.join(listed)}")
    chosen = {name: c for name, c in listed.items() if not FLAGS.only or name in FLAGS.only}
    common = {
        **tasks_and_models(),
        "training": training(),
        "samples": FLAGS.samples,
        "depth": FLAGS.depth,
        "width": FLAGS.width,
        "densities": _density(),
        "seeds": FLAGS.seeds,
        "check_budget": FLAGS.check_budget,
        **running(),
    }
    if len(common["model"] or ()) > 1:
        raise FlagError("--model: the leaderboard is of one network")
    clock = _Clock(f"{FLAGS.out}/{TIMES}")
    grids = {
        name: grid_of(**common, seekers={name: c.seeker}, objective=c.objective)
        for name, c in chosen.items()
    }
    run_grids({f"{FLAGS.out}/{name}": wanted for name, wanted in grids.items()}, clock.chunk)
    _show(chosen, grids, clock)
    return 0


def _show(chosen: dict[str, Contender], grids: dict[str, Grid], clock: _Clock) -> None:
    import pyarrow.compute as pc

    from ticketjax.figures import leaderboard
    from ticketjax.records.statistics import mean_of_finite
    from ticketjax.records.store import write_whole
    from ticketjax.records.summaries import QUALITIES, outside_budget
    from ticketjax.records.titles import seeker_title
    from ticketjax.sweeping import records_of

    settings = next(iter(grids.values())).settings()
    kinds = {named.setting.task.name: named.setting.task.kind for named in settings}
    entries, tickets = [], {}
    for name, contender in chosen.items():
        records = records_of(grids[name], f"{FLAGS.out}/{name}")
        metrics, found = {}, {}
        for task in kinds:
            own = records.filter(pc.equal(records["task"], task))
            for quality in QUALITIES:
                metrics[task, quality] = own[f"{quality}_metric"].to_numpy().astype(float)
            tickets[task] = mean_of_finite(own["ticket_metric"].to_numpy())
            found[task] = own["found"].drop_null().to_numpy().astype(bool)
        seconds = clock.seconds_per_run(name)
        first, comma, rest = contender.title.partition(",")
        title = f"{seeker_title(first)}{comma}{rest}"
        outside = outside_budget(records)
        kept = float(records["kept"].to_numpy()[outside].mean()) if outside.any() else None
        entries.append(leaderboard.Entry(title, contender.passes, seconds, metrics, kept, found))
    density = "the planted ticket's density" if FLAGS.density == "ticket" else FLAGS.density
    network = f"depth {settings[0].depth}, width {settings[0].width}"
    if FLAGS.model:
        network = f"{settings[0].model}, {network}"
    title = f"{FLAGS.seeds} seeds, {network}, at {density}"
    text = leaderboard.leaderboard_table(entries, tickets, kinds)
    path = f"{FLAGS.out}/leaderboard"
    content = f"{title}\n\n{text}\n".encode()
    write_whole(f"{path}.txt", lambda file: file.write(content))
    leaderboard.leaderboard_figure(entries, tickets, kinds, f"{path}.png", title=title)
    print(f"{title}\n\n{text}\n\nfigure: {path}.png\ntable: {path}.txt")
