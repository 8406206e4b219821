r"""Phase diagrams: recovery and quality over density and width, one map per seeker.

    python -m experiments.phase --task=circle --seekers=magnitude,snip,synflow --seeds=5 \
        --width=25,50,100,200 --densities=ticket,0.01,0.02,0.05,0.1,0.2,0.5 --out=results/phase

Expect recall where nearly all parameters are kept, good networks after training from a density of
0.1 on, and strong tickets nowhere. This takes minutes on two cores.
"""

from ticketjax.commands import phase
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(phase)
