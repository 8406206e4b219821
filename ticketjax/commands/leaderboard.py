r"""Leaderboard: every seeker at equal compute on the three tasks, before and after training.

    ticketjax leaderboard --seeds=25 --out=results/leaderboard
    ticketjax leaderboard --development --seeds=3 --seeker=path/to/file.py:function

Every seeker searches at the planted ticket's density, with its frozen setting. Seekers that train
(scores or gates) make 100 passes over the training data; scores at initialisation make as many as
they need. On result seeds, 1000 and up, only frozen settings are run: the library's own and those
of --settings, a file that tune writes. With --development, on seeds 0 to N-1, other --passes and
your own --seeker are allowed. The command prints and draws the standings, with passes and seconds.
--only selects entries. A second table has the difference of each from the best, seed by seed.
Every seeker has its published objective. --both_objectives adds a row with the other objective and
everything else the same. A second figure draws quality over FLOPs and over seconds.

Seconds per run are wall time within compiled programs, on all devices of the machine. They include
drawing, planting, seeking, the final training and measuring, but not compiling.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands.contest import contest, define_contest
from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.frozen import (
    define_seeds,
    read_frozen,
    read_setting,
    refuse_unfrozen,
    seeds,
    told,
)
from ticketjax.tuning.candidates import LINES, Line

if TYPE_CHECKING:
    from ticketjax.runs.grid import Grid
    from ticketjax.tuning.settings import Frozen

TIMES = "seconds.json"
NO_RESULTS = "development seeds, on which settings may be tried; these are not results"


def define() -> None:
    """Define the flags."""
    define_contest(out="results/leaderboard")
    define_seeds(25)
    flags.DEFINE_integer(
        "passes",
        None,
        "Passes over the training data of each search that trains, instead of its setting's.",
        lower_bound=1,
    )
    flags.DEFINE_string(
        "settings", None, "File of frozen settings from tune, in addition to the library's own."
    )
    flags.DEFINE_multi_string(
        "seeker", [], "Your own path/to/file.py:name, or an expression; may be repeated."
    )
    flags.DEFINE_list("only", [], "Directory names of the entries to run; all if empty.")
    flags.DEFINE_bool(
        "both_objectives",
        False,
        "Also run every seeker that uses a loss with the other objective.",
    )


@dataclasses.dataclass(frozen=True)
class Contender:
    """A line of the leaderboard.

    Args:
        title: its name in the table and the figure.
        seeker: as get_seeker() gives it.
    """

    title: str
    seeker: Any


def _contender(label: str, seeker: Any) -> Contender:
    from ticketjax.tuning.passes import with_passes

    line = LINES.get(label, Line(label, ()))
    if FLAGS.passes is not None:
        with naming("passes"):
            seeker = with_passes(seeker, FLAGS.passes)
    return Contender(line.title, seeker)


def _contenders(frozen: dict[str, Frozen]) -> dict[str, Contender]:
    """All seekers with a frozen setting and those of --seeker, or only those that --only names."""
    from ticketjax.commands.values import read_seekers
    from ticketjax.seekers.registry import get_seeker

    with naming("seeker"):
        own = {label: get_seeker(seeker) for label, seeker in read_seekers(FLAGS.seeker).items()}
    labels = [*frozen, *(f"own-{label}" for label in own)]
    with naming("only"):
        if not {*FLAGS.only} <= {*labels}:
            raise ValueError(f"must be among {', '.join(labels)}")
    chosen = [label for label in labels if not FLAGS.only or label in FLAGS.only]
    found = {}
    for label in chosen:
        if label in frozen:
            found[label] = _contender(label, read_setting(label, frozen[label].setting))
        else:
            own_label = label.removeprefix("own-")
            found[label] = dataclasses.replace(_contender(label, own[own_label]), title=own_label)
    return found


def _with_the_other_objective(chosen: dict[str, Contender]) -> dict[str, Contender]:
    """The contenders that use a loss, each with the objective that is not its own."""
    from ticketjax.seekers.registry import objectives_of, with_objective

    others = {}
    for name, contender in chosen.items():
        for objective in objectives_of(contender.seeker)[1:]:
            others[f"{name}-{objective}"] = dataclasses.replace(
                contender,
                title=f"{contender.title}, {objective}",
                seeker=with_objective(contender.seeker, objective),
            )
    return others


class _Clock:
    """Seconds that the compiled programs of chunks took, stored next to the records."""

    def __init__(self, path: str):
        self.path = pathlib.Path(path)
        self.times: dict[str, list] = collections.defaultdict(list)
        if self.path.exists():
            for name, chunks in json.loads(self.path.read_text(encoding="utf-8")).items():
                # Earlier versions subtracted the compile time, sometimes more than the total.
                self.times[name] = [(runs, seconds) for runs, seconds in chunks if seconds >= 0]

    def chunk(self, directory: str, runs: int, seconds: float) -> None:
        """Note a chunk's runs and seconds."""
        from ticketjax.records.store import write_whole

        self.times[os.path.basename(directory)].append((runs, seconds))
        write_whole(self.path, lambda file: file.write(json.dumps(self.times).encode()))

    def seconds_per_run(self, name: str) -> float:
        """Mean over all chunks that were noted; NaN if there are none."""
        runs = sum(runs for runs, _ in self.times.get(name, ()))
        seconds = sum(seconds for _, seconds in self.times.get(name, ()))
        return seconds / runs if runs else float("nan")


def main() -> int:
    """Run what each contender still lacks, print the standings, draw them."""
    from ticketjax.commands.running import grid_of, run_grids

    if FLAGS.distributed:
        raise FlagError("--distributed: the leaderboard measures the seconds of one machine")
    frozen = read_frozen(FLAGS.settings)
    chosen = _contenders(frozen)
    if not FLAGS.development:
        refuse_unfrozen({name: c.seeker for name, c in chosen.items()}, frozen)
    if FLAGS.both_objectives:
        chosen |= _with_the_other_objective(chosen)
    common = {**contest(), "seeds": seeds()}
    clock = _Clock(f"{FLAGS.out}/{TIMES}")
    grids = {name: grid_of(**common, seekers={name: c.seeker}) for name, c in chosen.items()}
    run_grids({f"{FLAGS.out}/{name}": wanted for name, wanted in grids.items()}, clock.chunk)
    settings = told({name: frozen[name] for name in chosen if name in frozen})
    _show(chosen, grids, clock, NO_RESULTS if FLAGS.development else settings)
    return 0


def _show(
    chosen: dict[str, Contender], grids: dict[str, Grid], clock: _Clock, settings_said: str
) -> None:
    from ticketjax.figures import leaderboard
    from ticketjax.figures.against_best import against_best_table
    from ticketjax.figures.compute import curve_of, draw_compute
    from ticketjax.records.statistics import mean_of_finite
    from ticketjax.records.store import load_seconds, write_whole
    from ticketjax.records.summaries import rows_where
    from ticketjax.records.titles import seeker_title
    from ticketjax.sweeping import records_of

    settings = next(iter(grids.values())).settings()
    kinds = {named.setting.task.name: named.setting.task.kind for named in settings}
    entries, tickets, curves = [], {}, {}
    for name, contender in chosen.items():
        records = records_of(grids[name], f"{FLAGS.out}/{name}")
        first, comma, rest = contender.title.partition(",")
        title = f"{seeker_title(first)}{comma}{rest}"
        seconds_of = load_seconds(f"{FLAGS.out}/{name}")
        seconds = clock.seconds_per_run(name)
        entries.append(leaderboard.entry_of(title, records, tuple(kinds), seconds))
        for task in kinds:
            own = rows_where(records, task=task)
            curves[name, task] = curve_of(title, own, seconds_of)
            tickets[task] = mean_of_finite(own["ticket_metric"].to_numpy())
    density = "the planted ticket's density" if FLAGS.density == "ticket" else FLAGS.density
    network = f"depth {settings[0].depth}, width {settings[0].width}"
    if FLAGS.model:
        network = f"{settings[0].model}, {network}"
    of = "development seeds" if FLAGS.development else "seeds"
    title = f"{FLAGS.seeds} {of}, {network}, at {density}"
    tables = [leaderboard.leaderboard_table(entries, tickets, kinds)]
    if len(entries) > 1:
        tables.append(against_best_table(entries, kinds))
    text = "\n\n".join([*tables, settings_said])
    path = f"{FLAGS.out}/leaderboard"
    content = f"{title}\n\n{text}\n".encode()
    write_whole(f"{path}.txt", lambda file: file.write(content))
    leaderboard.leaderboard_figure(entries, tickets, kinds, f"{path}.png", title=title)
    of_tasks = {task: [curves[name, task] for name in chosen] for task in kinds}
    draw_compute(of_tasks, tickets, kinds, f"{path}-compute.png", title=title)
    print(f"{title}\n\n{text}\n\nfigure: {path}.png\nfigure: {path}-compute.png")
    print(f"table: {path}.txt")
