"""One HTML page that needs nothing but itself: style and script within, figures inline."""

import base64
import hashlib
import importlib.resources
import math
import string
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ticketjax.report.markup import Html, element, join
from ticketjax.report.notices import (
    Notice,
    collapsed,
    count_runs,
    diverged,
    expected_runs,
    ranges,
)
from ticketjax.report.results import Results
from ticketjax.summaries import ENDS, POINT, WHERE, series_of, summarise
from ticketjax.titles import density_label, format_metric, is_accuracy, task_title

COLUMNS = {"strong": "before training", "weak": "after training"}


class Drawing(NamedTuple):
    """A figure as an SVG element. wide: it does not fit a phone, and is for a light ground."""

    svg: str
    wide: bool


class Section(NamedTuple):
    """One grid of a page.

    drawings: (heading, figures) each. command: makes the grid again; None if that is not known.
    text: its tables as text.
    """

    name: str
    results: Results
    notices: Sequence[Notice]
    drawings: Sequence[tuple[str, Sequence[Drawing]]]
    command: str | None
    text: str


class Attachment(NamedTuple):
    """A file that lay beside the grids: a table's text, or a figure's PNG."""

    name: str
    content: str | bytes


def page(title: str, sections: Sequence[Section], attachments: Sequence[Attachment] = ()) -> str:
    """The page of one grid, or of several with what lay beside them.

    It runs no script but its own and loads nothing: its policy says so to the browser.
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
    files = importlib.resources.files("ticketjax.report")
    template, style, script = (
        files.joinpath(name).read_text(encoding="utf-8")
        for name in ("page.html", "page.css", "page.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return string.Template(template).substitute(
        title=join(title),
        policy=(
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
            f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        ),
        style=style,
        script=script,
        body=body,
    )


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
            image = element("img", src=source, alt=name).replace("</img>", "")
            parts.append(element("h4", name))
            figure = element("figure", Html(image), class_="wide print", tabindex=0)
            parts.append(element("div", figure, class_="figures"))
        else:
            text = element("pre", content, tabindex=0)
            parts.append(element("details", element("summary", name), text))
    return parts


def _runs(results: Results) -> str:
    runs, expected = results.records.num_rows, expected_runs(results.configuration)
    return f"{runs:,} runs" if expected is None else f"{runs:,} of {expected:,} runs"


def _header(title: str, section: Section, tag: str) -> Html:
    configuration = section.results.configuration
    tasks = [task_title(str(task)) for task in _listed(configuration.get("task"))]
    facts = [
        str(configuration.get("strategy", "")),
        ", ".join(tasks),
        *(
            f"{name} {_value(configuration[name])}"
            for name in ("depth", "width")
            if name in configuration
        ),
        _runs(section.results),
    ]
    lede = element("p", " · ".join(filter(None, facts)), class_="lede")
    return element("header", element(tag, title), lede)


def _content(section: Section) -> list[Html]:
    results = section.results
    parts = [_notices(section.notices, results)]
    for heading, drawings in section.drawings:
        parts += [element("h3", heading), element("div", *map(_figure, drawings), class_="figures")]
    if results.records.num_rows:
        parts += [element("h3", "All points"), *_table(results.records)]
        text = element("pre", section.text, tabindex=0)
        summary = element("summary", "As text, with the range over seeds")
        parts.append(element("details", summary, text, class_="text"))
    if section.command:
        parts += [
            element("h3", "How to make it again"),
            element("pre", section.command, tabindex=0),
            element(
                "p",
                "What is finished in the directory is kept, what is missing is computed.",
                class_="aside",
            ),
        ]
    environment = {
        name: value
        for name, value in results.manifest.items()
        if name not in ("configuration", "versions")
    }
    versions = results.manifest.get("versions")
    for heading, entries in (
        ("Configuration", results.configuration),
        ("Environment", {**environment, **(versions if isinstance(versions, dict) else {})}),
    ):
        if entries:
            parts += [element("h3", heading), _definitions(entries)]
    return parts


def _notices(notices: Sequence[Notice], results: Results) -> Html:
    if not any(notice.problem for notice in notices) and expected_runs(results.configuration):
        whole = Notice("Every run of the grid is here, and every loss is finite.", [], False)
        notices = [whole, *notices]
    lines = []
    for text, details, problem in notices:
        said = join(element("strong", "Warning: "), text) if problem else join(text)
        if details:
            listed = element("ul", *(element("li", line) for line in details))
            said = element("details", element("summary", said), listed)
        lines.append(element("li", said, class_="wrong" if problem else None))
    return element("ul", *lines, class_="notices")


def _figure(drawing: Drawing) -> Html:
    scrolls = {"class_": "wide print", "tabindex": 0} if drawing.wide else {}
    return element("figure", Html(drawing.svg), **scrolls)


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def _value(value: object) -> str:
    """A manifest's value as one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={_value(entry)}" for name, entry in value.items()) or "-"
    values = _listed(value)
    if values and all(type(entry) is int for entry in values):
        return ranges(values)
    return ", ".join("-" if entry is None else str(entry) for entry in values) or "-"


def _definitions(entries: dict[str, Any]) -> Html:
    return element(
        "dl",
        *(
            element("div", element("dt", name.replace("_", " ")), element("dd", _value(value)))
            for name, value in entries.items()
        ),
    )


def _number(value: float) -> str:
    """A number as the page's script reads it."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "NaN" if math.isnan(value) else repr(value)


def _cell(text: str, value: float, below: str = "", wrong: bool = False) -> Html:
    content = (text, element("small", below)) if below else (text,)
    return element("td", *content, data_value=_number(value), class_="wrong" if wrong else None)


def _share(value: float | None) -> Html:
    return element("td", "-", data_value="NaN") if value is None else _cell(f"{value:.3f}", value)


def _count(count: int, wrong: bool = False) -> Html:
    return _cell(f"{count}" if count else "-", count, wrong=wrong and count > 0)


def _varying(rows: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
    """The names of WHERE that rows differ in, and what they have in common, in words."""
    differ = [name for name in WHERE if len({row[name] for row in rows}) > 1]
    common = [
        task_title(rows[0][name]) if name == "task" else f"{name} {rows[0][name]:g}"
        for name in WHERE
        if name not in differ
    ]
    return differ, ", ".join(common)


def _table(records: pa.Table) -> Iterable[Html]:
    """A line for every point, in the order of the summary; its heads can be made to sort it."""
    rows = summarise(records).to_pylist()
    series = series_of(records)
    dead, lost = count_runs(records, collapsed(records)), count_runs(records, diverged(records))
    order = {tuple(where.values()): i for i, (_, where) in enumerate(series)}
    names = tuple(series[0].where)
    labels = {key: series[i].label for key, i in order.items()}

    def key(row: dict[str, Any]) -> tuple:
        return tuple(row[name] for name in names)

    rows.sort(key=lambda row: (*(row[name] for name in WHERE), order[key(row)], row["density"]))
    differ, common = _varying(rows)
    heads = ["seeker", *differ, "density", *COLUMNS.values()]
    heads += ["bare ticket", "recall", "precision", "runs", "collapsed"]
    heads += ["not finite"] if any(count for count, _ in lost.values()) else []
    lines = []
    for row in rows:
        accuracy = is_accuracy(row["task"])
        point = tuple(row[name] for name in POINT)
        cells = [element("th", labels[key(row)], scope="row")]
        for name in differ:
            value = row[name]
            text = task_title(value) if name == "task" else f"{value:g}"
            cells.append(element("td", text) if name == "task" else _cell(text, value))
        density = density_label(row["density"], row["ticket_density"])
        cells.append(_cell(density, row["density"]))
        for quality in COLUMNS:
            mean, *ends = (row[f"{quality}_metric_{how}"] for how in ("mean", *ENDS))
            known = all(map(math.isfinite, ends))
            interval = f"[{', '.join(format_metric(end, accuracy) for end in ends)}]"
            wrong = not math.isfinite(mean)
            text = format_metric(mean, accuracy)
            cells.append(_cell(text, mean, interval if known else "", wrong))
        ticket = row["ticket_metric_mean"]
        cells.append(_cell(format_metric(ticket, accuracy), ticket))
        cells += [_share(row["recall_mean"]), _share(row["precision_mean"])]
        cells.append(_cell(f"{row['runs']}", row["runs"]))
        cells += [_count(dead[point][0]), _count(lost[point][0], wrong=True)]
        lines.append(element("tr", *cells[: len(heads)]))
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in heads)))
    table = element("table", head, element("tbody", *lines), class_="sortable")
    kinds = {is_accuracy(row["task"]) for row in rows}
    measure = " or ".join(
        "accuracy" if accuracy else "mean squared error" for accuracy in sorted(kinds, reverse=True)
    )
    caption = (
        f"{common}{'. ' if common else ''}Before and after training: {measure}, means over seeds "
        "with the 95% interval of the mean."
    )
    yield element("p", caption, class_="aside")
    yield element("div", table, class_="scroll", tabindex=0, role="region", aria_label="All points")
