r"""Choose the setting of a seeker on development seeds and validation data, and freeze it.

    python -m experiments.tune --seeker=all --settings=ticketjax/tuning/settings.json
    python -m experiments.tune --seeker="mine=path/to/file.py:Mine()" \
        --candidate="path/to/file.py:Mine(rate=0.1)" --settings=settings.json
    python -m experiments.tune --seeker="concrete(epochs=50)" --vary=learning_rate=0.02,0.05,0.1

The command prints the rank of each candidate and its quality on validation data. The leaderboard
reads the file with --settings. All seekers take about three hours of a core: four candidates, five
seeds and three tasks each.
"""

from ticketjax.commands import tune
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(tune)
