"""Figures as SVG text to stand within a page."""

import html
import io
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import matplotlib.pyplot as plt

from ticketjax.figures.style import COLOURS, FAINT, INK, RULE

# Text stays text, and the page is what lies behind.
SETTINGS: dict[Any, Any] = {
    "savefig.format": "svg",
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.facecolor": "none",
}
# What a page may redefine, for example on a dark ground.
VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    RULE: "rule",
    **{colour: f"series-{i}" for i, colour in enumerate(COLOURS)},
}


def inline_svg(draw: Callable[[BinaryIO], None], title: str, *, themed: bool) -> str:
    """An SVG element that fills the width of what it stands in, with the title as its label.

    draw: a figure's function, its path left open.
    themed: colours are CSS variables (--ink, --faint, --rule, --series-0, ...), those of prints as
        their defaults; else the figure is for a light ground.
    """
    file = io.BytesIO()
    # Names within the SVG follow from the salt; two figures on a page must not share theirs.
    with plt.rc_context({**SETTINGS, "svg.hashsalt": title}):
        draw(file)
    text = file.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    (box,) = re.findall(r'<svg[^>]* (viewBox="[\d. ]+")', text)
    body = text[text.index(">", text.index("<svg")) + 1 :]
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", body)
    if themed:
        for colour, name in VARIABLES.items():
            body = re.sub(f"{colour}\\b", f"var(--{name}, {colour})", body, flags=re.I)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg {box} role="img" aria-label="{html.escape(title)}">{body}'
