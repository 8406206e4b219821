r"""Make a report card of one seeker, yours or the library's, on one HTML page.

    python -m experiments.card --seeker=path/to/file.py:root --out=results/card
    python -m experiments.card --seeker=snip --quick

SNIP took 6 min 36 s on two cores, and 2 min 7 s with --quick on slower ones.
"""

from ticketjax.commands import card
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(card)
