"""Singleshot runs per second: the sweep against one run at a time, in JAX and in PyTorch.

    python -m benchmarks.singleshot            # PyTorch needs the extra: pip install -e '.[torch]'

One process, the same cores. Each candidate does whole 10-epoch runs of Circle at depth 5 and width
100; they take turns `--repeats` times. A sweep's runs are Figure 3's grid of one task, so it
gains by what its runs share (a density of 1, scores, data) and by leaving dead neurons out; "full
width" takes both away: one density of 0.5, where nearly all neurons live.
"""

import statistics
import sys
import time

from absl import flags

from experiments.flags import FLAGS, start, use_all_cores

flags.DEFINE_integer("repeats", 3, "Turns of every candidate.", lower_bound=1)
flags.DEFINE_integer("seeds", 10, "Seeds of the sweeps in a turn.", lower_bound=1)

use_all_cores()

EXPERT_RUNS = 100  # its best: fewer take longer per run


def _sweep(grid):
    """Seconds per run of a sweep; the first time with compilation."""
    from ticketjax.sweep import run

    begin = time.perf_counter()
    rows = sum(records.num_rows for records in run(grid))
    return (time.perf_counter() - begin) / rows


def _one_at_a_time(trial):
    import jax

    from ticketjax import Point

    begin = time.perf_counter()
    runs = 2
    for seed in range(runs):
        jax.block_until_ready(trial(jax.random.key(seed), Point(0.5, 0.01)))
    return (time.perf_counter() - begin) / runs


def _torch_inputs(setting, seeds):
    import jax
    import numpy as np

    from ticketjax import make_instance, select
    from ticketjax.masks import layer_names

    keys = jax.random.split(jax.random.key(0), seeds)
    instances = jax.jit(jax.vmap(lambda key: make_instance(setting, key, 0.01)))(keys)
    masks = jax.vmap(lambda params: select(params, 0.5))(instances.planted.params)

    def arrays(tree):
        return [
            (np.asarray(tree[name]["kernel"]), np.asarray(tree[name]["bias"]))
            for name in layer_names(tree)
        ]

    x, y = np.asarray(instances.train.x), np.asarray(instances.train.y)
    return x, y, arrays(instances.planted.params), arrays(masks)


def main() -> int:
    """Measure, and print a table with ratios."""
    import jax

    import ticketjax as tj
    from benchmarks.machine import describe

    setting_task = tj.get_task("circle")
    model = tj.mlp(setting_task, depth=5, width=100)
    setting = tj.Setting(setting_task, model)
    grids = {
        "sweep, Figure 3's grid": tj.Grid(task="circle", seeds=FLAGS.seeds),
        "sweep, full width": tj.Grid(
            task="circle", seekers="magnitude", densities=0.5, seeds=5 * FLAGS.seeds
        ),
    }
    trial = jax.jit(tj.make_trial(setting_task, model, "synflow"))
    candidates = {name: (lambda g=grid: _sweep(g)) for name, grid in grids.items()}
    candidates["same trial, jit, one by one"] = lambda: _one_at_a_time(trial)
    try:
        import torch

        from benchmarks.torch_expert import train_many
        from benchmarks.torch_idiomatic import train_one

        x, y, params, masks = _torch_inputs(setting, EXPERT_RUNS)
        first = [(k[0], b[0]) for k, b in params], [(k[0], b[0]) for k, b in masks]
        threads = torch.get_num_threads()

        def idiomatic():
            # One small network at a time gains nothing from a second thread, and often loses.
            torch.set_num_threads(1)
            seconds = train_one(x[0], y[0], *first, "classification")[1]
            torch.set_num_threads(threads)
            return seconds

        def expert():
            return train_many(x, y, params, masks, "classification")[1] / EXPERT_RUNS

        candidates["PyTorch, idiomatic, one by one"] = idiomatic
        candidates[f"PyTorch, expert, {EXPERT_RUNS} at once"] = expert
    except ImportError:
        threads = 0
        print("PyTorch is not installed: its rows are left out", file=sys.stderr)

    seconds = {name: [] for name in candidates}
    compiled = {name: measure() for name, measure in candidates.items()}
    for _ in range(FLAGS.repeats):
        for name, measure in candidates.items():
            seconds[name].append(measure())
    print(describe())
    print(f"repeats: {FLAGS.repeats}, seeds: {FLAGS.seeds}, torch threads: {threads}\n")
    reference = statistics.median(seconds.get("PyTorch, idiomatic, one by one", [float("nan")]))
    print(f"{'':34}{'s per run, median [min, max]':>30}{'first time':>12}{'ratio':>8}")
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{median:.3f} [{min(values):.3f}, {max(values):.3f}]"
        ratio = reference / median
        print(f"{name:34}{spread:>30}{compiled[name]:>12.3f}{ratio:>8.1f}")
    print("\nratio: speed relative to idiomatic PyTorch; first time: with compilation.")
    return 0


if __name__ == "__main__":
    start(main)
