"""Networks of images with a trained ticket planted in them: prune them, search them, keep records.

One pruner or searcher at one density is one results directory, so that every run that is finished
is on disk and none is repeated.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from ticketjax.base import CLASSIFICATION, Batch, Model, Params, Task
from ticketjax.choices import Training
from ticketjax.masks import check_density, count_prunable, count_ticket_layers, ticket_density
from ticketjax.measure.equivalence import functionally_recovered
from ticketjax.measure.quality import feasible_recall
from ticketjax.networks import images as networks
from ticketjax.problem import make_problem
from ticketjax.progress import progress
from ticketjax.records import store
from ticketjax.runs.engine import run_key, sharded
from ticketjax.runs.record import RUN, SCHEMA
from ticketjax.runs.setting import Setting
from ticketjax.runs.teaching import teach
from ticketjax.runs.trial import (
    Instance,
    evaluate,
    plant_instance,
    ranking_entries,
    seek,
)
from ticketjax.seekers.registry import get_seeker, seeker_text
from ticketjax.sharing import interop
from ticketjax.tasks import image_files as images


def _vgg(layers: int, task: Task, width: float) -> Model:
    return networks.vgg(task, layers, width)


MODELS: dict[str, Callable[[Task, float], Model]] = {
    "lenet300": networks.lenet300,
    **{f"vgg{layers}": functools.partial(_vgg, layers) for layers in networks.VGG_STAGES},
    "resnet18": networks.resnet18,
}
# How each strong seeker searches; every other name is a pruner, used in rounds.
STRONG = {
    "edge_popup": ("annealed", {"scope": "local"}),
    "probabilistic": ("plain", {"scope": "global"}),
}
OPTIMIZER = "adam(learning_rate=0.001)"


@dataclasses.dataclass(frozen=True)
class ImageRuns:
    """One seeker at one density on some seeds, and all that its records follow from.

    dataset, images, test_images: data, and how many of its images are used, the first ones.
    model, channels: a name of MODELS, and what its channels are multiplied by.
    seeker, density: what is measured; ticket_density: what is planted, made by SynFlow.
    rounds, round_epochs: of pruning, of the ticket too. epochs: of the final training.
    search_epochs, levels: of a strong search, and in how many steps edge-popup anneals.
    batch_size: everywhere. score_samples: that a score sees. augment: whether training does.
    seeds: repetitions.
    """

    dataset: str
    images: int
    test_images: int
    model: str
    channels: float
    seeker: str
    density: float
    ticket_density: float
    rounds: int
    round_epochs: int
    epochs: int
    search_epochs: int
    levels: int
    batch_size: int
    score_samples: int
    augment: bool
    seeds: tuple[int, ...]

    @property
    def is_strong(self) -> bool:
        """Whether this is a search among frozen parameters."""
        return self.seeker in STRONG

    @property
    def strategy(self) -> str:
        """How the seeker is used."""
        return STRONG[self.seeker][0] if self.is_strong else "multishot"

    @property
    def objective(self) -> str:
        """What the seeker sees: a search among frozen parameters has the output's scale fitted."""
        return "rescaled" if self.is_strong else "raw"

    @property
    def scope(self) -> str:
        """Of the budget."""
        return STRONG[self.seeker][1]["scope"] if self.is_strong else "global"

    def configuration(self) -> dict[str, Any]:
        """What the manifest says, with what all manifests have."""
        return {
            **dataclasses.asdict(self),
            "seeds": list(self.seeds),
            "seekers": {self.seeker: seeker_text(self.make_seeker())},
            "densities": [self.density],
            "functions": {},
        }

    def make_seeker(self) -> Any:
        """The seeker, ready to run."""
        if not self.is_strong:
            return get_seeker(
                self.seeker,
                strategy="multishot",
                rounds=self.rounds,
                round_epochs=self.round_epochs,
                score_samples=min(self.score_samples, self.images),
                batch_size=self.batch_size,
                optimizer=OPTIMIZER,
            )
        strategy, options = STRONG[self.seeker]
        levels = {"levels": self.levels} if strategy == "annealed" else {}
        return get_seeker(
            self.seeker,
            strategy=strategy,
            epochs=self.search_epochs,
            batch_size=self.batch_size,
            **levels,
            **options,
        )


def _no_ticket(depth: int) -> Params:
    raise ValueError(f"the ticket is planted, not the task's own, at depth {depth}")


def _no_sample(key: jax.Array, n: int, noise: Any = 0.0) -> Batch:
    raise ValueError("images are data, there are no other samples of them")


class Experiment:
    """The programs and data that runs on one dataset and network share.

    plan: the runs; they may differ in seeker, density and seeds alone.

    Raises ValueError for what cannot be run, FileNotFoundError without the data.
    """

    def __init__(self, plan: list[ImageRuns], data_dir: str, directory: str):
        first = plan[0]
        self.runs, self.directory = first, directory
        self.devices = tuple(jax.local_devices())
        data = images.load_images(first.dataset, data_dir)
        self.train = Batch(*(array[: first.images] for array in data.train))
        self.test = Batch(*(array[: first.test_images] for array in data.test))
        known = images.DATASETS[first.dataset]
        self.task = Task(
            first.dataset,
            known.shape,
            len(known.classes),
            CLASSIFICATION,
            _no_sample,
            _no_ticket,
        )
        self.model = networks.on_pixels(
            MODELS[first.model](self.task, first.channels), data.mean, data.deviation
        )
        for name, there in (("images", data.train.y.size), ("test_images", data.test.y.size)):
            if not 1 <= getattr(first, name) <= there:
                raise ValueError(
                    f"{name} must be in 1..{there}, what {first.dataset} has, got "
                    f"{getattr(first, name)}"
                )
        size = count_prunable(jax.eval_shape(self.model.init, jax.random.key(0)))
        for density in (first.ticket_density, *(runs.density for runs in plan)):
            check_density(density, size)
        self.augment = None
        if first.augment:
            self.augment = functools.partial(images.augment, flip=known.flip)
        self._searches: dict[str, Callable[..., Any]] = {}
        self._plant = sharded(self._instance, self.devices, (0, 0, None, None))
        self._evaluate = sharded(self._measure, self.devices, (0, 0, 0, None, None))

    def setting(self, objective: str) -> Setting:
        """What all runs of one objective share."""
        return Setting(
            self.task,
            self.model,
            samples=self.runs.images + self.runs.test_images,
            held_out=self.runs.test_images / (self.runs.images + self.runs.test_images),
            training=Training(
                epochs=self.runs.epochs,
                batch_size=self.runs.batch_size,
                optimizer=OPTIMIZER,
                augment=self.augment,
            ),
            objective=objective,
        )

    def teachers(self, seeds: tuple[int, ...]) -> dict[int, Params]:
        """The ticket of every seed: read from where an earlier run left it, or made and left there.

        Raises ValueError for a file that belongs to other runs.
        """
        runs = self.runs
        made_by = {
            name: str(getattr(runs, name))
            for name in (
                "dataset",
                "images",
                "model",
                "channels",
                "ticket_density",
                "rounds",
                "round_epochs",
                "epochs",
                "batch_size",
                "augment",
            )
        }
        paths = {seed: f"{self.directory}/tickets/seed{seed}.safetensors" for seed in seeds}
        tickets = {}
        for seed, path in paths.items():
            if os.path.exists(path):
                ticket, there = interop.load_tree(
                    path, jax.eval_shape(self.model.init, jax.random.key(0))
                )
                if {**there, "seed": ""} != {**made_by, "seed": ""}:
                    raise ValueError(f"{path} is the ticket of other runs: {there}")
                tickets[seed] = ticket
        missing = [seed for seed in seeds if seed not in tickets]
        program = sharded(self._teach, self.devices, (0, None))
        for group, padded in _in_groups(missing, len(self.devices)):
            made = jax.device_get(program(np.array(padded, np.uint32), self.train))
            os.makedirs(f"{self.directory}/tickets", exist_ok=True)
            for device, seed in enumerate(group):
                tickets[seed] = jax.tree.map(lambda leaf, at=device: leaf[at], made)
                interop.save_tree(paths[seed], tickets[seed], {**made_by, "seed": str(seed)})
        return tickets

    def _teach(self, seed: jax.Array, train: Batch) -> Params:
        # Neither network nor numbers are those of the run that the ticket is planted in.
        init_key, key = jax.random.split(jax.random.fold_in(run_key(seed), 2**31))
        problem = make_problem(
            self.task, self.model, self.model.init(init_key), train, augment=self.augment
        )
        return teach(
            key,
            problem,
            self.runs.ticket_density,
            rounds=self.runs.rounds,
            round_epochs=self.runs.round_epochs,
            epochs=self.runs.epochs,
            batch_size=self.runs.batch_size,
            optimizer=OPTIMIZER,
        )

    def _instance(self, seed: jax.Array, ticket: Params, train: Batch, test: Batch) -> Instance:
        instance = plant_instance(self.setting("raw"), run_key(seed), ticket, train, test)
        nothing = Batch(train.x[:0], train.y[:0])  # every device has the data already
        return instance._replace(train=nothing, held_out=nothing)

    def _search(self, runs: ImageRuns) -> Callable[..., Any]:
        """A seeker's search, compiled once for all densities and seeds."""
        if runs.seeker not in self._searches:
            setting, seeker = self.setting(runs.objective), runs.make_seeker()

            def search(seed, density, instance, train):
                instance = instance._replace(train=train)
                found, ranks = seek(setting, seeker, run_key(seed), instance, density)
                return found.mask, ranking_entries(ranks) | found.info

            self._searches[runs.seeker] = sharded(search, self.devices, (0, 0, 0, None))
        return self._searches[runs.seeker]

    def _measure(
        self, mask: Params, instance: Instance, ticket: Params, train: Batch, test: Batch
    ) -> dict[str, jax.Array]:
        instance = instance._replace(train=train, held_out=test)
        return evaluate(self.setting("raw"), instance, mask, target=ticket)

    def run(
        self,
        wanted: list[tuple[ImageRuns, int]],
        tickets: dict[int, Params],
        tell: Callable[[str], None],
    ) -> Iterator[list[tuple[ImageRuns, int, pa.Table]]]:
        """Run seeds of runs with one seeker, as many at once as there are devices.

        tell: called with what is about to be done; its first time includes its compilation.
        """
        for group, padded in _in_groups(wanted, len(self.devices)):
            seeds = np.array([seed for _, seed in padded], np.uint32)
            densities = np.array([runs.density for runs, _ in padded], np.float32)
            ticket = jax.tree.map(
                lambda *leaves: np.stack(leaves), *(tickets[seed] for _, seed in padded)
            )
            tell("planting, 1 of 3")
            instance = self._plant(seeds, ticket, self.train, self.test)
            tell("seeking, 2 of 3")
            mask, entries = self._search(padded[0][0])(seeds, densities, instance, self.train)
            tell("measuring, 3 of 3")
            measured = self._evaluate(mask, instance, ticket, self.train, self.test)
            entries = jax.device_get({**entries, **measured})
            yield [
                (runs, seed, self._records(runs, seed, tickets[seed], _entries_of(entries, at)))
                for at, (runs, seed) in enumerate(group)
            ]

    def _records(
        self, runs: ImageRuns, seed: int, ticket: Params, entries: dict[str, Any]
    ) -> pa.Table:
        shapes = jax.eval_shape(self.model.init, jax.random.key(0))
        recovered = functionally_recovered(
            CLASSIFICATION,
            entries["disagreement"],
            entries["target_error_root_mean_square"],
            0.0,
        )
        row = {
            "task": runs.dataset,
            "kind": CLASSIFICATION,
            "model": runs.model,
            "depth": len(shapes) + 1,
            "width": max(layer["bias"].size for layer in shapes.values()),
            "seeker": runs.seeker,
            "strategy": runs.strategy,
            "scope": runs.scope,
            "rounds": 1 if runs.is_strong else runs.rounds,
            "objective": runs.objective,
            "config": seeker_text(runs.make_seeker()),
            "optimizer": OPTIMIZER,
            "prune_bias": True,
            "sanity": "none",
            "match": "cosine",
            "tickets": 1,
            "decoys": 0,
            "perturbation": 0.0,
            "density": runs.density,
            "ticket_density": ticket_density(ticket, shapes),
            "noise": 0.0,
            "seed": seed,
            "feasible_recall": feasible_recall(
                runs.density, shapes, count_ticket_layers(ticket), runs.scope
            ),
            "functionally_recovered": recovered,
            "round_layer_kept": [],
            "round_first_dead_layer": [],
        }
        known = set(SCHEMA.names)
        row |= {name: value for name, value in entries.items() if name in known}
        return pa.Table.from_pylist([row], schema=SCHEMA)


def _entries_of(entries: dict[str, np.ndarray], device: int) -> dict[str, Any]:
    return {name: values[device].tolist() for name, values in entries.items()}


def _in_groups(items: list, size: int) -> Iterator[tuple[list, list]]:
    """Items a few at a time, and the same filled up with the first one."""
    for start in range(0, len(items), size):
        group = items[start : start + size]
        yield group, group + group[:1] * (size - len(group))


def run_images(plan: list[ImageRuns], data_dir: str, out: str, wait: bool = False) -> pa.Table:
    """Run what is missing of a plan below a directory; returns all its records.

    plan: runs that differ in seeker and density alone. wait: as in store.Store.

    Raises ValueError as Experiment and store.Store do.
    """
    experiment = Experiment(plan, data_dir, out)
    stores = {
        runs: store.Store(f"{out}/{runs.strategy}-{runs.seeker}-{runs.density:g}", runs, wait=wait)
        for runs in plan
    }
    missing = []
    for runs, parts in stores.items():
        done = {run[RUN.index("seed")] for run in parts.done()}
        missing += [(runs, seed) for seed in runs.seeds if seed not in done]
    total = sum(len(runs.seeds) for runs in plan)
    with progress(total, total - len(missing), smoothing=0) as shown:
        shown.name("ticket")
        tickets = experiment.teachers(tuple(sorted({seed for _, seed in missing})))
        for seeker in dict.fromkeys(runs.seeker for runs, _ in missing):
            shown.name(seeker)
            wanted = [(runs, seed) for runs, seed in missing if runs.seeker == seeker]
            for finished in experiment.run(wanted, tickets, shown.tell):
                for runs, _, records in finished:
                    stores[runs].write(records)
                shown.add(len(finished))
    directories = (parts.directory for parts in stores.values())
    return pa.concat_tables([store.load_records(directory) for directory in directories])
