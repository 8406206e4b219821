r"""Search by seekers that learn which frozen parameters to keep, or by a seeker of your own.

    python -m experiments.search --task=relu,circle,helix --seekers=probabilistic,path_pursuit \
        --densities=ticket,0.01 --seeds=10 --objective=rescaled --out=results/search
    python -m experiments.search --seekers="path/to/file.py:function, refined(concrete())"

Expect strong tickets on ReLU, and none on the others at the ticket's own density. A run takes
seconds on a core.
"""

from ticketjax.commands import search
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(search)
