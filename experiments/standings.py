r"""Rank the submissions to a sealed suite, from files that score --json wrote.

    python -m experiments.standings --scores=scores
    python -m experiments.standings --scores=scores --by=after --against=magnitude

Expect one table of all submissions and one of each group, with paired differences. Takes seconds.
"""

from ticketjax.commands import standings
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(standings)
