"""The parts of pages: the document, figures, notices, lists of settings."""

import base64
import hashlib
import importlib.resources
import math
import re
import string
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ticketjax.report.markup import Html, element, join
from ticketjax.report.notices import Notice, ranges

# Width in points up to which a figure has the size of one panel, half the page.
ONE_PANEL = 360
# Width in points up to which a figure is legible on a phone.
READABLE = 500


class Drawing(NamedTuple):
    """A figure as an SVG element.

    Args:
        svg: the element.
        wide: whether the figure is too wide for a phone, where its box scrolls.
        themed: whether its colours are the page's; else it is made for a light background.
    """

    svg: str
    wide: bool
    themed: bool = True


def document(title: str, body: Html) -> str:
    """A whole page.

    It runs only its own script and loads nothing; its content security policy enforces this.

    Args:
        title: the title of the page.
        body: what is on it.

    Returns:
        The page as HTML.
    """
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


def themed_drawing(svg: str) -> Drawing:
    """A figure in the page's colours, wide if it would be too small to read on a phone."""
    return Drawing(svg, wide=_points(svg) > READABLE)


def _points(svg: str) -> float:
    """The width of a figure as it was drawn; infinite if unknown."""
    box = re.match(r'<svg viewBox="\S+ \S+ (\S+)', svg)
    return float(box[1]) if box else math.inf


def figure(drawing: Drawing) -> Html:
    """A figure in its box."""
    if not drawing.wide:
        return element("figure", Html(drawing.svg))
    kind = "" if drawing.themed else "print"
    if _points(drawing.svg) < ONE_PANEL:
        return element("figure", Html(drawing.svg), class_=kind or None)
    return element("figure", Html(drawing.svg), class_=f"wide {kind}".rstrip(), tabindex=0)


def notice_list(notices: Iterable[Notice]) -> Html:
    """Notices, those that are problems marked; details are folded."""
    lines = []
    for text, details, problem in notices:
        said = join(element("strong", "Warning: "), text) if problem else join(text)
        if details:
            more = element("ul", *(element("li", line) for line in details))
            said = element("details", element("summary", said), more)
        lines.append(element("li", said, class_="wrong" if problem else None))
    return element("ul", *lines, class_="notices")


def listed(value: object) -> list:
    """A list unchanged, any other value as a list of one."""
    return value if isinstance(value, list) else [value]


def value_text(value: object) -> str:
    """A manifest's value as one line."""
    if isinstance(value, dict):
        texts = {name: value_text(entry) for name, entry in value.items()}
        # Expressions contain commas and equals signs.
        return "; ".join(n if n == text else f"{n}: {text}" for n, text in texts.items()) or "-"
    values = listed(value)
    if values and all(type(entry) is int for entry in values):
        return ranges(values)
    return ", ".join("-" if entry is None else str(entry) for entry in values) or "-"


def environment_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Where and with what versions the runs of a manifest were made."""
    versions = manifest.get("versions", {})
    return {
        **{n: v for n, v in manifest.items() if n not in ("configuration", "versions")},
        **(versions if isinstance(versions, dict) else {}),
    }


def definitions(entries: Mapping[str, Any]) -> Html:
    """Names with their values, as a manifest has them."""
    return element(
        "dl",
        *(
            element("div", element("dt", name.replace("_", " ")), element("dd", value_text(value)))
            for name, value in entries.items()
        ),
    )
