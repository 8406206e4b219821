"""Command lines, one module each: python -m experiments.NAME --help."""

import sys

from ticketjax.commands import interruption

# What Python has there while it looks for the module of `python -m experiments.NAME`: before any
# other import of a command, and in no process that only imports this package.
if sys.argv[:1] == ["-m"]:
    interruption.install()
