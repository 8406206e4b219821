"""A grid of runs, checked before anything is run."""

import dataclasses
import itertools
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ticketjax import masks, selection
from ticketjax.base import Model, Task
from ticketjax.checks import Options, check_choice, check_count, check_number
from ticketjax.choices import MOST_SEEDS, PRUNERS, Planting, Training
from ticketjax.fingerprints import own_functions
from ticketjax.measure.equivalence import functionally_recovered
from ticketjax.measure.quality import feasible_recall
from ticketjax.names import suggestion
from ticketjax.networks.layers import is_chain
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Seeker
from ticketjax.runs.instance import make_instance
from ticketjax.runs.labelling import LIFTING, REINITIALISE, SANITY, is_labelled, labelled, lifted
from ticketjax.runs.setting import Setting, setting_fields
from ticketjax.runs.trial import seek
from ticketjax.runs.work import work_of
from ticketjax.seekers.strategies import Multishot, Singleshot
from ticketjax.selection import LayerBudgets, Scope
from ticketjax.tasks import get_task

# The name of the library's own dense network in records.
MLP = "mlp"


class InstanceKey(NamedTuple):
    """Identifies a planted network and its data within one task, model, depth and width."""

    noise: float
    seed: int


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid over tasks, networks, seekers, densities, noise levels and seeds.

    Args:
        task, depth, width, densities, noise: one value or a sequence of them. A task is a name or a
            Task; a density a number in (0, 1] or "ticket", the planted ticket's own.
        model: the network: None for mlp(task, depth, width), a Model, a function task -> Model, or
            {label: model}, one or several. With a model given, depth and width are its own.
        seekers: a name, an expression, a seeker, your own score or seeker, a list of these, or
            {label: seeker}. Records have the label of each.
        seeds: number of seeds (0 to n - 1), or a sequence of seeds.
        planting, training: how a ticket is planted, and how masks are trained finally.
        objective, prune_bias, samples, reinitialise: as in Setting.
        precision: of the matrix products, as in mlp().
        chunk_size: number of runs per device after which records are written, at least one
            instance's; "auto" chooses it. It changes no record.
        check_budget: refuse masks that keep another number of parameters than the density allows;
            otherwise their records are marked, in the column within_budget.

    Raises:
        ValueError: naming the argument, for anything that cannot be run.

    >>> grid = Grid(task="relu", depth=3, width=10, seekers="snip", densities=(0.1, 1), seeds=5)
    >>> grid.runs, grid.width
    (10, (10,))
    """

    task: str | Task | Sequence[str | Task] = "circle"
    model: Any = None
    depth: int | Sequence[int] = 5
    width: int | Sequence[int] = 100
    seekers: Any = PRUNERS
    densities: Any = ("ticket", 0.01, 0.1, 0.5, 1.0)
    noise: float | Sequence[float] = 0.01
    seeds: int | Sequence[int] = 25
    planting: Planting = Planting()
    training: Training = Training()
    objective: str | None = None
    prune_bias: bool = True
    reinitialise: bool = False
    samples: int = 10_000
    precision: str | None = "highest"
    chunk_size: int | str = "auto"
    check_budget: bool = True

    def __post_init__(self):
        for name in ("task", "depth", "width", "densities", "noise"):
            object.__setattr__(self, name, _values(name, getattr(self, name)))
        for name, least in (("depth", 2), ("width", 1)):
            for value in getattr(self, name):
                check_count(name, value, least)
            # JSON does not accept NumPy's numbers.
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        for value in self.axis("noise"):
            check_number("noise", value, 0)
        object.__setattr__(self, "noise", tuple(map(float, self.axis("noise"))))
        densities = (d if isinstance(d, str) else _as_float(d) for d in self.densities)
        object.__setattr__(self, "densities", tuple(densities))
        object.__setattr__(self, "seeds", _seeds(self.seeds))
        for name in ("prune_bias", "reinitialise", "check_budget"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for name, kind in (("planting", Planting), ("training", Training)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(
                    f"{name} must be {kind.__name__}(...), got {getattr(self, name)!r}"
                )
        if self.chunk_size != "auto":
            check_count("chunk_size", self.chunk_size, 1)  # type: ignore[arg-type]
            object.__setattr__(self, "chunk_size", int(self.chunk_size))
        check_count("samples", self.samples, 1)
        object.__setattr__(self, "samples", int(self.samples))
        object.__setattr__(self, "seekers", labelled(self.seekers))
        object.__setattr__(self, "model", _models(self.model))
        for named in self.settings():
            named.check(self.densities, max(self.axis("noise")))
            for _, seeker in self.seekers:
                named.given(seeker)
            named.check_seekers({name: seeker for name, seeker in self.seekers if _is_own(seeker)})

    def axis(self, name: str) -> tuple[Any, ...]:
        """The values of a field that takes one value or a sequence of them."""
        return getattr(self, name)

    def settings(self) -> list["NamedSetting"]:
        """One setting for every task and network, in the order of the grid."""
        settings = []
        for task in map(get_task, self.axis("task")):
            for label, model in self.axis("model"):
                if model is not None:
                    settings.append(NamedSetting.of(self, task, label, _made(model, task)))
                    continue
                for depth, width in itertools.product(self.axis("depth"), self.axis("width")):
                    own = mlp(task, depth, width, self.precision)
                    settings.append(NamedSetting.of(self, task, label, own, width))
        return settings

    @property
    def instances(self) -> list[InstanceKey]:
        """The planted networks that each setting needs."""
        return [
            InstanceKey(noise, seed) for noise in self.axis("noise") for seed in self.axis("seeds")
        ]

    def instances_of(self, share: tuple[int, int]) -> list[InstanceKey]:
        """The instances of process `index` of `count`: every count-th of each setting's."""
        index, count = share
        return self.instances[index::count]

    def run_names(self, share: tuple[int, int] = (0, 1)) -> set[tuple]:
        """Runs as tuples of their RUN columns: all, or the share (index, count)."""
        labels = [label for label, _ in self.seekers]
        names: set[tuple] = set()
        for named in self.settings():
            points = list(itertools.product(labels, named.resolve(self.densities).tolist()))
            for key in self.instances_of(share):
                names.update((*named.identity, *key, *point) for point in points)
        return names

    @property
    def runs_per_instance(self) -> int:
        """Records that each planted network gives."""
        return len(self.seekers) * len(self.densities)

    @property
    def runs(self) -> int:
        """Records of the whole grid."""
        return len(self.settings()) * len(self.instances) * self.runs_per_instance


def make_grid(**fields: Any) -> Grid:
    """A grid from the fields of Grid, Planting and Training, and options of seekers given by name.

    Args:
        **fields: of Grid; of Planting and Training, flat; and of the seekers that are given by a
            name or as a score, for all of them: strategy, scope, rounds, round_epochs,
            score_samples, search_epochs (a trained seeker's epochs), options (any other ones, a
            mapping or pairs) and sanity ("reinitialise" is Grid's own). A seeker that is a value
            keeps its own options; a baseline among other seekers takes only the scope, unless it is
            a score and the strategy is for scores.

    Returns:
        A Grid.

    Raises:
        ValueError: naming the argument, for anything that cannot be run.

    >>> grid = make_grid(task="relu", seekers="snip", strategy="multishot", rounds=3, epochs=1)
    >>> grid.seekers[0], grid.training.epochs
    (('snip', Multishot(snip, rounds=3)), 1)
    """
    fields = setting_fields(fields)
    own = {name: fields.pop(name) for name in LIFTING if name in fields}
    if "sanity" in own:
        check_choice("sanity", own["sanity"], SANITY)
        if own["sanity"] == REINITIALISE:
            own["sanity"] = "none"
            fields["reinitialise"] = True
    if own:
        fields["seekers"] = lifted(fields.get("seekers", PRUNERS), own)
    try:
        return Grid(**fields)
    except TypeError as error:
        raise ValueError(str(error).replace("Grid.__init__()", "a grid")) from None


def _values(name: str, value: Any) -> tuple:
    """One value or a sequence of them as a tuple, without duplicates."""
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
        # Checked before they are listed.
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


def _models(given: Any) -> tuple[tuple[str, Any], ...]:
    """Networks as (label, Model, function or None)."""
    if given is None:
        return ((MLP, None),)
    if is_labelled(given):
        return given
    if not isinstance(given, Mapping):
        alone = isinstance(given, Model) or not isinstance(given, Iterable)
        listed = [given] if alone else list(given)
        names = [getattr(model, "__name__", "model") for model in listed]
        if len(set(names)) < len(names):
            raise ValueError('model: several networks need labels, {"label": model}')
        given = dict(zip(names, listed, strict=True))
    for label, model in given.items():
        if label == MLP:
            raise ValueError(f"model: {MLP!r} is the library's own network; choose another label")
        if not isinstance(label, str) or not (isinstance(model, Model) or callable(model)):
            raise ValueError(
                f"model must be a Model or a function task -> Model, or labels with these, got "
                f"{label!r}: {model!r}"
            )
    if not given:
        raise ValueError("model must not be empty")
    return tuple(given.items())


def _made(model: Model | Callable[[Task], Model], task: Task) -> Model:
    made = model if isinstance(model, Model) else model(task)
    if not isinstance(made, Model):
        raise ValueError(f"model: the function must return a Model for {task.name}, got {made!r}")
    return made


def _is_own(seeker: Any) -> bool:
    """Whether it contains a user's function, which may do anything."""
    return bool(own_functions(seeker))


def trains(seeker: Any) -> bool:
    """Whether one of the library's seekers trains something, and takes long."""
    if isinstance(seeker, Singleshot):
        return False
    if isinstance(seeker, Multishot):
        return seeker.round_epochs > 0
    return isinstance(seeker, Options)


@dataclasses.dataclass(frozen=True)
class NamedSetting:
    """A Setting and its names in records."""

    setting: Setting
    model: str
    depth: int
    width: int

    @classmethod
    def of(
        cls, grid: Grid, task: Task, label: str, model: Model, width: int | None = None
    ) -> "NamedSetting":
        """The setting of a grid for one task and network; the width is that of the widest layer."""
        try:
            setting = Setting(
                task,
                model,
                samples=grid.samples,
                planting=grid.planting,
                training=grid.training,
                objective=grid.objective,
                prune_bias=grid.prune_bias,
                reinitialise=grid.reinitialise,
            )
        except ValueError as error:
            raise ValueError(f"{task.name}: {error}") from None
        if width is None:
            hidden = list(setting.layer_shapes.values())[:-1]
            width = max((layer["kernel"].shape[-1] for layer in hidden), default=0)
        return cls(setting, label, setting.depth, width)

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """The first columns of IDENTITY."""
        return self.setting.task.name, self.model, self.depth, self.width

    @property
    def compactable(self) -> bool:
        """Whether masks may be measured in narrower networks."""
        layers = self.setting.layer_shapes.values()
        dense = all(layer["kernel"].ndim == 2 for layer in layers)
        return self.setting.model.resizable and is_chain(self.setting.layers) and dense

    def check(self, densities: Sequence[float | str], noise: float = 0.0) -> None:
        """Raise ValueError if the ticket does not fit, or for an impossible density or noise."""
        try:
            if noise and self.setting.task.data is not None:
                raise ValueError(f"the task has fixed data: noise must be 0, got {noise}")

            def plant(data: Any) -> Any:
                key, target = jax.random.key(0), self.setting.target
                return make_instance(self.setting, key, noise, target, data)

            jax.eval_shape(plant, self._data_shapes())
            self.resolve(densities)
        except ValueError as error:
            network = "" if self.model == MLP else f"{self.model}, "
            place = f"{self.setting.task.name}, {network}depth {self.depth}, width {self.width}"
            raise ValueError(f"{place}: {error}") from None

    def check_seekers(self, seekers: Mapping[str, Seeker]) -> None:
        """Check that every seeker returns a Found of the network's shapes.

        Seekers are traced; nothing is computed.

        Args:
            seekers: by label.

        Raises:
            ValueError: a seeker that returns something else.
        """
        key, density = jax.random.key(0), jax.ShapeDtypeStruct((), np.float32)
        for name, seeker in seekers.items():

            def look(key: jax.Array, density: jax.Array, data: Any, seeker: Seeker = seeker) -> Any:
                instance = make_instance(self.setting, key, 0.0, self.setting.target, data)
                return seek(self.setting, self.given(seeker), key, instance, density)

            try:
                jax.eval_shape(look, key, density, self._data_shapes())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            # Traced here, so that a user's function is not traced again while the grid is run.
            work_of(self.setting, self.given(seeker))

    def _data_shapes(self) -> Any:
        """The shapes of the task's own data, to avoid copies of the data; None if it has none."""
        data = self.setting.task.data
        return data and jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data())

    def budget_bounds(self, density: float, scope: Scope) -> tuple[int, int]:
        """Fewest and most parameters that a mask of this density and scope may keep."""
        shapes, prune_bias = self.setting.layer_shapes, self.setting.prune_bias
        return selection.budget_bounds(density, shapes, scope, prune_bias=prune_bias)

    def given(self, seeker: Seeker) -> Seeker:
        """The seeker with the ticket's layer budgets if its scope is "oracle"."""
        if not isinstance(seeker, Options):
            return seeker
        changed: dict[str, Any] = {}
        for field in dataclasses.fields(seeker):
            value = getattr(seeker, field.name)
            if field.name == "scope" and value == "oracle":
                if self.setting.task.ticket_of is not None:
                    raise ValueError(
                        f'{self.setting.task.name}: the scope "oracle" needs a single ticket, and '
                        "every seed has its own"
                    )
                changed["scope"] = LayerBudgets(self.setting.ticket_layers)
            elif isinstance(value, Options):
                changed[field.name] = self.given(value)
        return dataclasses.replace(seeker, **changed) if changed else seeker

    def feasible_recall(self, density: float, scope: Scope, layers: tuple[int, ...]) -> float:
        """Largest recall of a ticket that a mask of this density and scope can have.

        Args:
            density: of the mask.
            scope: as in problem.select().
            layers: how many prunable parameters the ticket has in each layer.

        Returns:
            0..1.
        """
        scope = scope if isinstance(scope, str) else "oracle"
        shapes, prune_bias = self.setting.layer_shapes, self.setting.prune_bias
        return feasible_recall(density, shapes, layers, scope, prune_bias)

    def recovered(self, entries: dict[str, np.ndarray], noise: float) -> bool:
        """Whether a record's network is the target within the noise of the data."""
        return functionally_recovered(
            self.setting.task.kind,
            disagreement=float(entries["disagreement"]),
            largest=float(entries["target_error_largest"]),
            noise=noise,
        )

    def resolve(self, densities: Sequence[float | str]) -> np.ndarray:
        """Densities as numbers, float64, "ticket" replaced by the ticket's own."""
        size = masks.count_prunable(self.setting.layer_shapes, self.setting.prune_bias)
        resolved = []
        for density in densities:
            if isinstance(density, str) and density != "ticket":
                raise ValueError(
                    f'densities must be numbers or "ticket", got {density!r}'
                    f"{suggestion(density, ['ticket'])}"
                )
            density = self.setting.ticket_density if density == "ticket" else float(density)
            selection.check_density(density, size)
            resolved.append(density)
        return np.array(resolved)
