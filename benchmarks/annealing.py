"""How many proposals annealing makes per second: in XLA, and one by one in Numba.

    python -m benchmarks.annealing --steps=200

Both engines anneal the same planted network (development seed 0) with the same random numbers, in
turns, after one run that compiles. The table has proposals per second, the speedup of Numba by the
median, and the share of kept parameters that the two masks have in common. Rounding differs, so
long chains separate. Needs Numba: pip install 'ticketjax[numba]'. About three minutes of one core.
"""

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_list("task", ["relu", "helix", "circle"], "Tasks.")
flags.DEFINE_integer("steps", 200, "Steps of a chain.", lower_bound=1)
flags.DEFINE_integer("proposals", 512, "Proposals of a step, for each layer.", lower_bound=32)
flags.DEFINE_integer("repeats", 3, "Timed runs.", lower_bound=1)
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=2)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)


def compared(task: str) -> str:
    """Anneal a network with both engines, in turns; a line of the table."""
    import statistics

    import jax
    import numpy as np

    import ticketjax as tj
    from benchmarks.timing import in_turns, seconds, spread
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key

    grid = tj.make_grid(task=task, seekers="magnitude", depth=FLAGS.depth, width=FLAGS.width)
    (named,) = grid.settings()
    setting, key = named.setting, run_key(np.uint32(0))
    instance = jax.jit(lambda: make_instance(setting, key, 0.01))()
    problem = setting.problem(instance.planted.params, instance.train)

    def searched(engine):
        seeker = tj.Annealed(steps=FLAGS.steps, proposals=FLAGS.proposals, engine=engine)
        return jax.jit(lambda: seeker(key, problem, setting.ticket_density).mask)

    run = {engine: searched(engine) for engine in ("xla", "numba")}
    measures = {name: lambda search=search: seconds(search) for name, search in run.items()}
    _, times = in_turns(measures, FLAGS.repeats)
    number = FLAGS.steps * FLAGS.proposals * (FLAGS.depth - 1)
    rates = {name: [number / one / 1e3 for one in values] for name, values in times.items()}
    speedup = statistics.median(times["xla"]) / statistics.median(times["numba"])
    masks = [jax.tree.leaves(jax.device_get(search())) for search in run.values()]
    xla, numba = (np.concatenate([leaf.ravel() != 0 for leaf in mask]) for mask in masks)
    return (
        f"{task:8} {number:,} proposals; thousands per second: xla {spread(rates['xla'], 1)}, "
        f"numba {spread(rates['numba'], 1)}; speedup {speedup:.1f}; of the kept parameters, "
        f"{np.mean(numba[xla]):.0%} are the same"
    )


def main() -> int:
    """Anneal with both engines, print how fast they are."""
    from benchmarks.machine import describe

    print(describe())
    for task in FLAGS.task:
        print(compared(task), flush=True)
    return 0


if __name__ == "__main__":
    launch(main)
