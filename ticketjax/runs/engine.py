"""Run a grid: every seed, noise level and density of it in a few compiled programs."""

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from ticketjax import masks
from ticketjax.base import Batch, Tree
from ticketjax.problem import Seeker
from ticketjax.runs.batches import Plan, filled, in_batches, program_devices
from ticketjax.runs.grid import REINITIALISE, Grid, InstanceKey, NamedSetting, trains
from ticketjax.runs.programs import (
    Program,
    instance_program,
    measure_program,
    pick_program,
    search_program,
)
from ticketjax.runs.record import SCHEMA, with_seconds
from ticketjax.runs.setting import Setting
from ticketjax.runs.work import work_of
from ticketjax.seekers.registry import seeker_text
from ticketjax.seekers.strategies import objective_of

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


class _Job(NamedTuple):
    """What is to be run of one setting: some seekers at some densities on some instances.

    Args:
        named: the setting.
        seekers: (label, seeker), as the setting has them.
        densities: resolved, float64.
        instances: their keys.
    """

    named: NamedSetting
    seekers: tuple[tuple[str, Seeker], ...]
    densities: np.ndarray
    instances: list[InstanceKey]

    @property
    def runs_per_instance(self) -> int:
        return len(self.seekers) * self.densities.size

    @property
    def searches(self) -> bool:
        """Whether a seeker trains, so that a run takes long."""
        return any(trains(seeker) for _, seeker in self.seekers)


class _Programs(NamedTuple):
    """The programs of a job, each for one batch on every device.

    Args:
        instance: makes the instances.
        search: one per seeker.
        measure: one per width.
        pick: copies what a batch needs.
    """

    instance: Program
    search: list[Program]
    measure: dict[int, Program]
    pick: Program

    @classmethod
    def of(cls, grid: Grid, job: _Job, plan: Plan, devices: tuple[jax.Device, ...]) -> "_Programs":
        setting, compactable = job.named.setting, job.named.compactable
        rescaled = [_objective(grid, seeker) == "rescaled" for _, seeker in job.seekers]
        return cls(
            instance_program(setting, devices),
            [
                search_program(setting, seeker, fitted, compactable, devices)
                for (_, seeker), fitted in zip(job.seekers, rescaled, strict=True)
            ],
            {
                width: measure_program(setting, width if compactable else None, devices)
                for width in plan.measured
            },
            pick_program(devices),
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
        return self.pick.compiled(tuple(batches), index)(tuple(batches), index)

    def joined(self, batches: Sequence[Any], devices: int) -> Any:
        """The batches, one after the other, on each device."""
        if len(batches) == 1:
            return batches[0]
        count = sum(jax.tree.leaves(batch)[0].shape[1] for batch in batches)
        return self.picked(batches, np.broadcast_to(np.arange(count), (devices, count)))


class Step(NamedTuple):
    """What a grid begins to do: one of its setting's programs, on one chunk.

    Args:
        task, depth, width: the setting.
        program: "planting", a seeker's label or "measuring"; or "computing", while the devices work
            on what is started, or "tickets", while those of the seeds are looked up.
        number: of the latest program, among `of` of them, from 1 on.
        of: how many programs there are.
        compiles: whether it has to be compiled first.
    """

    task: str
    depth: int
    width: int
    program: str
    number: int
    of: int
    compiles: bool


class _Run(NamedTuple):
    """One run of a chunk: indices into its device's instances, and into the job."""

    instance: int
    seeker: int
    density: int


class _Chunk(NamedTuple):
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

    job: _Job
    programs: _Programs
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


class _Searched(NamedTuple):
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


def _plant(chunk: _Chunk) -> list[Any]:
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


def _search(chunk: _Chunk, instances: list[Any]) -> _Searched:
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
    return _Searched(found, width, everything, kept, entries, seconds)


def _measure(
    chunk: _Chunk,
    instances: list[Any],
    found: list[Any],
    rescaled: Sequence[bool],
    runs: list[list[tuple[int, _Run]]],
) -> list[dict[_Run, dict[str, np.ndarray]]]:
    """Measure runs, given per device with the width each needs; returns the entries per run.

    rescaled: whether a seeker's objective is, one per seeker.
    """
    plan, programs, densities = chunk.plan, chunk.programs, chunk.job.densities.size
    planted, masks_of = (programs.joined(parts, plan.devices) for parts in (instances, found))
    # A seeker's batches may be longer than its runs.
    per_seeker = -(-plan.slots * densities // plan.batch) * plan.batch

    def place(run: _Run) -> int:
        return run.seeker * per_seeker + run.instance * densities + run.density

    started = []
    widths = list(plan.measured)
    for width, narrower in zip(widths, (-1, *widths), strict=False):
        size, program = plan.measured[width], programs.measure[width]
        hands = [[run for needed, run in hand if narrower < needed <= width] for hand in runs]
        for n, batch in enumerate(in_batches(hands, size)):
            some = filled(batch, size, _Run(0, 0, 0))
            slots = np.array([[run.instance for run in hand] for hand in some])
            call = (
                programs.picked([planted], slots),
                programs.picked([masks_of], [[place(run) for run in hand] for hand in some]),
                np.array([[rescaled[run.seeker] for run in hand] for hand in some]),
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
    measured: list[dict[_Run, dict[str, np.ndarray]]] = [{} for _ in runs]
    for batch, values in results:
        for device, hand in enumerate(batch):
            for n, run in enumerate(hand):
                measured[device][run] = {name: v[device, n] for name, v in values.items()}
    return measured


class BudgetError(ValueError):
    """A mask keeps another number of parameters than its density allows."""


def _outside_budget(
    job: _Job, hands: Sequence[Sequence[InstanceKey]], kept: np.ndarray, within: np.ndarray
) -> str:
    """Say of the first mask that is outside its budget who made it, and the numbers.

    kept, within: (devices, seekers, slots, densities). hands: each device's instances.
    """
    device, s, slot, d = np.argwhere(~within)[0]
    named, density = job.named, job.densities[d]
    label, seeker = job.seekers[s]
    fewest, most = named.budget_bounds(density, scope_of(seeker))
    allowed = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    setting, key = named.setting, hands[device][slot]
    size = masks.count_prunable(setting.layer_shapes, setting.prune_bias)
    return (
        f"{label} kept {kept[device, s, slot, d]:,} of {size:,} parameters, allowed are {allowed} "
        f"at density {density:.6g} ({setting.task.name}, depth {named.depth}, width {named.width}, "
        f"noise {key.noise:g}, seed {key.seed}); records of masks that are let pass are marked "
        "(check_budget=False)"
    )


def scope_of(seeker: Any) -> masks.Scope:
    """The scope of a seeker's budget; that of a combinator is its own seeker's."""
    while not hasattr(seeker, "scope") and hasattr(seeker, "seeker"):
        seeker = seeker.seeker
    return getattr(seeker, "scope", "global")


def _columns(grid: Grid, named: NamedSetting, label: str, seeker: Seeker) -> dict[str, Any]:
    """The entries of records that say what a seeker and its setting are."""
    setting, scope = named.setting, scope_of(seeker)
    sanity = getattr(seeker, "sanity", "none")
    return {
        "task": setting.task.name,
        "kind": setting.task.kind,
        "model": named.model,
        "depth": named.depth,
        "width": named.width,
        "seeker": label,
        "strategy": getattr(type(seeker), "name", "own"),
        "scope": scope if isinstance(scope, str) else "oracle",
        "rounds": getattr(seeker, "rounds", None),
        "objective": _objective(grid, seeker),
        "config": seeker_text(seeker),
        "optimizer": grid.training.text,
        "prune_bias": grid.prune_bias,
        "sanity": REINITIALISE if grid.reinitialise else sanity,
        "match": grid.planting.match,
        "tickets": grid.planting.tickets,
        "decoys": grid.planting.decoys,
        "perturbation": grid.planting.perturbation,
        **work_of(setting, seeker),
    }


def _objective(grid: Grid, seeker: Seeker) -> str:
    """What a seeker optimises: the grid's objective, or else its own."""
    return grid.objective or objective_of(seeker)


def _tickets(setting: Setting, seeds: np.ndarray) -> tuple[Tree | None, dict[int, tuple[int, ...]]]:
    """The tickets of seeds, (devices, slots, ...) in every leaf, and their parameters by layer.

    The tickets are None where all seeds have the task's one.
    """
    of, listed = setting.task.ticket_of, seeds.ravel().tolist()
    if of is None:
        return None, dict.fromkeys(listed, setting.ticket_layers)
    own = {seed: of(seed) for seed in dict.fromkeys(listed)}
    stacked = jax.tree.map(
        lambda *leaves: np.stack(leaves).reshape(*seeds.shape, *leaves[0].shape),
        *(own[seed] for seed in listed),
    )
    return stacked, {seed: setting.layers_of_ticket(target) for seed, target in own.items()}


def _run_chunk(
    grid: Grid,
    job: _Job,
    programs: _Programs,
    plan: Plan,
    keys: Sequence[InstanceKey],
    begin: Callable[[str, bool], None],
    watch: Stopwatch,
) -> pa.Table:
    """All records of some instances: every seeker at every density.

    begin, watch: as in _Chunk.
    """
    # Dealt in turn, so that devices share the work; a short hand repeats an instance.
    dealt = [list(keys[device :: plan.working]) for device in range(plan.working)]
    dealt += [[]] * (plan.devices - plan.working)
    hands = [hand + [keys[0]] * (plan.slots - len(hand)) for hand in dealt]
    seeds = np.array([[key.seed for key in hand] for hand in hands], np.uint32)
    named, asked = job.named, job.densities
    setting = named.setting
    if setting.task.ticket_of is not None:
        begin(TICKETS, False)
    targets, ticket_layers = _tickets(setting, seeds)
    data = setting.task.data and setting.task.data()
    chunk = _Chunk(job, programs, plan, hands, seeds, targets, data, begin, watch)
    instances = _plant(chunk)
    searched = _search(chunk, instances)
    bounds = np.array(
        [[named.budget_bounds(d, scope_of(seeker)) for d in asked] for _, seeker in job.seekers]
    )[None, :, None]
    within = (searched.kept >= bounds[..., 0]) & (searched.kept <= bounds[..., 1])
    if grid.check_budget and not within.all():
        raise BudgetError(_outside_budget(job, hands, searched.kept, within))

    points = list(itertools.product(range(len(job.seekers)), range(asked.size)))
    rescaled = [_objective(grid, seeker) == "rescaled" for _, seeker in job.seekers]

    def computed(device: int, run: _Run) -> _Run:
        # Runs that keep everything do not differ: the first one serves all of one objective.
        full = searched.everything[device, :, run.instance, :]
        if not full[run.seeker, run.density]:
            return run
        alike = (p for p in points if full[p] and rescaled[p[0]] == rescaled[run.seeker])
        return _Run(run.instance, *next(alike))

    runs = [
        [
            (searched.width[device, run.seeker, run.instance, run.density], run)
            for run in dict.fromkeys(
                computed(device, _Run(i, *point)) for i in range(len(hand)) for point in points
            )
        ]
        for device, hand in enumerate(dealt)
    ]
    measured = _measure(chunk, instances, searched.masks, rescaled, runs)

    columns = [_columns(grid, named, label, seeker) for label, seeker in job.seekers]
    feasible = {
        layers: [
            [named.feasible_recall(density, scope_of(seeker), layers) for density in asked]
            for _, seeker in job.seekers
        ]
        for layers in dict.fromkeys(ticket_layers.values())
    }
    rows = []
    for n, key in enumerate(keys):
        slot, device = divmod(n, plan.working)
        layers = ticket_layers[key.seed]
        for s, d in points:
            entries = measured[device][computed(device, _Run(slot, s, d))] | {
                name: values[device, slot, d].tolist()
                for name, values in searched.entries[s].items()
            }
            rows.append(
                {
                    **columns[s],
                    "ticket_density": setting.density_of(layers),
                    "density": float(asked[d]),
                    "noise": key.noise,
                    "seed": key.seed,
                    "within_budget": bool(within[device, s, slot, d]),
                    "feasible_recall": feasible[layers][s][d],
                    "functionally_recovered": named.recovered(entries, key.noise),
                    **entries,
                }
            )
    per_run = len(keys) * asked.size
    times = {
        label: taken / per_run
        for (label, _), taken in zip(job.seekers, searched.seconds, strict=True)
    }
    return with_seconds(pa.Table.from_pylist(rows, schema=SCHEMA), times)


def _jobs(grid: Grid, done: Collection[tuple], share: tuple[int, int]) -> Iterator[_Job]:
    """What is missing of a grid, as few and as large rectangles as there are.

    Where runs take long, as those of seekers that train, and an instance has more of them than a
    given chunk, a job is of one seeker and as many densities as a chunk has, so that what is
    finished is written soon.
    """
    for named in grid.settings():
        densities = named.resolve(grid.densities)
        numbers = densities.tolist()
        seekers = tuple((label, named.given(seeker)) for label, seeker in grid.seekers)
        # Instances that lack the same runs are run together.
        lacking: dict[tuple[tuple[int, ...], ...], list[InstanceKey]] = {}
        for key in grid.instances_of(share):
            place = (*named.identity, *key)
            missing = tuple(
                tuple(d for d in range(densities.size) if (*place, label, numbers[d]) not in done)
                for label, _ in seekers
            )
            lacking.setdefault(missing, []).append(key)
        for missing, instances in lacking.items():
            for these in dict.fromkeys(filter(None, missing)):
                chosen = tuple(
                    seeker for seeker, own in zip(seekers, missing, strict=True) if own == these
                )
                whole = _Job(named, chosen, densities[list(these)], instances)
                size = grid.chunk_size
                if isinstance(size, str) or whole.runs_per_instance <= size or not whole.searches:
                    yield whole
                    continue
                for seeker in chosen:
                    for start in range(0, whole.densities.size, size):
                        some = whole.densities[start : start + size]
                        yield _Job(named, (seeker,), some, instances)


def run(
    grid: Grid,
    done: Collection[tuple] = (),
    devices: Sequence[jax.Device] | None = None,
    share: tuple[int, int] = (0, 1),
    on_step: Callable[[Step], None] | None = None,
    watch: Stopwatch | None = None,
) -> Iterator[pa.Table]:
    """Run a grid chunk by chunk; yields each chunk's records as soon as it is finished.

    Args:
        grid: what is to be run.
        done: runs that are finished already, as tuples of their RUN columns.
        devices: to share the work among; all of this process by default.
        share: (index, count) of this process; of each setting's instances, every count-th is its
            own, whatever is done already, so that processes need not know of each other.
        on_step: called with each Step as it begins.
        watch: runs while compiled programs do: planting, seeking, training and measuring.

    Yields:
        Arrow tables. A chunk holds whole instances: all missing seekers at all missing densities of
        some seeds and noise levels of one task and network. Where a seeker trains, and there are
        more of them than a given chunk_size, it holds one seeker at so many of the densities.

    Raises:
        BudgetError: before anything of a chunk is yielded, a mask outside its budget, unless the
            grid lets it pass.
    """
    asked = tuple(jax.local_devices() if devices is None else devices)
    devices = program_devices(asked)
    watch = Stopwatch() if watch is None else watch
    for job in _jobs(grid, done, share):
        plan = Plan.of(
            job.named,
            len(job.instances),
            job.runs_per_instance,
            job.searches,
            grid.chunk_size,
            devices,
            len(asked),
        )
        programs = _Programs.of(grid, job, plan, devices)
        size = plan.slots * plan.working
        for start in range(0, len(job.instances), size):
            begin = _steps(job.named, programs, on_step)
            instances = job.instances[start : start + size]
            yield _run_chunk(grid, job, programs, plan, instances, begin, watch)


def _steps(
    named: NamedSetting,
    programs: _Programs,
    on_step: Callable[[Step], None] | None,
) -> Callable[[str, bool], None]:
    """Tells on_step of what a chunk does, given its name and whether it has to be compiled."""
    of = 1 + len(programs.search) + len(programs.measure)
    place = named.setting.task.name, named.depth, named.width
    begun = 0

    def begin(program: str, compiles: bool) -> None:
        nonlocal begun
        begun += program not in (COMPUTING, TICKETS)
        if on_step:
            on_step(Step(*place, program, begun, of, compiles))

    return begin
