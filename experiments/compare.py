"""Draw what a seeker finds beside the planted ticket: both as graphs, and as functions.

    python -m experiments.compare --task=circle --seeker=probabilistic --strategy=refined
    python -m experiments.compare --task=relu --seeker=path_pursuit --strategy=refined --seed=3

Only parameters on a path from an input to an output are drawn. The first command takes two minutes
on two cores.
"""

from ticketjax.commands import compare
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(compare)
