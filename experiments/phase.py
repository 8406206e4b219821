r"""Phase diagrams: at which density and width is the ticket found, and by whom?

    python -m experiments.phase --task=circle --seekers=magnitude,snip,synflow --seeds=5 \
        --width=25,50,100,200 --densities=ticket,0.01,0.02,0.05,0.1,0.2,0.5 --out=results/phase

Expect recall where nearly all is kept, good networks after training from a tenth on, and strong
tickets nowhere. Takes minutes on two cores.
"""

from ticketjax.commands import phase
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(phase)
