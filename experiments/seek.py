"""Run ticketjax's seekers on instance files and write the masks that they find.

    python -m experiments.seek --instance=instance.safetensors --seekers=snip,synflow --out=masks

Expect one mask for every seeker and instance, which experiments.score reads. Scores take seconds,
and searches as long as in a sweep.
"""

from ticketjax.commands import seek
from ticketjax.commands.launching import start

if __name__ == "__main__":
    start(seek)
