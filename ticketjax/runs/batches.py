"""How a grid is divided: batches of fixed size for the compiled programs, chunks of batches.

A search that trains amplifies rounding, and programs of other shapes round differently. Therefore
the size of a batch depends only on the network and the platform, and a run is computed by the same
program whatever else the grid contains and however it is divided. On an accelerator it also depends
on the memory: if a compiled program of the grid needs too much for a batch, the batch is made
smaller.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar

import jax

from ticketjax.runs.grid import NamedSetting
from ticketjax.runs.memory import limit_of

# On a CPU, batches are faster for networks so small that calls cost more than arithmetic, and
# slower if parameters and Adam's moments exceed the core's own cache.
CPU_RUNS_PER_BATCH = 8
CPU_CACHE = 256 * 2**10
# Runs of a chunk, after which records are written: for seekers that train, and for others.
CPU_SEARCHES_PER_CHUNK = 8
CPU_RUNS_PER_CHUNK = 128
# Pruned networks are run at the width divided by these, where that is worth a compilation.
COMPACT_SHARES = (1, 4)
LEAST_COMPACT_WIDTH = 16
ACCELERATOR_RUNS_PER_BATCH = 512
# Training needs at least parameters, their gradient and Adam's moments in memory: no program is
# compiled for more runs than fit at this size.
LEAST_COPIES = 4

T = TypeVar("T")


def batch_size(named: NamedSetting, width: int, device: jax.Device, most: int | None = None) -> int:
    """Runs that one call of a compiled program computes on each device.

    Args:
        named: the setting.
        width: of the networks that are run, at most the setting's own.
        device: any of the grid's.
        most: the number that is known to fit, if a larger batch did not.

    Returns:
        At least 1; without `most` it follows from the setting and the kind of device alone.
    """
    parameters = sum(leaf.size for leaf in jax.tree.leaves(named.setting.parameter_shapes))
    if device.platform == "cpu":
        share = width / named.width if named.width else 1.0
        bytes_of_run = 4 * 3 * max(1, round(parameters * share**2))
        size = min(CPU_RUNS_PER_BATCH, CPU_CACHE // bytes_of_run)
    else:
        size, limit = ACCELERATOR_RUNS_PER_BATCH, limit_of(device)
        if limit is not None:
            size = min(size, limit // (4 * LEAST_COPIES * max(1, parameters)))
    return max(1, size if most is None else min(size, most))


def program_devices(devices: Sequence[jax.Device]) -> tuple[jax.Device, ...]:
    """The devices that programs are compiled for.

    XLA compiles a program for one device differently than for several, so that it rounds
    differently. If a CPU has several devices, the programs of a grid for one are compiled for two.

    Args:
        devices: the grid's.

    Returns:
        The same, first; and one more, if a CPU has one.
    """
    others = [device for device in jax.local_devices() if device not in devices]
    if len(devices) > 1 or devices[0].platform != "cpu" or not others:
        return tuple(devices)
    return (*devices, others[0])


def compact_widths(named: NamedSetting, device: jax.Device) -> tuple[int, ...]:
    """The widths in which networks are measured, from the narrowest; the last is their own."""
    # On an accelerator, the time depends on the number of steps, not on the width.
    shares = COMPACT_SHARES if named.compactable and device.platform == "cpu" else (1,)
    widths = {named.width // share for share in shares}
    return tuple(sorted(w for w in widths if w == named.width or w >= LEAST_COMPACT_WIDTH))


@dataclasses.dataclass(frozen=True)
class Plan:
    """How instances are divided into chunks, and their runs into batches.

    Args:
        devices: of the programs.
        working: how many of these share the instances; results of the others are discarded.
        slots: instances of a chunk on each device.
        batch: instances that are planted, and runs that search, in one call on each device.
        measured: by width of the networks, runs that are measured in one call on each device.
    """

    devices: int
    working: int
    slots: int
    batch: int
    measured: dict[int, int]

    @classmethod
    def of(
        cls,
        named: NamedSetting,
        instances: int,
        runs_per_instance: int,
        searches: bool,
        chunk_size: int | str,
        devices: Sequence[jax.Device],
        working: int,
        most: int | None = None,
    ) -> "Plan":
        """The plan of some instances.

        Args:
            named: the setting.
            instances: their number.
            runs_per_instance: runs of each.
            searches: whether a seeker trains, so that a run takes long.
            chunk_size: as in Grid.
            devices: of the programs, see program_devices().
            working: how many of these share the work.
            most: as in batch_size().

        Returns:
            A Plan.
        """
        first = devices[0]
        batch = batch_size(named, named.width, first, most)
        if isinstance(chunk_size, str):
            usual = CPU_SEARCHES_PER_CHUNK if searches else CPU_RUNS_PER_CHUNK
            chunk_size = usual if first.platform == "cpu" else batch
        full = max(1, chunk_size // runs_per_instance) * working
        # Equal shares, so that no chunk is mostly padding.
        slots = -(-instances // (-(-instances // full) * working))
        measured = {w: batch_size(named, w, first, most) for w in compact_widths(named, first)}
        return cls(len(devices), working, slots, batch, measured)

    @property
    def at_once(self) -> int:
        """The most runs that one call of a program computes on each device."""
        return max(self.batch, *self.measured.values())


def in_batches(hands: Sequence[Sequence[T]], size: int) -> Iterator[list[list[T]]]:
    """The items of each device in batches of `size`; the last ones may be shorter.

    Args:
        hands: one per device.
        size: of a batch.

    Yields:
        One list per device.
    """
    for start in range(0, max(map(len, hands)), size):
        yield [list(hand[start : start + size]) for hand in hands]


def filled(batch: Sequence[Sequence[T]], size: int, filler: T) -> list[list[T]]:
    """A batch with lists of full length; results for the filler are discarded."""
    return [[*some, *[filler] * (size - len(some))] for some in batch]
