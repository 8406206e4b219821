"""A grid of runs: every seed, noise level and density of it in a few compiled programs."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from ticketjax import masks
from ticketjax.base import Seeker, Task
from ticketjax.compaction import active_width
from ticketjax.models import mlp
from ticketjax.seekers import get_seeker
from ticketjax.tasks import get_task
from ticketjax.trial import Setting, evaluate, make_instance, seek

IDENTITY = ("task", "depth", "width", "noise", "seed")
SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("depth", pa.int32()),
        ("width", pa.int32()),
        ("seeker", pa.string()),
        ("strategy", pa.string()),
        ("scope", pa.string()),
        ("objective", pa.string()),
        ("prune_bias", pa.bool_()),
        ("density", pa.float64()),
        ("ticket_density", pa.float64()),
        ("noise", pa.float64()),
        ("seed", pa.int64()),
        ("kept", pa.float32()),
        ("strong_metric", pa.float32()),
        ("strong_loss", pa.float32()),
        ("weak_metric", pa.float32()),
        ("weak_loss", pa.float32()),
        ("ticket_metric", pa.float32()),
        ("ticket_loss", pa.float32()),
        ("precision", pa.float32()),
        ("recall", pa.float32()),
        ("jaccard", pa.float32()),
        ("score_auc", pa.float32()),
        ("effective_density", pa.float32()),
        ("collapsed", pa.bool_()),
        ("layer_kept", pa.list_(pa.float32())),
    ]
)

SCORE_SAMPLES_PER_OUTPUT = 10
# On a CPU larger batches of runs gain nothing and leave the caches, and pruned networks are run in
# these shares of the width; an accelerator wants to be filled.
CPU_RUNS_AT_ONCE = 8
CPU_BATCHES_PER_CHUNK = 16
COMPACT_SHARES = (1, 2, 4)
MOST_RUNS_AT_ONCE = 4096
# What a run holds at once, as a multiple of its parameters.
PARAMETER_COPIES = 12
MEMORY_SHARE = 0.5
UNKNOWN_MEMORY = 4 * 2**30


class InstanceKey(NamedTuple):
    """What names a planted network and its data within one task, depth and width."""

    noise: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A grid over tasks, depths, widths, seekers, densities, noise levels and seeds.

    task, depth, width, seekers, densities, noise: one value or a sequence of them. A task is a
        name or a Task; a seeker a name, a score or a seeker of your own; a density a number in
        (0, 1] or "ticket", the planted ticket's own.
    seeds: how many (0 to n - 1), or a sequence of them.
    strategy, scope, rounds, round_epochs: as get_seeker() takes them; None leaves the strategy's
        default.
    score_samples: training samples that a score sees; None for all, "auto" for ten per output of
        the network, as the published experiments have it.
    epochs, objective, prune_bias, samples: as in Setting.
    precision: of the matrix products, as in mlp().
    chunk_size: runs at once on each device; "auto" sizes it from the memory there is. It changes
        no record beyond rounding.

    Raises ValueError, naming the argument, for anything that cannot be run.
    """

    task: str | Task | Sequence[str | Task] = "circle"
    depth: int | Sequence[int] = 5
    width: int | Sequence[int] = 100
    seekers: Any = ("random", "magnitude", "snip", "grasp", "synflow")
    densities: Any = ("ticket", 0.01, 0.1, 0.5, 1.0)
    noise: float | Sequence[float] = 0.01
    seeds: int | Sequence[int] = 25
    strategy: str = "singleshot"
    scope: str = "global"
    rounds: int | None = None
    round_epochs: int | None = None
    score_samples: int | str | None = "auto"
    epochs: int = 10
    objective: str = "raw"
    prune_bias: bool = True
    samples: int = 10_000
    precision: str | None = "highest"
    chunk_size: int | str = "auto"

    def __post_init__(self):
        for name in ("task", "depth", "width", "seekers", "densities", "noise"):
            value = getattr(self, name)
            if isinstance(value, (str, Task)) or not isinstance(value, Sequence):
                value = (value,)
            if not value:
                raise ValueError(f"{name} must not be empty")
            # Twice the same value would only be computed twice.
            object.__setattr__(self, name, tuple(dict.fromkeys(value)))
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        object.__setattr__(self, "seeds", tuple(dict.fromkeys(int(seed) for seed in seeds)))
        if not self.seeds or min(self.seeds) < 0 or max(self.seeds) >= 2**31:
            raise ValueError(f"seeds must be at least one integer in 0..2^31-1, got {seeds}")
        if min(self.noise) < 0:
            raise ValueError(f"noise must be at least 0, got {min(self.noise)}")
        if self.chunk_size != "auto" and not (
            isinstance(self.chunk_size, int) and self.chunk_size >= 1
        ):
            raise ValueError(f'chunk_size must be "auto" or at least 1, got {self.chunk_size!r}')
        if not (
            self.score_samples in ("auto", None)
            or (isinstance(self.score_samples, int) and self.score_samples >= 1)
        ):
            raise ValueError(
                'score_samples must be at least 1, "auto" or None for all, '
                f"got {self.score_samples!r}"
            )
        names = [seeker_name(seeker) for seeker in self.seekers]
        if len(set(names)) < len(names):
            raise ValueError(f"seekers must have different names, got {', '.join(names)}")
        for setting in self.settings():
            self.seekers_for(setting.setting.task)
            setting.check(self.densities)

    def seekers_for(self, task: Task) -> dict[str, Seeker]:
        """The grid's seekers by name, with its strategy and options."""
        samples = self.score_samples
        if samples == "auto":
            samples = SCORE_SAMPLES_PER_OUTPUT * task.outputs
        chosen = {
            "scope": self.scope,
            "rounds": self.rounds,
            "round_epochs": self.round_epochs,
            "score_samples": SCORE_SAMPLES_PER_OUTPUT * task.outputs
            if samples == "auto"
            else samples,
        }
        options = {name: value for name, value in chosen.items() if value is not None}
        return {
            seeker_name(seeker): get_seeker(seeker, self.strategy, **options)
            for seeker in self.seekers
        }

    def settings(self) -> list["NamedSetting"]:
        """One setting for every task, depth and width, in the order of the grid."""
        return [
            NamedSetting.of(self, get_task(task), depth, width)
            for task, depth, width in itertools.product(self.task, self.depth, self.width)
        ]

    @property
    def instances(self) -> list[InstanceKey]:
        """The planted networks that each setting needs."""
        return [InstanceKey(noise, seed) for noise in self.noise for seed in self.seeds]

    @property
    def instance_names(self) -> set[tuple]:
        """Every instance of the grid as a tuple of its IDENTITY columns."""
        return {
            (named.setting.task.name, named.depth, named.width, *key)
            for named in self.settings()
            for key in self.instances
        }

    @property
    def runs_per_instance(self) -> int:
        """Records that each planted network gives."""
        return len(self.seekers) * len(self.densities)

    @property
    def runs(self) -> int:
        """Records of the whole grid."""
        return len(self.settings()) * len(self.instances) * self.runs_per_instance


def seeker_name(seeker: str | Callable[..., Any]) -> str:
    """How records call a seeker: its name, or its function's."""
    return seeker if isinstance(seeker, str) else getattr(seeker, "__name__", repr(seeker))


@dataclasses.dataclass(frozen=True)
class NamedSetting:
    """A Setting and how records name it."""

    setting: Setting
    depth: int
    width: int

    @classmethod
    def of(cls, sweep: Sweep, task: Task, depth: int, width: int) -> "NamedSetting":
        """The setting of a grid for one task, depth and width."""
        model = mlp(task, depth, width, sweep.precision)
        setting = Setting(
            task,
            model,
            samples=sweep.samples,
            epochs=sweep.epochs,
            objective=sweep.objective,
            prune_bias=sweep.prune_bias,
        )
        return cls(setting, depth, width)

    def check(self, densities: Sequence[float | str]) -> None:
        """Raise ValueError if the ticket does not fit or a density keeps nothing."""
        try:
            jax.eval_shape(lambda: make_instance(self.setting, jax.random.key(0), 0.0))
            self.resolve(densities)
        except ValueError as error:
            place = f"{self.setting.task.name}, depth {self.depth}, width {self.width}"
            raise ValueError(f"{place}: {error}") from None

    def resolve(self, densities: Sequence[float | str]) -> np.ndarray:
        """Densities as numbers, float64, "ticket" replaced by the ticket's own."""
        size = masks.count_prunable(self.setting.parameter_shapes, self.setting.prune_bias)
        resolved = []
        for density in densities:
            if isinstance(density, str) and density != "ticket":
                raise ValueError(f'densities must be numbers or "ticket", got {density!r}')
            density = self.setting.ticket_density if density == "ticket" else float(density)
            masks.check_density(density, size)
            resolved.append(density)
        return np.array(resolved)

    def auto_chunk_size(self) -> int:
        """Runs at once on each device: as many as its memory holds, fewer on a CPU's cache."""
        device = jax.local_devices()[0]
        if device.platform == "cpu":
            most, free = CPU_RUNS_AT_ONCE, UNKNOWN_MEMORY // jax.local_device_count()
        else:
            stats = device.memory_stats() or {}
            most, free = MOST_RUNS_AT_ONCE, stats.get("bytes_limit", UNKNOWN_MEMORY)
        parameters = masks.count_prunable(self.setting.parameter_shapes)
        steps = self.setting.training_samples // self.setting.batch_size
        order = self.setting.epochs * steps * self.setting.batch_size
        widest = max(leaf.size for leaf in jax.tree.leaves(self.setting.parameter_shapes))
        activations = self.setting.samples * max(self.width, widest // max(self.width, 1)) * 4
        per_run = 4 * (PARAMETER_COPIES * parameters + order + activations)
        return int(np.clip(MEMORY_SHARE * free // per_run, 1, most))


def _sharded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run one function on every device at once, each on its slice of the first axis.

    The only place that says how devices are used.
    """
    return jax.pmap(function)


def _run_key(seed: jax.Array) -> jax.Array:
    """Everything of a run follows from its seed, whatever else is in the grid."""
    return jax.random.fold_in(jax.random.key(0), seed)


class _Programs:
    """The compiled programs of one setting, each for one chunk's slice on one device.

    instance: (seeds, noise) -> instances.
    search, one per seeker: (seeds, instances, densities) -> masks, AUCs, active widths, each
        (instances, densities, ...).
    measure, one per width: (instances, masks of every seeker, indices) -> entries of Record.
    """

    def __init__(self, setting: Setting, seekers: dict[str, Seeker], widths: Sequence[int]):
        def instance(seed, noise):
            return make_instance(setting, _run_key(seed), noise)

        def search(seeker, seeds, instances, densities):
            def one(seed, instance, density):
                found, auc = seek(setting, seeker, _run_key(seed), instance, density)
                return found.mask, auc, active_width(found.mask)

            over_densities = jax.vmap(one, (None, None, 0))
            return jax.vmap(over_densities, (0, 0, None))(seeds, instances, densities)

        def measure(width, instances, found, which_instance, which_seeker, which_density):
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

            def one(i, s, d):
                mask = jax.tree.map(lambda leaf: leaf[s, i, d], stacked)
                here = jax.tree.map(lambda leaf: leaf[i], instances)
                return evaluate(setting, here, mask, width)

            return jax.vmap(one)(which_instance, which_seeker, which_density)

        self.instance = _sharded(jax.vmap(instance))
        self.search = [_sharded(functools.partial(search, seeker)) for seeker in seekers.values()]
        self.measure = {width: _sharded(functools.partial(measure, width)) for width in widths}


class _Run(NamedTuple):
    """One run of a chunk: indices into its device's instances, and into the grid."""

    instance: int
    seeker: int
    density: int


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How a setting's instances are cut to chunks: `slots` of them on each device.

    at_once: runs that a device measures at once. widths: to which networks are compacted.
    """

    devices: int
    slots: int
    at_once: int
    widths: tuple[int, ...]

    @classmethod
    def of(cls, sweep: Sweep, named: NamedSetting, instances: int) -> "_Plan":
        devices = jax.local_device_count()
        on_cpu = jax.local_devices()[0].platform == "cpu"
        auto = sweep.chunk_size == "auto"
        at_once = named.auto_chunk_size() if auto else sweep.chunk_size
        per_chunk = at_once * (CPU_BATCHES_PER_CHUNK if on_cpu else 1)
        most = max(1, per_chunk // sweep.runs_per_instance) * devices
        # Equal shares, so that no chunk is mostly padding and one program serves all.
        slots = -(-instances // (-(-instances // most) * devices))
        # An accelerator's time goes by the number of steps, whatever the width.
        widths = {named.width // share for share in COMPACT_SHARES} if on_cpu else {named.width}
        return cls(
            devices,
            slots,
            min(at_once, slots * sweep.runs_per_instance),
            tuple(sorted(width for width in widths if width > 0)),
        )


def _measure(
    programs: _Programs, plan: _Plan, instances: Any, found: Any, runs: list[list[tuple[int, _Run]]]
) -> list[dict[_Run, dict[str, np.ndarray]]]:
    """Measure runs, given per device with the width each needs; returns the entries per run."""
    started = []
    for width, narrower in zip(plan.widths, (-1, *plan.widths), strict=False):
        hands = [[run for needed, run in hand if narrower < needed <= width] for hand in runs]
        for start in range(0, max(map(len, hands)), plan.at_once):
            batch = [hand[start : start + plan.at_once] for hand in hands]
            padded = [b + [_Run(0, 0, 0)] * (plan.at_once - len(b)) for b in batch]
            index = np.moveaxis(np.array(padded, np.int32), -1, 0)
            # Only started here: the devices go on while the next batch is made ready.
            started.append((batch, programs.measure[width](instances, found, *index)))
    measured: list[dict[_Run, dict[str, np.ndarray]]] = [{} for _ in runs]
    for batch, result in started:
        values = jax.device_get(result)
        for device, hand in enumerate(batch):
            for n, run in enumerate(hand):
                measured[device][run] = {name: v[device, n] for name, v in values.items()}
    return measured


def _run_chunk(
    sweep: Sweep,
    named: NamedSetting,
    programs: _Programs,
    plan: _Plan,
    chunk: Sequence[InstanceKey],
) -> pa.Table:
    """All records of some instances: every seeker at every density."""
    # Dealt in turn, so that devices share the work; a short hand repeats an instance.
    hands = [list(chunk[device :: plan.devices]) for device in range(plan.devices)]
    padded = [hand + [chunk[0]] * (plan.slots - len(hand)) for hand in hands]
    seeds = np.array([[key.seed for key in hand] for hand in padded], np.uint32)
    noise = np.array([[key.noise for key in hand] for hand in padded], np.float32)
    asked = named.resolve(sweep.densities)
    densities = np.broadcast_to(asked.astype(np.float32), (plan.devices, asked.size))

    instances = programs.instance(seeds, noise)
    searched = [search(seeds, instances, densities) for search in programs.search]
    found = tuple(mask for mask, _, _ in searched)
    auc, needed = (
        np.stack(jax.device_get([result[i] for result in searched]), axis=1) for i in (1, 2)
    )

    def computed(run: _Run) -> _Run:
        # At density 1 every seeker keeps everything: the first one's run serves all.
        return run._replace(seeker=0) if asked[run.density] == 1 else run

    points = list(itertools.product(range(len(found)), range(asked.size)))
    runs = [
        [
            (needed[device, run.seeker, run.instance, run.density], run)
            for run in dict.fromkeys(
                computed(_Run(i, *point)) for i in range(len(hand)) for point in points
            )
        ]
        for device, hand in enumerate(hands)
    ]
    measured = _measure(programs, plan, instances, found, runs)

    rows = []
    for n, key in enumerate(chunk):
        slot, device = divmod(n, plan.devices)
        for s, d in points:
            rows.append(
                {
                    "task": named.setting.task.name,
                    "depth": named.depth,
                    "width": named.width,
                    "seeker": seeker_name(sweep.seekers[s]),
                    "strategy": sweep.strategy,
                    "scope": sweep.scope,
                    "objective": sweep.objective,
                    "prune_bias": sweep.prune_bias,
                    "density": float(asked[d]),
                    "ticket_density": named.setting.ticket_density,
                    "noise": key.noise,
                    "seed": key.seed,
                    "score_auc": auc[device, s, slot, d],
                    **measured[device][computed(_Run(slot, s, d))],
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def run(sweep: Sweep, done: Collection[tuple] = ()) -> Iterator[pa.Table]:
    """Run a grid chunk by chunk; yields each chunk's records as soon as it is finished.

    done: instances that are finished already, as tuples of their IDENTITY columns.

    A chunk holds whole instances: all seekers at all densities of some seeds and noise levels of
    one task, depth and width.
    """
    for named in sweep.settings():
        prefix = (named.setting.task.name, named.depth, named.width)
        wanted = [key for key in sweep.instances if prefix + tuple(key) not in done]
        if not wanted:
            continue
        plan = _Plan.of(sweep, named, len(wanted))
        seekers = sweep.seekers_for(named.setting.task)
        programs = _Programs(named.setting, seekers, plan.widths)
        size = plan.slots * plan.devices
        for start in range(0, len(wanted), size):
            yield _run_chunk(sweep, named, programs, plan, wanted[start : start + size])


def sweep(**grid: Any) -> pa.Table:
    """Run a grid and return its records, one row per run, as an Arrow table.

    grid: the fields of Sweep.

    >>> records = sweep(task="relu", depth=3, width=10, seekers="snip", densities="ticket",
    ...                 seeds=1, samples=100, epochs=0)
    >>> records.num_rows, records["seeker"][0].as_py()
    (1, 'snip')
    """
    return pa.concat_tables(run(Sweep(**grid)))
