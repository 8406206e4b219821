"""Options of planting and training, from which flags are made; importing them needs no JAX."""

import dataclasses
from collections.abc import Callable
from typing import Any

from ticketjax.checks import Options, option

# Seekers that every table of strong tickets shows with the searches: the best of many masks drawn
# at random, and the largest parameters of the untrained network.
BASELINES = ("random_paths", "random_masks", "magnitude")
# The paper's singleshot and multishot pruners.
PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow")
# Every run is a row in the memory of the process that reads the records.
MOST_SEEDS = 10_000_000
MATCHES = ("cosine", "hidden")
ADAM = "adam(learning_rate=0.001)"
# Precision of the products in training: the network's own, or one of JAX's.
TRAINING_PRECISIONS = ("network", "highest", "high", "default")
BATCH_SIZE = 32


def _optimizer_text(optimizer: Any) -> str:
    # Imported here, because Optax imports JAX, and --help must not.
    from ticketjax.optimizers import optimizer_text

    return optimizer_text(optimizer)


@dataclasses.dataclass(frozen=True, repr=False)
class Planting(Options):
    """How and what is planted.

    Args:
        match: "cosine" as published, or "hidden", as in plant().
        tickets, decoys: how many tickets and near misses, in disjoint hidden neurons.
        perturbation: relative deviation of the tickets' own parameters, as in plant_several().

    Raises:
        ValueError: an option of another type or range.
    """

    match: str = option("cosine", choices=MATCHES)
    tickets: int = option(1, least=1)
    decoys: int = option(0, least=0)
    perturbation: float = option(0.0, least=0)


@dataclasses.dataclass(frozen=True, repr=False)
class Training(Options):
    """Final training of a found mask.

    Args:
        epochs: passes over the training data.
        batch_size: samples per step.
        optimizer: text such as "adamw(learning_rate=1e-3)", or an optax.GradientTransformation.
        augment: (key, x) -> x, applied to the inputs of training batches; None for nothing.
        training_precision: precision of the training's products on accelerators: the network's own,
            or "high" or "default" for fewer passes. Planting, scoring and measuring keep theirs.

    Raises:
        ValueError: an option of another type or range, an unknown optimizer.

    >>> Training(epochs=5, optimizer="sgd(0.1)").epochs
    5
    """

    epochs: int = option(10, least=0)
    batch_size: int = option(BATCH_SIZE, least=1)
    optimizer: Any = option(ADAM, free=True, text=_optimizer_text)
    augment: Callable[[Any, Any], Any] | None = option(None, free=True)
    training_precision: str = option("network", choices=TRAINING_PRECISIONS)

    def check(self) -> None:
        """Refuse an unknown optimizer, and an `augment` that is not a function."""
        from ticketjax.optimizers import make_optimizer

        make_optimizer(self.optimizer)
        if self.augment is not None and not callable(self.augment):
            raise ValueError(f"augment must be a function (key, x) -> x, got {self.augment!r}")

    @property
    def text(self) -> str:
        """How records name the optimizer."""
        return _optimizer_text(self.optimizer)
