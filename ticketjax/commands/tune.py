r"""Choose the setting of a seeker on development seeds and validation data, and freeze it.

    ticketjax tune --seeker=all --settings=settings.json
    ticketjax tune --seeker="mine=path/to/file.py:Mine()" \
        --candidate="path/to/file.py:Mine(rate=0.1)" --settings=settings.json
    ticketjax tune --seeker="concrete(epochs=50)" --vary=learning_rate=0.02,0.05,0.1

Every candidate searches at the planted ticket's density. Nothing is computed on held-out data. The
last tenth of the training data is validation data, on which masks are measured; seekers get the
rest. The candidate with the lowest mean rank over tasks is chosen: one setting for all tasks, as
for a user who does not know the ticket. The file lists all candidates. On result seeds, the
leaderboard runs only settings in such a file.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands.contest import contest, define_contest
from ticketjax.commands.flags import (
    FLAGS,
    FlagError,
    naming,
    numbers,
    value_of,
)
from ticketjax.tuning.candidates import LINES, Line
from ticketjax.tuning.seeds import DEVELOPMENT, development_seeds, purposes

if TYPE_CHECKING:
    from ticketjax.runs.grid import Grid
    from ticketjax.tuning.selection import Try
    from ticketjax.tuning.settings import Frozen

ALL = "all"


def define() -> None:
    """Define the flags."""
    define_contest(out="results/tune")
    flags.DEFINE_multi_string(
        "seeker",
        [],
        f'A label of the leaderboard, which has listed candidates; "{ALL}" for all labels; or '
        "LABEL=EXPRESSION or your own path/to/file.py:name as the first candidate. A list; may be "
        "repeated.",
    )
    flags.DEFINE_multi_string(
        "candidate", [], "Expression of a further candidate for a single --seeker."
    )
    flags.DEFINE_multi_string(
        "vary",
        [],
        "name=value,...: further candidates for a single --seeker, the first one with these "
        "values. Repeated flags give all combinations.",
    )
    flags.DEFINE_integer(
        "tries", None, "Try the first candidate and N-1 random others.", lower_bound=1
    )
    flags.DEFINE_enum(
        "quality",
        None,
        ["strong", "weak"],
        "Quality that decides, before or after training; by default that of the seeker's purpose.",
    )
    flags.DEFINE_string(
        "settings", None, "File to which the choice is added; OUT/settings.json by default."
    )
    flags.DEFINE_integer("seeds", 5, "Development seeds: 0 to N-1, at most 100.", lower_bound=1)
    flags.DEFINE_list("seed_list", None, "List of development seeds, instead of --seeds.")


def _seeds() -> list[int]:
    if FLAGS.seed_list is None:
        with naming("seeds"):
            return development_seeds(FLAGS.seeds)
    given = numbers("seed_list", int)
    if set(purposes(given)) - {"development"} or min(given, default=0) < 0:
        raise FlagError(
            f"--seed_list={','.join(map(str, given))}: settings are tuned on development seeds, "
            f"0 to {DEVELOPMENT[-1]}"
        )
    return given


def _read(flag: str, texts: Sequence[str]) -> dict[str, Any]:
    """Seekers by expression: canonical unless it has a user's functions, else as given."""
    from ticketjax.commands.values import read_seeker_flag
    from ticketjax.fingerprints import own_functions
    from ticketjax.seekers.registry import get_seeker, seeker_text

    found = {}
    for text in texts:
        try:
            seeker = get_seeker(read_seeker_flag(text)[1])
        except ValueError as error:
            raise FlagError(f"--{flag}={text}: {error}") from None
        found[text.strip() if own_functions(seeker) else seeker_text(seeker)] = seeker
    return found


def _varied(first: Any) -> dict[str, Any]:
    """The combinations of the values of --vary, as seekers by expression."""
    import itertools

    from ticketjax import expressions
    from ticketjax.checks import Options
    from ticketjax.fingerprints import own_functions
    from ticketjax.names import suggestion
    from ticketjax.seekers.registry import seeker_text

    axes = []
    for text in FLAGS.vary:
        name, equals, values = text.partition("=")
        if not isinstance(first, Options) or own_functions(first):
            raise FlagError(f"--vary={text}: only for the library's own seekers; use --candidate")
        known = [field.name for field in dataclasses.fields(first)]  # type: ignore[arg-type]
        if name not in known or not expressions.split(values):
            hint = suggestion(name, known)
            raise FlagError(f"--vary={text}: must be NAME=value,..., NAME of {known}{hint}")
        axes.append([(name, value_of(value)) for value in expressions.split(values)])
    found = {}
    for chosen in itertools.product(*axes) if axes else ():
        try:
            seeker = dataclasses.replace(first, **dict(chosen))
        except ValueError as error:
            raise FlagError(f"--vary: {error}") from None
        found[seeker_text(seeker)] = seeker
    return found


def _few(candidates: dict[str, Any]) -> dict[str, Any]:
    """The first candidate and as many others as --tries allows, always the same, in their order."""
    import numpy as np

    if FLAGS.tries is None or FLAGS.tries >= len(candidates):
        return candidates
    first, *others = candidates
    drawn = np.random.default_rng(0).permutation(len(others))[: FLAGS.tries - 1]
    return {text: candidates[text] for text in (first, *(others[i] for i in sorted(drawn)))}


def _lines() -> dict[str, Line]:
    """The lines of --seeker, by label, with the first candidate or all that are listed."""
    from ticketjax import expressions
    from ticketjax.commands.values import read_seeker_flag, split_label

    lines = {}
    given = [part for text in FLAGS.seeker for part in expressions.split(text)]
    if not given:
        raise FlagError("--seeker: at least one is needed")
    for text in [*LINES] if ALL in given else given:
        if text in LINES:
            lines[text] = LINES[text]
            continue
        with naming("seeker"):
            label, _ = read_seeker_flag(text)
            if label in (".", "..") or os.path.basename(label) != label:
                raise ValueError(f"must be a name for a directory, got {label!r}")
        known = LINES.get(label, Line(label, ()))
        lines[label] = known._replace(candidates=(split_label(text)[1],))
    if (FLAGS.candidate or FLAGS.vary) and len(lines) > 1:
        raise FlagError("--candidate, --vary: are for one --seeker")
    return lines


def _candidates(line: Line) -> dict[str, Any]:
    """The seekers to be compared by expression, the first one first."""
    if not (FLAGS.candidate or FLAGS.vary):
        return _few(_read("seeker", line.candidates))
    first = _read("seeker", line.candidates[:1])
    (seeker,) = first.values()
    return _few(first | _read("candidate", FLAGS.candidate) | _varied(seeker))


def _there(path: str, candidates: Mapping[str, dict[str, Any]]) -> dict[str, Frozen]:
    """The settings that the file already has; tries that it lists must be candidates again."""
    from ticketjax.tuning.settings import read_settings

    above = pathlib.Path(path).absolute().parent
    if not next(parent for parent in (above, *above.parents) if parent.exists()).is_dir():
        raise FlagError(f"--settings={path}: {above} is not a directory")
    if not os.path.exists(path):
        return {}
    try:
        there = read_settings(path)
    except ValueError as error:
        raise FlagError(f"--settings={path}: {error}") from None
    for label, given in candidates.items():
        tried = [one.setting for one in there[label].tried] if label in there else []
        lost = [setting for setting in tried if setting not in given]
        if lost:
            raise FlagError(
                f"--settings={path}: of {label} {', '.join(lost)} was tried too: make it a "
                "--candidate, because the file lists all candidates; or choose another file"
            )
    return there


def _freeze(seekers: dict[str, Any], tries: list[Try], quality: str, grid: Grid) -> Frozen:
    """The choice among the seekers, by expression; the only one, if there are no tries."""
    from ticketjax.fingerprints import own_functions
    from ticketjax.records.manifest import versions
    from ticketjax.seekers.registry import seeker_text
    from ticketjax.tuning.selection import best
    from ticketjax.tuning.settings import Frozen, Tuning

    setting = best(tries).setting if tries else next(iter(seekers))
    tuning = Tuning(
        quality=quality,
        tasks=tuple(task.name for task in grid.axis("task")),
        seeds=tuple(grid.axis("seeds")),
        depth=FLAGS.depth,
        width=FLAGS.width,
        density=grid.axis("densities")[0],
        samples=FLAGS.samples,
        versions=versions(),
    )
    return Frozen(
        setting=setting,
        complete=seeker_text(seekers[setting], complete=True),
        functions=own_functions(seekers[setting]),
        frozen=datetime.date.today().isoformat(),
        tunable=len(seekers) > 1,
        tuning=tuning if tries else None,
        tried=tuple(tries),
    )


def _table(tries: list[Try], quality: str, accuracies: Mapping[str, bool]) -> str:
    """A row per candidate: the validation metric of each task, the number of runs, the rank."""
    from ticketjax.records.columns import aligned
    from ticketjax.records.titles import format_metric, task_title
    from ticketjax.tuning.selection import best

    chosen = best(tries)
    tasks = list(chosen.validation)
    heads = [f"{task_title(t)} {'accuracy' if accuracies[t] else 'MSE'}" for t in tasks]
    lines = [["", f"rank ({quality})", *heads, "runs", ""]]
    for one in tries:
        means = [format_metric(one.validation[task], accuracies[task]) for task in tasks]
        runs = str(sum(one.runs.values()))
        mark = "chosen" if one is chosen else ""
        lines.append([one.setting, f"{one.rank:.2f}", *means, runs, mark])
    return "\n".join(aligned(lines))


def main() -> int:
    """Run what the candidates still lack, print them, and write the choice."""
    seeds, lines = _seeds(), _lines()
    candidates = {label: _candidates(line) for label, line in lines.items()}
    path = FLAGS.settings or f"{FLAGS.out}/settings.json"
    there = _there(path, candidates)
    from ticketjax.base import CLASSIFICATION
    from ticketjax.commands.running import grid_of, is_first, run_grids
    from ticketjax.sweeping import records_of
    from ticketjax.tuning.selection import compared
    from ticketjax.tuning.settings import write_settings
    from ticketjax.tuning.validation import training_samples, validation_task

    common = contest()
    common["task"] = [validation_task(task, FLAGS.samples) for task in common["task"]]
    common["samples"] = training_samples(FLAGS.samples)
    grids = {label: grid_of(**common, seeds=seeds, seekers=candidates[label]) for label in lines}
    # A single candidate needs no runs.
    wanted = {label: grid for label, grid in grids.items() if len(candidates[label]) > 1}
    if wanted:
        run_grids({f"{FLAGS.out}/{label}": grid for label, grid in wanted.items()})
    if not is_first():
        return 0
    accuracies = {task.name: task.kind == CLASSIFICATION for task in common["task"]}
    frozen = {}
    for label, grid in grids.items():
        quality, tries = FLAGS.quality or lines[label].quality, []
        if label in wanted:
            records = records_of(grid, f"{FLAGS.out}/{label}")
            tries = compared(records, list(candidates[label]), quality)
        frozen[label] = _freeze(candidates[label], tries, quality, grid)
        shown = _table(tries, quality, accuracies) if tries else "one setting: nothing to tune"
        print(f"{label}: {frozen[label].setting}\n{shown}\n")
    write_settings(path, there | frozen)
    print(f"settings: {path}")
    return 0
