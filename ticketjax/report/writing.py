"""Reports as files: one page, the tables as text, every figure as PNG."""

import operator
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ticketjax.figures import inline_svg
from ticketjax.records.store import write_whole
from ticketjax.records.tables import table
from ticketjax.report.drawings import figures_of
from ticketjax.report.notices import Notice, notices
from ticketjax.report.page import Attachment, Section, page
from ticketjax.report.parts import Drawing
from ticketjax.report.results import Results

# Files that a report writes begin with this, and are not attached to the next report.
PREFIX = "report"
PNG = b"\x89PNG\r\n\x1a\n"
# Bytes; a larger file next to the grids is left out of the page.
LARGEST_ATTACHMENT = 16 * 2**20


class Report(NamedTuple):
    """What was written.

    Args:
        page: the HTML file.
        table: the text file.
        figures: PNG files.
        text: the tables.
        notices: notices by the grid's name.
    """

    page: pathlib.Path
    table: pathlib.Path
    figures: list[pathlib.Path]
    text: str
    notices: dict[str, list[Notice]]


def _section(
    results: Results, name: str, command: str | None, out: pathlib.Path, stem: str
) -> tuple[Section, list[pathlib.Path]]:
    """One grid of the page; draws its figures."""
    found, drawings, paths = notices(results), [], []
    text = table(results.records) if results.records.num_rows else ""
    for figure in figures_of(results.records) if text else ():
        # Names from records may contain any character; file names may not.
        path = out / re.sub(r"[^\w.-]", "_", f"{stem}-{figure.name}.png")
        try:
            panels = [
                Drawing(
                    inline_svg(draw, title, themed=not figure.wide), figure.wide, not figure.wide
                )
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
    """Figures and tables that a command wrote next to the grids' directories."""
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

    Args:
        directory: the directory of the results.
        results: what find_results() and read_results() return.
        commands: the command that makes each of the results again; None if it is not known.
        out: the directory to write to.

    Returns:
        The report.

    Raises:
        OSError: `out` cannot be written.
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
        write_whole(path, operator.methodcaller("write", content.encode()))
    said = {section.name: list(section.notices) for section in sections}
    return Report(out / f"{PREFIX}.html", out / f"{PREFIX}.txt", figures, text, said)
