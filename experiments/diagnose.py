r"""Diagnose why the ticket is not found: the search, the objective or the scope.

    python -m experiments.diagnose --task=circle --depth=5 --width=100 --seeds=5 \
        --seekers=random,magnitude,snip,grasp,synflow,edge_popup --out=results/diagnose

Expect raw outputs to be the wrong objective for all seekers that use them: the planted ticket is
exact only up to a factor. --objective=rescaled fits the factor, and shows searches that fail. This
takes minutes on two cores.
"""

from ticketjax.commands import diagnose
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(diagnose)
