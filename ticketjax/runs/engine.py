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
from ticketjax.base import Batch, Tree
from ticketjax.networks.compaction import active_width
from ticketjax.networks.layers import view
from ticketjax.problem import Seeker
from ticketjax.runs.grid import REINITIALISE, Grid, InstanceKey, NamedSetting, trains
from ticketjax.runs.record import SCHEMA
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import Instance, evaluate, make_instance, ranking_entries, seek
from ticketjax.seekers.registry import seeker_text
from ticketjax.seekers.strategies import RoundInfo

# On a CPU larger batches of runs gain nothing, and lose where parameters and moments leave the
# caches (at width 1000, 8 runs at once take half as long again as one after the other); pruned
# networks are run in these shares of the width. An accelerator needs larger batches.
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
# What a Step says while devices work on what is started, and while tickets of seeds are looked up,
# which may have to be made first.
COMPUTING = "computing"
TICKETS = "tickets"
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

    Only this function says how devices are used.

    Args:
        function: of arrays, for one device's slice.
        devices: to run on.
        in_axes: as in jax.pmap; None for arguments that are the same on all devices.

    Returns:
        The compiled function, of arrays with a first axis of one entry per device.
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

    def __init__(
        self,
        function: Callable[..., Any],
        devices: Sequence[jax.Device],
        in_axes: tuple[int | None, ...],
    ):
        self._function = sharded(function, devices, in_axes)
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def compiled(self, *arguments: Any) -> Callable[..., Any]:
        """The program for arguments of these shapes; compiled once for each."""
        key = self._key(arguments)
        if key not in self._compiled:
            self._compiled[key] = self._function.lower(*arguments).compile()
        return self._compiled[key]

    def is_compiled(self, *arguments: Any) -> bool:
        """Whether the program for arguments of these shapes is there."""
        return self._key(arguments) in self._compiled

    @staticmethod
    def _key(arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def run_key(seed: jax.Array) -> jax.Array:
    """Everything of a run follows from its seed, whatever else is in the grid."""
    return jax.random.fold_in(jax.random.key(0), seed)


# Programs are kept, so that a second sweep over a setting compiles only the searches that are new.
_kept = functools.lru_cache(maxsize=64)


@_kept
def _instance_program(setting: Setting, devices: tuple[jax.Device, ...]) -> _Program:
    """(seeds, noise, targets, data) -> instances, without the data if these are the task's own.

    targets, data: None where the task has none for every seed, and none of its own.
    """

    def instances(seeds, noise, targets, data):
        def one(seed, noise, target):
            instance = make_instance(setting, run_key(seed), noise, target, data)
            if data is None:
                return instance
            # Every device has them already, once for all its runs.
            nothing = jax.tree.map(lambda leaf: leaf[:0], (instance.train, instance.held_out))
            return instance._replace(train=nothing[0], held_out=nothing[1])

        return jax.vmap(one)(seeds, noise, targets)

    return _Program(instances, devices, (0, 0, 0, None))


def _with(data: tuple[Batch, Batch] | None, instance: Instance) -> Instance:
    """An instance with the data that all share, if there are such."""
    return instance if data is None else instance._replace(train=data[0], held_out=data[1])


@_kept
def _search_program(
    setting: Setting, seeker: Seeker, compactable: bool, devices: tuple[jax.Device, ...]
) -> _Program:
    """(seeds, instances, densities, data) -> what was found, each (instances, densities, ...).

    That is the masks, their active widths (0 where nothing is compacted), whether everything is
    kept, how many prunable parameters are, and entries of the record.
    """

    def search(seeker, seeds, instances, densities, data):
        def one(seed, instance, density):
            instance = _with(data, instance)
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

    return _Program(functools.partial(search, seeker), devices, (0, 0, 0, None))


@_kept
def _measure_program(
    setting: Setting, width: int | None, devices: tuple[jax.Device, ...]
) -> _Program:
    """(instances, masks of every seeker, targets, data, indices of runs) -> entries of Record."""

    def measure(
        width, instances, found, targets, data, which_instance, which_seeker, which_density
    ):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

        def one(i, s, d):
            mask = jax.tree.map(lambda leaf: leaf[s, i, d], stacked)
            here, target = jax.tree.map(lambda leaf: leaf[i], (instances, targets))
            return evaluate(setting, _with(data, here), mask, width, target)

        return jax.vmap(one)(which_instance, which_seeker, which_density)

    return _Program(functools.partial(measure, width), devices, (0, 0, 0, None, 0, 0, 0))


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
    """The programs of a job, each for one chunk's slice on one device.

    Args:
        instance: makes the instances.
        search: one per seeker.
        measure: one per width.
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


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How a job's instances are divided into chunks.

    Args:
        devices: how many.
        slots: instances of a chunk on each device.
        at_once: runs that a device measures at once.
        widths: to which networks are compacted.
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
        batches = CPU_BATCHES_PER_CHUNK if on_cpu and not job.searches else 1
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
    targets: Tree | None,
    data: tuple[Batch, Batch] | None,
    runs: list[list[tuple[int, _Run]]],
    begin: Callable[[str, bool], None],
    watch: Stopwatch,
) -> list[dict[_Run, dict[str, np.ndarray]]]:
    """Measure runs, given per device with the width each needs; returns the entries per run.

    begin: called with what is about to be done, a program's name, COMPUTING or TICKETS, and whether
        that has to be compiled.
    """
    calls = []
    shared = (instances, found, targets, data)
    no_runs = [np.zeros((plan.devices, plan.at_once), np.int32)] * 3
    for width, narrower in zip(plan.widths, (-1, *plan.widths), strict=False):
        begin("measuring", not programs.measure[width].is_compiled(*shared, *no_runs))
        hands = [[run for needed, run in hand if narrower < needed <= width] for hand in runs]
        for start in range(0, max(map(len, hands)), plan.at_once):
            batch = [hand[start : start + plan.at_once] for hand in hands]
            padded = [b + [_Run(0, 0, 0)] * (plan.at_once - len(b)) for b in batch]
            index = np.moveaxis(np.array(padded, np.int32), -1, 0)
            measure = programs.measure[width].compiled(*shared, *index)
            calls.append((batch, measure, index))
    begin(COMPUTING, False)
    with watch:
        # Only started at first: the devices go on while the next one is made ready.
        started = [(batch, measure(*shared, *index)) for batch, measure, index in calls]
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
    }


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
    plan: _Plan,
    chunk: Sequence[InstanceKey],
    begin: Callable[[str, bool], None],
    watch: Stopwatch,
) -> pa.Table:
    """All records of some instances: every seeker at every density.

    begin: called with what is about to be done, a program's name, COMPUTING or TICKETS, and whether
        that has to be compiled.
    """
    # Dealt in turn, so that devices share the work; a short hand repeats an instance.
    hands = [list(chunk[device :: plan.devices]) for device in range(plan.devices)]
    padded = [hand + [chunk[0]] * (plan.slots - len(hand)) for hand in hands]
    seeds = np.array([[key.seed for key in hand] for hand in padded], np.uint32)
    noise = np.array([[key.noise for key in hand] for hand in padded], np.float32)
    named, asked = job.named, job.densities
    densities = np.broadcast_to(asked.astype(np.float32), (plan.devices, asked.size))

    # While something is compiled, nothing runs: so the watch measures how long the runs take.
    setting = named.setting
    if setting.task.ticket_of is not None:
        begin(TICKETS, False)
    targets, ticket_layers = _tickets(setting, seeds)
    data = setting.task.data and setting.task.data()
    begin("planting", not programs.instance.is_compiled(seeds, noise, targets, data))
    draw = programs.instance.compiled(seeds, noise, targets, data)
    with watch:
        instances = jax.block_until_ready(draw(seeds, noise, targets, data))
    search = []
    for (label, _), program in zip(job.seekers, programs.search, strict=True):
        begin(label, not program.is_compiled(seeds, instances, densities, data))
        search.append(program.compiled(seeds, instances, densities, data))
    begin(COMPUTING, False)
    with watch:
        searched = [look(seeds, instances, densities, data) for look in search]
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
    measured = _measure(programs, plan, instances, found, targets, data, runs, begin, watch)

    columns = [_columns(grid, named, label, seeker) for label, seeker in job.seekers]
    feasible = {
        layers: [
            [named.feasible_recall(density, scope_of(seeker), layers) for density in asked]
            for _, seeker in job.seekers
        ]
        for layers in dict.fromkeys(ticket_layers.values())
    }
    rows = []
    for n, key in enumerate(chunk):
        slot, device = divmod(n, plan.devices)
        layers = ticket_layers[key.seed]
        for s, d in points:
            entries = measured[device][computed(device, _Run(slot, s, d))] | {
                name: values[device, slot, d].tolist() for name, values in searches[s].items()
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
    return pa.Table.from_pylist(rows, schema=SCHEMA)


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
    devices = tuple(jax.local_devices() if devices is None else devices)
    watch = Stopwatch() if watch is None else watch
    for job in _jobs(grid, done, share):
        plan = _Plan.of(job, grid.chunk_size, devices)
        programs = _Programs.of(job, plan, devices)
        size = plan.slots * plan.devices
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
