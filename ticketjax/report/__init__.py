"""A results directory as tables, figures and one HTML page that needs nothing but itself."""

import functools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from ticketjax.figures import (
    Panel,
    draw_phases,
    draw_quality,
    draw_rounds,
    inline_svg,
    lowest_in_rounds,
)
from ticketjax.report.notices import Notice, notices, place_title, ranges
from ticketjax.report.page import Attachment, Drawing, Section, page
from ticketjax.report.results import Results, find_results, read_results
from ticketjax.store import write_whole
from ticketjax.summaries import QUALITIES, WHERE
from ticketjax.tables import table

__all__ = ["Report", "Results", "figures_of", "find_results", "read_results", "write_report"]

# What a report writes begins so, and is not taken for what lay there.
PREFIX = "report"
PNG = b"\x89PNG\r\n\x1a\n"
Draw = Callable[[BinaryIO], None]
# Beyond, a file beside the grids is left out of the page.
LARGEST_ATTACHMENT = 16 * 2**20


class Report(NamedTuple):
    """What was written. text: the tables. figures: PNG files. notices: by the grid's name."""

    page: pathlib.Path
    table: pathlib.Path
    figures: list[pathlib.Path]
    text: str
    notices: dict[str, list[Notice]]


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


def _section(
    results: Results, name: str, command: str | None, out: pathlib.Path, stem: str
) -> tuple[Section, list[pathlib.Path]]:
    """One grid of the page; draws its figures."""
    found, drawings, paths = notices(results), [], []
    text = table(results.records) if results.records.num_rows else ""
    for figure in figures_of(results.records) if text else ():
        # Names from records may hold anything; file names do not.
        path = out / re.sub(r"[^\w.-]", "_", f"{stem}-{figure.name}.png")
        try:
            panels = [
                Drawing(inline_svg(draw, title, themed=not figure.wide), figure.wide)
                for title, draw in figure.panels
            ]
            write_whole(path, figure.whole)
        except ValueError as error:
            problem = f"{figure.heading}: the figure cannot be drawn: {error}"
            found.append(Notice(problem, [], True))
            continue
        drawings.append((figure.heading, panels))
        paths.append(path)
    return Section(name, results, found, drawings, command, text), paths


def _attachments(directory: pathlib.Path) -> Iterator[Attachment]:
    """Figures and tables that a command left beside the grids' directories."""
    # Figure 2 before figure 10.
    for path in sorted(directory.iterdir(), key=lambda path: (len(path.name), path.name)):
        if path.name.startswith(PREFIX) or not path.is_file():
            continue
        if path.suffix not in (".png", ".txt") or path.stat().st_size > LARGEST_ATTACHMENT:
            continue
        content = path.read_bytes()
        if path.suffix == ".txt":
            yield Attachment(path.name, content.decode(errors="replace"))
        elif content.startswith(PNG):
            yield Attachment(path.name, content)


def write_report(
    directory: pathlib.Path,
    results: Sequence[Results],
    commands: Sequence[str | None],
    out: pathlib.Path,
) -> Report:
    """Write report.html, report.txt and report-*.png of the results found in a directory.

    results: of find_results() and read_results(). commands: how each is made again, if known.

    Raises OSError if `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    sections, figures = [], []
    for one, command in zip(results, commands, strict=True):
        alone = one.directory == directory
        name = directory.resolve().name if alone else one.directory.name
        stem = PREFIX if alone else f"{PREFIX}-{one.directory.name}"
        section, paths = _section(one, name, command, out, stem)
        sections.append(section)
        figures += paths
    whole = [section.results.directory for section in sections] == [directory]
    attachments = [] if whole else list(_attachments(directory))
    text = "\n\n".join(f"{section.name}\n\n{section.text}".rstrip() for section in sections)
    html = page(directory.resolve().name, sections, attachments)
    files = {out / f"{PREFIX}.txt": f"{text}\n", out / f"{PREFIX}.html": html}
    for path, content in files.items():
        write_whole(path, lambda file, content=content: file.write(content.encode()))
    said = {section.name: list(section.notices) for section in sections}
    return Report(out / f"{PREFIX}.html", out / f"{PREFIX}.txt", figures, text, said)
