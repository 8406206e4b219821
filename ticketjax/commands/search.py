r"""Search for strong tickets among frozen parameters, also with your own seeker.

    ticketjax search --task=relu,circle,helix --seekers=probabilistic,path_pursuit \
        --densities=ticket,0.01 --seeds=10 --out=results/search
    ticketjax search --seekers=path/to/file.py:function --densities=ticket

The mask is measured on the initial parameters (strong ticket) and after training them (weak
ticket). Most of these seekers fit the output's scale in the loss, because a planted ticket is exact
only up to a factor. --objective=raw or rescaled sets it for all seekers. --options sets the options
in a seeker's docstring, for example --options=restarts=4,learning_rate=0.01. --strategy selects a
strategy such as "refined". Neither applies to the baselines (random_paths, random_masks,
magnitude), which should be listed beside your own seekers. An expression such as
"random_paths(draws=1000)" sets their options.
"""

from absl import flags

from ticketjax.choices import BASELINES
from ticketjax.commands.flags import FLAGS, define_grid, define_running


def define() -> None:
    """Define the flags."""
    define_grid(seeds=10, seekers=("probabilistic", *BASELINES))
    define_running(out="results/search")
    flags.DEFINE_string("strategy", "plain", "Strategy of the seekers, such as plain or refined.")
    flags.DEFINE_integer("search_epochs", None, "Epochs of the search.", lower_bound=1)


def main() -> int:
    """Run the grid, print its table, write its figure."""
    from ticketjax.commands.running import run_and_show

    return run_and_show(FLAGS.strategy, search_epochs=FLAGS.search_epochs)
