r"""Width at which a random network contains a ticket by chance: Lemma 1 and Theorem 2.

    python -m experiments.theory --task=circle,relu,helix --depth=5 --width=100,1e6 --eps=0.1 \
        --delta=0.1 --initialisation=uniform --norm=spectral --out=results/theory

Expect widths of 10^2.6 for ReLU and beyond 10^100 for the others, in seconds.
"""

from ticketjax.commands import theory
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(theory)
