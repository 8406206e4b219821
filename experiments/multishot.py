r"""Multishot pruning: train, prune and reset in rounds, then measure before and after training.

    python -m experiments.multishot --task=circle --depth=5 --width=100 \
        --seekers=magnitude,snip,synflow --densities=ticket,0.1 --seeds=10 \
        --rounds=10 --round_epochs=5 --out=results/multishot

A run takes about six times as long as a singleshot one: 60 epochs instead of 10.
"""

from ticketjax.commands import multishot
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(multishot)
