r"""Ladder of difficulty: the share of random tickets that seekers find at each level.

    ticketjax ladder --out=results/ladder
    ticketjax ladder --development --seeds=5 --levels=1,2,3 \
        --seekers="random_paths(draws=300), path/to/file.py:function"

Every level draws one ticket per seed, a random sparse network, and plants it in a random network.
Every seeker searches for it at the ticket's own number of parameters. A ticket is found if the mask
computes its function before any training. The command prints and draws, for every level and seeker,
how many tickets were found, with Wilson's 95% interval. With each level, tickets have more
parameters and networks more neurons. Levels 3d, 4d and 5d have decoys beside the ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands.flags import (
    FLAGS,
    define_budget,
    define_expressions,
    define_running,
    naming,
    refuse_empty,
    running,
)
from ticketjax.commands.frozen import define_seeds, seeds

if TYPE_CHECKING:
    from ticketjax.runs.grid import Grid
    from ticketjax.tasks.ladder import Level

SEEKERS = ", ".join(
    (
        "random masks=random_masks(draws=1000)",
        "random paths=random_paths(draws=1000)",
        "random start and exchange=refined(singleshot(random), rounds=200)",
        "probabilistic and exchange=refined(probabilistic(epochs=400), rounds=200)",
        "random paths and annealing=annealed(random_paths(draws=1000), steps=1000, proposals=128, "
        "entropy_share=0.0)",
    )
)
SAMPLES, NOISE = 1_000, 0.0
# In help: the levels themselves are not read before JAX is.
DEFAULT = "all without decoys"


def define() -> None:
    """Define the flags."""
    define_running(out="results/ladder")
    define_expressions(
        "seekers",
        SEEKERS,
        "Seekers to compare: names, expressions, your own path/to/file.py:name. LABEL=... sets the "
        "label in the figure.",
    )
    define_levels()
    define_seeds(25, "Tickets at each level, one per seed")
    flags.DEFINE_integer(
        "samples", SAMPLES, "Samples per run; a tenth is held out.", lower_bound=10
    )
    flags.DEFINE_float("noise", NOISE, "Noise level.", lower_bound=0)
    define_budget()


def define_levels() -> None:
    """Define the flag that names the levels."""
    flags.DEFINE_list("levels", None, f"Names of the ladder's levels to run; {DEFAULT} by default.")


def levels() -> list[Level]:
    """The levels that --levels names, in its order."""
    from ticketjax.names import suggestion
    from ticketjax.tasks.ladder import DECOY_LEVELS, LADDER

    if FLAGS.levels is None:
        return list(LADDER)
    known = {level.name: level for level in (*LADDER, *DECOY_LEVELS)}
    refuse_empty("levels")
    with naming("levels"):
        for name in FLAGS.levels:
            if name not in known:
                hint = suggestion(name, known)
                raise ValueError(f"must be among {', '.join(known)}, got {name!r}{hint}")
    return [known[name] for name in dict.fromkeys(FLAGS.levels)]


def _fields() -> dict[str, Any]:
    """The fields of Grid that all levels share."""
    from ticketjax.commands.values import read_seekers

    refuse_empty("seekers")
    with naming("seekers"):
        seekers = read_seekers(FLAGS.seekers)
    return {
        **running(),
        "seekers": seekers,
        "seeds": seeds(25),
        "samples": FLAGS.samples,
        "noise": FLAGS.noise,
        "check_budget": FLAGS.check_budget,
    }


def level_grids(levels: list[Level], out: str, **fields: Any) -> dict[str, Grid]:
    """A grid for each level, at the ticket's own density and without training, by its directory.

    Args:
        levels: of the ladder.
        out: what the directories are in.
        **fields: of Grid, which all levels share.
    """
    from ticketjax.choices import Training
    from ticketjax.commands.running import grid_of

    return {
        f"{out}/level-{level.name}": grid_of(
            **fields,
            task=level.task,
            depth=level.depth,
            width=level.width,
            planting=level.planting,
            densities="ticket",
            training=Training(epochs=0),
        )
        for level in levels
    }


def main() -> int:
    """Run every level, print the shares, draw them."""
    chosen, fields = levels(), _fields()
    from ticketjax.commands.running import run_grids
    from ticketjax.figures.ladder import draw_ladder
    from ticketjax.records.columns import aligned
    from ticketjax.records.levels import by_seeker, level_lines, level_names

    records = run_grids(level_grids(chosen, FLAGS.out, **fields))
    if records is None:
        return 0
    found = by_seeker(records, chosen)
    shares = {label: found[label] for label in fields["seekers"]}
    print("\n".join(aligned(level_lines(shares, chosen))))
    path = f"{FLAGS.out}/ladder.png"
    kind = "development " * FLAGS.development
    draw_ladder(
        shares,
        level_names(chosen),
        path,
        note=f"level, parameters of the ticket, width of the network; {len(fields['seeds'])} "
        f"{kind}tickets each, at the ticket's own density, before training; 95% intervals (Wilson)",
    )
    print(f"\nfigure: {path}\nrecords: {FLAGS.out}/level-*/parts")
    return 0
