"""The report card of one seeker, as one HTML page and a text file."""

import operator
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from ticketjax.records.columns import aligned
from ticketjax.records.store import write_whole
from ticketjax.records.summaries import places_of
from ticketjax.records.titles import place_title, task_title
from ticketjax.report.chapters import Card, Chapter, chapters_of
from ticketjax.report.markup import Html, element, join
from ticketjax.report.notices import Notice, notices, ranges
from ticketjax.report.parts import definitions, document, environment_of, figure, notice_list

NO_RESULTS = (
    "These are development seeds, on which settings may be tuned: the numbers on this page are not "
    "results."
)


class CardFiles(NamedTuple):
    """The files of a card.

    Args:
        page: the HTML file.
        table: the text file.
        glance: the first table as text.
    """

    page: pathlib.Path
    table: pathlib.Path
    glance: str


def _cell(text: str) -> Html:
    """A cell with its interval and quartiles, if it has them, below the number."""
    number, bracket, more = text.partition(" [")
    interval, median, quartiles = more.partition(", median ")
    below = [f"[{interval}"] * bool(bracket) + [f"median {quartiles}"] * bool(median)
    return element("td", number, *(element("small", line) for line in below))


def _table(lines: Sequence[Sequence[str]], label: str) -> Html:
    heads, *rows = lines
    head = element("thead", element("tr", *(element("th", cell, scope="col") for cell in heads)))
    body = (
        element("tr", element("th", first, scope="row"), *map(_cell, cells))
        for first, *cells in rows
    )
    table = element("table", head, element("tbody", *body))
    box = {"class_": "scroll", "tabindex": 0, "role": "region", "aria_label": label}
    return element("div", table, **box)


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower())


def _section(chapter: Chapter) -> Html:
    parts: list[Html] = [element("h2", chapter.heading)]
    parts += [element("p", text) for text in chapter.said]
    parts += [element("div", *map(figure, row), class_="figures") for row in chapter.drawings]
    for caption, lines in chapter.tables:
        parts += [element("h3", caption.rstrip("."))] if caption else []
        parts.append(_table(lines, caption or chapter.heading))
    for summary, content in chapter.folded:
        parts.append(element("details", element("summary", summary), content, class_="text"))
    return element("section", *parts, class_="grid", id=_anchor(chapter.heading))


def _said_first(card: Card) -> list[Notice]:
    """The notices at the top of the page. Collapse has its own chapter."""
    wrong = [
        notice._replace(text=f"{name}: {notice.text}")
        for name, results in card.parts.items()
        for notice in notices(results)
        if notice.problem
    ]
    if not wrong:
        wrong = [Notice("All runs of all parts are present, and all losses are finite.", [], False)]
    return [Notice(card.settings or NO_RESULTS, [], card.settings is None), *wrong]


def _how(card: Card) -> Html:
    """The command, the settings of every part, and the versions."""
    parts: list[Html] = [
        element("h2", "How this card was made"),
        element("pre", card.command, tabindex=0),
        element("p", "Finished runs in the directory are kept, and missing ones are computed."),
    ]
    for name, results in card.parts.items():
        runs = f"{name}: {results.records.num_rows:,} runs"
        said = definitions(results.configuration)
        parts.append(element("details", element("summary", runs), said, class_="text"))
    manifest = next(iter(card.parts.values())).manifest
    parts += [element("h3", "Environment"), definitions(environment_of(manifest))]
    return element("section", *parts, class_="grid", id="how")


def _lede(card: Card) -> str:
    (place, *_) = places_of(card.quality, ("task", "model", "depth", "width", "noise"))
    network = place_title({**place, "task": ""}).removeprefix(", ")
    return " · ".join(
        [
            card.expression,
            ", ".join(map(task_title, card.tasks)),
            network,
            f"seeds {ranges(card.seeds)}",
            f"ladder seeds {ranges(card.ladder_seeds)}",
        ]
    )


def _page(card: Card, chapters: Sequence[Chapter]) -> str:
    links = (
        element("li", element("a", chapter.heading, href=f"#{_anchor(chapter.heading)}"))
        for chapter in chapters
    )
    title = f"Report card: {card.title}"
    body = join(
        element("header", element("h1", title), element("p", _lede(card), class_="lede")),
        notice_list(_said_first(card)),
        element("nav", element("ul", *links), aria_label="Chapters"),
        *map(_section, chapters),
        _how(card),
    )
    return document(title, body)


def _text(card: Card, chapters: Sequence[Chapter]) -> str:
    blocks = [f"Report card: {card.title}\n{_lede(card)}\n{card.settings or NO_RESULTS}"]
    for heading, said, _, shown, _ in chapters:
        blocks.append("\n".join([heading, *said]))
        blocks += ["\n".join(filter(None, [caption, *aligned(lines)])) for caption, lines in shown]
    return "\n\n".join(blocks) + "\n"


def write_card(card: Card, out: pathlib.Path) -> CardFiles:
    """Write card.html and card.txt.

    Args:
        card: the results.
        out: the directory to write to.

    Returns:
        The files.

    Raises:
        OSError: `out` cannot be written.
    """
    chapters = chapters_of(card)
    files = {out / "card.html": _page(card, chapters), out / "card.txt": _text(card, chapters)}
    for path, content in files.items():
        write_whole(path, operator.methodcaller("write", content.encode()))
    page, table = files
    ((_, lines),) = chapters[0].tables
    return CardFiles(page, table, "\n".join(aligned(lines)))
