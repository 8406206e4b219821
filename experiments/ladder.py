r"""A ladder of difficulty: how hard a ticket does a seeker find?

    python -m experiments.ladder --out=results/ladder
    python -m experiments.ladder --development --seeds=5 --levels=1,2,3 \
        --seekers="random_paths(draws=300), path/to/file.py:function"

Expect random paths on the first levels, searches further up, and nobody at the top.
"""

from ticketjax.commands import ladder
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(ladder)
