r"""Singleshot pruning: score a planted network at initialisation, prune, train, measure.

    ticketjax singleshot --task=circle --depth=5 --width=100 \
        --seekers=random,magnitude,snip,grasp,synflow --densities=ticket,0.01,0.1,0.5,1 \
        --seeds=25 --out=results/singleshot

Expect accuracies near 0.97 at densities of 0.1 and more, and collapse at the ticket's density.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS, define_grid, define_running


def define() -> None:
    """Define the flags."""
    define_grid()
    define_running(out="results/singleshot")
    flags.DEFINE_integer("rounds", 1, "Prune in this many rounds, without training.", lower_bound=1)


def main() -> int:
    """Run the grid, print its table, write its figure."""
    from ticketjax.commands.running import run_and_show

    return run_and_show("singleshot", rounds=FLAGS.rounds)
