r"""Make a report card of one seeker, yours or the library's, on one HTML page.

    ticketjax card --seeker=path/to/file.py:root --out=results/card
    ticketjax card --seeker="IMP=multishot(magnitude, rounds=5)" --quick

The page needs neither a network connection nor other files. It shows quality before and after
training as a function of density, next to the library's pruners; the share of tickets found on the
ladder of random teachers; sanity checks (shuffled, inverted, re-initialised); where the seeker
collapses; how much of the ticket it recovers; its cost; and its rank among the leaderboard's
baselines. SNIP took 6 min 36 s on two cores, and 2 min 7 s with --quick on slower ones. A seeker
that trains needs more time. Interrupted runs resume where they stopped.

The seeds are development seeds, 0 to N-1. The numbers are therefore not results, and the page says
so. With --nodevelopment the seeds are 1000 to 1000+N-1. The seeker must then have a frozen setting,
from the library or from the file of --settings, which tune writes.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.choices import BASELINES, MOST_SEEDS, PRUNERS
from ticketjax.commands.contest import arena, define_arena
from ticketjax.commands.flags import (
    FLAGS,
    FlagError,
    density_of,
    naming,
    refuse_empty,
    running,
)
from ticketjax.commands.frozen import (
    define_seeds,
    read_frozen,
    read_setting,
    refuse_unfrozen,
    seeds,
    seeds_of,
    told,
)
from ticketjax.commands.ladder import NOISE, SAMPLES, define_levels, level_grids, levels

if TYPE_CHECKING:
    from ticketjax.runs.grid import Grid
    from ticketjax.tasks.ladder import Level
    from ticketjax.tuning.settings import Frozen

# Seekers shown next to the pruners in the leaderboard, with their frozen settings.
ALSO = ("erk", "balanced", "random_paths", "random_masks")
# The defaults that --quick changes.
QUICK = {
    "out": "results/card-quick",
    "task": "circle",
    "densities": "ticket,0.1",
    "seeds": "5",
    "ladder_seeds": "10",
    "levels": "1,2,3",
}
# Sanity options that should make a seeker worse, by their names on the page.
CHECKS = {"shuffled": "shuffle", "inverted": "invert"}
REINITIALISED = "re-initialised"


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string(
        "seeker",
        None,
        "Seeker: a name, an expression such as refined(probabilistic()), or path/to/file.py:name "
        "for your own score or seeker. LABEL=... sets its name on the page.",
    )
    flags.DEFINE_bool(
        "quick", False, f"Small defaults: {', '.join(f'--{n}={v}' for n, v in QUICK.items())}."
    )
    define_arena(out="results/card")
    flags.DEFINE_list(
        "densities",
        "ticket,0.01,0.1,0.5,1",
        'Fractions of the prunable parameters to keep. "ticket" is the density of the planted '
        "ticket, and is always included.",
    )
    define_seeds(10, "Number of seeds, except on the ladder", development=True)
    flags.DEFINE_string(
        "settings", None, "File of frozen settings from tune, in addition to the library's own."
    )
    define_levels()
    flags.DEFINE_integer(
        "ladder_seeds",
        25,
        "Number of tickets at each level of the ladder, one per seed.",
        lower_bound=1,
        upper_bound=MOST_SEEDS,
    )


@dataclasses.dataclass(frozen=True)
class _Asked:
    """The runs of a card.

    Args:
        label: the seeker's label.
        grids: by directory below --out.
        variants: how each variant of the seeker was modified, by label.
        unasked: the checks that do not apply, and why.
        levels: of the ladder.
        seeds, ladder_seeds: of the runs.
        settings: text about the frozen settings; None for development seeds.
    """

    label: str
    grids: dict[str, Grid]
    variants: dict[str, str]
    unasked: str
    levels: list[Level]
    seeds: list[int]
    ladder_seeds: list[int]
    settings: str | None


def _own() -> tuple[str, Any]:
    """The label and the seeker that --seeker names."""
    from ticketjax.commands.values import read_seeker_flag
    from ticketjax.seekers.registry import get_seeker

    if not FLAGS.seeker:
        raise FlagError("--seeker: must be given, such as --seeker=path/to/file.py:function")
    with naming("seeker"):
        label, value = read_seeker_flag(FLAGS.seeker)
        return label, get_seeker(value)


def _others(
    names: tuple[str, ...], label: str, seeker: Any, frozen: dict[str, Frozen]
) -> dict[str, Any]:
    """Frozen seekers to compare a seeker with; it may be one of them, or have the same name."""
    found = {name: read_setting(name, frozen[name].setting) for name in names}
    other = found.pop(label, seeker)
    return found if other == seeker else found | {f"{label}, frozen": other}


def _densities() -> list[float | str]:
    refuse_empty("densities")
    with naming("densities"):
        given = [density_of(text) for text in FLAGS.densities]
    return list(dict.fromkeys(["ticket", *given]))


def _checked(label: str, seeker: Any) -> tuple[dict[str, Any], str]:
    """The variants of a seeker that should do worse, by label; which checks do not apply."""
    if getattr(seeker, "sanity", None) == "none":
        made = {
            f"{label}, {name}": dataclasses.replace(seeker, sanity=sanity)
            for name, sanity in CHECKS.items()
        }
        return made, ""
    why = "it returns a mask of its own, not scores that a strategy of the library ranks"
    if hasattr(seeker, "sanity"):
        why = "it is such a check itself"
    return {}, f"The checks shuffled and inverted do not apply to {label}: {why}."


def _asked() -> _Asked:
    """All grids of the card. They are checked before anything runs."""
    from ticketjax.commands.running import grid_of

    label, seeker = _own()
    frozen = read_frozen(FLAGS.settings)
    beside = _others(PRUNERS, label, seeker, frozen)
    also = _others(ALSO, label, seeker, frozen)
    climbing = _others(BASELINES, label, seeker, frozen)
    if not FLAGS.development:
        refuse_unfrozen({label: seeker}, frozen)
    common = {**arena(), "seeds": seeds()}
    densities, chosen = _densities(), levels()
    climbers = seeds_of("ladder_seeds", FLAGS.ladder_seeds)
    checks, unasked = _checked(label, seeker)
    anew = f"{label}, {REINITIALISED}"
    grids = {
        "quality": grid_of(**common, densities=densities, seekers={label: seeker, **beside}),
        "baselines": grid_of(**common, densities="ticket", seekers=also),
        REINITIALISED: grid_of(
            **common, densities=densities, seekers={anew: seeker}, reinitialise=True
        ),
    }
    if checks:
        grids["sanity"] = grid_of(**common, densities=densities, seekers=checks)
    ladder = level_grids(
        chosen,
        FLAGS.out,
        **running(),
        seekers={label: seeker, **climbing},
        seeds=climbers,
        samples=SAMPLES,
        noise=NOISE,
        check_budget=FLAGS.check_budget,
    )
    return _Asked(
        label,
        {f"{FLAGS.out}/{name}": wanted for name, wanted in grids.items()} | ladder,
        {name: name.removeprefix(f"{label}, ") for name in (*checks, anew)},
        unasked,
        chosen,
        common["seeds"],
        climbers,
        None if FLAGS.development else _told(seeker, frozen),
    )


def _told(seeker: Any, frozen: dict[str, Frozen]) -> str:
    """One line about the frozen settings of the seeker and of those next to it."""
    beside = (*PRUNERS, *ALSO)
    return told(
        {
            name: one
            for name, one in frozen.items()
            if name in beside or read_setting(name, one.setting) == seeker
        }
    )


def _command() -> str:
    """The command line that makes the card again, with the flags that were given."""
    from ticketjax.commands.again import joined

    given = [
        flag.serialize()
        for flag in FLAGS.get_key_flags_for_module(sys.argv[0])
        if not flag.using_default_value
    ]
    return joined("card", given)


def main() -> int:
    """Run what is missing in every part, write the page and print the first table."""
    if FLAGS.quick:
        for name, value in QUICK.items():
            FLAGS.set_default(name, value)
    asked = _asked()
    from ticketjax.commands.running import run_grids

    if run_grids(asked.grids) is None:
        return 0
    files = _write(asked)
    print(f"{files.glance}\n\npage: {files.page}\ntable: {files.table}")
    print(f"records: {FLAGS.out}/*/parts")
    return 0


def _write(asked: _Asked) -> Any:
    import pyarrow as pa

    from ticketjax.records.store import load_seconds
    from ticketjax.report import read_results
    from ticketjax.report.card import write_card
    from ticketjax.report.chapters import Card
    from ticketjax.seekers.registry import seeker_text
    from ticketjax.sweeping import records_of

    out = pathlib.Path(FLAGS.out)
    parts = {pathlib.Path(path).name: path for path in asked.grids}
    records = {name: records_of(asked.grids[path], path) for name, path in parts.items()}
    quality = asked.grids[parts["quality"]]
    checks = [records[name] for name in ("sanity", REINITIALISED) if name in records]
    seconds = [load_seconds(parts[name]) for name in ("quality", "baselines")]
    card = Card(
        label=asked.label,
        expression=seeker_text(dict(quality.seekers)[asked.label]),
        tasks=list(dict.fromkeys(one.setting.task.name for one in quality.settings())),
        quality=records["quality"],
        baselines=records["baselines"],
        checks=pa.concat_tables(checks),
        variants=asked.variants,
        strong_variants=len(asked.variants) - 1,
        unasked=asked.unasked,
        ladder=pa.concat_tables([records[f"level-{level.name}"] for level in asked.levels]),
        levels=asked.levels,
        seconds=seconds[1] | seconds[0],
        parts={name: read_results(pathlib.Path(path)) for name, path in parts.items()},
        seeds=asked.seeds,
        ladder_seeds=asked.ladder_seeds,
        settings=asked.settings,
        command=_command(),
    )
    return write_card(card, out)
