"""Runs of Figure 3's setting per second: the sweep against one run at a time, JAX and PyTorch.

    python -m benchmarks.peers --seeds=8       # PyTorch needs the extra: pip install -e '.[torch]'

Prints seconds per run and, for each turn, the speed relative to idiomatic PyTorch. All candidates
run in one process on the same cores: each does whole 10-epoch runs of Circle at depth 5 and width
100, and they take turns `--repeats` times. A sweep's runs are Figure 3's grid of one task, so it
gains from what its runs share (a density of 1, scores, data) and from leaving out dead neurons.
"full width" has neither gain: one density of 0.5, where nearly all neurons are alive. PyTorch only
trains, without the other parts of a run (data, planting, scores, measuring). About 4 minutes on two
cores.

--authors=DIR also times the code of the paper's authors: a checkout of RelationalML/PlantNSeek that
was repaired so that it starts, because its main.py imports a module that is missing. Every run is a
process of its own, which plants, prunes at density 0.5, trains and measures.
"""

import os
import sys

from absl import flags

from ticketjax.commands.flags import FLAGS, naming
from ticketjax.commands.launching import launch

flags.DEFINE_integer("repeats", 3, "Turns of every candidate.", lower_bound=1)
flags.DEFINE_integer("seeds", 10, "Seeds of the sweeps in a turn.", lower_bound=1)
flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=1)
# A hundred runs at once are the fastest; fewer take longer per run.
flags.DEFINE_integer("expert_runs", 100, "Runs that the expert trains at once.", lower_bound=1)
flags.DEFINE_string("authors", None, "A repaired checkout of the authors' code.")

ONE_BY_ONE = "same trial, jit, one by one"
IDIOMATIC = "PyTorch, idiomatic, one by one"
AUTHORS = "the authors' code, a process per run"
RUNS_ONE_BY_ONE = 2


def _sweep(grid):
    """Seconds per run of a sweep; the first time with compilation."""
    from benchmarks.timing import seconds
    from ticketjax.runs.engine import run

    return seconds(lambda: [records.num_rows for records in run(grid)]) / grid.runs


def _one_at_a_time(trial):
    import jax

    from benchmarks.timing import seconds
    from ticketjax import Point

    def runs():
        for seed in range(RUNS_ONE_BY_ONE):
            jax.block_until_ready(trial(jax.random.key(seed), Point(0.5, 0.01)))

    return seconds(runs) / RUNS_ONE_BY_ONE


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


def _torch_candidates(setting) -> dict:
    """PyTorch's two candidates, or none with a printed line."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: its rows are left out", file=sys.stderr)
        return {}

    from benchmarks.torch_expert import train_many
    from benchmarks.torch_idiomatic import train_one

    runs, kind, epochs = FLAGS.expert_runs, setting.task.kind, setting.training.epochs
    x, y, params, masks = _torch_inputs(setting, runs)
    first = [(k[0], b[0]) for k, b in params], [(k[0], b[0]) for k, b in masks]
    threads = torch.get_num_threads()

    def idiomatic():
        # One small network at a time is no faster with a second thread, and often slower.
        torch.set_num_threads(1)
        seconds = train_one(x[0], y[0], *first, kind, epochs)[1]
        torch.set_num_threads(threads)
        return seconds

    def expert():
        return train_many(x, y, params, masks, kind, epochs)[1] / runs

    return {
        IDIOMATIC: idiomatic,
        f"PyTorch, expert, {runs} at once, {threads} threads": expert,
    }


def _authors_program() -> str:
    """The directory of the authors' main.py.

    Raises:
        ValueError: there is none in the checkout.
    """
    directory = os.path.join(FLAGS.authors, "Synaptic-Flow-Extended")
    if not os.path.isfile(os.path.join(directory, "main.py")):
        raise ValueError(f"must have Synaptic-Flow-Extended/main.py, got {FLAGS.authors!r}")
    return directory


def _authors_run(directory: str, epochs: int) -> float:
    """Seconds of one run of the authors' code, as a process."""
    import subprocess

    from benchmarks.timing import seconds

    options = {
        "experiment": "singleshot",
        "dataset": "circle",
        "model": "planted-model",
        "depth": 5,
        "width": 100,
        "train-batch-size": 32,
        "pruner": "synflow",
        "sparsity": 0.5,
        "prune-bias": True,
        "post-epochs": epochs,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "main.py", *given, "--no-cuda"]
    return seconds(lambda: subprocess.run(command, cwd=directory, check=True, capture_output=True))


def main() -> int:
    """Measure, and print a table with ratios."""
    import jax

    import ticketjax as tj
    from benchmarks.machine import describe
    from benchmarks.timing import in_turns, spread

    if FLAGS.authors is not None:
        with naming("authors"):
            authors = _authors_program()
    task = tj.get_task("circle")
    model = tj.mlp(task, depth=5, width=100)
    fields = {"task": "circle", "epochs": FLAGS.epochs}
    grids = {
        "sweep, Figure 3's grid": tj.make_grid(**fields, seeds=FLAGS.seeds),
        "sweep, full width": tj.make_grid(
            **fields, seekers="magnitude", densities=0.5, seeds=5 * FLAGS.seeds
        ),
    }
    trial = jax.jit(tj.make_trial(task, model, "synflow", epochs=FLAGS.epochs))
    candidates = {name: (lambda g=grid: _sweep(g)) for name, grid in grids.items()}
    candidates[ONE_BY_ONE] = lambda: _one_at_a_time(trial)
    candidates |= _torch_candidates(
        tj.Setting(task, model, training=tj.Training(epochs=FLAGS.epochs))
    )
    if FLAGS.authors is not None:
        candidates[AUTHORS] = lambda: _authors_run(authors, FLAGS.epochs)
    first, seconds = in_turns(candidates, FLAGS.repeats)

    reference = IDIOMATIC if IDIOMATIC in candidates else ONE_BY_ONE
    print(describe())
    print(f"repeats: {FLAGS.repeats}, seeds: {FLAGS.seeds}, epochs: {FLAGS.epochs}\n")
    print(f"{'':42}{'s per run, median [min, max]':>30}{'first time':>12}{'ratio [min, max]':>24}")
    for name, values in seconds.items():
        # In turns, so that a temporary load on the machine slows all candidates.
        ratios = [other / own for other, own in zip(seconds[reference], values, strict=True)]
        print(f"{name:42}{spread(values):>30}{first[name]:>12.3f}{spread(ratios, 1):>24}")
    print(f'\nratio: speed relative to "{reference}", of the same turn.')
    print("first time: with compilation.")
    return 0


if __name__ == "__main__":
    launch(main)
