r"""Singleshot pruning: score a planted network at initialisation, prune, train, measure.

    python -m experiments.singleshot --task=circle --depth=5 --width=100 \
        --seekers=random,magnitude,snip,grasp,synflow --densities=ticket,0.01,0.1,0.5,1 \
        --seeds=25 --out=results/singleshot

Expect accuracies near 0.97 at densities of 0.1 and more, and collapse at the ticket's density.
These 625 runs take a minute or two on two cores.
"""

from ticketjax.commands import singleshot
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(singleshot)
