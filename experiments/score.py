"""Score masks that anyone made, in any framework, on planted networks.

    python -m experiments.score --instance=instance.safetensors --mask=mask.safetensors
    python -m experiments.score --instance=suite --mask=masks --label=mine --out=results/mine
    python -m experiments.score --instance=suite/instances --mask=masks --sealed=suite/sealed

Expect what a record of a sweep says of a mask: its quality before and after training, and how much
of the planted ticket it holds. The names in the mask's safetensors file say its layout;
docs/other_frameworks.md shows how. Takes seconds.
"""

from ticketjax.commands import score
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(score)
