"""The leaderboard: every seeker at equal compute on the three tasks, before and after training.

    python -m experiments.leaderboard --seeds=25 --out=results/leaderboard
    python -m experiments.leaderboard --seeker=path/to/file.py:function

Prints the standings and draws them. Searches take a hundred passes over the data for every run, so
that all of it takes long on two cores; --only names entries to run, --passes and --seeds fewer.
"""

from ticketjax.commands import leaderboard
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(leaderboard)
