r"""Plant a ticket and write it to files, for seekers in any framework.

    python -m experiments.plant --task=circle --depth=5 --width=100 --seed=0 \
        --out=instance.safetensors
    python -m experiments.plant --target=network.safetensors --out=instance.safetensors
    python -m experiments.plant --suite=v1 --out=suite
    python -m experiments.plant --suite=v2 --secret=secret.bin --out=suite

Expect two files within seconds: instance.safetensors, and instance.answer.safetensors, which a
seeker must not read. Suite v1 has 120 such pairs. The sealed suite, v2, consists of two folders
(docs/sealed_suite.md) and takes about three and a half minutes on one core.
"""

from ticketjax.commands import plant
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(plant)
