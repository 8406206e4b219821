"""Recovery where it is possible: two-layer networks with known gates, which are linear models.

    python -m benchmarks.recovery --seeds=25

With known gates, a network of two layers is linear in its weights: y = sum_i 1[g_i x > 0] w_i x.
Fridovich-Keil and Pilanci (2025, arXiv 2509.20323) prove that iterative hard thresholding then
finds a sparse w exactly from few Gaussian samples. Here, four sparse neurons of three weights make
y, and the seekers see their gates among 16 random others: 12 of 400 parameters are to be found,
from 0. The table has the share of problems in which the mask is exactly the planted one, and the
mean share of planted parameters in it. The rates were chosen from four each, with ten other keys
and 200 samples. A few minutes on two cores.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

SAMPLES = (50, 100, 200, 400, 800)
STEPS = 2000

flags.DEFINE_integer("seeds", 25, "Result seeds: 1000 to 1000 + N - 1.", lower_bound=1)


def seekers_of(samples):
    """The seekers by name, whose every step takes all samples."""
    from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
    from ticketjax.seekers.rewinding import Rewinding

    common = {"epochs": STEPS, "batch_size": samples}
    rounds = {"rounds": 20, "round_epochs": STEPS // 20, "batch_size": samples}
    return {
        "IHT, annealed": IterativeHardThresholding(annealed=True, learning_rate=0.1, **common),
        "IHT, SGD": IterativeHardThresholding(optimizer="sgd(0.1)", **common),
        "rewinding": Rewinding(learning_rate=0.01, **rounds),
    }


def main() -> int:
    """Search every problem with every seeker, and print the table."""
    import jax
    import numpy as np

    from benchmarks.known_gates import GATES, INPUTS, NEURONS, WEIGHTS, recovered
    from benchmarks.machine import describe
    from ticketjax.records.statistics import interval_of_share
    from ticketjax.tuning.seeds import result_seeds

    print(describe())
    seeds = np.array(result_seeds(FLAGS.seeds), np.uint32)
    planted = f"{NEURONS * WEIGHTS} of {INPUTS * GATES} parameters planted"
    print(f"seeds {seeds[0]} to {seeds[-1]}, {planted}")
    for samples in SAMPLES:
        for name, seeker in seekers_of(samples).items():

            def of(seed, seeker=seeker, samples=samples):
                return recovered(seeker, jax.random.key(seed), samples)

            shares = np.asarray(jax.jit(jax.vmap(of))(seeds))
            exact = int((shares == 1).sum())
            low, high = interval_of_share(exact, len(shares))
            print(
                f"{samples:4} samples, {name:13}: exact {exact} of {len(shares)} "
                f"[{low:.0%}, {high:.0%}], planted parameters kept {shares.mean():.0%}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    launch(main)
