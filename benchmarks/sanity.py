"""What the best seekers' masks have beyond their layer densities.

    python -m benchmarks.sanity

The leaderboard's best seekers before and after training, with their frozen settings, at the
ticket's own density (depth 5, width 100, noise 0.01, ten result seeds). Each mask is measured as it
is, with its entries in a random order within each layer, with the lowest scores of each layer
instead of the highest, and on newly drawn values (the checks of Frankle et al. 2021, arXiv
2009.08576). If layer densities were all that a seeker finds, they would be alike. About two minutes
of one core for each seeker on average; --only selects some.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

BEST = [
    "concrete_ticket_search-annealed",
    "concrete_ticket_search",
    "probabilistic-refined",
    "probabilistic",
    "concrete-restarts",
    "synflow-multishot",
    "concrete",
    "relaxed_bernoulli",
    "continuous_sparsification",
]
DEPTH, WIDTH, NOISE = 5, 100, 0.01

flags.DEFINE_string("task", "circle", "Task.")
flags.DEFINE_list("only", BEST, "Lines of the leaderboard.")
flags.DEFINE_integer("samples", 10_000, "Samples per run; a tenth is held out.", lower_bound=10)
flags.DEFINE_integer("seeds", 10, "Result seeds: 1000 to 1000 + N - 1.", lower_bound=5)


def main() -> int:
    """Search with every seeker, and print the table."""
    import numpy as np

    import ticketjax as tj
    from benchmarks.machine import describe
    from benchmarks.mask_variants import VARIANTS, qualities
    from ticketjax.records.statistics import holm, intervals_of_means, paired_difference
    from ticketjax.tuning.seeds import result_seeds
    from ticketjax.tuning.settings import read_settings

    print(describe())
    frozen = read_settings()
    seeds = np.array(result_seeds(FLAGS.seeds), np.uint32)
    task = tj.get_task(FLAGS.task)
    setting = tj.Setting(task, tj.mlp(task, DEPTH, WIDTH), samples=FLAGS.samples)
    most = 1 if task.kind == "classification" else np.inf
    print(f"{FLAGS.task}, depth {DEPTH}, width {WIDTH}, the ticket's density, noise {NOISE}")
    print(
        f"seeds {seeds[0]} to {seeds[-1]}; mean of the metric [95% interval]; p of paired t tests"
    )
    print("against the mask itself, by Holm over the table")
    print(f"{'seeker':34}" + "".join(f"{name:>28}" for name in VARIANTS), flush=True)
    tests = []
    for label in FLAGS.only:
        found = np.asarray(qualities(setting, tj.get_seeker(frozen[label].complete), seeds, NOISE))
        for column, when in enumerate(("before", "after")):
            values = found[:, :, column].T
            low, high = intervals_of_means(values, 0, most)
            cells = [
                f"{mean:.3g} [{a:.3g}, {b:.3g}]"
                for mean, a, b in zip(values.mean(axis=1), low, high, strict=True)
            ]
            print(f"{f'{label}, {when}':34}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
            tests += [
                (f"{label}, {when}, {name}", paired_difference(other, values[0]))
                for name, other in zip(VARIANTS[1:], values[1:], strict=True)
            ]
    adjusted = holm(np.array([difference.p for _, difference in tests]))
    for (name, difference), p in zip(tests, adjusted, strict=True):
        interval = f"[{difference.low:.3g}, {difference.high:.3g}]"
        print(f"{name}: {difference.mean:.3g} {interval}, p {p:.2g}")
    return 0


if __name__ == "__main__":
    launch(main)
