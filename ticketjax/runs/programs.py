"""The compiled programs of a grid: each computes one batch of runs on every device."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax import masks
from ticketjax.base import Batch, Found
from ticketjax.networks.compaction import active_width
from ticketjax.networks.layers import view
from ticketjax.problem import Seeker
from ticketjax.runs.instance import Instance, make_instance
from ticketjax.runs.memory import check_memory
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import (
    anytime_entries,
    describe,
    look,
    measure,
    own_entries,
    rank,
    ranking_entries,
    seeker_arguments,
)
from ticketjax.seekers.strategies import RoundInfo, Selection, Singleshot


def sharded(
    function: Callable[..., Any],
    devices: Sequence[jax.Device],
    in_axes: int | tuple[int | None, ...] = 0,
) -> jax.stages.Wrapped:
    """Run one function on every device at once, each on its slice of the first axis.

    No other function determines how devices are used.

    Args:
        function: of arrays, for one device's slice.
        devices: to run on.
        in_axes: as in jax.pmap; None for arguments that are the same on all devices.

    Returns:
        The compiled function, of arrays with a first axis of one entry per device.
    """
    return jax.pmap(function, devices=devices, in_axes=in_axes)


class Program:
    """A function that runs on every device, compiled before it is called.

    Args:
        function: for one device's slice.
        devices: to run on.
        in_axes: as in sharded().
    """

    def __init__(
        self,
        function: Callable[..., Any],
        devices: Sequence[jax.Device],
        in_axes: tuple[int | None, ...],
    ):
        self.function = sharded(function, devices, in_axes)
        self._device = devices[0]
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def compiled(self, *arguments: Any) -> Callable[..., Any]:
        """The program for arguments of these shapes; compiled once for each.

        Raises:
            OutOfMemory: it needs more than a device has.
        """
        key = self._key(arguments)
        if key not in self._compiled:
            compiled = self.function.lower(*arguments).compile()
            check_memory(compiled, self._device)
            self._compiled[key] = compiled
        return self._compiled[key]

    def is_compiled(self, *arguments: Any) -> bool:
        """Whether the program for arguments of these shapes has been compiled."""
        return self._key(arguments) in self._compiled

    @staticmethod
    def _key(arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def run_key(seed: jax.Array) -> jax.Array:
    """The key of a run; it depends only on the run's seed, not on the rest of the grid."""
    return jax.random.fold_in(jax.random.key(0), seed)


# Programs are cached, so that a second sweep over a setting compiles only new searches.
_kept = functools.lru_cache(maxsize=64)


@_kept
def instance_program(setting: Setting, devices: tuple[jax.Device, ...]) -> Program:
    """(seeds, noise, targets, data) -> instances, without the data if these are the task's own.

    targets, data: None if the task has no ticket for every seed, or no data of its own.
    """

    def instances(seeds, noise, targets, data):
        def one(seed, noise, target):
            instance = make_instance(setting, run_key(seed), noise, target, data)
            if data is None:
                return instance
            # Every device already has the data, once for all its runs.
            nothing = jax.tree.map(lambda leaf: leaf[:0], (instance.train, instance.held_out))
            return instance._replace(train=nothing[0], held_out=nothing[1])

        return jax.vmap(one)(seeds, noise, targets)

    return Program(instances, devices, (0, 0, 0, None))


def _with(data: tuple[Batch, Batch] | None, instance: Instance) -> Instance:
    """An instance with the data that all instances share, if there are any."""
    return instance if data is None else instance._replace(train=data[0], held_out=data[1])


@_kept
def score_program(setting: Setting, seeker: Singleshot, devices: tuple[jax.Device, ...]) -> Program:
    """(seeds, instances, data) -> scores of a seeker whose selection is a separate program."""

    # The seeker is an argument of the function, so that profiles can distinguish the programs.
    def score(seeker, seeds, instances, data):
        def one(seed, instance):
            arguments = seeker_arguments(setting, run_key(seed), _with(data, instance))
            return seeker.scores(*arguments)

        return jax.vmap(one)(seeds, instances)

    return Program(functools.partial(score, seeker), devices, (0, 0, None))


@_kept
def selection_program(
    setting: Setting, selection: Selection, devices: tuple[jax.Device, ...]
) -> Program:
    """(seeds, instances, scores, densities, data) -> masks and entries of records.

    One program for all seekers with the same selection, whatever their scores are.
    """

    def select(selection, seeds, instances, scores, densities, data):
        def one(seed, instance, scores, density):
            instance = _with(data, instance)
            arguments = seeker_arguments(setting, run_key(seed), instance)
            found = selection(*arguments, scores, density)
            return found.mask, _told(found)

        return jax.vmap(one)(seeds, instances, scores, densities)

    return Program(functools.partial(select, selection), devices, (0, 0, 0, 0, None))


def _told(found: Found) -> dict[str, jax.Array]:
    """What a seeker reports about its rounds, as entries of its record."""
    return {name: found.info[name] for name in RoundInfo._fields if name in found.info}


@_kept
def search_program(
    setting: Setting,
    seeker: Seeker,
    rescaled: bool,
    devices: tuple[jax.Device, ...],
) -> Program:
    """(seeds, instances, densities, data) -> masks, scores and entries of records.

    rescaled: whether the seeker's objective is "rescaled".
    """

    def search(seeker, seeds, instances, densities, data):
        def one(seed, instance, density):
            instance = _with(data, instance)
            found = look(setting, seeker, run_key(seed), instance, density)
            entries = {
                **own_entries(setting, instance, found),
                **anytime_entries(setting, instance, found, rescaled),
                **_told(found),
            }
            return found.mask, found.scores, entries

        return jax.vmap(one)(seeds, instances, densities)

    return Program(functools.partial(search, seeker), devices, (0, 0, 0, None))


@_kept
def ranking_program(setting: Setting, devices: tuple[jax.Device, ...]) -> Program:
    """(instances, masks, scores) -> how the scores rank the planted parameters."""

    def ranking(instances, found, scores):
        def one(instance, mask, scores):
            return ranking_entries(rank(setting, instance, Found(mask, scores, {})))

        return jax.vmap(one)(instances, found, scores)

    return Program(ranking, devices, (0, 0, 0))


class Described(NamedTuple):
    """Properties of a mask that are known before it is measured.

    Args:
        width: () int32 active width, 0 if networks are not compacted.
        kept: () number of prunable parameters that are kept.
        digest: (4,) uint32, equal only for equal masks.
        entries: of its record.
    """

    width: jax.Array
    kept: jax.Array
    digest: jax.Array
    entries: dict[str, jax.Array]


@_kept
def description_program(
    setting: Setting, compactable: bool, devices: tuple[jax.Device, ...]
) -> Program:
    """(instances, masks) -> Described, one for each."""

    def description(instances, found):
        def one(instance, mask):
            seen = view(mask, setting.layers)
            return Described(
                active_width(seen) if compactable else jnp.int32(0),
                masks.count_kept(seen, setting.prune_bias),
                masks.digest(seen),
                describe(setting, instance, mask),
            )

        return jax.vmap(one)(instances, found)

    return Program(description, devices, (0, 0))


@_kept
def measure_program(
    setting: Setting, width: int | None, devices: tuple[jax.Device, ...]
) -> Program:
    """(instances, masks, rescaled, targets, data) -> entries of records, one of each per run."""

    def quality(width, instances, found, rescaled, targets, data):
        def one(instance, mask, rescaled, target):
            return measure(setting, _with(data, instance), mask, width, target, rescaled)

        return jax.vmap(one)(instances, found, rescaled, targets)

    return Program(functools.partial(quality, width), devices, (0, 0, 0, 0, None))


@_kept
def pick_program(devices: tuple[jax.Device, ...]) -> Program:
    """(batches, indices) -> entries of the batches, one after the other, that have these indices.

    A separate program, so that the computing programs do not depend on the number of batches.
    """

    def pick(batches, indices):
        def of_leaf(*leaves):
            return (leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves))[indices]

        return jax.tree.map(of_leaf, *batches)

    return Program(pick, devices, (0, 0))
