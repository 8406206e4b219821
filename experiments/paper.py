"""The figures of Fischer and Burkholz 2022, from planting to plot.

    python -m experiments.paper --figure=3 --out=results/paper
    python -m experiments.paper --figure=5 --data_dir=DIR --preset=cpu
    python -m experiments.paper --figure=all

Expect the results in docs/reproduction.md, which compares them with the paper's figures. Figure 3
is 1,875 runs, about four minutes on two cores; --seeds shortens it.
"""

from ticketjax.commands import paper
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(paper)
