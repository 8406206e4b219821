"""Figures, one kind in each file: every function draws one into a file."""

from ticketjax.figures.bounds import Bound, draw_bounds
from ticketjax.figures.diagnosis import draw_diagnosis
from ticketjax.figures.inline import inline_svg
from ticketjax.figures.phases import draw_phases
from ticketjax.figures.quality import Panel, draw_quality, panels_of
from ticketjax.figures.rounds import draw_rounds, lowest_in_rounds

__all__ = [
    "Bound",
    "Panel",
    "draw_bounds",
    "draw_diagnosis",
    "draw_phases",
    "draw_quality",
    "draw_rounds",
    "inline_svg",
    "lowest_in_rounds",
    "panels_of",
]
