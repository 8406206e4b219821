"""The fixed parts of a compiled program: the task, the network, planting and training."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from ticketjax import masks
from ticketjax.base import Batch, Layer, Model, Params, Task, Tree
from ticketjax.checks import check_choice, check_count, check_number
from ticketjax.choices import Planting, Training
from ticketjax.networks.layers import is_plain_chain, target_view, view, why_no_planting
from ticketjax.networks.mlp import dense_apply
from ticketjax.networks.resolve import layers_of
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, make_problem


@dataclasses.dataclass(frozen=True)
class Setting:
    """Everything that is fixed within one compiled program, except the seeker.

    Args:
        task, model: what is learned and by which network; the depth follows from the model.
        samples: drawn per run. A task's own data determine this and held_out.
        held_out: fraction of the samples that is kept for measuring.
        planting, training: how a ticket is planted, and masks are trained.
        objective: what all seekers optimise, "raw" or "rescaled" outputs; None for each seeker's
            published objective, its own field of that name.
        prune_bias: whether biases can be pruned. If not, the unused biases of planted neurons are
            zero, so that the ticket is still in the network.
        reinitialise: measure and train masks on newly drawn parameters, which no seeker has
            received: a sanity check (Frankle et al. 2021). They contain no ticket.

    Raises:
        ValueError: values that cannot be run.
    """

    task: Task
    model: Model
    samples: int = 10_000
    held_out: float = 0.1
    planting: Planting = Planting()
    training: Training = Training()
    objective: str | None = None
    prune_bias: bool = True
    reinitialise: bool = False

    def __post_init__(self):
        if self.objective is not None:
            check_choice("objective", self.objective, OBJECTIVES)
        for name, kind in (("planting", Planting), ("training", Training)):
            if not isinstance(getattr(self, name), kind):
                given = getattr(self, name)
                raise ValueError(f"{name} must be {kind.__name__}(...), got {given!r}")
        if self.task.data is not None:
            train, held_out = (batch.x.shape[0] for batch in self.task.data())
            object.__setattr__(self, "samples", train + held_out)
            object.__setattr__(self, "held_out", held_out / (train + held_out))
        check_count("samples", self.samples, 1)
        if not isinstance(self.held_out, float) or not 0 < self.held_out < 1:
            raise ValueError(f"held_out must be in (0, 1), got {self.held_out!r}")
        if self.training_samples == self.samples:
            raise ValueError(
                f"samples={self.samples} leaves none to measure on with held_out={self.held_out}"
            )
        if self.training.batch_size > self.training_samples:
            raise ValueError(
                f"samples={self.samples} leaves {self.training_samples} to train on, fewer than "
                f"batch_size={self.training.batch_size}"
            )
        layers = layers_of(self.model, self.parameter_shapes, self.task)
        object.__setattr__(self, "model", dataclasses.replace(self.model, layers=layers))

    @property
    def training_samples(self) -> int:
        """Samples that are not held out."""
        return self.samples - round(self.samples * self.held_out)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The model's layers."""
        return self.model.layers or ()

    @property
    def depth(self) -> int:
        """Layers of neurons, including the input."""
        return len(self.layers) + 1

    @functools.cached_property
    def target(self) -> Tree:
        """The ticket to plant, without padding; if every seed has one, one of these shapes."""
        return self.task.ticket(depth=self.depth)

    def own_target(self, seed: int) -> Tree | None:
        """The ticket of a seed if every seed has its own; None if all share the task's ticket."""
        of = self.task.ticket_of
        return None if of is None else of(seed)

    @functools.cached_property
    def ticket_layers(self) -> tuple[int, ...]:
        """How many prunable parameters the ticket has in each layer."""
        return self.layers_of_ticket(self.target)

    def layers_of_ticket(self, target: Tree) -> tuple[int, ...]:
        """How many prunable parameters a ticket has in each layer."""
        return masks.count_ticket_layers(target_view(target, self.layers), self.prune_bias)

    @functools.cached_property
    def parameter_shapes(self) -> Tree:
        """The network's parameters as shapes, nothing computed."""
        return jax.eval_shape(self.model.init, jax.random.key(0))

    @functools.cached_property
    def layer_shapes(self) -> Params:
        """The view of the network's layers, as shapes."""
        return view(self.parameter_shapes, self.layers)

    @property
    def ticket_density(self) -> float:
        """Density of the ticket in this network."""
        return self.density_of(self.ticket_layers)

    def density_of(self, ticket_layers: tuple[int, ...]) -> float:
        """Density in this network of a ticket with these numbers of parameters in its layers."""
        return sum(ticket_layers) / masks.count_prunable(self.layer_shapes, self.prune_bias)

    def problem(self, params: Tree, batch: Batch) -> Problem:
        """What a seeker receives for a network with these parameters."""
        return make_problem(
            self.task,
            self.model,
            params,
            batch,
            objective=self.objective,
            prune_bias=self.prune_bias,
            augment=self.training.augment,
        )

    def check_target(self, target: Tree) -> None:
        """Check that a target that is a chain of dense layers is also one in this network.

        Residual sums, pooling etc. compute a different function with the same parameters.

        Args:
            target: its parameters.

        Raises:
            ValueError: a chain of dense layers that is none here; the message names the layer.
        """
        if self.model.resizable or not _is_dense(target):
            return
        reason = why_no_planting(self.layers, as_chain=True)
        if reason:
            raise ValueError(f"nothing can be planted: {reason}")

    def target_apply(self, target: Tree) -> Callable[[Tree, jax.Array], jax.Array]:
        """The function that runs a target without padding.

        Args:
            target: its parameters.

        Returns:
            (target, x) -> outputs: the network's own function if it takes other widths or the
            target is not a chain of dense layers.
        """
        if self.model.resizable or not _is_dense(target):
            return self.model.apply
        return dense_apply()


def _is_dense(target: Tree) -> bool:
    """Whether a target is a chain of dense layers."""
    return is_plain_chain(target) and all(layer["kernel"].ndim == 2 for layer in target.values())


def setting_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of Setting or Grid, from options among which those of Planting and Training are flat.

    Args:
        options: by name. "match" goes to Planting, "epochs" to Training, and so on; learning_rate
            is Adam's.

    Returns:
        The fields by name.

    Raises:
        ValueError: an option that is given twice, or one that Planting or Training refuses.
    """
    fields = dict(options)
    if "learning_rate" in fields:
        if "optimizer" in fields:
            raise ValueError("learning_rate is an option of Adam: set it in the optimizer's text")
        rate = fields.pop("learning_rate")
        check_number("learning_rate", rate)
        fields["optimizer"] = f"adam(learning_rate={rate!r})"
    for name, kind in (("planting", Planting), ("training", Training)):
        own = {field.name for field in dataclasses.fields(kind)} & set(fields)
        given = {field: fields.pop(field) for field in own}
        if given and name in fields:
            raise ValueError(f"{', '.join(sorted(given))}: set it in {name}=")
        if given:
            fields[name] = kind(**given)
    return fields
