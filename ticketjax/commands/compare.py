r"""Draw what a seeker finds beside the planted ticket: both as graphs, and as functions.

    python -m experiments.compare --task=circle --seeker=probabilistic --strategy=refined
    python -m experiments.compare --task=relu --seeker=path_pursuit --strategy=refined --seed=3

Only what lies on a path from an input to an output is drawn; the title says how many parameters
that is, of how many that were kept.
"""

import os
from typing import Any

from absl import flags

from experiments.flags import FLAGS, FlagError, density_of, named_or_own, naming, options, start

flags.DEFINE_string("task", "circle", "relu, circle or helix.")
flags.DEFINE_integer("depth", 5, "Layers of neurons, the input included.", lower_bound=2)
flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
flags.DEFINE_string("seeker", "probabilistic", "A name, or path/to/file.py:function of your own.")
flags.DEFINE_string("strategy", None, "How the seeker searches; its first one by default.")
flags.DEFINE_list("options", [], "Further options of the seeker: name=value,...")
flags.DEFINE_string("density", "ticket", 'Fraction to keep; "ticket" is the planted one\'s own.')
flags.DEFINE_enum("objective", "rescaled", ["raw", "rescaled"], "What the seeker optimises.")
flags.DEFINE_float("noise", 0.01, "Noise level.", lower_bound=0)
flags.DEFINE_integer("samples", 10_000, "Samples, a tenth held out.", lower_bound=10)
flags.DEFINE_integer(
    "seed", 0, "Everything of the run follows from it.", lower_bound=0, upper_bound=2**31 - 1
)
flags.DEFINE_string("out", "results/compare", "Directory of the figure.")


def main() -> int:
    """Plant, seek, draw."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from ticketjax import get_seeker, get_task, mlp
    from ticketjax.draw import Side, comparison, plane
    from ticketjax.masks import apply_mask, count_kept
    from ticketjax.measure import quality_and_objective
    from ticketjax.objective import output_scale, rescale
    from ticketjax.paths import live_parameters
    from ticketjax.sweep import run_key
    from ticketjax.titles import format_metric, is_accuracy, seeker_title
    from ticketjax.trial import Setting, make_instance, seek

    with naming("task"):
        task = get_task(FLAGS.task)
        points = plane(task)
    with naming("density"):
        density: Any = density_of(FLAGS.density)
    with naming("seeker"):
        chosen = named_or_own(FLAGS.seeker)
    try:
        seeker = get_seeker(chosen, strategy=FLAGS.strategy, **options())
        model = mlp(task, FLAGS.depth, FLAGS.width)
        setting = Setting(
            task, model, samples=FLAGS.samples, batch_size=1, objective=FLAGS.objective
        )
        key = run_key(FLAGS.seed)
        instance = jax.jit(lambda k: make_instance(setting, k, FLAGS.noise))(key)
        found = jax.jit(lambda k, i: seek(setting, seeker, k, i, density)[0])(key, instance)
    except ValueError as error:
        raise FlagError(str(error)) from None
    problem = setting.problem(instance.planted.params, instance.train)

    def side(name, mask):
        params = apply_mask(problem.params, mask)
        quality, _ = quality_and_objective(problem, params, instance.held_out)
        live = live_parameters(mask)
        fitted = output_scale(task.kind, problem.apply(params, problem.batch.x), problem.batch.y)
        outputs = rescale(problem.apply(params, jnp.asarray(points)), fitted)
        measured = format_metric(float(quality.metric), is_accuracy(task.name))
        kept, alive = int(count_kept(mask)), int(count_kept(live))
        what = f"{alive} parameters" if alive == kept else f"{alive} of {kept} parameters"
        return Side(
            f"{name}: {what}, {measured}", apply_mask(problem.params, live), np.asarray(outputs)
        )

    os.makedirs(FLAGS.out, exist_ok=True)
    path = f"{FLAGS.out}/{task.name}-{seeker_title(FLAGS.seeker)}-seed{FLAGS.seed}.png".replace(
        " ", "_"
    )
    planted = side("planted", instance.planted.mask)
    name = os.path.basename(seeker_title(FLAGS.seeker))
    comparison(path, task, planted, side(f"found by {name}", found.mask))
    overlap = int(count_kept(jax.tree.map(jnp.logical_and, found.mask, instance.planted.mask)))
    print(f"{overlap} of {int(count_kept(instance.planted.mask))} planted parameters are in it")
    print(f"figure: {path}")
    return 0


if __name__ == "__main__":
    start(main)
