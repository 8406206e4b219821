"""A grid of runs: what is to be run, checked before anything is."""

import dataclasses
import inspect
import itertools
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ticketjax import masks
from ticketjax.base import Seeker, Task
from ticketjax.equivalence import functionally_recovered
from ticketjax.measure import feasible_recall
from ticketjax.models import mlp
from ticketjax.seekers import TRAINED, get_seeker, is_seeker
from ticketjax.strategies import SANITY as SCORE_SANITY
from ticketjax.strategies import STRATEGIES
from ticketjax.tasks import get_task
from ticketjax.training import check_count, check_number
from ticketjax.trial import Setting, make_instance, seek

# Columns that name an instance: a planted network and its data.
IDENTITY = ("task", "depth", "width", "noise", "seed")
SCORE_SAMPLES_PER_OUTPUT = 10
# Every run is a row in the memory of the process that reads the records.
MOST_SEEDS = 10_000_000
# Sanity checks: on scores and masks, and on the parameters that they are trained from.
REINITIALISE = "reinitialise"
SANITY = (*SCORE_SANITY, REINITIALISE)


class InstanceKey(NamedTuple):
    """What names a planted network and its data within one task, depth and width."""

    noise: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid over tasks, depths, widths, seekers, densities, noise levels and seeds.

    task, depth, width, seekers, densities, noise: one value or a sequence of them. A task is a
        name or a Task; a seeker a name, a score or a seeker of your own; a density a number in
        (0, 1] or "ticket", the planted ticket's own.
    seeds: how many (0 to n - 1), or a sequence of them.
    strategy, scope, rounds, round_epochs: as get_seeker() takes them; None leaves the strategy's
        default. A whole seeker of your own needs none of them.
    search_epochs: epochs that a trained seeker (edge_popup, ...) looks for; None for its default.
    score_samples: training samples that a score sees; None for all, "auto" for ten per output of
        the network, as the published experiments have it.
    options: further options of the seekers, as get_seeker() takes them: a mapping, or pairs.
    epochs, objective, prune_bias, samples: as in Setting.
    sanity: "none", "invert" or "shuffle" as in singleshot(), or "reinitialise" as in Setting.
    match, tickets, decoys, perturbation: how and what is planted, as in Setting.
    precision: of the matrix products, as in mlp().
    check_budget: refuse masks that keep another number of parameters than the density allows;
        otherwise their records are marked, in the column within_budget.
    chunk_size: runs at once on each device; "auto" sizes it from the memory there is. It changes
        no record beyond rounding.

    Raises ValueError, naming the argument, for anything that cannot be run.

    >>> grid = Grid(task="relu", depth=3, width=10, seekers="snip", densities=(0.1, 1), seeds=5)
    >>> grid.runs, grid.width
    (10, (10,))
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
    search_epochs: int | None = None
    score_samples: int | str | None = "auto"
    options: Any = ()
    epochs: int = 10
    objective: str = "raw"
    prune_bias: bool = True
    sanity: str = "none"
    match: str = "cosine"
    tickets: int = 1
    decoys: int = 0
    perturbation: float = 0.0
    samples: int = 10_000
    precision: str | None = "highest"
    chunk_size: int | str = "auto"
    check_budget: bool = True

    def __post_init__(self):
        for name in ("task", "depth", "width", "seekers", "densities", "noise"):
            object.__setattr__(self, name, _values(name, getattr(self, name)))
        for name, least in (("depth", 2), ("width", 1)):
            for value in getattr(self, name):
                check_count(name, value, least)
            # Numbers of NumPy's would be none to JSON.
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        for value in self.axis("noise"):
            check_number("noise", value, 0)
        object.__setattr__(self, "noise", tuple(map(float, self.axis("noise"))))
        densities = (d if isinstance(d, str) else _as_float(d) for d in self.densities)
        object.__setattr__(self, "densities", tuple(densities))
        check_number("perturbation", self.perturbation, 0)
        object.__setattr__(self, "perturbation", float(self.perturbation))
        object.__setattr__(self, "seeds", _seeds(self.seeds))
        for name in ("strategy", "scope", "objective", "sanity", "match"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a name, got {getattr(self, name)!r}")
        for name, least in (("rounds", 1), ("round_epochs", 0), ("search_epochs", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        for name in ("prune_bias", "check_budget"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name, word in (("chunk_size", "auto"), ("score_samples", "auto")):
            value = getattr(self, name)
            if not (isinstance(value, str) and value == word) and value is not None:
                check_count(name, value, 1)
        if self.chunk_size is None:
            raise ValueError('chunk_size must be "auto" or at least 1, got None')
        if self.sanity not in SANITY:
            raise ValueError(f"sanity must be one of {', '.join(SANITY)}, got {self.sanity!r}")
        object.__setattr__(self, "options", _options(self.options))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, numbers.Integral) and not isinstance(value, bool):
                object.__setattr__(self, field.name, int(value))
        self._spell_out_defaults()
        names = [seeker_name(seeker) for seeker in self.seekers]
        if len(set(names)) < len(names):
            raise ValueError(f"seekers must have different names, got {', '.join(names)}")
        for setting in self.settings():
            seekers = self.seekers_for(setting.setting.task)
            setting.check(self.densities, max(self.axis("noise")))
            own = {seeker_name(seeker) for seeker in self.seekers if callable(seeker)}
            setting.check_seekers({name: seekers[name] for name in seekers if name in own})

    def _spell_out_defaults(self) -> None:
        """Replace None by the strategy's default, so that records and manifests say it."""
        if self.strategy in STRATEGIES:
            parameters = inspect.signature(STRATEGIES[self.strategy]).parameters
            for name in ("rounds", "round_epochs"):
                if getattr(self, name) is None and name in parameters:
                    object.__setattr__(self, name, parameters[name].default)
        trained = [_parameters(name, self.strategy) for name in self.seekers if name in TRAINED]
        defaults = {own["epochs"].default for own in trained if "epochs" in own}
        # Where the seekers' defaults differ, no one number says them, and None stays.
        if self.search_epochs is None and len(defaults) == 1:
            object.__setattr__(self, "search_epochs", defaults.pop())

    def axis(self, name: str) -> tuple[Any, ...]:
        """The values of a field that takes one value or a sequence of them."""
        return getattr(self, name)

    def seekers_for(self, task: Task) -> dict[str, Seeker]:
        """The grid's seekers by name, with its strategy and options."""
        samples = self.score_samples
        if samples == "auto":
            samples = SCORE_SAMPLES_PER_OUTPUT * task.outputs
        lifting = {
            "rounds": self.rounds,
            "round_epochs": self.round_epochs,
            "score_samples": samples,
            "sanity": None if self.sanity == REINITIALISE else self.sanity,
        }
        training = {
            "epochs": self.search_epochs,
            "rounds": self.rounds,
            "round_epochs": self.round_epochs,
        }

        def make(seeker: str | Callable[..., Any]) -> Seeker:
            whole = is_seeker(seeker) or seeker in TRAINED
            if is_seeker(seeker) and self.options:
                raise ValueError(
                    f"options are for named seekers and scores, not for {seeker_name(seeker)}"
                )
            if whole and self.sanity in SCORE_SANITY[1:]:
                raise ValueError(
                    f"sanity={self.sanity} is for scores, and {seeker_name(seeker)} has none to "
                    f"{self.sanity}; {REINITIALISE} is for all"
                )
            if is_seeker(seeker):
                return get_seeker(seeker)
            options = lifting
            if seeker in TRAINED:
                taken = _parameters(seeker, self.strategy)
                options = {name: value for name, value in training.items() if name in taken}
            given = {name: value for name, value in options.items() if value is not None}
            given |= dict(self.options)
            return get_seeker(seeker, self.strategy, scope=self.scope, **given)

        return {seeker_name(seeker): make(seeker) for seeker in self.seekers}

    def settings(self) -> list["NamedSetting"]:
        """One setting for every task, depth and width, in the order of the grid."""
        return [
            NamedSetting.of(self, get_task(task), depth, width)
            for task, depth, width in itertools.product(*map(self.axis, ("task", "depth", "width")))
        ]

    @property
    def instances(self) -> list[InstanceKey]:
        """The planted networks that each setting needs."""
        return [
            InstanceKey(noise, seed) for noise in self.axis("noise") for seed in self.axis("seeds")
        ]

    def instance_names(self, share: tuple[int, int] = (0, 1)) -> set[tuple]:
        """Instances as tuples of their IDENTITY columns: all, or the share (index, count)."""
        return {
            (named.setting.task.name, named.depth, named.width, *key)
            for named in self.settings()
            for key in self.instances_of(share)
        }

    def instances_of(self, share: tuple[int, int]) -> list[InstanceKey]:
        """The instances of process `index` of `count`: every count-th of each setting's."""
        index, count = share
        return self.instances[index::count]

    @property
    def runs_per_instance(self) -> int:
        """Records that each planted network gives."""
        return len(self.seekers) * len(self.densities)

    @property
    def searches_by_training(self) -> bool:
        """Whether seekers train: between rounds, or as they learn which parameters to keep."""
        return bool(self.round_epochs) or any(seeker in TRAINED for seeker in self.seekers)

    @property
    def runs(self) -> int:
        """Records of the whole grid."""
        return len(self.settings()) * len(self.instances) * self.runs_per_instance


def _values(name: str, value: Any) -> tuple:
    """One value or a sequence of them as a tuple; twice the same would only be computed twice."""
    if isinstance(value, (str, bytes, Task)) or not isinstance(value, Iterable):
        value = (value,)
    try:
        values = tuple(dict.fromkeys(value))
    except TypeError:
        raise ValueError(
            f"{name} must be a single value or a sequence of them, got {value!r}"
        ) from None
    if not values:
        raise ValueError(f"{name} must not be empty")
    return values


def _as_float(density: Any) -> float:
    check_number("densities", density)
    return float(density)


def _seeds(given: Any) -> tuple[int, ...]:
    allowed = f"seeds must be at least one integer in 0..2^31-1, at most {MOST_SEEDS} of them"
    if isinstance(given, numbers.Integral):
        # Looked at before they are listed.
        seeds: Sequence[Any] = range(int(given)) if 0 < int(given) <= MOST_SEEDS else ()
    else:
        seeds = (
            ()
            if isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
            else tuple(given)
        )
    whole = all(isinstance(seed, numbers.Integral) for seed in seeds)
    if not seeds or not whole or min(seeds) < 0 or max(seeds) >= 2**31:
        raise ValueError(f"{allowed}, got {given!r}")
    return tuple(dict.fromkeys(map(int, seeds)))


def _options(given: Any) -> tuple[tuple[str, Any], ...]:
    try:
        options = dict(given)
        # Options are given by name, and programs are kept by them.
        hash(tuple(options.values()))
    except (TypeError, ValueError):
        raise ValueError(f"options must be names with a single value each, got {given!r}") from None
    if not all(isinstance(name, str) for name in options):
        raise ValueError(f"options must be names with a single value each, got {given!r}")
    return tuple(sorted(options.items()))


def _parameters(seeker: str, strategy: str) -> Mapping[str, inspect.Parameter]:
    """The options of a trained seeker; none for a strategy that it has not."""
    own = TRAINED[seeker]
    return inspect.signature(own[strategy]).parameters if strategy in own else {}


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
    def of(cls, grid: Grid, task: Task, depth: int, width: int) -> "NamedSetting":
        """The setting of a grid for one task, depth and width."""
        model = mlp(task, depth, width, grid.precision)
        setting = Setting(
            task,
            model,
            samples=grid.samples,
            epochs=grid.epochs,
            objective=grid.objective,
            prune_bias=grid.prune_bias,
            reinitialise=grid.sanity == REINITIALISE,
            match=grid.match,
            tickets=grid.tickets,
            decoys=grid.decoys,
            perturbation=grid.perturbation,
        )
        return cls(setting, depth, width)

    def check(self, densities: Sequence[float | str], noise: float = 0.0) -> None:
        """Raise ValueError if the ticket does not fit, for a density or noise that cannot be."""
        try:
            jax.eval_shape(lambda: make_instance(self.setting, jax.random.key(0), noise))
            self.resolve(densities)
        except ValueError as error:
            place = f"{self.setting.task.name}, depth {self.depth}, width {self.width}"
            raise ValueError(f"{place}: {error}") from None

    def check_seekers(self, seekers: Mapping[str, Seeker]) -> None:
        """Raise ValueError for a seeker that returns no Found of the network's shapes.

        They are traced, nothing is computed.
        """
        key, density = jax.random.key(0), jax.ShapeDtypeStruct((), np.float32)
        for name, seeker in seekers.items():

            def look(key: jax.Array, density: jax.Array, seeker: Seeker = seeker) -> Any:
                instance = make_instance(self.setting, key, 0.0)
                return seek(self.setting, seeker, key, instance, density)

            try:
                jax.eval_shape(look, key, density)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def budget_bounds(self, density: float, scope: str) -> tuple[int, int]:
        """Fewest and most parameters that a mask of this density and scope may keep."""
        prune_bias = self.setting.prune_bias
        layers = masks.count_ticket_layers(self.setting.target, prune_bias)
        return masks.budget_bounds(
            density,
            self.setting.parameter_shapes,
            scope,
            prune_bias=prune_bias,
            ticket_layers=layers,
        )

    def feasible_recall(self, density: float, scope: str) -> float:
        """Largest recall of the ticket that a mask of this density and scope can have."""
        prune_bias = self.setting.prune_bias
        layers = masks.count_ticket_layers(self.setting.target, prune_bias)
        return feasible_recall(density, self.setting.parameter_shapes, layers, scope, prune_bias)

    def recovered(self, entries: dict[str, np.ndarray], noise: float) -> bool:
        """Whether a record's network is the target as far as the data can tell."""
        return functionally_recovered(
            self.setting.task.kind,
            disagreement=float(entries["disagreement"]),
            root_mean_square=float(entries["target_error_root_mean_square"]),
            noise=noise,
        )

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
