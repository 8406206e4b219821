"""Score masks from any framework on planted networks.

    python -m experiments.score --instance=instance.safetensors --mask=mask.safetensors
    python -m experiments.score --instance=suite --mask=masks --label=mine --out=results/mine
    python -m experiments.score --instance=suite/instances --mask=masks --sealed=suite/sealed

Expect the measures of a sweep's record: quality before and after training, and how much of the
planted ticket the mask contains. The names in the mask's safetensors file determine its layout
(docs/other_frameworks.md). Takes seconds.
"""

from ticketjax.commands import score
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(score)
