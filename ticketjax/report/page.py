"""One self-contained HTML page, with style, script and figures inline."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from ticketjax.records.summaries import places_of
from ticketjax.records.titles import task_title
from ticketjax.report.markup import Html, element, join
from ticketjax.report.notices import SIZES, Notice, expected_runs
from ticketjax.report.parts import (
    Drawing,
    definitions,
    document,
    environment_of,
    figure,
    listed,
    notice_list,
    value_text,
)
from ticketjax.report.points import points_table
from ticketjax.report.results import Results
from ticketjax.runs.grid import MLP


class Section(NamedTuple):
    """One grid of a page.

    Args:
        name: its name.
        results: its results.
        notices: notices on its records.
        drawings: (heading, figures) each.
        command: makes the grid again; None if that is not known.
        text: its tables as text.
    """

    name: str
    results: Results
    notices: Sequence[Notice]
    drawings: Sequence[tuple[str, Sequence[Drawing]]]
    command: str | None
    text: str


class Attachment(NamedTuple):
    """A file next to the grids: a table's text, or a figure's PNG."""

    name: str
    content: str | bytes


def page(title: str, sections: Sequence[Section], attachments: Sequence[Attachment] = ()) -> str:
    """The page of one grid, or of several grids with the files next to them.

    Args:
        title: the title of the page.
        sections: the grids.
        attachments: files next to the grids.

    Returns:
        The page as HTML.
    """
    if len(sections) == 1 and not attachments:
        body = join(_header(title, sections[0], "h1"), *_content(sections[0]))
    else:
        body = join(
            element("h1", title),
            element("p", f"{len(sections)} grid{'s' * (len(sections) > 1)}", class_="lede"),
            _contents(sections),
            *_attached(attachments),
            *(
                element("section", _header(s.name, s, "h2"), *_content(s), class_="grid", id=anchor)
                for s, anchor in zip(sections, _anchors(sections), strict=True)
            ),
        )
    return document(title, body)


def _anchors(sections: Sequence[Section]) -> list[str]:
    return [f"grid-{i}" for i in range(len(sections))]


def _contents(sections: Sequence[Section]) -> Html:
    lines = []
    for section, anchor in zip(sections, _anchors(sections), strict=True):
        wrong = sum(notice.problem for notice in section.notices)
        state = _runs(section.results) + (f", warnings: {wrong}" if wrong else "")
        link = element("a", section.name, href=f"#{anchor}")
        lines.append(element("li", link, " ", element("span", state, class_="aside")))
    return element("nav", element("ul", *lines), aria_label="Grids")


def _attached(attachments: Sequence[Attachment]) -> list[Html]:
    if not attachments:
        return []
    parts = [element("h3", "Figures and tables beside the grids")]
    for name, content in attachments:
        if isinstance(content, bytes):
            source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            image = element("img", src=source, alt=name)
            parts.append(element("h4", name))
            box = element("figure", image, class_="wide print", tabindex=0)
            parts.append(element("div", box, class_="figures"))
        else:
            text = element("pre", content, tabindex=0)
            parts.append(element("details", element("summary", name), text))
    return parts


def _runs(results: Results) -> str:
    runs, expected = results.records.num_rows, expected_runs(results.configuration)
    return f"{runs:,} runs" if expected is None else f"{runs:,} of {expected:,} runs"


def _header(title: str, section: Section, tag: str) -> Html:
    configuration = section.results.configuration
    tasks = [task_title(str(task)) for task in listed(configuration.get("task"))]
    models = listed(configuration.get("model", MLP))
    # A user's own network has its own depth and width, not those of the grid.
    known = places_of(section.results.records)
    sizes: dict[str, Any] = {
        name: sorted({place[name] for place in known}) if known else configuration.get(name)
        for name in SIZES
    }
    facts = [
        str(configuration.get("strategy", "")),
        ", ".join(tasks),
        ", ".join(str(model) for model in models if model != MLP),
        *(f"{name} {value_text(values)}" for name, values in sizes.items() if values is not None),
        _runs(section.results),
    ]
    lede = element("p", " · ".join(filter(None, facts)), class_="lede")
    return element("header", element(tag, title), lede)


def _content(section: Section) -> list[Html]:
    results = section.results
    parts = [notice_list(_told(section.notices, results))]
    for heading, drawings in section.drawings:
        parts += [element("h3", heading), element("div", *map(figure, drawings), class_="figures")]
    if results.records.num_rows:
        parts += [element("h3", "All points"), *points_table(results.records)]
        text = element("pre", section.text, tabindex=0)
        summary = element("summary", "As text, with the range over seeds")
        parts.append(element("details", summary, text, class_="text"))
    if section.command:
        parts += [
            element("h3", "How to reproduce it"),
            element("pre", section.command, tabindex=0),
            element(
                "p",
                "Finished runs in the directory are kept, and missing runs are computed.",
                class_="aside",
            ),
        ]
    # Users' own networks have their own sizes, not those of the grid.
    unused = () if MLP in listed(results.configuration.get("model", MLP)) else SIZES
    configuration = {n: entry for n, entry in results.configuration.items() if n not in unused}
    for heading, entries in (
        ("Configuration", configuration),
        ("Environment", environment_of(results.manifest)),
    ):
        if entries:
            parts += [element("h3", heading), definitions(entries)]
    return parts


def _told(notices: Sequence[Notice], results: Results) -> Sequence[Notice]:
    """The notices, with one that says so first if nothing is wrong."""
    if any(notice.problem for notice in notices) or not expected_runs(results.configuration):
        return notices
    return [
        Notice("All runs of the grid are present, and all losses are finite.", [], False),
        *notices,
    ]
