"""Run a grid: every seed, noise level and density of it in a few compiled programs."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pyarrow as pa

from ticketjax import masks, selection
from ticketjax.base import Tree
from ticketjax.problem import Seeker
from ticketjax.runs.batches import Plan, program_devices
from ticketjax.runs.chunk import (
    COMPUTING,
    TICKETS,
    Chunk,
    Job,
    Programs,
    Run,
    Stopwatch,
    measure_chunk,
    plant_chunk,
)
from ticketjax.runs.grid import Grid, InstanceKey, NamedSetting
from ticketjax.runs.labelling import REINITIALISE
from ticketjax.runs.memory import OutOfMemory, is_short, runs_after
from ticketjax.runs.record import SCHEMA, with_seconds
from ticketjax.runs.seeking import search_chunk
from ticketjax.runs.setting import Setting
from ticketjax.runs.work import work_of
from ticketjax.seekers.registry import seeker_text
from ticketjax.seekers.strategies import objective_of

# Name of a Step after memory was short.
SMALLER = "smaller batches"


class Step(NamedTuple):
    """The start of a step of a grid: one of its setting's programs, on one chunk.

    Args:
        task, depth, width: the setting.
        program: "planting", a seeker's label or "measuring"; or "computing", while the devices
            finish the work that was started, "tickets", while those of the seeds are looked up, or
            "smaller batches".
        number: of the latest program, among `of` of them, from 1 on.
        of: how many programs there are.
        compiles: whether it has to be compiled first.
        at_once: after memory was short, the runs at once with which the chunk starts again; else 0.
    """

    task: str
    depth: int
    width: int
    program: str
    number: int
    of: int
    compiles: bool
    at_once: int = 0


class BudgetError(ValueError):
    """A mask keeps another number of parameters than its density allows."""


def _outside_budget(
    job: Job, hands: Sequence[Sequence[InstanceKey]], kept: np.ndarray, within: np.ndarray
) -> str:
    """The error message about the first mask that is outside its budget.

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
        f"{label} kept {kept[device, s, slot, d]:,} of {size:,} parameters, but {allowed} are "
        f"allowed at density {density:.6g} ({setting.task.name}, depth {named.depth}, width "
        f"{named.width}, noise {key.noise:g}, seed {key.seed}); check_budget=False accepts such "
        "masks and marks their records"
    )


def scope_of(seeker: Any) -> selection.Scope:
    """The scope of a seeker's budget; that of a combinator is its own seeker's."""
    while not hasattr(seeker, "scope") and hasattr(seeker, "seeker"):
        seeker = seeker.seeker
    return getattr(seeker, "scope", "global")


def _columns(grid: Grid, named: NamedSetting, label: str, seeker: Seeker) -> dict[str, Any]:
    """The entries of records that describe a seeker and its setting."""
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

    The tickets are None if all seeds have the task's single ticket.
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
    job: Job,
    programs: Programs,
    plan: Plan,
    keys: Sequence[InstanceKey],
    begin: Callable[[str, bool], None],
    watch: Stopwatch,
) -> pa.Table:
    """All records of some instances: every seeker at every density.

    begin, watch: as in Chunk.
    """
    # Distributed in turn, so that devices share the work; a short list repeats an instance.
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
    chunk = Chunk(job, programs, plan, hands, seeds, targets, data, begin, watch)
    instances = plant_chunk(chunk)
    searched = search_chunk(chunk, instances)
    bounds = np.array(
        [[named.budget_bounds(d, scope_of(seeker)) for d in asked] for _, seeker in job.seekers]
    )[None, :, None]
    within = (searched.kept >= bounds[..., 0]) & (searched.kept <= bounds[..., 1])
    if grid.check_budget and not within.all():
        raise BudgetError(_outside_budget(job, hands, searched.kept, within))

    points = list(itertools.product(range(len(job.seekers)), range(asked.size)))

    # Equal masks of an instance are measured once per objective, whichever seekers found them.
    first: dict[tuple, Run] = {}

    def computed(device: int, run: Run) -> Run:
        digest = searched.digest[device, run.seeker, run.instance, run.density].tobytes()
        key = (device, run.instance, job.rescaled[run.seeker], digest)
        return first.setdefault(key, run)

    runs = [
        [
            (searched.width[device, run.seeker, run.instance, run.density], run)
            for run in dict.fromkeys(
                computed(device, Run(i, *point)) for i in range(len(hand)) for point in points
            )
        ]
        for device, hand in enumerate(dealt)
    ]
    measured = measure_chunk(chunk, instances, searched.masks, runs)

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
            entries = measured[device][computed(device, Run(slot, s, d))] | {
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


def _job(
    grid: Grid,
    named: NamedSetting,
    seekers: Sequence[tuple[str, Seeker]],
    densities: np.ndarray,
    instances: list[InstanceKey],
) -> Job:
    """A job whose seekers have the objective of the grid, or else their own."""
    rescaled = tuple(_objective(grid, seeker) == "rescaled" for _, seeker in seekers)
    return Job(named, tuple(seekers), rescaled, densities, instances)


def _jobs(grid: Grid, done: Collection[tuple], share: tuple[int, int]) -> Iterator[Job]:
    """The missing runs of a grid, in as few and as large rectangles as possible.

    If runs take long, because a seeker trains, and an instance has more of them than a given
    chunk, a job has one seeker and as many densities as fit into a chunk, so that finished runs are
    written soon.
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
                whole = _job(grid, named, chosen, densities[list(these)], instances)
                size = grid.chunk_size
                if isinstance(size, str) or whole.runs_per_instance <= size or not whole.searches:
                    yield whole
                    continue
                for seeker in chosen:
                    for start in range(0, whole.densities.size, size):
                        some = whole.densities[start : start + size]
                        yield _job(grid, named, (seeker,), some, instances)


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
        grid: the grid to run.
        done: runs that are finished already, as tuples of their RUN columns.
        devices: to share the work among; all of this process by default.
        share: (index, count) of this process. It runs every count-th of each setting's instances,
            independent of what is done already, so that processes need not communicate.
        on_step: called with each Step as it begins.
        watch: measures the time of compiled programs: planting, seeking, training and measuring.

    Yields:
        Arrow tables. A chunk holds whole instances: all missing seekers at all missing densities of
        some seeds and noise levels of one task and network. If a seeker trains, and an instance has
        more runs than a given chunk_size, a chunk has one seeker at that many of the densities.

    Raises:
        BudgetError: a mask is outside its budget, unless the grid allows this; raised before
            anything of the chunk is yielded.
        OutOfMemory, jax.errors.JaxRuntimeError: a single run needs more memory than a device has.
            If many at once do, fewer are run, and on_step is called.
    """
    asked = tuple(jax.local_devices() if devices is None else devices)
    devices = program_devices(asked)
    watch = Stopwatch() if watch is None else watch
    # One network per device at first, so that the first results appear soon.
    begun = not isinstance(grid.chunk_size, str)
    fitting: dict[Setting, int] = {}
    for job in _jobs(grid, done, share):
        left, plan = job.instances, None
        while left:
            if plan is None:
                plan = Plan.of(
                    job.named,
                    len(left),
                    job.runs_per_instance,
                    job.searches,
                    grid.chunk_size,
                    devices,
                    len(asked),
                    fitting.get(job.named.setting),
                )
                programs = Programs.of(job, plan, devices)
            some = plan if begun else dataclasses.replace(plan, slots=1)
            size = some.slots * some.working
            begin = _steps(job.named, programs, on_step)
            try:
                records = _run_chunk(grid, job, programs, some, left[:size], begin, watch)
            except (OutOfMemory, jax.errors.JaxRuntimeError) as error:
                if not is_short(error) or plan.at_once == 1:
                    raise
                fewer = runs_after(error, plan.at_once)
                fitting[job.named.setting] = fewer
                plan = None
                begin(SMALLER, False, fewer)
                continue
            begun = True
            left = left[size:]
            yield records


def _steps(
    named: NamedSetting,
    programs: Programs,
    on_step: Callable[[Step], None] | None,
) -> Callable[..., None]:
    """Calls on_step for each step of a chunk, given the last entries of Step."""
    place = named.setting.task.name, named.depth, named.width
    begun: dict[str, int] = {}

    def begin(program: str, compiles: bool, at_once: int = 0) -> None:
        if program not in (COMPUTING, TICKETS, SMALLER):
            begun.setdefault(program, len(begun) + 1)
        if on_step:
            on_step(Step(*place, program, len(begun), programs.number, compiles, at_once))

    return begin
