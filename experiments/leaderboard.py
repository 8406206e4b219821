"""Leaderboard: every seeker at equal compute on the three tasks, before and after training.

    python -m experiments.leaderboard --seeds=25 --out=results/leaderboard
    python -m experiments.leaderboard --development --seeds=3 --seeker=path/to/file.py:function

The command prints and draws the standings. Searches make a hundred passes over the data in every
run, so everything takes long on two cores. --only selects entries, and --seeds sets the number of
seeds. --development runs settings that are not frozen, on other seeds.
"""

from ticketjax.commands import leaderboard
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(leaderboard)
