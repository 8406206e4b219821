"""How much of a seed's result is noise: the same runs after a change of 1e-7 in the data.

    python -m benchmarks.noise --seeds=10

Every seeker runs twice on each seed: on the data, and on inputs multiplied by 1 + 1e-7 or 1 - 1e-7.
A search that trains amplifies this difference, like the rounding of another machine. Prints, for
each seeker, the share of seeds whose mask keeps other parameters, and the mean difference of the
metric before and after training, next to the standard deviation between seeds. Differences between
seekers up to this size are not significant. About 20 minutes on two cores with the default seekers.
"""

import dataclasses

from absl import flags

from ticketjax.commands.flags import FLAGS, define_expressions
from ticketjax.commands.launching import launch

SEEKERS = (
    "snip, grasp, synflow, multishot(magnitude), rewinding(), iterative_hard_thresholding(), "
    "edge_popup(annealed=True), probabilistic(epochs=100), concrete(), relaxed_bernoulli(), "
    "continuous_sparsification(), gem_miner(), path_pursuit()"
)
SIZE = 1e-7

flags.DEFINE_list("task", ["circle", "helix"], "Tasks.")
define_expressions("seekers", SEEKERS, "Seekers, as expressions.")
flags.DEFINE_string("density", "ticket", 'A number, or "ticket".')
flags.DEFINE_integer("seeds", 10, "Development seeds: 0 to N-1.", lower_bound=2, upper_bound=100)
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=2)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
flags.DEFINE_integer("samples", 10_000, "Samples per run, a tenth held out.", lower_bound=1)


def shaken(task):
    """The task with its inputs changed by one part in 1e7, up or down at random."""
    import jax
    import jax.numpy as jnp

    def sample(key, n, noise=0.01):
        batch = task.sample(key, n, noise)
        up = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.5, batch.x.shape)
        return batch._replace(x=batch.x * jnp.where(up, 1 + SIZE, 1 - SIZE).astype(jnp.float32))

    return dataclasses.replace(task, sample=sample)


def compared(plain: dict, other: dict) -> dict[str, float]:
    """What differs between two lists of runs on the same seeds, given by column."""
    import numpy as np

    result = {}
    same_mask = [
        all(plain[name][i] == other[name][i] for name in ("precision", "layer_kept", "log10_paths"))
        for i in range(len(plain["seed"]))
    ]
    result["other mask"] = 1 - float(np.mean(same_mask))
    for quality in ("strong", "weak"):
        a, b = (np.array(runs[f"{quality}_metric"], float) for runs in (plain, other))
        result[f"{quality} difference"] = float(np.mean(np.abs(a - b)))
        result[f"{quality} deviation"] = float(np.std(a, ddof=1))
    return result


def main() -> int:
    """Run each seeker twice, print what differs."""
    import ticketjax as tj
    from benchmarks.machine import describe
    from ticketjax.commands.flags import density_of

    print(describe())
    print(
        f"depth {FLAGS.depth}, width {FLAGS.width}, density {FLAGS.density}, seeds 0 to "
        f"{FLAGS.seeds - 1}; mean |difference| between the two runs of a seed, and the standard "
        "deviation between seeds"
    )
    heads = ("other mask", "strong", "(seeds)", "weak", "(seeds)")
    for name in FLAGS.task:
        task = tj.get_task(name)
        print(f"\n{name:32}" + "".join(f"{head:>12}" for head in heads), flush=True)
        for seeker in FLAGS.seekers:
            plain, other = (
                tj.sweep(
                    task=one,
                    seekers=seeker,
                    densities=density_of(FLAGS.density),
                    seeds=FLAGS.seeds,
                    depth=FLAGS.depth,
                    width=FLAGS.width,
                    samples=FLAGS.samples,
                )
                .sort_by("seed")
                .to_pydict()
                for one in (task, shaken(task))
            )
            result = compared(plain, other)
            cells = [f"{result['other mask']:.0%}"]
            cells += [f"{value:.2g}" for title, value in result.items() if title != "other mask"]
            print(f"{seeker:32}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    launch(main)
