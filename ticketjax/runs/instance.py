"""A planted network and its data, as pure functions of a key."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax import masks
from ticketjax.base import Batch, Params, Planted, Tree
from ticketjax.measure.quality import strong_quality, untrained
from ticketjax.networks.layers import keep_the_rest, view
from ticketjax.planting.several import check_decoys, plant_several
from ticketjax.runs.setting import Setting
from ticketjax.training import shuffles


class Instance(NamedTuple):
    """A planted network and its data: everything of a run that does not depend on the seeker.

    Args:
        planted: with the mask of the first ticket, if there are several.
        tickets, decoys: masks of all of them, views with (n, ...) in every leaf; None for a single
            ticket, and without decoys.
        start: the parameters on which masks are measured and trained: the planted network's, or
            newly drawn ones (Setting.reinitialise).
        train, held_out: the data.
        order: (epochs, steps, batch_size) int32, the order of the samples in the final training.
        augment_key: key data of the final training's augmentation, as from jax.random.key_data();
            None without augmentation.
        ticket_metric, ticket_loss: () quality of the bare ticket.
        planted_metric, planted_loss: () quality of the planted mask: the same up to rounding,
            unless the ticket is perturbed.
        planted_raw, planted_rescaled: () losses of the planted mask on the training data, of the
            output as it is and at its best scale.
    """

    planted: Planted
    tickets: Params | None
    decoys: Params | None
    start: Tree
    train: Batch
    held_out: Batch
    order: jax.Array
    augment_key: jax.Array | None
    ticket_metric: jax.Array
    ticket_loss: jax.Array
    planted_metric: jax.Array
    planted_loss: jax.Array
    planted_raw: jax.Array
    planted_rescaled: jax.Array


def keys_of_run(key: jax.Array) -> dict[str, jax.Array]:
    """One independent key per purpose, so that no purpose changes another's numbers."""
    # New purposes go to the end, so that the other keys, and all records, do not change.
    purposes = ("data", "init", "seek", "train", "reinitialise", "difficulty", "augment")
    return {purpose: jax.random.fold_in(key, i) for i, purpose in enumerate(purposes)}


def make_instance(
    setting: Setting,
    key: jax.Array,
    noise: jax.Array | float,
    target: Tree | None = None,
    data: tuple[Batch, Batch] | None = None,
) -> Instance:
    """Draw data and a random network, and plant the task's ticket in it. Pure.

    Args:
        setting: what is fixed.
        key: the run's, which determines everything.
        noise: of the data; may be traced.
        target: the ticket, if the task has one for every seed; may be traced. None for the task's
            single ticket.
        data: the task's own data, if it has them, as traced arguments; None to look them up.

    Returns:
        An Instance.

    Raises:
        ValueError: the network is too narrow for all that is planted, or planting in it is
            impossible; decoys of a ticket that has none; no target although every seed has its own.
    """
    task = setting.task
    if target is None and task.ticket_of is not None:
        raise ValueError(
            f"{task.name}: every seed has its own ticket, and none is given here; grids plant it"
        )
    if task.data is None:
        draw = (keys_of_run(key)["data"], setting.samples, noise)
        drawn = task.sample(*draw) if task.sample_of is None else task.sample_of(*draw, target)
        train_batch, held_out = drawn.split(setting.training_samples)
    else:
        own = task.data() if data is None else data
        train_batch, held_out = jax.tree.map(jnp.asarray, own)
    if setting.planting.decoys:
        check_decoys(setting.target)
    target = setting.target if target is None else target
    return plant_instance(setting, key, target, train_batch, held_out)


def plant_instance(
    setting: Setting, key: jax.Array, target: Tree, train_batch: Batch, held_out: Batch
) -> Instance:
    """Draw a random network, and plant a target in it. Pure.

    Args:
        setting, key: as in make_instance().
        target: what is planted; may be traced, and need not be the task's own ticket. evaluate()
            then requires it too.
        train_batch, held_out: the data, of any size.

    Returns:
        An Instance.

    Raises:
        ValueError: as plant() does.
    """
    keys = keys_of_run(key)
    setting.check_target(target)
    planted, tickets, decoys = plant_several(
        keys["difficulty"],
        target,
        setting.model.init(keys["init"]),
        **dataclasses.asdict(setting.planting),
        zero_path_biases=not setting.prune_bias,
        model=setting.model,
    )
    return complete_instance(setting, key, target, planted, tickets, decoys, train_batch, held_out)


def complete_instance(
    setting: Setting,
    key: jax.Array,
    target: Tree,
    planted: Planted,
    tickets: Params | None,
    decoys: Params | None,
    train_batch: Batch,
    held_out: Batch,
) -> Instance:
    """The instance of an existing planted network and its data. Pure.

    Args:
        setting: what is fixed.
        key: the run's, for the order of training and for newly drawn values.
        target: what is planted.
        planted: the network and the mask of its first ticket.
        tickets, decoys: as in Instance.
        train_batch, held_out: the data.

    Returns:
        An Instance.
    """
    keys = keys_of_run(key)
    training = setting.training
    problem = setting.problem(planted.params, train_batch)
    bare = dataclasses.replace(problem, apply=setting.target_apply(target))
    ticket = strong_quality(bare, jax.tree.map(jnp.asarray, target), held_out)
    in_network = untrained(problem, planted_network(setting, planted), held_out)
    start = setting.model.init(keys["reinitialise"]) if setting.reinitialise else planted.params
    order = shuffles(keys["train"], training.epochs, train_batch.x.shape[0], training.batch_size)
    return Instance(
        planted=planted,
        tickets=tickets,
        decoys=decoys,
        start=start,
        train=train_batch,
        held_out=held_out,
        order=order,
        augment_key=None if training.augment is None else jax.random.key_data(keys["augment"]),
        ticket_metric=ticket.metric,
        ticket_loss=ticket.loss,
        planted_metric=in_network.quality.metric,
        planted_loss=in_network.quality.loss,
        planted_raw=in_network.raw,
        planted_rescaled=in_network.rescaled,
    )


def planted_network(setting: Setting, planted: Planted) -> Tree:
    """The planted mask's parameters, with all that cannot be pruned."""
    seen = view(planted.mask, setting.layers)
    if not setting.prune_bias:
        seen = {
            name: {p: m if p == "kernel" else jnp.ones(m.shape, bool) for p, m in layer.items()}
            for name, layer in seen.items()
        }
    return masks.apply_mask(planted.params, keep_the_rest(planted.params, seen, setting.layers))
