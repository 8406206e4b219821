"""The effect of lower precision of the training's products on the quality of trained networks.

    python -m benchmarks.precision --seeds=10

On accelerators, "high" and "default" compute a float32 product from three products or one of
bfloat16 numbers ("highest" from six on a TPU). A CPU has no such products, so the operands are
rounded in the same way, forward and backward; products and sums stay float32, as on accelerators.
(GPUs round to TF32 instead, which keeps three bits more.) Planting, scoring and measuring are in
full float32. For each task and density, the same masks are trained at each precision, from the same
values, in the same order. Prints the mean weak quality and its differences by run. Development
seeds, from 0.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_list("task", ["circle", "relu", "helix"], "Tasks.")
flags.DEFINE_list("densities", ["0.1", "0.5"], "Densities of the masks, which are magnitude's.")
flags.DEFINE_integer("seeds", 10, "Seeds 0 to N-1.", lower_bound=2)
flags.DEFINE_integer("epochs", 10, "Epochs of training.", lower_bound=1)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=8)

PASSES = {"highest": 0, "high": 3, "default": 1}


def measure(task: str, densities: list[float], seeds: int, epochs: int, width: int) -> dict:
    """Weak quality (seeds, densities) at each precision."""
    import dataclasses

    import jax
    import jax.numpy as jnp
    import numpy as np

    import ticketjax as tj
    from benchmarks.passes import apply_in_passes
    from ticketjax.measure.quality import weak_quality
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key
    from ticketjax.training import train

    grid = tj.make_grid(task=task, width=width, epochs=epochs, densities=densities, seeds=1)
    setting = grid.settings()[0].setting

    def one(seed, density, passes):
        instance = make_instance(setting, run_key(seed), 0.01)
        problem = setting.problem(instance.planted.params, instance.train)
        mask = problem.select(jax.tree.map(jnp.abs, problem.params), density)
        there = problem
        if passes:
            there = dataclasses.replace(problem, apply=apply_in_passes(passes))
        trained = train(there, mask, instance.order, optimizer=setting.training.optimizer)
        return weak_quality(problem, trained, instance.held_out).metric

    points = [(s, d) for s in range(seeds) for d in densities]
    found = {}
    for name, passes in PASSES.items():
        run = jax.jit(lambda s, d, p=passes: jax.lax.map(lambda at: one(*at, p), (s, d)))
        metric = run(
            jnp.array([s for s, _ in points], jnp.uint32),
            jnp.array([d for _, d in points], jnp.float32),
        )
        found[name] = np.asarray(metric, float).reshape(seeds, len(densities)).tolist()
    return found


def main() -> int:
    """Measure every task, print a table."""
    import math
    import statistics

    from benchmarks.machine import describe

    densities = [float(text) for text in FLAGS.densities]
    print(describe())
    print(f"magnitude's masks; seeds 0 to {FLAGS.seeds - 1}, {FLAGS.epochs} epochs\n")
    print(f"{'task':8}{'density':>8}  {'precision':10}{'weak quality':>13}{'mean difference':>16}"
          f"{'standard error':>15}{'largest':>10}")  # fmt: skip
    for task in FLAGS.task:
        found = measure(task, densities, FLAGS.seeds, FLAGS.epochs, FLAGS.width)
        for d, density in enumerate(densities):
            full = [row[d] for row in found["highest"]]
            for name in PASSES:
                own = [row[d] for row in found[name]]
                apart = [a - b for a, b in zip(own, full, strict=True)]
                error = statistics.stdev(apart) / math.sqrt(len(apart))
                print(
                    f"{task:8}{density:>8g}  {name:10}{statistics.fmean(own):>13.5g}"
                    f"{statistics.fmean(apart):>16.2e}{error:>15.1e}"
                    f"{max(map(abs, apart)):>10.1e}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    launch(main)
