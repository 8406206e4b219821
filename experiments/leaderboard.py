"""The leaderboard: every seeker at equal compute on the three tasks, before and after training.

    python -m experiments.leaderboard --seeds=25 --out=results/leaderboard
    python -m experiments.leaderboard --development --seeds=3 --seeker=path/to/file.py:function

Prints the standings and draws them. Searches take a hundred passes over the data for every run, so
that all of it takes long on two cores; --only names entries to run, --seeds fewer. --development
runs settings that are not frozen, on other seeds.
"""

from ticketjax.commands import leaderboard
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(leaderboard)
