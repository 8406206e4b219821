"""How many different masks a seeker finds in one network, and how much its own key matters.

    python -m benchmarks.different_tickets --task=circle --seeds=10 --searches=8

Every planted network is searched several times, with other keys and the same data. The table has
the mean quality before training, its standard deviation between the searches of a network (pooled)
and between the means of networks, the share of searches that computed the target's function, the
number of different masks per network, the mean Jaccard index of two masks of a network, and that of
a mask and the planted one. The default seekers have the leaderboard's frozen settings. About half
an hour of one core.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS, define_expressions
from ticketjax.commands.launching import launch

SEEKERS = "random_paths(draws=300), concrete_ticket_search(epochs=100, learning_rate=0.3)"

flags.DEFINE_list("task", ["relu", "circle", "helix"], "Tasks.")
define_expressions("seekers", SEEKERS, "Seekers, as expressions.")
flags.DEFINE_integer("seeds", 10, "Networks: result seeds 1000 to 1000 + N - 1.", lower_bound=2)
flags.DEFINE_integer("searches", 8, "Searches of every network.", lower_bound=2)
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=3)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)


def main() -> int:
    """Search every network with every seeker, print what differs."""
    import numpy as np

    import ticketjax as tj
    from benchmarks.machine import describe
    from benchmarks.repeated_searches import searched
    from ticketjax.tuning.seeds import result_seeds

    print(describe())
    seeds = np.array(result_seeds(FLAGS.seeds), np.uint32)
    print(
        f"depth {FLAGS.depth}, width {FLAGS.width}, the ticket's density, networks {seeds[0]} to "
        f"{seeds[-1]}, {FLAGS.searches} searches each"
    )
    for task in FLAGS.task:
        print(f"\n{task}")
        for expression in FLAGS.seekers:
            grid = tj.make_grid(task=task, seekers=expression, depth=FLAGS.depth, width=FLAGS.width)
            (named,) = grid.settings()
            ((label, seeker),) = grid.seekers
            run = searched(named.setting, seeker, named.setting.ticket_density, FLAGS.searches)
            metrics, found, digests, between, planted = (
                np.stack(column) for column in zip(*map(run, seeds), strict=True)
            )
            different = [len({mask.tobytes() for mask in masks}) for masks in digests]
            print(
                f"{label:24} quality {metrics.mean():.3g}, deviation within a network "
                f"{np.sqrt(metrics.var(axis=1, ddof=1).mean()):.2g}, between networks "
                f"{metrics.mean(axis=1).std(ddof=1):.2g}; found {found.mean():.0%}; different "
                f"masks {np.mean(different):.1f}; Jaccard index of two masks {between.mean():.3f}, "
                f"with the planted one {planted.mean():.3f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    launch(main)
