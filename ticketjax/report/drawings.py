"""Which figures records ask for."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from ticketjax.figures import Panel, draw_phases, draw_quality, draw_rounds, lowest_in_rounds
from ticketjax.report.notices import place_title, ranges
from ticketjax.summaries import QUALITIES, WHERE

Draw = Callable[[BinaryIO], None]


class Figure(NamedTuple):
    """A figure of a page. panels: its parts, each a function of the file to draw into.

    whole: draws all parts into one file.
    """

    heading: str
    name: str
    whole: Draw
    panels: list[tuple[str, Draw]]
    wide: bool


def _places(records: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    groups = records.group_by(names, use_threads=False).aggregate([])
    return groups.sort_by([(name, "ascending") for name in names]).to_pylist()


def figures_of(records: pa.Table) -> Iterator[Figure]:
    """Quality at every place; maps where widths differ; layers where pruning went in rounds."""
    for place in _places(records, WHERE):
        heading = place_title(place)
        panels = [Panel(quality, place) for quality in QUALITIES]
        yield Figure(
            heading,
            "quality-{task}-depth{depth}-width{width}-noise{noise:g}".format(**place),
            functools.partial(draw_quality, records, panels),
            [
                (f"{heading}: {p.quality}", functools.partial(draw_quality, records, [p]))
                for p in panels
            ],
            wide=False,
        )
    for place in _places(records, ("task", "depth", "noise")):
        widths = {p["width"] for p in _places(records, WHERE) if place.items() <= p.items()}
        if len(widths) > 1:
            heading = place_title({**place, "width": ranges(widths)})
            draw = functools.partial(draw_phases, records, place)
            name = "phase-{task}-depth{depth}-noise{noise:g}".format(**place)
            yield Figure(heading, name, draw, [(heading, draw)], wide=True)
    for where in lowest_in_rounds(records):
        heading = f"{place_title(where)}: layers over the rounds"
        draw = functools.partial(draw_rounds, records, where)
        name = "rounds-{task}-depth{depth}-width{width}-noise{noise:g}".format(**where)
        yield Figure(heading, name, draw, [(heading, draw)], wide=True)
