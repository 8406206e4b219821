"""The share of tickets that each seeker found at each level of a ladder."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ticketjax.base import CLASSIFICATION
from ticketjax.choices import Planting
from ticketjax.records.shares import Share, shares_found
from ticketjax.records.titles import format_share, seeker_title
from ticketjax.tasks.ladder import Level


def by_seeker(records: pa.Table, levels: Sequence[Level]) -> dict[str, list[Share | None]]:
    """For every seeker, in the order of the records, the share that it found at each level."""
    shares = shares_found(records)
    labels = dict.fromkeys(seeker for _, seeker in shares)
    return {label: [shares.get((level.task.name, label)) for level in levels] for label in labels}


def _beside(level: Level) -> list[str]:
    """What makes a level harder than its ticket and its width, in words."""
    planting, plain = level.planting, Planting()
    words = []
    for name in ("tickets", "decoys"):
        count = getattr(planting, name)
        if count != getattr(plain, name):
            words.append(f"{count} {name if count > 1 else name.removesuffix('s')}")
    if planting.match != plain.match:
        words.append(planting.match)
    if planting.perturbation:
        words.append(f"perturbed by {planting.perturbation:g}")
    return words


def level_lines(
    shares: Mapping[str, Sequence[Share | None]], levels: Sequence[Level]
) -> list[list[str]]:
    """A line of cells for every level: its sizes, and the share found per seeker; heads first."""
    lines = [["level", "ticket", "network", *map(seeker_title, shares)]]
    for n, level in enumerate(levels):
        shown = [format_share(*share) if (share := of[n]) else "" for of in shares.values()]
        widths = "-".join(map(str, (level.inputs, *level.hidden, level.outputs)))
        ticket = f"{level.parameters} parameters, {widths}"
        kind = " classes" * (level.kind == CLASSIFICATION)
        network = ", ".join([f"width {level.width}", *_beside(level)])
        lines.append([level.name, ticket + kind, network, *shown])
    return lines


def level_names(levels: Sequence[Level]) -> list[str]:
    """The levels' names in figures: name, parameters of the ticket, width, what else is planted."""
    return [
        "\n".join([level.name, f"{level.parameters} in {level.width}", *_beside(level)])
        for level in levels
    ]
