"""How many strong tickets of ReLU, as small as the planted one, a network contains.

    python -m benchmarks.relu_tickets --seeds=25

The task ReLU has one input, one output and a ticket of one weight per layer. A mask of as many
parameters computes max(x, 0) up to a positive factor exactly if it is a path from the input to the
output on which all weights are positive. A path with a negative weight is 0 or has the wrong sign,
and a mask that is no path, or that keeps a bias, computes a constant. The number of such paths is
the product of the matrices of positive weights, so all tickets are counted. As a check,
random paths of both kinds are computed. A few seconds.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

DRAWN = 200
POINTS = 101

flags.DEFINE_integer("seeds", 25, "Result seeds: 1000 to 1000 + N - 1.", lower_bound=1)
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=3)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)


def is_ticket(weights) -> bool:
    """Whether the path of these weights computes max(x, 0) up to a positive factor."""
    import numpy as np

    x = np.linspace(-1, 1, POINTS)
    outputs = x
    for weight in weights[:-1]:
        outputs = np.maximum(outputs * weight, 0)
    outputs = outputs * weights[-1]
    largest = outputs[-1]
    return bool(largest > 0 and np.allclose(outputs / largest, np.maximum(x, 0)))


def main() -> int:
    """Count the tickets of every seed's planted network, print their mean and range."""
    import jax
    import numpy as np

    import ticketjax as tj
    from benchmarks.machine import describe
    from benchmarks.positive_paths import count_paths
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key
    from ticketjax.tuning.seeds import result_seeds

    print(describe())
    grid = tj.make_grid(task="relu", depth=FLAGS.depth, width=FLAGS.width)
    setting, seeds = grid.settings()[0].setting, result_seeds(FLAGS.seeds)

    @jax.jit
    def planted(seed):
        return make_instance(setting, run_key(seed), 0.01).planted.params

    counts, rng = [], np.random.default_rng(0)
    for seed in seeds:
        params = jax.device_get(planted(np.uint32(seed)))
        kernels = [layer["kernel"] for layer in params.values()]
        counts.append(count_paths(kernels))
        for _ in range(DRAWN):
            path = [0, *rng.integers(FLAGS.width, size=FLAGS.depth - 2), 0]
            steps = zip(kernels, path, path[1:], strict=False)
            weights = [kernel[a, b] for kernel, a, b in steps]
            assert is_ticket(weights) == (min(weights) > 0)
    paths = FLAGS.width ** (FLAGS.depth - 2)
    print(
        f"ReLU, depth {FLAGS.depth}, width {FLAGS.width}, seeds {seeds[0]} to {seeds[-1]}: "
        f"of {paths:,} paths, {np.mean(counts):,.0f} "
        f"({np.mean(counts) / paths:.1%}) are strong tickets of {FLAGS.depth - 1} parameters, "
        f"{min(counts):,} to {max(counts):,} by seed; one of them is planted"
    )
    return 0


if __name__ == "__main__":
    launch(main)
