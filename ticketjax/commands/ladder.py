r"""Ladder of difficulty: the share of random tickets that seekers find at each level.

    ticketjax ladder --out=results/ladder
    ticketjax ladder --development --seeds=5 --levels=1,2,3 \
        --seekers="random_paths(draws=300), path/to/file.py:function"

Every level draws one ticket per seed, a random sparse network, and plants it in a random network.
Every seeker searches for it at the ticket's own number of parameters. A ticket is found if the mask
computes its function before any training. The command prints and draws, for every level and seeker,
how many tickets were found, with Wilson's 95% interval. With each level, tickets have more
parameters and networks more neurons.
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
    import pyarrow as pa

    from ticketjax.records.shares import Share
    from ticketjax.tasks.ladder import Level

SEEKERS = ", ".join(
    (
        "random masks=random_masks(draws=1000)",
        "random paths=random_paths(draws=1000)",
        "random start and exchange=refined(singleshot(random), rounds=200)",
        "probabilistic and exchange=refined(probabilistic(epochs=400), rounds=200)",
    )
)


def define() -> None:
    """Define the flags."""
    define_running(out="results/ladder")
    define_expressions(
        "seekers",
        SEEKERS,
        "Seekers to compare: names, expressions, your own path/to/file.py:name. LABEL=... sets the "
        "label in the figure.",
    )
    flags.DEFINE_list("levels", None, "Names of the levels to run; all by default.")
    define_seeds(25, "Tickets at each level, one per seed")
    flags.DEFINE_integer("samples", 1_000, "Samples per run; a tenth is held out.", lower_bound=10)
    flags.DEFINE_float("noise", 0.0, "Noise level.", lower_bound=0)
    define_budget()


def _levels() -> list[Level]:
    from ticketjax.names import suggestion
    from ticketjax.tasks.ladder import LADDER

    known = {level.name: level for level in LADDER}
    if FLAGS.levels is None:
        return list(known.values())
    refuse_empty("levels")
    with naming("levels"):
        for name in FLAGS.levels:
            if name not in known:
                hint = suggestion(name, known)
                raise ValueError(f"must be among {', '.join(known)}, got {name!r}{hint}")
    return [known[name] for name in dict.fromkeys(FLAGS.levels)]


def _fields() -> dict[str, Any]:
    """The fields of Grid that all levels share."""
    from ticketjax.choices import Training
    from ticketjax.commands.values import read_seekers

    refuse_empty("seekers")
    with naming("seekers"):
        seekers = read_seekers(FLAGS.seekers)
    return {
        **running(),
        "seekers": seekers,
        "densities": "ticket",
        "seeds": seeds(25),
        "samples": FLAGS.samples,
        "noise": FLAGS.noise,
        "training": Training(epochs=0),
        "check_budget": FLAGS.check_budget,
    }


def by_seeker(records: pa.Table, levels: list[Level]) -> dict[str, list[Share | None]]:
    """For every seeker, in the records' order, what it found at each of the levels."""
    from ticketjax.records.shares import shares_found

    shares = shares_found(records)
    labels = dict.fromkeys(seeker for _, seeker in shares)
    return {label: [shares.get((level.task.name, label)) for level in levels] for label in labels}


def _table(shares: dict[str, list[Share | None]], levels: list[Level]) -> str:
    from ticketjax.records.columns import aligned
    from ticketjax.records.titles import format_share, seeker_title

    lines = [["level", "ticket", "network", *map(seeker_title, shares)]]
    for n, level in enumerate(levels):
        shown = [format_share(*share) if (share := of[n]) else "" for of in shares.values()]
        widths = "-".join(map(str, (level.inputs, *level.hidden, level.outputs)))
        ticket = f"{level.parameters} parameters, {widths}"
        kind = " classes" * (level.kind == "classification")
        lines.append([level.name, ticket + kind, f"width {level.width}", *shown])
    return "\n".join(aligned(lines))


def main() -> int:
    """Run every level, print the shares, draw them."""
    levels, fields = _levels(), _fields()
    from ticketjax.commands.running import grid_of, run_grids
    from ticketjax.figures.ladder import draw_ladder

    grids = {
        f"{FLAGS.out}/level-{level.name}": grid_of(
            **fields,
            task=level.task,
            depth=level.depth,
            width=level.width,
            planting=level.planting,
        )
        for level in levels
    }
    records = run_grids(grids)
    if records is None:
        return 0
    found = by_seeker(records, levels)
    shares = {label: found[label] for label in fields["seekers"]}
    print(_table(shares, levels))
    path = f"{FLAGS.out}/ladder.png"
    names = [f"{one.name}\n{one.parameters} in {one.width}" for one in levels]
    kind = "development " * FLAGS.development
    draw_ladder(
        shares,
        names,
        path,
        note=f"level, parameters of the ticket, width of the network; {len(fields['seeds'])} "
        f"{kind}tickets each, at the ticket's own density, before training; 95% intervals (Wilson)",
    )
    print(f"\nfigure: {path}\nrecords: {FLAGS.out}/level-*/parts")
    return 0
