"""One chunk of a grid: some networks are planted, searched by every seeker, and measured."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ticketjax.base import Batch, Tree
from ticketjax.problem import Seeker
from ticketjax.runs.batches import Plan, filled, in_batches
from ticketjax.runs.grid import InstanceKey, NamedSetting, trains
from ticketjax.runs.programs import (
    Program,
    instance_program,
    measure_program,
    pick_program,
    search_program,
)

# What a Step says while devices work on what is started, and while tickets of seeds are looked up,
# which may have to be made first.
COMPUTING = "computing"
TICKETS = "tickets"


class Stopwatch:
    """Seconds of wall time within its `with` blocks, all together."""

    def __init__(self):
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self):
        self._begin = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self._begin


class Job(NamedTuple):
    """What is to be run of one setting: some seekers at some densities on some instances.

    Args:
        named: the setting.
        seekers: (label, seeker), as the setting has them.
        rescaled: whether that is the objective, one per seeker.
        densities: resolved, float64.
        instances: their keys.
    """

    named: NamedSetting
    seekers: tuple[tuple[str, Seeker], ...]
    rescaled: tuple[bool, ...]
    densities: np.ndarray
    instances: list[InstanceKey]

    @property
    def runs_per_instance(self) -> int:
        """Records that each planted network gives."""
        return len(self.seekers) * self.densities.size

    @property
    def searches(self) -> bool:
        """Whether a seeker trains, so that a run takes long."""
        return any(trains(seeker) for _, seeker in self.seekers)


class Programs(NamedTuple):
    """The programs of a job, each for one batch on every device.

    Args:
        instance: makes the instances.
        search: one per seeker.
        measure: one per width.
        pick: copies what a batch needs; None on a CPU, whose arrays NumPy can read, so that nothing
            has to be compiled for it.
    """

    instance: Program
    search: list[Program]
    measure: dict[int, Program]
    pick: Program | None

    @classmethod
    def of(cls, job: Job, plan: Plan, devices: tuple[jax.Device, ...]) -> "Programs":
        """The programs; nothing is compiled yet."""
        setting, compactable = job.named.setting, job.named.compactable
        return cls(
            instance_program(setting, devices),
            [
                search_program(setting, seeker, fitted, compactable, devices)
                for (_, seeker), fitted in zip(job.seekers, job.rescaled, strict=True)
            ],
            {
                width: measure_program(setting, width if compactable else None, devices)
                for width in plan.measured
            },
            None if devices[0].platform == "cpu" else pick_program(devices),
        )

    def picked(self, batches: Sequence[Any], indices: Any) -> Any:
        """Entries of the batches, one after the other, that have these indices on each device.

        indices: (devices, n), whole numbers.
        """
        index = np.asarray(indices, np.int32)
        size = jax.tree.leaves(batches[0])[0].shape[1]
        number = int(index[0, 0]) // size
        whole = np.tile(number * size + np.arange(size), (index.shape[0], 1))
        if np.array_equal(index, whole):
            return batches[number]
        if self.pick is not None:
            return self.pick.compiled(tuple(batches), index)(tuple(batches), index)
        rows = np.arange(index.shape[0])[:, None]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, 1)[rows, index], *batches)

    def joined(self, batches: Sequence[Any], devices: int) -> Any:
        """The batches, one after the other, on each device."""
        if len(batches) == 1:
            return batches[0]
        count = sum(jax.tree.leaves(batch)[0].shape[1] for batch in batches)
        return self.picked(batches, np.broadcast_to(np.arange(count), (devices, count)))


class Run(NamedTuple):
    """One run of a chunk: indices into its device's instances, and into the job."""

    instance: int
    seeker: int
    density: int


class Chunk(NamedTuple):
    """What a chunk runs on, and how it tells what it does.

    Args:
        job, programs, plan: as they are called.
        hands: instances of each device; all have as many, the last ones may be repeated.
        seeds: (devices, slots).
        targets: of the seeds, (devices, slots, ...), or None.
        data: the task's own, or None.
        begin: called with what is about to be done, a program's name, COMPUTING or TICKETS, and
            whether that has to be compiled.
        watch: runs while compiled programs do.
    """

    job: Job
    programs: Programs
    plan: Plan
    hands: list[list[InstanceKey]]
    seeds: np.ndarray
    targets: Tree | None
    data: tuple[Batch, Batch] | None
    begin: Callable[[str, bool], None]
    watch: Stopwatch

    def targets_of(self, slots: np.ndarray) -> Tree | None:
        """The targets of some slots, (devices, n)."""
        rows = np.arange(self.plan.devices)[:, None]
        return jax.tree.map(lambda leaf: leaf[rows, slots], self.targets)


class Searched(NamedTuple):
    """What the seekers of a chunk have found.

    Args:
        masks: in batches, those of the first seeker first; within a seeker's, slot by slot.
        width, everything, kept: (devices, seekers, slots, densities), see search_program().
        entries: one dict per seeker, of arrays (devices, slots, densities, ...).
        seconds: of wall time that each seeker took for all of it.
    """

    masks: list[Any]
    width: np.ndarray
    everything: np.ndarray
    kept: np.ndarray
    entries: list[dict[str, np.ndarray]]
    seconds: list[float]


def plant_chunk(chunk: Chunk) -> list[Any]:
    """The instances of a chunk, in batches."""
    plan, program = chunk.plan, chunk.programs.instance
    slots = list(range(plan.slots))
    calls = []
    for batch in in_batches([slots], plan.batch):
        (some,) = filled(batch, plan.batch, 0)
        seeds = chunk.seeds[:, some]
        noise = np.array([[hand[slot].noise for slot in some] for hand in chunk.hands], np.float32)
        targets = chunk.targets_of(np.broadcast_to(some, seeds.shape))
        calls.append((seeds, noise, targets, chunk.data))
    chunk.begin("planting", not program.is_compiled(*calls[0]))
    plant = program.compiled(*calls[0])
    with chunk.watch:
        return [jax.block_until_ready(plant(*call)) for call in calls]


def search_chunk(chunk: Chunk, instances: list[Any]) -> Searched:
    """What every seeker finds at every density in every instance."""
    plan, job = chunk.plan, chunk.job
    points = list(itertools.product(range(plan.slots), range(job.densities.size)))
    batches = []
    for batch in in_batches([points], plan.batch):
        (some,) = filled(batch, plan.batch, points[0])
        slots = [slot for slot, _ in some]
        densities = job.densities.astype(np.float32)[[d for _, d in some]]
        shape = (plan.devices, plan.batch)
        index = np.broadcast_to(slots, shape)
        batches.append((chunk.seeds[:, slots], index, np.broadcast_to(densities, shape)))
    looks = []
    for (label, _), program in zip(job.seekers, chunk.programs.search, strict=True):
        seeds, index, densities = batches[0]
        first = (seeds, chunk.programs.picked(instances, index), densities, chunk.data)
        chunk.begin(label, not program.is_compiled(*first))
        looks.append(program.compiled(*first))
    chunk.begin(COMPUTING, False)
    found: list[Any] = []
    told: list[Any] = []
    seconds: list[float] = []
    with chunk.watch:
        for look in looks:
            begun = time.perf_counter()
            # Only started at first: the devices go on while the next one is made ready.
            results = [
                look(seeds, chunk.programs.picked(instances, index), densities, chunk.data)
                for seeds, index, densities in batches
            ]
            told.append(jax.device_get([result[1:] for result in results]))
            found += [result[0] for result in results]
            seconds.append(time.perf_counter() - begun)

    def whole(parts: Sequence[np.ndarray]) -> np.ndarray:
        """(devices, slots, densities, ...) of the batches."""
        flat = np.concatenate(parts, axis=1)[:, : len(points)]
        return flat.reshape(plan.devices, plan.slots, job.densities.size, *flat.shape[2:])

    width, everything, kept = (
        np.stack([whole([part[i] for part in parts]) for parts in told], axis=1) for i in range(3)
    )
    entries = [
        {name: whole([part[3][name] for part in parts]) for name in parts[0][3]} for parts in told
    ]
    return Searched(found, width, everything, kept, entries, seconds)


def measure_chunk(
    chunk: Chunk,
    instances: list[Any],
    found: list[Any],
    runs: list[list[tuple[int, Run]]],
) -> list[dict[Run, dict[str, np.ndarray]]]:
    """Measure runs, given per device with the width each needs; returns the entries per run."""
    plan, programs, job = chunk.plan, chunk.programs, chunk.job
    densities = job.densities.size
    planted, masks_of = (programs.joined(parts, plan.devices) for parts in (instances, found))
    # A seeker's batches may be longer than its runs.
    per_seeker = -(-plan.slots * densities // plan.batch) * plan.batch

    def place(run: Run) -> int:
        return run.seeker * per_seeker + run.instance * densities + run.density

    started = []
    widths = list(plan.measured)
    for width, narrower in zip(widths, (-1, *widths), strict=False):
        size, program = plan.measured[width], programs.measure[width]
        hands = [[run for needed, run in hand if narrower < needed <= width] for hand in runs]
        for n, batch in enumerate(in_batches(hands, size)):
            some = filled(batch, size, Run(0, 0, 0))
            slots = np.array([[run.instance for run in hand] for hand in some])
            call = (
                programs.picked([planted], slots),
                programs.picked([masks_of], [[place(run) for run in hand] for hand in some]),
                np.array([[job.rescaled[run.seeker] for run in hand] for hand in some]),
                chunk.targets_of(slots),
                chunk.data,
            )
            if n == 0:
                chunk.begin("measuring", not program.is_compiled(*call))
            measure = program.compiled(*call)
            if n == 0:
                chunk.begin(COMPUTING, False)
            with chunk.watch:
                started.append((batch, measure(*call)))
    with chunk.watch:
        results = [(batch, jax.device_get(result)) for batch, result in started]
    measured: list[dict[Run, dict[str, np.ndarray]]] = [{} for _ in runs]
    for batch, values in results:
        for device, hand in enumerate(batch):
            for n, run in enumerate(hand):
                measured[device][run] = {name: v[device, n] for name, v in values.items()}
    return measured
