"""The common style of the drawings: their canvas, the colours of classes."""

from typing import Any

from ticketjax.figures.style import COLOURS, FAINT, INK

# Blue and vermilion are kept for signs, so that no class looks like one.
CLASSES = (COLOURS[5], COLOURS[1], COLOURS[2], COLOURS[3])
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "mathtext.fontset": "dejavusans",
}
