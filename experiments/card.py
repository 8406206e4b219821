r"""Make a report card of one seeker, yours or the library's, on one HTML page.

    python -m experiments.card --seeker=path/to/file.py:root --out=results/card
    python -m experiments.card --seeker=snip --quick

Expect ten minutes on two cores for SNIP, and two with --quick.
"""

from ticketjax.commands import card
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(card)
