"""Draw what a seeker finds beside the planted ticket: both as graphs, and as functions.

    python -m experiments.compare --task=circle --seeker=probabilistic --strategy=refined
    python -m experiments.compare --task=relu --seeker=path_pursuit --strategy=refined --seed=3

Only what lies on a path from an input to an output is drawn. The first takes two minutes on two
cores.
"""

from ticketjax.commands import compare
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(compare)
