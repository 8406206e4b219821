"""The figures that suit given records."""

import functools
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from ticketjax.figures import Panel, draw_phases, draw_quality, draw_rounds, lowest_in_rounds
from ticketjax.records.summaries import QUALITIES, places_of
from ticketjax.records.titles import place_name, place_title
from ticketjax.report.notices import ranges

Draw = Callable[[BinaryIO], None]


class Figure(NamedTuple):
    """A figure of a page.

    Args:
        heading: the heading above it.
        name: the name of its file, without the suffix and the report's own prefix.
        whole: draws all parts into one file.
        panels: its parts: the title of each, and a function of the file to draw it into.
        wide: whether the figure is too wide for a phone.
    """

    heading: str
    name: str
    whole: Draw
    panels: list[tuple[str, Draw]]
    wide: bool


def figures_of(records: pa.Table) -> Iterator[Figure]:
    """Quality at every place; maps where widths differ; layers after each round of pruning."""
    for place in places_of(records):
        heading = place_title(place)
        panels = [Panel(quality, place) for quality in QUALITIES]
        yield Figure(
            heading,
            f"quality-{place_name(place)}",
            functools.partial(draw_quality, records, panels),
            [
                (f"{heading}: {p.quality}", functools.partial(draw_quality, records, [p]))
                for p in panels
            ],
            wide=False,
        )
    for place in places_of(records, ("task", "model", "depth", "noise")):
        widths = {p["width"] for p in places_of(records) if place.items() <= p.items()}
        if len(widths) > 1:
            heading = place_title({**place, "width": ranges(widths)})
            draw = functools.partial(draw_phases, records, place)
            yield Figure(heading, f"phase-{place_name(place)}", draw, [(heading, draw)], wide=True)
    for where in lowest_in_rounds(records):
        heading = f"{place_title(where)}: layer densities over the rounds"
        draw = functools.partial(draw_rounds, records, where)
        yield Figure(heading, f"rounds-{place_name(where)}", draw, [(heading, draw)], wide=True)
