"""One run as pure functions: seek, train, measure."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ticketjax import masks
from ticketjax.base import Found, Model, Params, Point, Task, Tree
from ticketjax.contract import check_found
from ticketjax.measure.equivalence import (
    MOST_GRID_INPUTS,
    POINTS,
    input_grid,
    is_found,
    target_error,
)
from ticketjax.measure.quality import (
    Ranking,
    ranking,
    recovery,
    untrained,
    untrained_of,
    weak_quality,
)
from ticketjax.networks.compaction import compact
from ticketjax.networks.layers import keep_the_rest, view, wires
from ticketjax.networks.paths import collapsed, effective_density, first_dead_layer, log10_paths
from ticketjax.planting.several import nearest
from ticketjax.problem import Problem, Seeker, outputs_at, outputs_of, resolve_density
from ticketjax.runs.instance import Instance, keys_of_run, make_instance
from ticketjax.runs.record import Record
from ticketjax.runs.setting import Setting, setting_fields
from ticketjax.seekers.checkpoints import MASKS, ROUNDS
from ticketjax.seekers.registry import get_seeker
from ticketjax.seekers.strategies import objective_of
from ticketjax.training import train


def _sought(setting: Setting, instance: Instance, found: Params) -> Params:
    """The view of the planted mask that a found mask is compared with; the nearest of several."""
    if instance.tickets is None:
        return view(instance.planted.mask, setting.layers)
    return nearest(instance.tickets, found, setting.prune_bias)


def seek(
    setting: Setting, seeker: Seeker, key: jax.Array, instance: Instance, density: jax.Array | float
) -> tuple[Found, Ranking]:
    """Run a seeker on an instance. Pure.

    Args:
        setting: what is fixed.
        seeker: (key, problem, density) -> Found.
        key: the run's key, the same as make_instance() had.
        instance: to search.
        density: of the mask, in (0, 1]; may be traced.

    Returns:
        What the seeker found, and how its scores rank.

    Raises:
        ValueError: anything but a Found whose mask is bool and whose mask and scores have the
            shapes of the parameters.
    """
    found = look(setting, seeker, key, instance, density)
    return found, rank(setting, instance, found)


def look(
    setting: Setting, seeker: Seeker, key: jax.Array, instance: Instance, density: jax.Array | float
) -> Found:
    """What a seeker finds in an instance, without measuring anything. Pure.

    Args:
        setting, seeker, key, instance, density: as in seek().

    Returns:
        What the seeker returns.

    Raises:
        ValueError: as seek() does.
    """
    found = seeker(*seeker_arguments(setting, key, instance), density)
    # A user's seeker may return anything; without a check, the error would appear elsewhere later.
    check_found(found, instance.planted.params)
    return found


def seeker_arguments(
    setting: Setting, key: jax.Array, instance: Instance
) -> tuple[jax.Array, Problem]:
    """The key and the problem that every seeker of a run receives. Pure.

    Args:
        setting, key, instance: as in seek().

    Returns:
        (key, problem).
    """
    return keys_of_run(key)["seek"], setting.problem(instance.planted.params, instance.train)


def rank(setting: Setting, instance: Instance, found: Found) -> Ranking:
    """How the scores of what was found rank the planted parameters. Pure.

    Args:
        setting, instance: as in seek().
        found: its mask is used only to choose the nearest of several tickets.

    Returns:
        A Ranking.
    """
    sought = _sought(setting, instance, view(found.mask, setting.layers))
    return ranking(view(found.scores, setting.layers), sought, setting.prune_bias)


def ranking_entries(ranks: Ranking) -> dict[str, jax.Array]:
    """The entries of Record that depend on the scores."""
    return {
        "score_auc": ranks.auc,
        "average_precision": ranks.average_precision,
        "covering_density": ranks.covering_density,
    }


def own_entries(setting: Setting, instance: Instance, found: Found) -> dict[str, jax.Array]:
    """The entries of Record that depend on the parameters that a seeker returns, if any."""
    params = found.info.get("params")
    if params is None:
        return {}
    problem = setting.problem(instance.planted.params, instance.train)
    quality = weak_quality(problem, masks.apply_mask(params, found.mask), instance.held_out)
    return {"own_metric": quality.metric, "own_loss": quality.loss}


def anytime_entries(
    setting: Setting, instance: Instance, found: Found, rescaled: jax.Array | bool
) -> dict[str, jax.Array]:
    """The quality of the best mask up to some rounds of a search, if the search reports its masks.

    Args:
        setting, instance: as in seek().
        found: its info may have what checkpoints.as_info() returns.
        rescaled: whether the best mask has the least loss at the best output scale, or that of the
            unscaled output; may be traced.

    Returns:
        Entries of records, each (marks,): the number of rounds, the least loss on the training data
        up to there, and the strong metric of the mask that has it.
    """
    if MASKS not in found.info:
        return {}
    problem = setting.problem(instance.planted.params, instance.train)

    def worth(mask: Tree) -> tuple[jax.Array, jax.Array]:
        network = masks.apply_mask(problem.params, mask)
        measured = untrained(problem, network, instance.held_out)
        loss = jnp.where(rescaled, measured.rescaled, measured.raw)
        return jnp.where(jnp.isnan(loss), jnp.inf, loss), measured.quality.metric

    losses, metrics = jax.lax.map(worth, found.info[MASKS])
    earlier = jnp.tril(jnp.ones((losses.size, losses.size), bool))
    best = jnp.argmin(jnp.where(earlier, losses[None], jnp.inf), axis=1)
    return {
        "anytime_rounds": found.info[ROUNDS],
        "anytime_objective": losses[best],
        "anytime_metric": metrics[best],
    }


def _points(setting: Setting, instance: Instance) -> jax.Array:
    """Points for comparing a network with the target: a grid, or fresh samples without noise.

    They are the same for all runs. A task with a fixed set of data is compared on the held-out
    data.
    """
    task = setting.task
    if task.data is not None:
        return instance.held_out.x
    if not isinstance(task.inputs, tuple) and task.inputs <= MOST_GRID_INPUTS:
        return input_grid(task.inputs)
    # No run has this key, see run_key(). A task may have only as many samples as a run draws.
    return task.sample(jax.random.key(1), min(POINTS, setting.samples), 0.0).x


def describe(setting: Setting, instance: Instance, mask: Tree) -> dict[str, jax.Array]:
    """What a mask keeps: of the planted ticket, of each layer, of paths. Pure.

    Args:
        setting: what is fixed.
        instance: gives the tickets; its data are not used.
        mask: a tree like the network's.

    Returns:
        The entries of Record that depend on the masks alone, by name.
    """
    prune_bias, wiring = setting.prune_bias, wires(setting.layers)
    seen = view(mask, setting.layers)
    overlap = recovery(seen, _sought(setting, instance, seen), prune_bias, wiring)
    decoy_recall = jnp.float32(0)
    if instance.decoys is not None:
        decoy = nearest(instance.decoys, seen, prune_bias)
        decoy_recall = recovery(seen, decoy, prune_bias, wiring).recall
    return {
        "kept": masks.density(seen, prune_bias),
        **overlap._asdict(),
        "decoy_recall": decoy_recall,
        "effective_density": effective_density(seen, prune_bias, wiring),
        "collapsed": collapsed(seen, wiring),
        "first_dead_layer": first_dead_layer(seen, wiring),
        "log10_paths": log10_paths(seen, wiring),
        "layer_kept": masks.layer_densities(seen, prune_bias),
    }


def measure(
    setting: Setting,
    instance: Instance,
    mask: Tree,
    width: int | None = None,
    target: Tree | None = None,
    rescaled: jax.Array | bool = False,
) -> dict[str, jax.Array]:
    """Quality of a masked network, before and after training. Pure.

    Args:
        setting, instance, mask, width, target, rescaled: as in evaluate().

    Returns:
        The entries of Record that depend on what the network computes, by name.
    """
    kept = keep_the_rest(instance.start, view(mask, setting.layers), setting.layers)

    def narrow(params: Tree) -> tuple[Tree, Tree]:
        return (params, kept) if width is None else compact(params, kept, width)

    params, kept_here = narrow(instance.start)
    problem = setting.problem(params, instance.train)
    found = masks.apply_mask(params, kept_here)
    points = _points(setting, instance)
    on_train, on_held_out, at_points = outputs_at(
        problem, found, instance.train.x, instance.held_out.x, points
    )
    before = untrained_of(problem, on_train, on_held_out, instance.held_out)
    seen_by_seeker = before
    if setting.reinitialise:
        # The seeker received the parameters of the planted network.
        original, _ = narrow(instance.planted.params)
        seen_by_seeker = untrained(
            problem, masks.apply_mask(original, kept_here), instance.held_out
        )
    target = jax.tree.map(jnp.asarray, setting.target if target is None else target)
    bare = dataclasses.replace(problem, apply=setting.target_apply(target))
    error = target_error(setting.task.kind, at_points, outputs_of(bare, target, points))
    key = instance.augment_key
    trained = train(
        problem,
        kept_here,
        instance.order,
        optimizer=setting.training.optimizer,
        key=None if key is None else jax.random.wrap_key_data(key),
        precision=setting.training.training_precision,
    )
    weak = weak_quality(problem, trained, instance.held_out)
    return {
        "strong_metric": before.quality.metric,
        "strong_loss": before.quality.loss,
        "output_sign": before.output_sign,
        "weak_metric": weak.metric,
        "weak_loss": weak.loss,
        "ticket_metric": instance.ticket_metric,
        "ticket_loss": instance.ticket_loss,
        "planted_metric": instance.planted_metric,
        "planted_loss": instance.planted_loss,
        "found_objective": jnp.where(rescaled, seen_by_seeker.rescaled, seen_by_seeker.raw),
        "planted_objective": jnp.where(rescaled, instance.planted_rescaled, instance.planted_raw),
        "target_error_mean": error.mean,
        "target_error_largest": error.largest,
        "target_error_root_mean_square": error.root_mean_square,
        "target_error_relative": error.relative,
        "disagreement": error.disagreement,
        "found": is_found(setting.task.kind, error),
    }


def evaluate(
    setting: Setting,
    instance: Instance,
    mask: Tree,
    width: int | None = None,
    target: Tree | None = None,
    rescaled: jax.Array | bool = False,
) -> dict[str, jax.Array]:
    """Measure a mask on the instance, before and after training. Pure.

    Args:
        setting: what is fixed.
        instance: gives the network to mask.
        mask: a tree like the network's; parameters that cannot be pruned are kept in any case.
        width: run the network with hidden layers of this many neurons; at least active_width(mask).
            The record is the same up to rounding, in less time. Only for the library's own dense
            chains (Model.resizable).
        target: what is planted, if it is not the task's own ticket.
        rescaled: whether found_objective and planted_objective are losses of the output at its best
            scale, or of the output as it is; may be traced.

    Returns:
        The entries of Record that depend on instance and mask alone, by name.
    """
    return {
        **describe(setting, instance, mask),
        **measure(setting, instance, mask, width, target, rescaled),
    }


def make_trial(
    task: Task,
    model: Model,
    seeker: str | Callable[..., Any] = "synflow",
    **options: Any,
) -> Callable[[jax.Array, Point], Record]:
    """One whole run as a pure function trial(key, Point(density, noise)) -> Record.

    Args:
        task: to be learned.
        model: the network.
        seeker: a name, a score or a seeker of your own, as in get_seeker().
        **options: the remaining fields of Setting; those of Planting and Training may be given
            flat.

    Returns:
        The trial. The key determines data, initial network, the seeker's randomness and the order
        of training. Density and noise may be traced; a density may also be "ticket".

    Raises:
        ValueError: what get_seeker() or Setting refuses; and, raised by trial(), what
            make_instance() refuses.

    >>> from ticketjax.networks.mlp import mlp
    >>> from ticketjax.tasks import get_task
    >>> task = get_task("relu")
    >>> trial = make_trial(task, mlp(task, depth=3, width=10), "snip", samples=100, epochs=0)
    >>> record = jax.jit(lambda key: trial(key, Point("ticket", noise=0.0)))(jax.random.key(0))
    >>> int(record.kept * (2 * 10 + 11))
    2
    """
    setting = Setting(task, model, **setting_fields(options))
    chosen = get_seeker(seeker)
    rescaled = (setting.objective or objective_of(chosen)) == "rescaled"

    def trial(key: jax.Array, point: Point) -> Record:
        nothing_of_its_own = dict.fromkeys(("own_metric", "own_loss"), jnp.float32(jnp.nan))
        instance = make_instance(setting, key, point.noise)
        problem = setting.problem(instance.planted.params, instance.train)
        density = resolve_density(problem, point.density)
        found, ranks = seek(setting, chosen, key, instance, density)
        return Record(
            density=jnp.float32(density),
            noise=jnp.float32(point.noise),
            **ranking_entries(ranks),
            **(nothing_of_its_own | own_entries(setting, instance, found)),
            **evaluate(setting, instance, found.mask, rescaled=rescaled),
        )

    return trial
