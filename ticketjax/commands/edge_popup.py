r"""Edge-popup: learn which frozen parameters to keep, plain or annealed.

The mask is measured on the initial parameters and after training them. The baselines random_paths,
random_masks and magnitude are run too; they take --scope and no other option.

    ticketjax edge_popup --task=circle --depth=5 --width=100 \
        --densities=ticket,0.01,0.1,0.5 --seeds=10 --anneal --scope=local --out=results/edge_popup

--scope=local is the published scope. --scope=global can keep unequal shares of the layers, like a
planted ticket. --objective=rescaled fits the output's scale in the loss.
"""

from absl import flags

from ticketjax.choices import BASELINES
from ticketjax.commands.flags import FLAGS, define_grid, define_running


def define() -> None:
    """Define the flags."""
    define_grid(seeds=10, seekers=("edge_popup", *BASELINES), scope="local")
    define_running(out="results/edge_popup")
    flags.DEFINE_bool("anneal", False, "Keep density^(i/E) in epoch i of E.")
    flags.DEFINE_integer("search_epochs", 10, "Epochs of the search.", lower_bound=1)


def main() -> int:
    """Run the grid, print its table, write its figure."""
    from ticketjax.commands.running import run_and_show

    strategy = "annealed" if FLAGS.anneal else "plain"
    return run_and_show(strategy, search_epochs=FLAGS.search_epochs)
