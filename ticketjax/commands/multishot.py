r"""Multishot pruning: train, prune and reset in rounds, then measure before and after training.

    ticketjax multishot --task=circle --depth=5 --width=100 \
        --seekers=magnitude,snip,synflow --densities=ticket,0.1 --seeds=10 \
        --rounds=10 --round_epochs=5 --out=results/multishot

A run takes about six times as long as a singleshot one: 60 epochs instead of 10.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS, define_grid, define_running


def define() -> None:
    """Define the flags."""
    define_grid(seeds=10)
    define_running(out="results/multishot")
    flags.DEFINE_integer("rounds", 10, "Rounds of train, prune, reset.", lower_bound=1)
    flags.DEFINE_integer("round_epochs", 5, "Epochs of training per round.", lower_bound=0)


def main() -> int:
    """Run the grid, print its table, write its figure."""
    from ticketjax.commands.running import run_and_show

    return run_and_show("multishot", rounds=FLAGS.rounds, round_epochs=FLAGS.round_epochs)
