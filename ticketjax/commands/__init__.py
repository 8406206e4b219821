"""Commands: what `ticketjax NAME` and `python -m experiments.NAME` run, one module each.

A command's module has define(), which defines its flags, and main(), which does the work and
returns the exit status; launching.start() runs them. A command with positional arguments lists
their names in ARGUMENTS, and main() takes their values. Nothing is imported here, so that a command
shows its help and refuses flags without JAX, and Ctrl-C is handled before anything else is
imported.
"""

NAMES = (
    "singleshot",
    "multishot",
    "edge_popup",
    "search",
    "phase",
    "diagnose",
    "tune",
    "leaderboard",
    "ladder",
    "paper",
    "vgg",
    "report",
    "card",
    "compare_seekers",
    "compare",
    "theory",
    "plant",
    "score",
    "standings",
    "seek",
)
