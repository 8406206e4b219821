"""Look for tickets in instance files with ticketjax's own seekers, and write the masks.

    python -m experiments.seek --instance=instance.safetensors --seekers=snip,synflow --out=masks

Expect one mask for every seeker and instance, which experiments.score takes. Scores take seconds,
searches as long as in a sweep.
"""

from ticketjax.commands import seek
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(seek)
