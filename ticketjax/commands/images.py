"""Networks of images with a trained ticket planted in them: the grids of figure 5.

The task is a dataset with a ticket for every seed, which is made when it is first needed and kept.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ticketjax.base import CLASSIFICATION, Batch, Model, Params, Task, Tree
from ticketjax.choices import Planting, Training
from ticketjax.masks import count_prunable
from ticketjax.networks import images as networks
from ticketjax.problem import make_problem
from ticketjax.runs.grid import Grid
from ticketjax.runs.programs import run_key, sharded
from ticketjax.runs.teaching import teach
from ticketjax.seekers.registry import get_seeker
from ticketjax.selection import check_density
from ticketjax.sharing import trees
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
    "edge_popup": ("annealed", "local"),
    "probabilistic": ("plain", "global"),
}
OPTIMIZER = "adam(learning_rate=0.001)"
# The fields that determine a ticket, besides its seed.
OF_TICKETS = (
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


@dataclasses.dataclass(frozen=True)
class ImageRuns:
    """Pruners and searches on one dataset and network, with all that determines their records.

    Args:
        dataset: the name of the dataset.
        images, test_images: how many of its training and test images are used, the first ones.
        model: a name of MODELS.
        channels: what the network's channels are multiplied by.
        seekers: names of pruners.
        searches: names of STRONG.
        densities: the densities at which all of them are measured.
        ticket_density: the density of the planted ticket, which SynFlow makes.
        rounds, round_epochs: rounds of pruning and epochs in each, for the ticket too.
        epochs: epochs of the final training.
        search_epochs: epochs of a strong search.
        levels: the number of steps in which edge-popup anneals.
        batch_size: the batch size everywhere.
        score_samples: the number of samples that a score uses.
        augment: whether training augments the images.
        seeds: repetitions.
        match: how the ticket is planted, "cosine" or "hidden", as in plant().
    """

    dataset: str
    images: int
    test_images: int
    model: str
    channels: float
    seekers: tuple[str, ...]
    searches: tuple[str, ...]
    densities: tuple[float, ...]
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
    match: str = "cosine"


def image_grids(runs: ImageRuns, data_dir: str, out: str) -> dict[str, Grid]:
    """The grids of these runs by directory, below `out`: one of the pruners, one of the searches.

    The tickets are made when the grids are run. Running raises ValueError for files of tickets that
    belong to other runs.

    Args:
        runs: the pruners and searches.
        data_dir: the directory of the dataset's files.
        out: the results directory.

    Returns:
        The grids by directory.

    Raises:
        ValueError: the runs are not possible.
        FileNotFoundError: the data is missing.
    """
    task, model = _task_and_model(runs, data_dir, out)
    shared: dict[str, Any] = {
        "task": task,
        "model": {runs.model: model},
        "densities": runs.densities,
        "noise": 0.0,
        "seeds": runs.seeds,
        "samples": runs.images + runs.test_images,
        "planting": Planting(match=runs.match),
        "training": _training(runs),
        # A run takes minutes, so each is written to disk when it is finished.
        "chunk_size": 1,
    }
    grids = {}
    if runs.seekers:
        pruners = {name: _pruner(runs, name) for name in runs.seekers}
        grids[f"{out}/pruning"] = Grid(seekers=pruners, **shared)
    if runs.searches:
        searches = {name: _search(runs, name) for name in runs.searches}
        # For searches among frozen parameters, the loss fits the output's scale.
        grids[f"{out}/searches"] = Grid(seekers=searches, objective="rescaled", **shared)
    return grids


def _pruner(runs: ImageRuns, name: str) -> Any:
    return get_seeker(
        name,
        strategy="multishot",
        rounds=runs.rounds,
        round_epochs=runs.round_epochs,
        score_samples=min(runs.score_samples, runs.images),
        batch_size=runs.batch_size,
        optimizer=OPTIMIZER,
    )


def _search(runs: ImageRuns, name: str) -> Any:
    strategy, scope = STRONG[name]
    return get_seeker(
        name,
        strategy=strategy,
        scope=scope,
        epochs=runs.search_epochs,
        batch_size=runs.batch_size,
        **({"levels": runs.levels} if strategy == "annealed" else {}),
    )


def _training(runs: ImageRuns) -> Training:
    augment = images.augment if images.DATASETS[runs.dataset].flip else images.crop
    return Training(
        epochs=runs.epochs,
        batch_size=runs.batch_size,
        optimizer=OPTIMIZER,
        augment=augment if runs.augment else None,
    )


def _no_ticket(depth: int) -> Params:
    raise ValueError(f"images have no ticket of their own, at depth {depth} neither")


def _no_sample(key: jax.Array, n: int, noise: Any = 0.0) -> Batch:
    raise ValueError("images are data, there are no other samples of them")


def _task_and_model(runs: ImageRuns, data_dir: str, out: str) -> tuple[Task, Model]:
    loaded = images.load_images(runs.dataset, data_dir)
    for name, there in (("images", loaded.train.y.size), ("test_images", loaded.test.y.size)):
        if not 1 <= getattr(runs, name) <= there:
            raise ValueError(
                f"{name} must be in 1..{there}, what {runs.dataset} has, got {getattr(runs, name)}"
            )
    train = Batch(*(array[: runs.images] for array in loaded.train))
    test = Batch(*(array[: runs.test_images] for array in loaded.test))
    known = images.DATASETS[runs.dataset]
    bare = Task(
        runs.dataset,
        known.shape,
        len(known.classes),
        CLASSIFICATION,
        _no_sample,
        _no_ticket,
        data=lambda: (train, test),
        source=tuple((name, getattr(runs, name)) for name in (*OF_TICKETS, "test_images")),
    )
    network = MODELS[runs.model](bare, runs.channels)
    model = networks.on_pixels(network, loaded.mean, loaded.deviation)
    tickets = _Tickets(runs, bare, model, f"{out}/tickets")
    return dataclasses.replace(bare, ticket=tickets.alike, ticket_of=tickets), model


class _Tickets:
    """The ticket of every seed: read from the file of earlier runs, or made and written there.

    An instance is called with a seed. It raises ValueError for a file that belongs to other runs.
    """

    def __init__(self, runs: ImageRuns, task: Task, model: Model, directory: str):
        self._runs, self._task, self._model, self._directory = runs, task, model, directory
        self._made_by = {name: str(getattr(runs, name)) for name in OF_TICKETS}
        self._shapes = jax.eval_shape(model.init, jax.random.key(0))
        self._known: dict[int, Tree] = {}
        check_density(runs.ticket_density, count_prunable(self._shapes))

    def __call__(self, seed: int) -> Tree:
        if seed not in self._known:
            if os.path.exists(self._path(seed)):
                self._known[seed] = self._read(seed)
            else:
                self._make(seed)
        return self._known[seed]

    def alike(self, depth: int) -> Tree:
        """A network with as many parameters as each ticket, at arbitrary places."""
        if depth != len(self._shapes) + 1:
            raise ValueError(f"tickets have depth {len(self._shapes) + 1}, got {depth!r}")
        return self._alike

    @functools.cached_property
    def _alike(self) -> Tree:
        # NumPy, because it is called while programs are traced.
        leaves, structure = jax.tree.flatten(self._shapes)
        sizes = [leaf.size for leaf in leaves]
        kept = np.arange(sum(sizes)) < round(self._runs.ticket_density * sum(sizes))
        parts = np.split(kept.astype(np.float32), np.cumsum(sizes)[:-1])
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, shaped)

    def _path(self, seed: int) -> str:
        return f"{self._directory}/seed{seed}.safetensors"

    def _read(self, seed: int) -> Tree:
        ticket, there = trees.load_tree(self._path(seed), self._shapes)
        if {**there, "seed": ""} != {**self._made_by, "seed": ""}:
            raise ValueError(f"{self._path(seed)} is the ticket of a different setting: {there}")
        return ticket

    def _make(self, seed: int) -> None:
        """Make a seed's ticket, and those of others that will be needed, one on each device."""
        devices = jax.local_devices()
        missing = [s for s in self._runs.seeds if s != seed and not os.path.exists(self._path(s))]
        seeds = [seed, *missing][: len(devices)]
        padded = seeds + seeds[:1] * (len(devices) - len(seeds))
        program = sharded(self._teach, devices, (0, None))
        made = jax.device_get(program(np.array(padded, np.uint32), self._data()[0]))
        os.makedirs(self._directory, exist_ok=True)
        for device, own in enumerate(seeds):
            self._known[own] = jax.tree.map(lambda leaf, at=device: leaf[at], made)
            trees.save_tree(self._path(own), self._known[own], self._made_by | {"seed": str(own)})

    def _data(self) -> tuple[Batch, Batch]:
        assert self._task.data is not None
        return self._task.data()

    def _teach(self, seed: jax.Array, train: Batch) -> Tree:
        # The network and the random numbers differ from those of the run that uses the ticket.
        init_key, key = jax.random.split(jax.random.fold_in(run_key(seed), 2**31))
        training = _training(self._runs)
        problem = make_problem(
            self._task, self._model, self._model.init(init_key), train, augment=training.augment
        )
        return teach(
            key,
            problem,
            self._runs.ticket_density,
            rounds=self._runs.rounds,
            round_epochs=self._runs.round_epochs,
            epochs=training.epochs,
            batch_size=training.batch_size,
            optimizer=training.optimizer,
        )
