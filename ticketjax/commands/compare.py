r"""Draw what a seeker finds beside the planted ticket: both as graphs, and as functions.

    ticketjax compare --task=circle --seeker=probabilistic --strategy=refined
    ticketjax compare --task=relu --seeker=path_pursuit --strategy=refined --seed=3

Only parameters on a path from an input to an output are drawn. The title gives their number and the
number of kept parameters.
"""

import os
from typing import Any

from absl import flags

from ticketjax.commands.flags import (
    FLAGS,
    OWN_MODEL,
    TASKS,
    FlagError,
    density_of,
    naming,
    options,
)
from ticketjax.names import file_name


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("task", "circle", f"Task: {TASKS}.")
    flags.DEFINE_string("model", None, f"A network of your own: {OWN_MODEL}.")
    flags.DEFINE_integer("depth", 5, "Layers of neurons, including the input.", lower_bound=2)
    flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
    flags.DEFINE_string(
        "seeker",
        "probabilistic",
        "A name, an expression such as refined(concrete()), or your own path/to/file.py:name.",
    )
    flags.DEFINE_string("strategy", None, "Strategy of a named seeker; by default its first one.")
    flags.DEFINE_list("options", [], "Further options of a named seeker: name=value,...")
    flags.DEFINE_string(
        "density", "ticket", 'Fraction to keep; "ticket" is that of the planted ticket.'
    )
    flags.DEFINE_enum(
        "objective", None, ["raw", "rescaled"], "Objective that replaces the seeker's own."
    )
    flags.DEFINE_float("noise", 0.01, "Noise level.", lower_bound=0)
    flags.DEFINE_integer("samples", 10_000, "Samples; a tenth is held out.", lower_bound=10)
    flags.DEFINE_integer(
        "seed", 0, "Seed that determines the whole run.", lower_bound=0, upper_bound=2**31 - 1
    )
    flags.DEFINE_string("out", "results/compare", "Directory of the figure.")


def main() -> int:
    """Plant, seek, draw."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from ticketjax.base import CLASSIFICATION
    from ticketjax.choices import Training
    from ticketjax.commands.running import grid_of
    from ticketjax.commands.values import read_models, read_seeker_flag, read_task
    from ticketjax.figures.drawings import Side, comparison, plane
    from ticketjax.masks import apply_mask, count_kept
    from ticketjax.measure.quality import strong_quality
    from ticketjax.networks.paths import live_parameters
    from ticketjax.objective import output_scale, rescale
    from ticketjax.records.titles import format_metric, seeker_title
    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key
    from ticketjax.runs.trial import seek

    with naming("task"):
        task = read_task(FLAGS.task)
        points = plane(task)
    with naming("model"):
        model = read_models([FLAGS.model] if FLAGS.model else [])
    with naming("density"):
        density: Any = density_of(FLAGS.density)
    with naming("seeker"):
        label, chosen = read_seeker_flag(FLAGS.seeker)
    wanted = grid_of(
        task=task,
        model=model,
        depth=FLAGS.depth,
        width=FLAGS.width,
        seekers={label: chosen},
        strategy=FLAGS.strategy,
        options=options(),
        densities=density,
        noise=FLAGS.noise,
        seeds=[FLAGS.seed],
        samples=FLAGS.samples,
        objective=FLAGS.objective,
        training=Training(batch_size=1),
    )
    ((_, seeker),) = wanted.seekers
    (named,) = wanted.settings()
    setting = named.setting
    try:
        key = run_key(FLAGS.seed)
        target = setting.own_target(FLAGS.seed)
        instance = jax.jit(lambda k, t: make_instance(setting, k, FLAGS.noise, t))(key, target)
        found = jax.jit(lambda k, i: seek(setting, seeker, k, i, density)[0])(key, instance)
    except ValueError as error:
        raise FlagError(str(error)) from None
    problem = setting.problem(instance.planted.params, instance.train)

    def side(name, mask):
        params = apply_mask(problem.params, mask)
        quality = strong_quality(problem, params, instance.held_out)
        live = live_parameters(problem.view(mask))
        fitted = output_scale(task.kind, problem.apply(params, problem.batch.x), problem.batch.y)
        outputs = rescale(problem.apply(params, jnp.asarray(points)), fitted)
        measured = format_metric(float(quality.metric), task.kind == CLASSIFICATION)
        kept, alive = int(count_kept(problem.view(mask))), int(count_kept(live))
        what = f"{alive} parameters" if alive == kept else f"{alive} of {kept} parameters"
        shown = apply_mask(problem.view(problem.params), live)
        return Side(f"{name}: {what}, {measured}", shown, np.asarray(outputs))

    os.makedirs(FLAGS.out, exist_ok=True)
    name = seeker_title(label)
    path = f"{FLAGS.out}/{file_name(f'{task.name}-{name}')}-seed{FLAGS.seed}.png"
    planted = side("planted", instance.planted.mask)
    comparison(path, task, planted, side("found", found.mask)._replace(note=name))
    both = jax.tree.map(jnp.logical_and, found.mask, instance.planted.mask)
    overlap = int(count_kept(problem.view(both)))
    size = int(count_kept(problem.view(instance.planted.mask)))
    print(f"{overlap} of {size} planted parameters were found")
    print(f"figure: {path}")
    return 0
