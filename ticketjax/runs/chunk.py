"""One chunk of a grid: plant some networks, and measure the masks that are found in them."""

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
    description_program,
    instance_program,
    measure_program,
    pick_program,
    ranking_program,
    score_program,
    search_program,
    selection_program,
)
from ticketjax.seekers.strategies import Singleshot

# Names of a Step while devices finish the work that was started, and while the tickets of seeds are
# looked up or made.
COMPUTING = "computing"
TICKETS = "tickets"


class Stopwatch:
    """Total seconds of wall time within its `with` blocks."""

    def __init__(self):
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self):
        self._begin = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self._begin


class Job(NamedTuple):
    """Runs of one setting: some seekers at some densities on some instances.

    Args:
        named: the setting.
        seekers: (label, seeker), as the setting has them.
        rescaled: whether the objective is "rescaled", one per seeker.
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


class ByScores(NamedTuple):
    """The programs of a seeker that scores parameters once and selects the highest scores.

    Args:
        score: of this seeker.
        selection: shared by all seekers with the same selection.
    """

    score: Program
    selection: Program


class Programs(NamedTuple):
    """The programs of a job, each for one batch on every device.

    Args:
        instance: makes the instances.
        search: one entry per seeker.
        ranking, description: of found masks, for all seekers.
        measure: one per width.
        pick: copies the entries that a batch needs; None on a CPU, whose arrays NumPy can read
            without a compiled program.
    """

    instance: Program
    search: list[Program | ByScores]
    ranking: Program
    description: Program
    measure: dict[int, Program]
    pick: Program | None

    @classmethod
    def of(cls, job: Job, plan: Plan, devices: tuple[jax.Device, ...]) -> "Programs":
        """The programs; nothing is compiled yet."""
        setting, compactable = job.named.setting, job.named.compactable

        def search(seeker: Seeker, rescaled: bool) -> Program | ByScores:
            selection = seeker.selection if isinstance(seeker, Singleshot) else None
            if not isinstance(seeker, Singleshot) or selection is None:
                return search_program(setting, seeker, rescaled, devices)
            return ByScores(
                score_program(setting, seeker, devices),
                selection_program(setting, selection, devices),
            )

        return cls(
            instance_program(setting, devices),
            [
                search(seeker, rescaled)
                for (_, seeker), rescaled in zip(job.seekers, job.rescaled, strict=True)
            ],
            ranking_program(setting, devices),
            description_program(setting, compactable, devices),
            {
                width: measure_program(setting, width if compactable else None, devices)
                for width in plan.measured
            },
            None if devices[0].platform == "cpu" else pick_program(devices),
        )

    @property
    def number(self) -> int:
        """The number of programs, counted by the names in Step."""
        selects = any(isinstance(search, ByScores) for search in self.search)
        return 3 + len(self.search) + selects + len(self.measure)

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
    """The input of a chunk, and its functions for reporting progress.

    Args:
        job, programs, plan: of the chunk.
        hands: instances of each device, equally many; the last ones may be repetitions.
        seeds: (devices, slots).
        targets: of the seeds, (devices, slots, ...), or None.
        data: the task's own, or None.
        begin: called with the name of the next step, a program's, COMPUTING or TICKETS, and whether
            it has to be compiled.
        watch: measures the time of compiled programs.
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

    def results(self, name: str, program: Program, calls: Sequence[tuple]) -> list[Any]:
        """The results of a program for each of its calls; it is compiled first if necessary."""
        self.begin(name, not program.is_compiled(*calls[0]))
        compiled = program.compiled(*calls[0])
        self.begin(COMPUTING, False)
        with self.watch:
            return jax.block_until_ready([compiled(*call) for call in calls])


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
    return chunk.results("planting", program, calls)


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
                name = "measuring" if len(widths) == 1 else f"measuring at width {width}"
                chunk.begin(name, not program.is_compiled(*call))
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
