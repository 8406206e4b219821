"""Run a grid: every seed, noise level and density of it in a few compiled programs."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from ticketjax import masks
from ticketjax.networks.compaction import active_width
from ticketjax.networks.layers import view
from ticketjax.problem import Seeker
from ticketjax.runs.grid import REINITIALISE, Grid, InstanceKey, NamedSetting, trains
from ticketjax.runs.record import SCHEMA
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate, make_instance, ranking_entries, seek
from ticketjax.seekers.registry import seeker_text
from ticketjax.seekers.strategies import RoundInfo

# On a CPU larger batches of runs gain nothing, and lose where parameters and moments leave the
# caches (at width 1000, 8 runs at once take half as long again as one after the other); pruned
# networks are run in these shares of the width. An accelerator wants to be filled.
CPU_RUNS_AT_ONCE = 8
CPU_CACHE = 16 * 2**20
CPU_BATCHES_PER_CHUNK = 16
COMPACT_SHARES = (1, 4)
# Compiling the narrower programs takes as long as so many runs.
COMPACT_FROM_RUNS = 100
MOST_RUNS_AT_ONCE = 4096
# What a run holds at once, as a multiple of its parameters.
PARAMETER_COPIES = 12
MEMORY_SHARE = 0.5
# What a Step says while devices work on what is started.
COMPUTING = "computing"
UNKNOWN_MEMORY = 4 * 2**30


def _auto_chunk_size(named: NamedSetting, devices: Sequence[jax.Device]) -> int:
    """Runs at once on each device: as many as its memory holds, fewer on a CPU's cache."""
    setting = named.setting
    leaves = jax.tree.leaves(setting.parameter_shapes)
    parameters = sum(leaf.size for leaf in leaves)
    if devices[0].platform == "cpu":
        moments = 2 * parameters
        most = min(CPU_RUNS_AT_ONCE, max(1, CPU_CACHE // (4 * (parameters + moments))))
        free = UNKNOWN_MEMORY // len(devices)
    else:
        stats = devices[0].memory_stats() or {}
        most, free = MOST_RUNS_AT_ONCE, stats.get("bytes_limit", UNKNOWN_MEMORY)
    batch_size = setting.training.batch_size
    order = setting.training.epochs * (setting.training_samples // batch_size) * batch_size
    widest = max(leaf.size for leaf in leaves)
    activations = setting.samples * max(named.width, widest // max(named.width, 1)) * 4
    per_run = 4 * (PARAMETER_COPIES * parameters + order + activations)
    return int(np.clip(MEMORY_SHARE * free // per_run, 1, most))


def sharded(
    function: Callable[..., Any],
    devices: Sequence[jax.Device],
    in_axes: int | tuple[int | None, ...] = 0,
) -> jax.stages.Wrapped:
    """Run one function on every device at once, each on its slice of the first axis.

    in_axes: None for arguments that are the same on all. The only place that says how devices are
    used.
    """
    return jax.pmap(function, devices=devices, in_axes=in_axes)


class Stopwatch:
    """Seconds of wall time within its `with` blocks, all together."""

    def __init__(self):
        self.seconds = 0.0
        self._begin = 0.0

    def __enter__(self):
        self._begin = time.perf_counter()

    def __exit__(self, *_):
        self.seconds += time.perf_counter() - self._begin


class _Program:
    """A function that runs on every device, compiled before it is called."""

    def __init__(self, function: Callable[..., Any], devices: Sequence[jax.Device]):
        self._function = sharded(function, devices)
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def compiled(self, *arguments: Any) -> Callable[..., Any]:
        """The program for arguments of these shapes; compiled once for each."""
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._compiled:
            self._compiled[key] = self._function.lower(*arguments).compile()
        return self._compiled[key]


def run_key(seed: jax.Array) -> jax.Array:
    """Everything of a run follows from its seed, whatever else is in the grid."""
    return jax.random.fold_in(jax.random.key(0), seed)


# Programs are kept, so that a second sweep over a setting compiles only the searches that are new.
_kept = functools.lru_cache(maxsize=64)


@_kept
def _instance_program(setting: Setting, devices: tuple[jax.Device, ...]) -> _Program:
    """(seeds, noise) -> instances."""

    def instance(seed, noise):
        return make_instance(setting, run_key(seed), noise)

    return _Program(jax.vmap(instance), devices)


@_kept
def _search_program(
    setting: Setting, seeker: Seeker, compactable: bool, devices: tuple[jax.Device, ...]
) -> _Program:
    """(seeds, instances, densities) -> what was found, each (instances, densities, ...).

    That is the masks, their active widths (0 where nothing is compacted), whether everything is
    kept, how many prunable parameters are, and entries of the record.
    """

    def search(seeker, seeds, instances, densities):
        def one(seed, instance, density):
            found, ranks = seek(setting, seeker, run_key(seed), instance, density)
            seen = view(found.mask, setting.layers)
            everything = masks.count_kept(seen) == masks.count_prunable(seen)
            entries = ranking_entries(ranks) | {
                name: found.info[name] for name in RoundInfo._fields if name in found.info
            }
            width = active_width(seen) if compactable else jnp.int32(0)
            kept = masks.count_kept(seen, setting.prune_bias)
            return found.mask, width, everything, kept, entries

        over_densities = jax.vmap(one, (None, None, 0))
        return jax.vmap(over_densities, (0, 0, None))(seeds, instances, densities)

    return _Program(functools.partial(search, seeker), devices)


@_kept
def _measure_program(
    setting: Setting, width: int | None, devices: tuple[jax.Device, ...]
) -> _Program:
    """(instances, masks of every seeker, indices of runs) -> entries of Record."""

    def measure(width, instances, found, which_instance, which_seeker, which_density):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

        def one(i, s, d):
            mask = jax.tree.map(lambda leaf: leaf[s, i, d], stacked)
            here = jax.tree.map(lambda leaf: leaf[i], instances)
            return evaluate(setting, here, mask, width)

        return jax.vmap(one)(which_instance, which_seeker, which_density)

    return _Program(functools.partial(measure, width), devices)


class _Job(NamedTuple):
    """What is to be run of one setting: some seekers at some densities on some instances.

    seekers: (label, seeker), as the setting has them. densities: resolved, float64.
    """

    named: NamedSetting
    seekers: tuple[tuple[str, Seeker], ...]
    densities: np.ndarray
    instances: list[InstanceKey]

    @property
    def runs_per_instance(self) -> int:
        return len(self.seekers) * self.densities.size


class _Programs(NamedTuple):
    """The programs of a job, each for one chunk's slice on one device.

    search: one per seeker. measure: one per width.
    """

    instance: _Program
    search: list[_Program]
    measure: dict[int, _Program]

    @classmethod
    def of(cls, job: _Job, plan: "_Plan", devices: tuple[jax.Device, ...]) -> "_Programs":
        setting, compactable = job.named.setting, job.named.compactable
        return cls(
            _instance_program(setting, devices),
            [_search_program(setting, seeker, compactable, devices) for _, seeker in job.seekers],
            {
                width: _measure_program(setting, width if compactable else None, devices)
                for width in plan.widths
            },
        )


class Step(NamedTuple):
    """What a grid begins to do: one of its setting's programs, on one chunk.

    task, depth, width: the setting. program: "planting", a seeker's label or "measuring"; or
    "computing", while the devices work on what is started. number: of the latest program, among
    `of` of them, from 1 on. compiles: whether it has to be compiled, as for the first chunk.
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


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How a job's instances are cut to chunks: `slots` of them on each device.

    at_once: runs that a device measures at once. widths: to which networks are compacted.
    """

    devices: int
    slots: int
    at_once: int
    widths: tuple[int, ...]

    @classmethod
    def of(cls, job: _Job, chunk_size: int | str, devices: Sequence[jax.Device]) -> "_Plan":
        on_cpu = devices[0].platform == "cpu"
        named, instances = job.named, len(job.instances)
        at_once = _auto_chunk_size(named, devices) if isinstance(chunk_size, str) else chunk_size
        # A search that trains is as expensive as the measuring, and runs all of a chunk at once.
        searches = any(trains(seeker) for _, seeker in job.seekers)
        batches = CPU_BATCHES_PER_CHUNK if on_cpu and not searches else 1
        most = max(1, at_once * batches // job.runs_per_instance) * len(devices)
        # Equal shares, so that no chunk is mostly padding and one program serves all.
        slots = -(-instances // (-(-instances // most) * len(devices)))
        # An accelerator's time goes by the number of steps, whatever the width.
        worth_it = on_cpu and instances * job.runs_per_instance >= COMPACT_FROM_RUNS
        shares = COMPACT_SHARES if worth_it and named.compactable else (1,)
        widths = {named.width // share for share in shares}
        return cls(
            len(devices),
            slots,
            min(at_once, slots * job.runs_per_instance),
            tuple(sorted(width for width in widths if width > 0)) or (0,),
        )


def _measure(
    programs: _Programs,
    plan: _Plan,
    instances: Any,
    found: Any,
    runs: list[list[tuple[int, _Run]]],
    begin: Callable[[str], None],
    watch: Stopwatch,
) -> list[dict[_Run, dict[str, np.ndarray]]]:
    """Measure runs, given per device with the width each needs; returns the entries per run.

    begin: called with what is about to be done, a program's name or COMPUTING.
    """
    calls = []
    for width, narrower in zip(plan.widths, (-1, *plan.widths), strict=False):
        begin("measuring")
        hands = [[run for needed, run in hand if narrower < needed <= width] for hand in runs]
        for start in range(0, max(map(len, hands)), plan.at_once):
            batch = [hand[start : start + plan.at_once] for hand in hands]
            padded = [b + [_Run(0, 0, 0)] * (plan.at_once - len(b)) for b in batch]
            index = np.moveaxis(np.array(padded, np.int32), -1, 0)
            measure = programs.measure[width].compiled(instances, found, *index)
            calls.append((batch, measure, index))
    begin(COMPUTING)
    with watch:
        # Only started at first: the devices go on while the next one is made ready.
        started = [(batch, measure(instances, found, *index)) for batch, measure, index in calls]
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
        "objective": grid.objective,
        "config": seeker_text(seeker),
        "optimizer": grid.training.text,
        "prune_bias": grid.prune_bias,
        "sanity": REINITIALISE if grid.reinitialise else sanity,
        "match": grid.planting.match,
        "tickets": grid.planting.tickets,
        "decoys": grid.planting.decoys,
        "perturbation": grid.planting.perturbation,
        "ticket_density": setting.ticket_density,
    }


def _run_chunk(
    grid: Grid,
    job: _Job,
    programs: _Programs,
    plan: _Plan,
    chunk: Sequence[InstanceKey],
    begin: Callable[[str], None],
    watch: Stopwatch,
) -> pa.Table:
    """All records of some instances: every seeker at every density.

    begin: called with what is about to be done, a program's name or COMPUTING.
    """
    # Dealt in turn, so that devices share the work; a short hand repeats an instance.
    hands = [list(chunk[device :: plan.devices]) for device in range(plan.devices)]
    padded = [hand + [chunk[0]] * (plan.slots - len(hand)) for hand in hands]
    seeds = np.array([[key.seed for key in hand] for hand in padded], np.uint32)
    noise = np.array([[key.noise for key in hand] for hand in padded], np.float32)
    named, asked = job.named, job.densities
    densities = np.broadcast_to(asked.astype(np.float32), (plan.devices, asked.size))

    # While something is compiled, nothing runs: so the watch knows how long the runs take.
    begin("planting")
    draw = programs.instance.compiled(seeds, noise)
    with watch:
        instances = jax.block_until_ready(draw(seeds, noise))
    search = []
    for (label, _), program in zip(job.seekers, programs.search, strict=True):
        begin(label)
        search.append(program.compiled(seeds, instances, densities))
    begin(COMPUTING)
    with watch:
        searched = [look(seeds, instances, densities) for look in search]
        found = tuple(result[0] for result in searched)
        needed, everything, kept = (
            np.stack(jax.device_get([result[i] for result in searched]), axis=1) for i in (1, 2, 3)
        )
        searches = [jax.device_get(result[4]) for result in searched]
    bounds = np.array(
        [[named.budget_bounds(d, scope_of(seeker)) for d in asked] for _, seeker in job.seekers]
    )[None, :, None]
    within = (kept >= bounds[..., 0]) & (kept <= bounds[..., 1])
    if grid.check_budget and not within.all():
        raise BudgetError(_outside_budget(job, padded, kept, within))

    points = list(itertools.product(range(len(found)), range(asked.size)))

    def computed(device: int, run: _Run) -> _Run:
        # Runs that keep everything do not differ: the first one serves all.
        full = everything[device, :, run.instance, :]
        if not full[run.seeker, run.density]:
            return run
        return _Run(run.instance, *next(point for point in points if full[point]))

    runs = [
        [
            (needed[device, run.seeker, run.instance, run.density], run)
            for run in dict.fromkeys(
                computed(device, _Run(i, *point)) for i in range(len(hand)) for point in points
            )
        ]
        for device, hand in enumerate(hands)
    ]
    measured = _measure(programs, plan, instances, found, runs, begin, watch)

    columns = [_columns(grid, named, label, seeker) for label, seeker in job.seekers]
    feasible = [
        [named.feasible_recall(density, scope_of(seeker)) for density in asked]
        for _, seeker in job.seekers
    ]
    rows = []
    for n, key in enumerate(chunk):
        slot, device = divmod(n, plan.devices)
        for s, d in points:
            entries = measured[device][computed(device, _Run(slot, s, d))] | {
                name: values[device, slot, d].tolist() for name, values in searches[s].items()
            }
            rows.append(
                {
                    **columns[s],
                    "density": float(asked[d]),
                    "noise": key.noise,
                    "seed": key.seed,
                    "within_budget": bool(within[device, s, slot, d]),
                    "feasible_recall": feasible[s][d],
                    "functionally_recovered": named.recovered(entries, key.noise),
                    **entries,
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _jobs(grid: Grid, done: Collection[tuple], share: tuple[int, int]) -> Iterator[_Job]:
    """What is missing of a grid, as few and as large rectangles as there are."""
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
                yield _Job(named, chosen, densities[list(these)], instances)


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
        some seeds and noise levels of one task and network.

    Raises:
        BudgetError: before anything of a chunk is yielded, a mask outside its budget, unless the
            grid lets it pass.
    """
    devices = tuple(jax.local_devices() if devices is None else devices)
    watch = Stopwatch() if watch is None else watch
    for job in _jobs(grid, done, share):
        plan = _Plan.of(job, grid.chunk_size, devices)
        programs = _Programs.of(job, plan, devices)
        size = plan.slots * plan.devices
        for start in range(0, len(job.instances), size):
            begin = _steps(job.named, programs, start == 0, on_step)
            instances = job.instances[start : start + size]
            yield _run_chunk(grid, job, programs, plan, instances, begin, watch)


def _steps(
    named: NamedSetting,
    programs: _Programs,
    compiles: bool,
    on_step: Callable[[Step], None] | None,
) -> Callable[[str], None]:
    """Tells on_step of what a chunk does, given its name, with its number."""
    of = 1 + len(programs.search) + len(programs.measure)
    place = named.setting.task.name, named.depth, named.width
    begun = 0

    def begin(program: str) -> None:
        nonlocal begun
        begun += program != COMPUTING
        if on_step:
            on_step(Step(*place, program, begun, of, compiles and program != COMPUTING))

    return begin
