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
# On a CPU larger batches of runs gain nothing and leave the caches; an accelerator wants to be
# filled. Bytes are those that a run holds at once, as a multiple of its parameters.
CPU_RUNS_AT_ONCE = 25
MOST_RUNS_AT_ONCE = 4096
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
        chosen = {
            "scope": self.scope,
            "rounds": self.rounds,
            "round_epochs": self.round_epochs,
            "score_samples": SCORE_SAMPLES_PER_OUTPUT * task.outputs if samples == "auto" else samples,
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


class _Programs:
    """The compiled programs of one setting: one for instances, one per seeker, one to evaluate."""

    def __init__(self, setting: Setting, seekers: dict[str, Seeker]):
        def instance(seed, noise):
            return make_instance(setting, _run_key(seed), noise)

        def search(seeker, seeds, instances, densities):
            def one(seed, instance, density):
                found, auc = seek(setting, seeker, _run_key(seed), instance, density)
                return found.mask, auc

            over_densities = jax.vmap(one, (None, None, 0))
            return jax.vmap(over_densities, (0, 0, None))(seeds, instances, densities)

        def measure(instances, found, instance_index, seeker_index, density_index):
            def one(i, s, d):
                pick = functools.partial(jax.tree.map, lambda leaf: leaf[i])
                stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
                mask = jax.tree.map(lambda leaf: leaf[s, i, d], stacked)
                return evaluate(setting, pick(instances), mask)

            return jax.vmap(one)(instance_index, seeker_index, density_index)

        self.instance = _sharded(jax.vmap(instance))
        self.search = {
            name: _sharded(functools.partial(search, seeker)) for name, seeker in seekers.items()
        }
        self.measure = _sharded(measure)


def _run_key(seed: jax.Array) -> jax.Array:
    """Everything of a run follows from its seed, whatever else is in the grid."""
    return jax.random.fold_in(jax.random.key(0), seed)


def _deal(items: Sequence[Any], devices: int, slots: int) -> list[list[Any]]:
    """Deal items to devices in turn; each hand is padded to `slots` by repeating an item."""
    hands = [list(items[d::devices]) for d in range(devices)]
    return [hand + [items[0]] * (slots - len(hand)) for hand in hands]


def _run_chunk(
    sweep: Sweep, named: NamedSetting, programs: _Programs, chunk: Sequence[InstanceKey],
    slots: int, runs_at_once: int,
) -> pa.Table:
    """All records of some instances: every seeker at every density."""
    devices = jax.local_device_count()
    hands = _deal(chunk, devices, slots)
    seeds = np.array([[key.seed for key in hand] for hand in hands], np.uint32)
    noise = np.array([[key.noise for key in hand] for hand in hands], np.float32)
    asked = named.resolve(sweep.densities)
    densities = np.broadcast_to(asked.astype(np.float32), (devices, asked.size))

    instances = programs.instance(seeds, noise)
    searched = {
        name: search(seeds, instances, densities) for name, search in programs.search.items()
    }
    found = tuple(mask for mask, _ in searched.values())
    auc = np.stack([np.asarray(a) for _, a in searched.values()], axis=1)

    # Runs as (slot, seeker, density). At density 1 all seekers keep the same: computed once.
    def source(seeker: int, density: int) -> int:
        return 0 if asked[density] == 1 else seeker

    points = list(itertools.product(range(len(found)), range(asked.size)))
    distinct = [(s, d) for s, d in points if source(s, d) == s]
    real = [len(chunk[d::devices]) for d in range(devices)]
    runs = [[(i, s, d) for i in range(n) for s, d in distinct] for n in real]
    measured: list[dict[tuple[int, int, int], dict[str, np.ndarray]]] = [{} for _ in runs]
    for start in range(0, max(map(len, runs)), runs_at_once):
        batch = [hand[start : start + runs_at_once] for hand in runs]
        padded = [b + [(0, 0, 0)] * (runs_at_once - len(b)) for b in batch]
        index = np.moveaxis(np.array(padded, np.int32), -1, 0)
        values = jax.device_get(programs.measure(instances, found, *index))
        for device, keys in enumerate(batch):
            for n, key in enumerate(keys):
                measured[device][key] = {name: v[device, n] for name, v in values.items()}

    rows = []
    for n, key in enumerate(chunk):
        slot, device = divmod(n, devices)
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
                    **measured[device][slot, source(s, d), d],
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def run(sweep: Sweep, done: Collection[tuple] = ()) -> Iterator[pa.Table]:
    """Run a grid chunk by chunk; yields each chunk's records as soon as it is finished.

    done: instances that are finished already, as tuples of their IDENTITY columns.

    A chunk holds whole instances: all seekers at all densities of some seeds and noise levels of
    one task, depth and width.
    """
    devices = jax.local_device_count()
    for named in sweep.settings():
        prefix = (named.setting.task.name, named.depth, named.width)
        wanted = [key for key in sweep.instances if prefix + tuple(key) not in done]
        if not wanted:
            continue
        runs_at_once = (
            named.auto_chunk_size() if sweep.chunk_size == "auto" else sweep.chunk_size
        )
        per_chunk = max(1, runs_at_once // sweep.runs_per_instance) * devices
        chunks = -(-len(wanted) // per_chunk)
        # Equal shares, so that no chunk is mostly padding and one program serves all.
        slots = -(-len(wanted) // (chunks * devices))
        programs = _Programs(named.setting, sweep.seekers_for(named.setting.task))
        size = slots * devices
        for start in range(0, len(wanted), size):
            chunk = wanted[start : start + size]
            yield _run_chunk(sweep, named, programs, chunk, slots, runs_at_once)


def sweep(**grid: Any) -> pa.Table:
    """Run a grid and return its records, one row per run, as an Arrow table.

    grid: the fields of Sweep.

    >>> records = sweep(task="relu", depth=3, width=10, seekers="snip", densities="ticket",
    ...                 seeds=1, samples=100, epochs=0)
    >>> records.num_rows, records["seeker"][0].as_py()
    (1, 'snip')
    """
    return pa.concat_tables(run(Sweep(**grid)))
