"""Search and measure instances from files, with one compilation for all of the same shapes."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, Batch, Params, Planted, Task
from ticketjax.choices import Planting, Training
from ticketjax.contract import check_mask
from ticketjax.masks import count_kept, count_prunable
from ticketjax.masks import depth as depth_of
from ticketjax.measure.equivalence import functionally_recovered
from ticketjax.measure.quality import feasible_recall
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.runs.grid import MLP
from ticketjax.runs.instance import Instance, complete_instance
from ticketjax.runs.programs import run_key
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate as evaluate_mask
from ticketjax.sharing.instances import Description, answer_path, read_answer, read_instance
from ticketjax.sharing.interop import from_state_dict
from ticketjax.sharing.trees import Tree, flatten
from ticketjax.tasks.drawn import ExampleSample
from ticketjax.tasks.network import NetworkSamples, network_task
from ticketjax.tasks.parameters import parameters

# Entries of Record that are known without the answer.
OF_INSTANCE = (
    "kept",
    "strong_metric",
    "strong_loss",
    "output_sign",
    "weak_metric",
    "weak_loss",
    "found_objective",
    "effective_density",
    "collapsed",
    "first_dead_layer",
    "log10_paths",
    "layer_kept",
)


def _check_data(instance: Tree, kind: str, outputs: int) -> None:
    for name, array in flatten(instance).items():
        if array.size == 0:
            raise ValueError(f"{name} is empty")
        if array.dtype == np.float32 and not np.all(np.isfinite(array)):
            raise ValueError(f"{name} has values that are not finite")
        if (
            kind == CLASSIFICATION
            and name.endswith(".y")
            and not np.all((array >= 0) & (array < outputs))
        ):
            raise ValueError(f"{name} must be classes 0 to {outputs - 1}")


@dataclasses.dataclass(frozen=True)
class _Shapes:
    """Task.ticket() for all tickets of these shapes: zeros, because the values come as arrays."""

    kernels: tuple[tuple[int, ...], ...]

    def __call__(self, depth: int) -> Params:
        del depth
        return parameters([(np.zeros(shape), np.zeros(shape[1:])) for shape in self.kernels])


def alike(setting: Setting, signs: bool) -> Setting:
    """The common setting of all instances of these shapes, which then share compiled programs.

    Args:
        setting: of one such instance.
        signs: whether its inputs are signs.

    Returns:
        A setting whose task contains only the shapes of the ticket.
    """
    task = setting.task
    assert isinstance(task.inputs, int)
    samples = NetworkSamples(task.name, task.inputs, task.outputs, task.kind, signs)
    shapes = _Shapes(tuple(layer["kernel"].shape for layer in setting.target.values()))
    known = Task(
        task.name, task.inputs, task.outputs, task.kind, ExampleSample(shapes, samples), shapes
    )
    width = setting.layer_shapes["layer_0"]["bias"].size
    model = mlp(known, setting.depth, width if setting.depth > 2 else 1)
    return dataclasses.replace(setting, task=known, model=model)


@functools.lru_cache(maxsize=64)
def _completing(setting: Setting) -> Any:
    return jax.jit(
        lambda seed, target, arrays: complete_instance(setting, run_key(seed), target, *arrays)
    )


def _no_answer(params: Params) -> Tree:
    """Replacement for a missing answer: nothing is planted, and the target is 0."""
    return {
        "mask": jax.tree.map(lambda leaf: np.zeros(leaf.shape, bool), params),
        "target": jax.tree.map(np.zeros_like, params),
        "output_scale": np.float32(1),
    }


def rebuild(
    description: Description, instance: Tree, answer: Tree | None, epochs: int = 10
) -> tuple[Setting, Instance]:
    """The setting and the instance, as in a sweep, from the trees of its files.

    Args:
        description: of the instance.
        instance: a tree as instance_tree() makes it, with the shapes of instance_shapes().
        answer: a tree as answer_tree() makes it, with the shapes of answer_shapes(). With None,
            only the entries OF_INSTANCE are meaningful.
        epochs: number of epochs of training. It uses the data in the order that the seed
            determines, as in a sweep.

    Returns:
        The Setting and the Instance.

    Raises:
        ValueError: the values are not those of an instance.
    """
    params = instance["params"]
    if answer is None:
        answer = _no_answer(params)
        description = dataclasses.replace(description, tickets=1, decoys=0)
    inputs = params["layer_0"]["kernel"].shape[0]
    outputs = instance["params"][f"layer_{description.depth - 2}"]["bias"].size
    _check_data(instance, description.kind, outputs)
    # This checks that the layers are dense and finite, and that they fit each other.
    target = from_state_dict(flatten(answer["target"]))
    signs = bool(np.all(np.abs(instance["train"]["x"]) == 1))
    known = network_task(target, description.kind, description.task, corners=signs)
    if (known.inputs, known.outputs, depth_of(target)) != (inputs, outputs, description.depth):
        raise ValueError(
            "the answer's target does not have the instance's depth, inputs or outputs"
        )
    train, held_out = (Batch(**instance[name]) for name in ("train", "held_out"))
    samples = len(train.x) + len(held_out.x)
    setting = Setting(
        known,
        mlp(known, description.depth, description.width),
        samples=samples,
        held_out=len(held_out.x) / samples,
        training=Training(epochs=epochs),
        prune_bias=description.prune_bias,
        planting=Planting(
            match=description.match,
            tickets=description.tickets,
            decoys=description.decoys,
            perturbation=description.perturbation,
        ),
    )
    planted = Planted(params, answer["mask"], answer["output_scale"])
    tickets, decoys = answer.get("tickets"), answer.get("decoys")
    arrays = jax.tree.map(jnp.asarray, (planted, tickets, decoys, train, held_out))

    complete = _completing(alike(setting, signs))
    return setting, complete(np.uint32(description.seed), setting.target, arrays)


@dataclasses.dataclass(frozen=True)
class LoadedInstance:
    """An instance from a file, ready to be searched and measured.

    Args:
        description: of the instance.
        setting, arrays: the setting, and the planted network with its data and the order of
            training, as in a sweep.
        has_answer: whether the planted mask is known; without it, only the entries OF_INSTANCE can
            be measured.
    """

    description: Description
    setting: Setting
    arrays: Instance
    has_answer: bool

    @property
    def alike(self) -> Setting:
        """The setting that this instance shares with others of its shapes."""
        return alike(self.setting, bool(np.all(np.abs(self.arrays.train.x) == 1)))

    @property
    def params(self) -> Params:
        """The planted network's parameters."""
        return self.arrays.planted.params

    @property
    def problem(self) -> Problem:
        """The part of the instance that a seeker receives."""
        return self.setting.problem(self.params, self.arrays.train)


def load_instance(
    path: str | os.PathLike, answer: str | os.PathLike | None = None, *, epochs: int = 10
) -> LoadedInstance:
    """Read an instance, and its answer if there is one, to measure masks with evaluate().

    Args:
        path: of the instance's file.
        answer: of the answer's file. With None, it is the answer next to the instance, if there is
            one.
        epochs: for which masks are trained.

    Returns:
        A LoadedInstance.

    Raises:
        ValueError: a file is not an instance or answer, was changed since it was written, or
            answers another instance; the error names the file.
        FileNotFoundError: there is no such file.
    """
    description, tree = read_instance(path)
    there = answer or answer_path(path)
    known = None
    if answer is not None or pathlib.Path(there).exists():
        known = read_answer(there, description, tree)
    return loaded(description, tree, known, epochs)


def loaded(
    description: Description, tree: Tree, known: Tree | None, epochs: int = 10
) -> LoadedInstance:
    """An instance from the trees of its files; arguments as in rebuild()."""
    setting, arrays = rebuild(description, tree, known, epochs)
    return LoadedInstance(description, setting, arrays, known is not None)


# Equal settings compile once.
@functools.lru_cache(maxsize=64)
def _measuring(setting: Setting) -> Any:
    return jax.jit(
        lambda instance, mask, target: evaluate_mask(setting, instance, mask, target=target)
    )


def evaluate(instance: LoadedInstance, mask: Params) -> dict[str, Any]:
    """Measure a mask on an instance, before and after training.

    Args:
        instance: from load_instance().
        mask: bool, a tree like instance.params.

    Returns:
        The entries of a record by name, as plain numbers: "strong_metric", "weak_metric", "kept",
        "collapsed", ...; with the answer also "recall", "ticket_metric" and the others, and
        "functionally_recovered".

    Raises:
        ValueError: the mask has other leaves, shapes or types.
    """
    check_mask(mask, instance.params)
    measured = _measuring(instance.alike)(instance.arrays, mask, instance.setting.target)
    entries = {name: value.tolist() for name, value in measured.items()}
    if not instance.has_answer:
        return {name: entries[name] for name in OF_INSTANCE}
    entries["functionally_recovered"] = functionally_recovered(
        instance.description.kind,
        disagreement=entries["disagreement"],
        largest=entries["target_error_largest"],
        noise=instance.description.noise,
    )
    return entries


def prunable(instance: LoadedInstance) -> int:
    """The number of parameters of an instance's network that may be pruned."""
    return count_prunable(instance.params, instance.description.prune_bias)


def record_of(
    instance: LoadedInstance, mask: Params, entries: dict[str, Any], seeker: str, epochs: int
) -> dict[str, Any]:
    """The record, as in a sweep, of a mask from elsewhere.

    Args:
        instance: from load_instance().
        mask: as in evaluate().
        entries: from evaluate().
        seeker: name of the seeker in the records.
        epochs: for which the mask was trained.

    Returns:
        Columns by name. Columns on how the mask was made are missing and, without an answer, those
        that need it. The density is the share that the mask keeps.
    """
    setting, known = instance.setting, instance.description
    density = int(count_kept(mask, known.prune_bias)) / prunable(instance)
    record: dict[str, Any] = {
        **{name: getattr(known, name) for name in ("task", "kind", "depth", "width", "seed")},
        **{name: getattr(known, name) for name in ("noise", "prune_bias")},
        **{field.name: getattr(known, field.name) for field in dataclasses.fields(Planting)},
        **{"model": MLP, "seeker": seeker, "strategy": "own", "scope": "global", "sanity": "none"},
        **{"objective": "raw", "config": seeker},
        "optimizer": Training(epochs=epochs).text,
        "density": density,
    }
    if instance.has_answer:
        layers = setting.ticket_layers
        shapes, prune_bias = setting.layer_shapes, setting.prune_bias
        record |= {
            "ticket_density": setting.density_of(layers),
            "feasible_recall": feasible_recall(density, shapes, layers, "global", prune_bias),
        }
    return record | entries
