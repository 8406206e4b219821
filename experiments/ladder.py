r"""Ladder of difficulty: the share of random tickets that seekers find at each level.

    python -m experiments.ladder --out=results/ladder
    python -m experiments.ladder --development --seeds=5 --levels=1,2,3 \
        --seekers="random_paths(draws=300), path/to/file.py:function"

Expect random paths to solve the first levels, searches some higher ones, and no seeker the top.
"""

from ticketjax.commands import ladder
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(ladder)
