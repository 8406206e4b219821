"""Why training fails on what GraSP keeps at depth 10 and density 0.1 of the regression tasks.

    python -m benchmarks.grasp_depth10

Prints how much larger the masked network's output is than the dense one's, by depth; the course of
the first steps of training; and the loss before and after training with one change at a time: in
the score, the mask, the values under it, or the optimizer. The last column measures as the
published code does, which fits each output to the held-out labels, batch by batch. Helix and ReLU,
width 100, noise 0.01, ten result seeds. About 15 minutes on two cores.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_list("task", ["helix", "relu"], "Regression tasks.")
flags.DEFINE_integer("seeds", 10, "Seeds of every row.", lower_bound=1)
flags.DEFINE_integer("first_seed", 1000, "The first of them.", lower_bound=0)
flags.DEFINE_list("depth", ["3", "5", "8", "10"], "Depths of the table of output sizes.")

DEPTH, WIDTH, DENSITY, NOISE = 10, 100, 0.1, 0.01
STEPS = (0, 10, 100, 281, 1000, 2809)
# Size of the published code's test batches.
TEST_BATCH = 256
LIBRARY = ("grasp", "snip", "magnitude", "random")
OPTIMIZERS = {
    "adam, learning rate 1e-2": "adam(learning_rate=0.01)",
    "adam, learning rate 1e-4": "adam(learning_rate=0.0001)",
    "adam, b2 = 0.99": "adam(learning_rate=0.001, b2=0.99)",
    "adam, b2 = 0.9": "adam(learning_rate=0.001, b2=0.9)",
    "adam, warm-up of one epoch": (
        "adam(learning_rate=linear_schedule(init_value=0.0, end_value=0.001, transition_steps=281))"
    ),
    "adam, gradients clipped to norm 1": (
        "chain(clip_by_global_norm(1.0), adam(learning_rate=0.001))"
    ),
}


class Row(NamedTuple):
    """One line of the ablation: a difference from GraSP as in the sweeps.

    Args:
        title: what differs.
        seeker: makes the mask.
        options: fields of Setting.
        planted: whether there is a ticket in the network.
        start: (problem, params, mask) -> the values that are trained under the mask.
    """

    title: str
    seeker: Any
    options: dict[str, Any] = {}
    planted: bool = True
    start: Callable[[Any, Any, Any], Any] = lambda problem, params, mask: params


def grasp_variant(divisor: float = 1.0, absolute: bool = False):
    """GraSP with outputs divided by a number, as in the published code, or with absolute scores."""
    import dataclasses

    import jax

    import ticketjax as tj

    def score(key, problem, params, mask):
        apply = problem.apply
        divided = dataclasses.replace(problem, apply=lambda p, x: apply(p, x) / divisor)
        scores = tj.grasp(key, divided, params, mask)
        return jax.tree.map(abs, scores) if absolute else scores

    return score


def output_size(problem, params):
    """Root mean square of the outputs on the training data."""
    import jax.numpy as jnp

    return jnp.sqrt(jnp.mean(problem.apply(params, problem.batch.x) ** 2))


def as_large_as_dense(problem, params, mask):
    """Scale the last layer so that the masked network's outputs are as large as the dense one's."""
    import jax

    from ticketjax.masks import apply_mask

    last = max(params, key=lambda name: int(name.removeprefix("layer_")))
    ratio = output_size(problem, params) / output_size(problem, apply_mask(params, mask))
    return {**params, last: jax.tree.map(lambda leaf: leaf * ratio, params[last])}


def published_error(outputs, y, size: int = TEST_BATCH):
    """Mean squared error after each output is fitted to the labels of its batch.

    Args:
        outputs, y: (n, outputs).
        size: samples of a batch; the last one may have fewer.

    Returns:
        () float.
    """
    import jax.numpy as jnp

    from ticketjax.objective import rescale

    total = 0.0
    for begin in range(0, outputs.shape[0], size):
        f, label = outputs[begin : begin + size], y[begin : begin + size]
        energy = jnp.sum(f * f, axis=0)
        scale = jnp.where(energy > 0, jnp.sum(f * label, axis=0) / energy, 1.0)
        total += jnp.mean((rescale(f, scale) - label) ** 2) * f.shape[0]
    return total / outputs.shape[0]


def ablation() -> list[Row]:
    """The rows, except those of other optimizers."""
    import ticketjax as tj

    def grasp(**options):
        return tj.Singleshot(tj.grasp, **options)

    divided, either = grasp_variant(200.0), grasp_variant(absolute=True)
    return [
        Row("GraSP", grasp()),
        *(Row(name, tj.get_seeker(name)) for name in LIBRARY[1:]),
        Row("score: outputs divided by 200", tj.Singleshot(divided)),
        Row("score: of either sign, |theta * Hg|", tj.Singleshot(either)),
        Row("score: lowest kept", grasp(sanity="invert")),
        Row("score: 10 samples", grasp(score_samples=10)),
        Row("score: all samples", grasp(score_samples=None)),
        Row("mask: local scope", grasp(scope="local")),
        Row("mask: biases never pruned", grasp(), {"prune_bias": False}),
        Row("mask: shuffled within each layer", grasp(sanity="shuffle")),
        Row("values: nothing planted", grasp(), planted=False),
        Row("values: drawn anew under the mask", grasp(), {"reinitialise": True}),
        Row("values: outputs as large as dense", grasp(), start=as_large_as_dense),
        Row("adam, 30 epochs", grasp(), {"training": tj.Training(epochs=30)}),
    ]


def _keys():
    import jax
    import jax.numpy as jnp

    from ticketjax.runs.programs import run_key

    seeds = jnp.arange(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    return jax.vmap(run_key)(seeds)


def _search(setting, row: Row, keys):
    """For each seed: the problem, the mask, the values to train under the mask, the instance."""
    import jax

    from benchmarks.mask_variants import without_ticket
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.trial import seek

    @jax.jit
    @jax.vmap
    def search(key):
        instance = make_instance(setting, key, NOISE)
        if not row.planted:
            instance = without_ticket(setting, key, instance)
        mask = seek(setting, row.seeker, key, instance, DENSITY)[0].mask
        problem = setting.problem(instance.start, instance.train)
        return problem, mask, row.start(problem, instance.start, mask), instance

    return search(keys)


@functools.cache
def _training(optimizer: str):
    """A training of (seeds, ...) masked networks: losses before, after one epoch, at the end."""
    import dataclasses

    import jax

    from ticketjax.masks import apply_mask
    from ticketjax.objective import loss
    from ticketjax.training import train

    @jax.jit
    @jax.vmap
    def measure(problem, mask, start, instance):
        problem = dataclasses.replace(problem, params=start)
        first = train(problem, mask, instance.order[:1], optimizer=optimizer)
        last = train(problem, mask, instance.order, optimizer=optimizer)
        outputs, y = problem.apply(last, instance.held_out.x), instance.held_out.y
        return (
            problem.loss(apply_mask(start, mask)),
            problem.loss(first),
            loss(problem.kind, outputs, y),
            published_error(outputs, y),
        )

    return measure


def first_steps(optimizer: str):
    """A function of the results of _search(): the loss and the norms of gradient and step.

    Args:
        optimizer: text.

    Returns:
        (problem, mask, start, instance) -> three (seeds, steps) arrays; the loss is that of the
        step's batch.
    """
    import jax
    import optax

    from ticketjax.masks import apply_mask
    from ticketjax.objective import loss
    from ticketjax.optimizers import make_optimizer

    transformation = make_optimizer(optimizer)

    @jax.jit
    @jax.vmap
    def run(problem, mask, start, instance):
        def step(carry, samples):
            params, state = carry
            x, y = problem.batch.x[samples], problem.batch.y[samples]
            value, gradients = jax.value_and_grad(
                lambda p: loss(problem.kind, problem.apply(p, x), y)
            )(params)
            gradients = apply_mask(gradients, mask)
            updates, state = transformation.update(gradients, state, params)
            norms = optax.global_norm(gradients), optax.global_norm(updates)
            return (optax.apply_updates(params, updates), state), (value, *norms)

        params = apply_mask(start, mask)
        order = instance.order.reshape(-1, instance.order.shape[-1])
        return jax.lax.scan(step, (params, transformation.init(params)), order)[1]

    return run


def _spread(values) -> str:
    import numpy as np

    values = np.asarray(values)
    return f"{np.median(values):.2g} [{values.min():.2g}, {values.max():.2g}]"


def _print_sizes(task, keys) -> None:
    import jax
    import numpy as np

    import ticketjax as tj
    from ticketjax.masks import apply_mask, layer_densities

    print(f"\n{task.name}: root mean square output, masked over dense")
    print(f"{'depth':6}" + "".join(f"{name:>28}" for name in LIBRARY))
    ratio = jax.jit(
        jax.vmap(
            lambda problem, mask, start: (
                output_size(problem, apply_mask(start, mask)) / output_size(problem, start)
            )
        )
    )
    for depth in map(int, FLAGS.depth):
        setting = tj.Setting(task, tj.mlp(task, depth, WIDTH))
        cells = []
        for name in LIBRARY:
            problem, mask, start, _ = _search(setting, Row(name, tj.get_seeker(name)), keys)
            cells.append(_spread(ratio(problem, mask, start)))
            if name == "grasp":
                densities = np.mean(jax.vmap(layer_densities)(mask), axis=0)
                biases = [np.sum(layer["bias"]) for layer in mask.values()]
                share = sum(biases) / sum(np.sum(leaf) for leaf in jax.tree.leaves(mask))
        print(f"{depth:<6}" + "".join(f"{cell:>28}" for cell in cells))
    shown = [f"{value:.2f}" for value in densities]
    print(f"GraSP at depth {depth}: mean density by layer {' '.join(shown)}")
    print(f"{100 * share:.1f}% of what it keeps there are biases", flush=True)


def _print_steps(task, found) -> None:
    import numpy as np

    from ticketjax.choices import ADAM

    print(f"\n{task.name}: GraSP, training step by step, medians")
    print(f"{'':20}" + "".join(f"{f'step {step}':>11}" for step in STEPS))
    for name, optimizer in (("adam", ADAM), ("b2 = 0.9", OPTIMIZERS["adam, b2 = 0.9"])):
        lines = zip(("loss", "gradient", "step"), first_steps(optimizer)(*found), strict=True)
        for what, values in lines:
            median = np.median(np.asarray(values)[:, STEPS], axis=0)
            print(f"{name + ', ' + what:20}" + "".join(f"{value:>11.2g}" for value in median))


def main() -> int:
    """Search, train, print."""
    import ticketjax as tj
    from benchmarks.machine import describe
    from ticketjax.choices import ADAM

    print(describe())
    keys = _keys()
    last = FLAGS.first_seed + FLAGS.seeds - 1
    print(f"width {WIDTH}, density {DENSITY}, noise {NOISE}, seeds {FLAGS.first_seed} to {last}")
    columns = ("at the start", "after 1 epoch", "at the end, held out", "as published measured")
    for task in map(tj.get_task, FLAGS.task):
        _print_sizes(task, keys)
        model = tj.mlp(task, DEPTH, WIDTH)
        rows = ablation()
        base = _search(tj.Setting(task, model), rows[0], keys)
        _print_steps(task, base)
        print(f"\n{task.name}, depth {DEPTH}: mean squared error, median [lowest, highest]")
        print(f"{'':36}" + "".join(f"{column:>28}" for column in columns))
        for row in rows:
            found = _search(tj.Setting(task, model, **row.options), row, keys)
            _print_row(row.title, _training(ADAM)(*found))
        for title, optimizer in OPTIMIZERS.items():
            _print_row(title, _training(optimizer)(*base))
    return 0


def _print_row(title: str, losses) -> None:
    print(f"{title:36}" + "".join(f"{_spread(values):>28}" for values in losses), flush=True)


if __name__ == "__main__":
    launch(main)
