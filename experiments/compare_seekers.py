"""Compare two seekers of a results directory, seed by seed.

    python -m experiments.compare_seekers SNIP GraSP --results=results/singleshot
    python -m experiments.compare_seekers snip grasp --results=results/leaderboard --quality=weak

Expect a table of paired differences with intervals and p values, in seconds.
"""

from ticketjax.commands import compare_seekers
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(compare_seekers)
