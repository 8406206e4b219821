r"""Plant a ticket and write it down, for seekers in any framework.

    python -m experiments.plant --task=circle --depth=5 --width=100 --seed=0 \
        --out=instance.safetensors
    python -m experiments.plant --target=network.safetensors --out=instance.safetensors
    python -m experiments.plant --suite=v1 --out=suite

Expect two files, instance.safetensors and, with what a seeker may not see,
instance.answer.safetensors. Takes seconds; a suite is 120 of them.
"""

from ticketjax.commands import plant
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(plant)
