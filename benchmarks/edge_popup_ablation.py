"""What edge-popup's strong tickets of Circle depend on, with one change at a time.

    python -m benchmarks.edge_popup_ablation

The published code applies a softmax before the loss, and starts the scores of biases at 0, where
they cannot move. The library does neither. The table has the accuracy before training with each of
these changes, with both, with one budget over all layers, with the rescaled objective, and in a
network in which nothing is planted. Each is compared with the first row on the same seeds. Depth 5,
width 100, noise 0.01, ten result seeds. About four minutes on one core.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

DEPTH, WIDTH, NOISE = 5, 100, 0.01

flags.DEFINE_string("task", "circle", "Task.")
flags.DEFINE_float("density", 0.5, "Density.", lower_bound=0, upper_bound=1)
flags.DEFINE_integer("samples", 10_000, "Samples per run; a tenth is held out.", lower_bound=10)
flags.DEFINE_integer("epochs", 10, "Epochs of a search.", lower_bound=1)
flags.DEFINE_integer("seeds", 10, "Result seeds: 1000 to 1000 + N - 1.", lower_bound=5)


class Row(NamedTuple):
    """One line of the table.

    Args:
        title: what differs from the first row.
        seeker: makes the mask.
        planted: whether there is a ticket in the network.
    """

    title: str
    seeker: Callable[..., Any]
    planted: bool = True


def rows() -> list[Row]:
    """The first is edge-popup as in the library."""
    import ticketjax as tj
    from benchmarks.popup_variants import with_softmax, with_still_biases

    plain = tj.EdgePopup(epochs=FLAGS.epochs)
    still = tj.EdgePopup(epochs=FLAGS.epochs, start=with_still_biases)
    return [
        Row("edge-popup", plain),
        Row("softmax before the loss", with_softmax(plain)),
        Row("scores of biases stay 0", still),
        Row("both", with_softmax(still)),
        Row("one budget over all layers", tj.EdgePopup(epochs=FLAGS.epochs, scope="global")),
        Row("rescaled objective", tj.EdgePopup(epochs=FLAGS.epochs, objective="rescaled")),
        Row("nothing planted", plain, planted=False),
    ]


def accuracies(setting, row: Row, seeds):
    """Accuracy before training, and the share of kept parameters that are biases; (seeds,) each."""
    import jax
    import jax.numpy as jnp

    from benchmarks.mask_variants import without_ticket
    from ticketjax.masks import apply_mask, count_kept
    from ticketjax.measure.quality import strong_quality
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key
    from ticketjax.runs.trial import seek

    @jax.jit
    @jax.vmap
    def measured(seed):
        key = run_key(seed)
        instance = make_instance(setting, key, NOISE)
        if not row.planted:
            instance = without_ticket(setting, key, instance)
        mask = seek(setting, row.seeker, key, instance, FLAGS.density)[0].mask
        problem = setting.problem(instance.start, instance.train)
        quality = strong_quality(problem, apply_mask(instance.start, mask), instance.held_out)
        return quality.metric, 1 - count_kept(mask, False) / jnp.float32(count_kept(mask))

    return measured(seeds)


def main() -> int:
    """Search with every row, and print the table."""
    import numpy as np

    import ticketjax as tj
    from benchmarks.machine import describe
    from ticketjax.records.statistics import holm, intervals_of_means, paired_difference
    from ticketjax.tuning.seeds import result_seeds

    print(describe())
    seeds = np.array(result_seeds(FLAGS.seeds), np.uint32)
    task = tj.get_task(FLAGS.task)
    setting = tj.Setting(task, tj.mlp(task, DEPTH, WIDTH), samples=FLAGS.samples)
    print(f"{FLAGS.task}, depth {DEPTH}, width {WIDTH}, density {FLAGS.density}, noise {NOISE}")
    print(f"seeds {seeds[0]} to {seeds[-1]}; 95% intervals; p of paired t tests, by Holm")
    print(f"{'':28}{'accuracy':>24}{'biases':>9}{'difference':>28}", flush=True)
    differences, first = [], None
    for row in rows():
        metric, biases = map(np.asarray, accuracies(setting, row, seeds))
        low, high = intervals_of_means(metric[None], 0, 1)[:, 0]
        line = f"{row.title:28}{f'{metric.mean():.3f} [{low:.3f}, {high:.3f}]':>24}"
        line += f"{biases.mean():>9.1%}"
        if first is None:
            first = metric
        else:
            difference = paired_difference(metric, first)
            differences.append(difference)
            line += f"{difference.mean:>10.3f} [{difference.low:.3f}, {difference.high:.3f}]"
        print(line, flush=True)
    adjusted = holm(np.array([difference.p for difference in differences]))
    print("p: " + ", ".join(f"{p:.2g}" for p in adjusted))
    return 0


if __name__ == "__main__":
    launch(main)
