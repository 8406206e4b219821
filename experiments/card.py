r"""A report card of one seeker, yours or the library's: all that is asked of it on one HTML page.

    python -m experiments.card --seeker=path/to/file.py:root --out=results/card
    python -m experiments.card --seeker=snip --quick

Expect ten minutes on two cores for a pruner that scores at initialisation, two with --quick.
"""

from ticketjax.commands import card
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(card)
