r"""Edge-popup: learn which frozen parameters to keep, plain or annealed.

    python -m experiments.edge_popup --task=circle --depth=5 --width=100 \
        --densities=ticket,0.01,0.1,0.5 --seeds=10 --anneal --scope=local --out=results/edge_popup

The mask is measured on the initial parameters and after training them. A run takes about twice as
long as a singleshot one: 20 epochs instead of 10.
"""

from ticketjax.commands import edge_popup
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(edge_popup)
