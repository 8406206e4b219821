r"""Search for strong tickets among frozen parameters, also with your own seeker.

    python -m experiments.search --task=relu,circle,helix --seekers=probabilistic,path_pursuit \
        --densities=ticket,0.01 --seeds=10 --out=results/search
    python -m experiments.search --seekers="path/to/file.py:function, refined(concrete())"

The mask is measured on the initial parameters (strong ticket) and after training them (weak
ticket). A run takes seconds to minutes of a core, depending on the seeker and its epochs.
"""

from ticketjax.commands import search
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(search)
