"""Figures as SVG text that is part of a page."""

import html
import io
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import matplotlib.pyplot as plt

from ticketjax.figures.style import COLOURS, FAINT, INK, PAPER, RULE

# Text is kept as text, and the background is transparent.
SETTINGS: dict[Any, Any] = {
    "savefig.format": "svg",
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.facecolor": "none",
}
# Colours that a page may redefine, for example on a dark background.
VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    RULE: "rule",
    PAPER: "card",
    **{colour: f"series-{i}" for i, colour in enumerate(COLOURS)},
}


def inline_svg(draw: Callable[[BinaryIO], None], title: str, *, themed: bool) -> str:
    """An SVG element that fills the width of its container, with the title as its label.

    Args:
        draw: a figure's function with all arguments set but its path.
        title: the label of the element.
        themed: True for colours as CSS variables (--ink, --faint, --rule, --card, --series-0, ...)
            whose defaults are the printed colours; False for a figure on a light background.

    Returns:
        The element as text.
    """
    file = io.BytesIO()
    # Ids in the SVG follow from the salt; two figures on a page must not share ids.
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
