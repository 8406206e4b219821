"""One run as pure functions: draw data, plant, seek, train, measure."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax import masks
from ticketjax.base import Batch, Found, Model, Params, Planted, Point, Problem, Seeker, Task
from ticketjax.compaction import compact
from ticketjax.contract import check_found
from ticketjax.difficulty import check_decoys, nearest, plant_several
from ticketjax.equivalence import GRID_POINTS, input_grid, target_error
from ticketjax.measure import (
    Ranking,
    quality_and_objective,
    ranking,
    recovery,
    strong_quality,
    weak_quality,
)
from ticketjax.objective import OBJECTIVES, make_problem, outputs_of, problem_loss
from ticketjax.paths import collapsed, effective_density, first_dead_layer, log10_paths
from ticketjax.planting import MATCHES
from ticketjax.seekers import get_seeker
from ticketjax.strategies import resolve_density
from ticketjax.training import BATCH_SIZE, LEARNING_RATE, check_count, check_number, shuffles, train


class Instance(NamedTuple):
    """A planted network and its data: everything of a run that no seeker has touched yet.

    planted: with the mask of the first ticket, if there are several.
    tickets, decoys: masks of all of them, (n, ...) in every leaf; None for a single ticket, and
        without decoys.
    start: what masks are measured and trained on: the planted network's parameters, or values
        drawn anew (Setting.reinitialise).
    order: (epochs, steps, batch_size) int32, in which the final training sees the samples.
    augment_key: of what the final training does to them, as jax.random.key_data() gives it; None
        where it does nothing.
    ticket_metric, ticket_loss: () quality of the bare ticket.
    planted_metric, planted_loss: () quality of the planted mask: the same but for rounding, unless
        the ticket is perturbed.
    planted_objective: () loss of the planted mask on the training data, as seekers see it.
    """

    planted: Planted
    tickets: Params | None
    decoys: Params | None
    start: Params
    train: Batch
    held_out: Batch
    order: jax.Array
    augment_key: jax.Array | None
    ticket_metric: jax.Array
    ticket_loss: jax.Array
    planted_metric: jax.Array
    planted_loss: jax.Array
    planted_objective: jax.Array


class Record(NamedTuple):
    """What one run measured; every entry () but layer_*, (layers,).

    density: asked; kept: fraction of the prunable parameters really kept.
    strong_*: before any training; weak_*: after the final training; ticket_*: the bare ticket;
        planted_*: the planted mask before training.
    found_objective, planted_objective: loss of the found and of the planted mask on the training
        data, as seekers see it (Setting.objective).
    precision to neuron_recall: of the found mask against the planted one, of several the one it has
        most of, see Recovery. decoy_recall: the recall of the decoy it has most of; 0 without any.
    score_auc, average_precision, covering_density: of the scores for "planted", see Ranking.
    target_error_*, disagreement: of the found network before training as a function, see
        TargetError.
    effective_density: kept and on a live path. collapsed: no path is left; first_dead_layer: where
        the last one ended, -1 if none. log10_paths: how many there are.
    """

    density: jax.Array
    noise: jax.Array
    kept: jax.Array
    strong_metric: jax.Array
    strong_loss: jax.Array
    weak_metric: jax.Array
    weak_loss: jax.Array
    ticket_metric: jax.Array
    ticket_loss: jax.Array
    planted_metric: jax.Array
    planted_loss: jax.Array
    found_objective: jax.Array
    planted_objective: jax.Array
    precision: jax.Array
    recall: jax.Array
    f1: jax.Array
    jaccard: jax.Array
    layer_precision: jax.Array
    layer_recall: jax.Array
    neuron_precision: jax.Array
    neuron_recall: jax.Array
    decoy_recall: jax.Array
    score_auc: jax.Array
    average_precision: jax.Array
    covering_density: jax.Array
    target_error_mean: jax.Array
    target_error_largest: jax.Array
    target_error_root_mean_square: jax.Array
    disagreement: jax.Array
    effective_density: jax.Array
    collapsed: jax.Array
    first_dead_layer: jax.Array
    log10_paths: jax.Array
    layer_kept: jax.Array


@dataclasses.dataclass(frozen=True)
class Setting:
    """All that is fixed within one compiled program, but for the seeker.

    task, model: what is learned and by which network; the depth follows from the model.
    samples: drawn per run; the fraction held_out of them is kept for measuring.
    epochs, batch_size, learning_rate: of the final training.
    objective: what seekers optimise, "raw" or "rescaled" outputs.
    prune_bias: whether biases may be pruned; if not, the planted neurons' spare biases are
        zero, so that the ticket is still in the network.
    reinitialise: measure and train masks on parameters drawn anew, which no seeker has seen: a
        sanity check (Frankle et al. 2021). There is no ticket in them.
    match: how the ticket is planted, "cosine" or "hidden", as in plant().
    tickets, decoys, perturbation: how many tickets and near misses, and how far off the tickets
        are, as in plant_several().
    augment: what is done to the inputs of training batches, as in Problem.

    Raises ValueError for values that make no run.
    """

    task: Task
    model: Model
    samples: int = 10_000
    held_out: float = 0.1
    epochs: int = 10
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    objective: str = "raw"
    prune_bias: bool = True
    reinitialise: bool = False
    match: str = "cosine"
    tickets: int = 1
    decoys: int = 0
    perturbation: float = 0.0
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

    def __post_init__(self):
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}"
            )
        if self.match not in MATCHES:
            raise ValueError(f"match must be one of {', '.join(MATCHES)}, got {self.match!r}")
        check_count("tickets", self.tickets, 1)
        check_count("decoys", self.decoys, 0)
        check_number("perturbation", self.perturbation, 0)
        object.__setattr__(self, "perturbation", float(self.perturbation))
        check_count("epochs", self.epochs, 0)
        check_count("samples", self.samples, 1)
        check_number("learning_rate", self.learning_rate)
        if not isinstance(self.held_out, float) or not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be in (0, 1), got {self.held_out!r}")
        if self.training_samples == self.samples:
            raise ValueError(
                f"samples={self.samples} leaves none to measure on with held_out={self.held_out}"
            )
        check_count("batch_size", self.batch_size, 1)
        if self.batch_size > self.training_samples:
            raise ValueError(
                f"samples={self.samples} leaves {self.training_samples} to train on, fewer than "
                f"batch_size={self.batch_size}"
            )

    @property
    def training_samples(self) -> int:
        """Samples that are not held out."""
        return self.samples - round(self.samples * self.held_out)

    @property
    def target(self) -> Params:
        """The ticket to plant, without padding."""
        return self.task.ticket(depth=masks.depth(self.parameter_shapes))

    @property
    def parameter_shapes(self) -> Params:
        """The network's parameters as shapes, nothing computed."""
        return jax.eval_shape(self.model.init, jax.random.key(0))

    @property
    def ticket_density(self) -> float:
        """Density of the ticket in this network."""
        return masks.ticket_density(self.target, self.parameter_shapes, self.prune_bias)

    def problem(self, params: Params, batch: Batch) -> Problem:
        """What a seeker sees of a network with these parameters."""
        return make_problem(
            self.task,
            self.model,
            params,
            batch,
            objective=self.objective,
            prune_bias=self.prune_bias,
            augment=self.augment,
        )


def _keys(key: jax.Array) -> dict[str, jax.Array]:
    """One independent key per purpose, so that no purpose shifts another's numbers."""
    # A new one goes to the end: the others' keys, and so all records, stay what they were.
    purposes = ("data", "init", "seek", "train", "reinitialise", "difficulty", "augment")
    return {purpose: jax.random.fold_in(key, i) for i, purpose in enumerate(purposes)}


def make_instance(setting: Setting, key: jax.Array, noise: jax.Array | float) -> Instance:
    """Draw data and a random network, and plant the task's ticket in it. Pure.

    key: all follows from it. noise: the task's noise level, may be traced.

    Raises ValueError where the network is too narrow for all that is to be planted, and for decoys
    of a ticket that has none.
    """
    data = setting.task.sample(_keys(key)["data"], setting.samples, noise)
    split = setting.training_samples
    train_batch = Batch(data.x[:split], data.y[:split])
    held_out = Batch(data.x[split:], data.y[split:])
    target = setting.target
    if setting.decoys:
        check_decoys(target)
    return plant_instance(setting, key, target, train_batch, held_out)


def plant_instance(
    setting: Setting, key: jax.Array, target: Params, train_batch: Batch, held_out: Batch
) -> Instance:
    """Draw a random network, and plant a target in it, which may be traced. Pure.

    train_batch, held_out: the data, of any size. target, which evaluate() then has to be told too,
    need not be the task's own ticket.

    Raises ValueError as plant() does.
    """
    keys = _keys(key)
    planted, tickets, decoys = plant_several(
        keys["difficulty"],
        target,
        setting.model.init(keys["init"]),
        tickets=setting.tickets,
        decoys=setting.decoys,
        perturbation=setting.perturbation,
        zero_path_biases=not setting.prune_bias,
        match=setting.match,
        wiring=setting.model.wiring,
    )
    return complete_instance(setting, key, target, planted, tickets, decoys, train_batch, held_out)


def complete_instance(
    setting: Setting,
    key: jax.Array,
    target: Params,
    planted: Planted,
    tickets: Params | None,
    decoys: Params | None,
    train_batch: Batch,
    held_out: Batch,
) -> Instance:
    """The instance of a planted network and data that are there already. Pure.

    key: the run's, for the order of training and for values drawn anew. target: what is planted.
    """
    keys = _keys(key)
    problem = setting.problem(planted.params, train_batch)
    ticket = strong_quality(problem, jax.tree.map(jnp.asarray, target), held_out)
    in_network, objective = quality_and_objective(
        problem, planted_network(setting, planted), held_out
    )
    start = setting.model.init(keys["reinitialise"]) if setting.reinitialise else planted.params
    order = shuffles(keys["train"], setting.epochs, train_batch.x.shape[0], setting.batch_size)
    return Instance(
        planted=planted,
        tickets=tickets,
        decoys=decoys,
        start=start,
        train=train_batch,
        held_out=held_out,
        order=order,
        augment_key=None if setting.augment is None else jax.random.key_data(keys["augment"]),
        ticket_metric=ticket.metric,
        ticket_loss=ticket.loss,
        planted_metric=in_network.metric,
        planted_loss=in_network.loss,
        planted_objective=objective,
    )


def planted_network(setting: Setting, planted: Planted) -> Params:
    """The planted mask's parameters, and the biases where these cannot be pruned."""
    kept = masks.apply_mask(planted.params, planted.mask)
    if setting.prune_bias:
        return kept
    return {
        name: {"kernel": layer["kernel"], "bias": planted.params[name]["bias"]}
        for name, layer in kept.items()
    }


def _sought(instance: Instance, found: Params, prune_bias: bool) -> Params:
    """The mask that a found one is measured against: of several tickets, the nearest."""
    if instance.tickets is None:
        return instance.planted.mask
    return nearest(instance.tickets, found, prune_bias)


def seek(
    setting: Setting, seeker: Seeker, key: jax.Array, instance: Instance, density: jax.Array | float
) -> tuple[Found, Ranking]:
    """Let a seeker look for the ticket; returns what it found and how its scores rank. Pure.

    key: the run's key, the same as make_instance() had.

    Raises ValueError for anything but a Found whose mask is bool and whose mask and scores have the
    shapes of the parameters.
    """
    problem = setting.problem(instance.planted.params, instance.train)
    found = seeker(_keys(key)["seek"], problem, density)
    # A seeker of the user's own may return anything; later, it would only break somewhere inside.
    check_found(found, problem.params)
    sought = _sought(instance, found.mask, setting.prune_bias)
    return found, ranking(found.scores, sought, setting.prune_bias)


def ranking_entries(ranks: Ranking) -> dict[str, jax.Array]:
    """The entries of Record that depend on the scores."""
    return {
        "score_auc": ranks.auc,
        "average_precision": ranks.average_precision,
        "covering_density": ranks.covering_density,
    }


def _points(setting: Setting, instance: Instance) -> jax.Array:
    """Where a network is compared with the target: evenly, or where the data are if they are large.

    A grid on [-1, 1]^inputs needs 2^inputs corners.
    """
    inputs = setting.task.inputs
    if isinstance(inputs, tuple) or 2**inputs > GRID_POINTS:
        return instance.held_out.x
    return input_grid(inputs)


def evaluate(
    setting: Setting,
    instance: Instance,
    mask: Params,
    width: int | None = None,
    target: Params | None = None,
) -> dict[str, jax.Array]:
    """Measure a mask on the instance, as it stands and after training. Pure.

    width: run the network with hidden layers of this many neurons; at least active_width(mask).
        It is the same network and the same record up to rounding, in less time. Of dense chains.
    target: what is planted, if it is not the task's own ticket.

    Returns the entries of Record that depend on instance and mask alone.
    """
    prune_bias = setting.prune_bias

    def narrow(params: Params) -> tuple[Params, Params]:
        return (params, mask) if width is None else compact(params, mask, width)

    params, kept = narrow(instance.start)
    problem = setting.problem(params, instance.train)
    found = masks.apply_mask(params, kept)
    strong, objective = quality_and_objective(problem, found, instance.held_out)
    if setting.reinitialise:
        # What the seeker saw were the planted network's parameters.
        seen, _ = narrow(instance.planted.params)
        objective = problem_loss(problem, masks.apply_mask(seen, kept))
    points = _points(setting, instance)
    target = jax.tree.map(jnp.asarray, setting.target if target is None else target)
    error = target_error(
        setting.task.kind, outputs_of(problem, found, points), outputs_of(problem, target, points)
    )
    key = instance.augment_key
    trained = train(
        problem,
        kept,
        instance.order,
        learning_rate=setting.learning_rate,
        key=None if key is None else jax.random.wrap_key_data(key),
    )
    weak = weak_quality(problem, trained, instance.held_out)
    wiring = setting.model.wiring
    overlap = recovery(mask, _sought(instance, mask, prune_bias), prune_bias, wiring)
    decoy_recall = jnp.float32(0)
    if instance.decoys is not None:
        decoy = nearest(instance.decoys, mask, prune_bias)
        decoy_recall = recovery(mask, decoy, prune_bias, wiring).recall
    return {
        "kept": masks.density(mask, prune_bias),
        "strong_metric": strong.metric,
        "strong_loss": strong.loss,
        "weak_metric": weak.metric,
        "weak_loss": weak.loss,
        "ticket_metric": instance.ticket_metric,
        "ticket_loss": instance.ticket_loss,
        "planted_metric": instance.planted_metric,
        "planted_loss": instance.planted_loss,
        "found_objective": objective,
        "planted_objective": instance.planted_objective,
        **overlap._asdict(),
        "decoy_recall": decoy_recall,
        "target_error_mean": error.mean,
        "target_error_largest": error.largest,
        "target_error_root_mean_square": error.root_mean_square,
        "disagreement": error.disagreement,
        "effective_density": effective_density(mask, prune_bias, wiring),
        "collapsed": collapsed(mask, wiring),
        "first_dead_layer": first_dead_layer(mask, wiring),
        "log10_paths": log10_paths(mask, wiring),
        "layer_kept": masks.layer_densities(mask, prune_bias),
    }


def make_trial(
    task: Task,
    model: Model,
    seeker: str | Callable[..., Any] = "synflow",
    **options: Any,
) -> Callable[[jax.Array, Point], Record]:
    """One whole run as a pure function trial(key, Point(density, noise)) -> Record.

    seeker: a name, a score or a seeker of your own, as in get_seeker().
    options: the remaining fields of Setting.

    The key decides data, initial network, the seeker's randomness and the order of training.
    Density and noise may be traced; a density may also be "ticket".

    Raises ValueError for what get_seeker() or Setting refuses, and trial() for what make_instance()
    does.

    >>> from ticketjax.models import mlp
    >>> from ticketjax.tasks import get_task
    >>> task = get_task("relu")
    >>> trial = make_trial(task, mlp(task, depth=3, width=10), "snip", samples=100, epochs=0)
    >>> record = jax.jit(lambda key: trial(key, Point("ticket", noise=0.0)))(jax.random.key(0))
    >>> int(record.kept * (2 * 10 + 11))
    2
    """
    setting = Setting(task, model, **options)
    look = get_seeker(seeker)

    def trial(key: jax.Array, point: Point) -> Record:
        instance = make_instance(setting, key, point.noise)
        problem = setting.problem(instance.planted.params, instance.train)
        density = resolve_density(problem, point.density)
        found, ranks = seek(setting, look, key, instance, density)
        return Record(
            density=jnp.float32(density),
            noise=jnp.float32(point.noise),
            **ranking_entries(ranks),
            **evaluate(setting, instance, found.mask),
        )

    return trial
