r"""Search by seekers that learn which frozen parameters to keep, or by a seeker of your own.

    python -m experiments.search --task=relu,circle,helix --seekers=probabilistic,path_pursuit \
        --densities=ticket,0.01 --seeds=10 --out=results/search
    python -m experiments.search --seekers="path/to/file.py:function, refined(concrete())"

The mask is measured on the initial parameters (a strong ticket) and after training them (a weak
one). A run takes seconds to minutes of a core, by the seeker and its epochs.
"""

from ticketjax.commands import search
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(search)
