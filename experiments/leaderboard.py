"""The leaderboard: every seeker at equal compute on the three tasks, before and after training.

    python -m experiments.leaderboard --seeds=25 --out=results/leaderboard
    python -m experiments.leaderboard --seeker=path/to/file.py:function

Expect searches among frozen parameters first before training, and pruners in rounds after it. All
of it takes hours on two cores; --only names entries to run.
"""

from ticketjax.commands import leaderboard
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(leaderboard)
