r"""Search by seekers that learn which frozen parameters to keep, or by a seeker of your own.

    ticketjax search --task=relu,circle,helix --seekers=probabilistic,path_pursuit \
        --densities=ticket,0.01 --seeds=10 --out=results/search
    ticketjax search --seekers=path/to/file.py:function --densities=ticket

The mask is measured on the initial parameters (a strong ticket) and after training them (a weak
one). Most of these seekers take the output's scale out of the loss, because a planted ticket is
exact only up to a factor; --objective=raw or rescaled decides it for all. --options sets what a
seeker's docstring lists, for example --options=restarts=4,learning_rate=0.01. A strategy such as
"annealed" is named by --strategy. Both pass by the baselines among the seekers (random_paths,
random_masks, magnitude): name these beside seekers of your own. An expression such as
"random_paths(draws=1000)" sets their options.
"""

from absl import flags

from ticketjax.choices import BASELINES
from ticketjax.commands.flags import FLAGS, define_grid, define_running


def define() -> None:
    """Define the flags."""
    define_grid(seeds=10, seekers=",".join(("probabilistic", *BASELINES)))
    define_running(out="results/search")
    flags.DEFINE_string(
        "strategy", "plain", "How the seekers search; their names are in the README."
    )
    flags.DEFINE_integer("search_epochs", None, "Epochs of the search.", lower_bound=1)


def main() -> int:
    """Run the grid, print its table, write its figure."""
    from ticketjax.commands.running import run_and_show

    return run_and_show(FLAGS.strategy, search_epochs=FLAGS.search_epochs)
