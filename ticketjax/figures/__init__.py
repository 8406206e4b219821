"""Figures, one kind in each file: every function draws one into a file."""

from ticketjax.figures.bounds import Bound, draw_bounds
from ticketjax.figures.diagnosis import draw_diagnosis
from ticketjax.figures.phases import draw_phases
from ticketjax.figures.quality import Panel, draw_quality
from ticketjax.figures.rounds import draw_rounds

__all__ = [
    "Bound",
    "Panel",
    "draw_bounds",
    "draw_diagnosis",
    "draw_phases",
    "draw_quality",
    "draw_rounds",
]
