"""The problem that a seeker is given: a network, data, and the rules."""

import dataclasses
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax import masks, selection
from ticketjax.base import CLASSIFICATION, Batch, Found, Layer, Model, Params, Task, Tree
from ticketjax.checks import check_choice
from ticketjax.contract import check_parameters
from ticketjax.networks.layers import chain_layers, keep_the_rest, restore, target_view, view
from ticketjax.networks.resolve import layers_of
from ticketjax.objective import (
    KINDS,
    OBJECTIVES,
    loss,
    output_scale,
    rescale,
    rescaled_for_descent,
)

IMAGES_AT_ONCE = 500
SAMPLES_AT_ONCE = 1024


def _static(**fields):
    return dataclasses.field(metadata={"static": True}, **fields)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """All that a seeker may see of a planted network: never the planted mask.

    Args:
        params: initial parameters, the network's own tree.
        batch: training data.
        apply: (params, x) -> outputs.
        kind: the task's kind.
        objective: the loss of every seeker that has a loss: "raw" (of the output as it is) or
            "rescaled" (after the best output scale, at least 0, or temperature is fitted). None
            leaves the choice to each seeker, whose field `objective` is the published one.
        prune_bias: whether biases are prunable; otherwise every mask keeps all of them.
        ticket_density: the density that "ticket" stands for; None where the task has no ticket.
        layers: as in Model, or found if the model has none. Parameters outside layers are never
            pruned.
        flow: as in Model.
        augment: (key, x) -> x, changes a training batch's inputs at every step of train(); None for
            not at all. Seekers' own searches see the data as it is.

    params and batch are traced under jit, the rest is static.
    """

    params: Tree
    batch: Batch
    apply: Callable[[Tree, jax.Array], jax.Array] = _static()
    kind: str = _static()
    objective: str | None = _static(default=None)
    prune_bias: bool = _static(default=True)
    ticket_density: float | None = _static(default=None)
    layers: tuple[Layer, ...] | None = _static(default=None)
    flow: Callable[[Tree, jax.Array], jax.Array] | None = _static(default=None)
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = _static(default=None)

    def loss(self, params: Tree) -> jax.Array:
        """Loss of parameters on the training data under the problem's objective; differentiable.

        "rescaled" fits the output scale anew at every call and holds it constant in the gradient.
        This is exact for the gradient, because the loss is stationary at the best scale, but not
        for second derivatives, which ignore how the scale changes. Where an output fits best with
        the factor 0, the loss is flat; descent_loss() has a gradient there. Without an objective it
        is the raw loss.

        Args:
            params: a tree like the problem's own.

        Returns:
            () float32.
        """
        outputs = self.apply(params, self.batch.x)
        if self.objective == "rescaled":
            scale = output_scale(self.kind, outputs, self.batch.y)
            outputs = rescale(outputs, jax.lax.stop_gradient(scale))
        return loss(self.kind, outputs, self.batch.y)

    def descent_loss(self, params: Tree) -> jax.Array:
        """The loss for searches that follow its gradient: loss(), but not flat at a factor of 0.

        Where an output fits the target best with the factor 0, because it has the wrong sign, the
        gradient is that of the output scaled to the target's size, which leads to the right sign.

        Args:
            params: a tree like the problem's own.

        Returns:
            () float32, the value of loss().
        """
        if self.objective != "rescaled":
            return self.loss(params)
        outputs = self.apply(params, self.batch.x)
        return loss(self.kind, rescaled_for_descent(self.kind, outputs, self.batch.y), self.batch.y)

    def by_default(self, objective: str) -> "Problem":
        """The problem with this objective, if it has none of its own.

        Args:
            objective: a seeker's, "raw" or "rescaled".

        Returns:
            The same Problem if it has an objective, which overrides the seekers' own.
        """
        if self.objective is not None:
            return self
        return dataclasses.replace(self, objective=objective)

    def select(
        self, scores: Tree, density: jax.Array | float | str, scope: selection.Scope = "global"
    ) -> Tree:
        """The mask that keeps exactly the budget of highest scores, as selection.select() does.

        Parameters that cannot be pruned are kept: biases with prune_bias=False, and those of no
        layer.

        Args:
            scores: a tree like params; NaN ranks lowest.
            density: fraction of the prunable parameters to keep, in (0, 1], or "ticket"; may be
                traced.
            scope: "global", "local", or selection.LayerBudgets.

        Returns:
            A bool tree like params.

        Raises:
            ValueError: as selection.select() and resolve_density().
        """
        density = resolve_density(self, density)
        chosen = selection.select(self.view(scores), density, scope, prune_bias=self.prune_bias)
        return keep_the_rest(self.params, chosen, self.known_layers)

    @property
    def known_layers(self) -> tuple[Layer, ...]:
        """The layers; those of a chain if none are given."""
        return chain_layers(self.params) if self.layers is None else self.layers

    def view(self, tree: Tree) -> Params:
        """The layers of a tree like params, {"layer_0": {"kernel", "bias"}, ...}."""
        return view(tree, self.known_layers)

    def restore(self, seen: Params, tree: Tree | None = None) -> Tree:
        """The tree (params, if none is given) with a view's entries in place of its own."""
        return restore(self.params if tree is None else tree, seen, self.known_layers)

    @property
    def prunable(self) -> int:
        """How many parameters a density refers to."""
        return masks.count_prunable(self.view(self.params), self.prune_bias)


Score = Callable[[jax.Array, Problem, Tree, Tree], Tree]
"""Rates every parameter: (key, problem, params, mask) -> scores, of which the highest are kept.

params are the current parameters, trained or not; mask is the mask of earlier rounds. Scores have
the shapes of params; NaN ranks lowest.
"""
Seeker = Callable[[jax.Array, Problem, jax.Array | float], Found]
"""Looks for a ticket: (key, problem, density) -> Found.

Pure, and made for jit and vmap: the density may be traced. The mask keeps exactly
round(density * prunable parameters) of them.
"""


def resolve_density(problem: Problem, density: jax.Array | float | str) -> jax.Array | float:
    """The density that "ticket" stands for; anything else passes through.

    Raises ValueError for another word, for "ticket" where the task has no ticket of this depth,
    and for a number that is no density.
    """
    if isinstance(density, str):
        if density != "ticket":
            raise ValueError(f'density must be a number or "ticket", got {density!r}')
        if problem.ticket_density is None:
            raise ValueError('density "ticket": the task has no ticket of this depth')
        density = problem.ticket_density
    selection.check_density(density, problem.prunable)
    return density


def outputs_of(problem: Problem, params: Tree, x: jax.Array) -> jax.Array:
    """Outputs of a network on many samples, computed in blocks to save memory."""
    return outputs_at(problem, params, x)[0]


def outputs_at(problem: Problem, params: Tree, *inputs: jax.Array) -> list[jax.Array]:
    """Outputs of a network on several sets of samples, in one loop over blocks of all samples.

    A loop holds the activations of one block, and is compiled once for all sets.

    Args:
        problem: the problem with the network.
        params: the network's parameters.
        *inputs: (n, ...) samples each.

    Returns:
        (n, outputs) for each of them.
    """
    if inputs[0].ndim > 2:
        # Sets of images are too large to be concatenated.
        return [_images_outputs(problem, params, x) for x in inputs]
    sizes = [x.shape[0] for x in inputs]
    every = jnp.concatenate(inputs)
    if sum(sizes) <= SAMPLES_AT_ONCE:
        outputs = problem.apply(params, every)
    else:
        blocks = -(-sum(sizes) // SAMPLES_AT_ONCE)
        at_once = -(-sum(sizes) // blocks)
        filled = jnp.pad(every, ((0, blocks * at_once - sum(sizes)), (0, 0)))
        in_blocks = filled.reshape(blocks, at_once, -1)
        each = jax.lax.map(lambda x: problem.apply(params, x), in_blocks)
        outputs = each.reshape(blocks * at_once, *each.shape[2:])
    ends = list(itertools.accumulate(sizes, initial=0))
    return [outputs[start:end] for start, end in itertools.pairwise(ends)]


def _images_outputs(problem: Problem, params: Tree, x: jax.Array) -> jax.Array:
    if x.shape[0] <= IMAGES_AT_ONCE:
        return problem.apply(params, x)
    return jax.lax.map(
        lambda image: problem.apply(params, image[None])[0], x, batch_size=IMAGES_AT_ONCE
    )


def _check_batch(task: Task, batch: Batch) -> None:
    x_shape, y_shape = jnp.shape(batch.x), jnp.shape(batch.y)
    inputs = task.inputs if isinstance(task.inputs, tuple) else (task.inputs,)
    if x_shape[1:] != inputs:
        raise ValueError(f"batch.x must be (n, {', '.join(map(str, inputs))}), got {x_shape}")
    if task.kind == CLASSIFICATION:
        y_type = jnp.result_type(batch.y)
        if y_shape != x_shape[:1] or not jnp.issubdtype(y_type, jnp.integer):
            raise ValueError(f"batch.y must be ({x_shape[0]},) integers, got {y_shape} {y_type}")
    elif y_shape != (x_shape[0], task.outputs):
        raise ValueError(f"batch.y must be {(x_shape[0], task.outputs)}, got {y_shape}")
    for name, array in batch._asdict().items():
        dtype = jnp.result_type(array)
        if jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float32:
            raise ValueError(f"batch.{name} must be float32, got {dtype}")


def make_problem(
    task: Task,
    model: Model,
    params: Tree,
    batch: Batch,
    *,
    objective: str | None = None,
    prune_bias: bool = True,
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
) -> Problem:
    """All that a seeker may see of a (planted) network: parameters, data, and the rules.

    It knows the density "ticket" if the task has a ticket of this depth.

    Args:
        task, model: what is learned, and by which network.
        params: as planted, a tree like model.init() gives.
        batch: x (n, inputs), y (n, outputs) or, for classification, (n,) integers.
        objective, prune_bias, augment: as in Problem.

    Returns:
        A Problem.

    Raises:
        ValueError: an unknown objective or kind of task; parameters or data of another type than
            float32; data of the wrong shape, which would otherwise broadcast to a meaningless
            loss; layers that the tree does not have.
    """
    if objective is not None:
        check_choice("objective", objective, OBJECTIVES)
    check_choice("a task's kind", task.kind, KINDS)
    check_parameters(params)
    _check_batch(task, batch)
    layers = layers_of(model, params, task)
    seen = view(params, layers)
    try:
        target = task.ticket(depth=len(layers) + 1)
    except ValueError:  # a task without a ticket of this depth: "ticket" then names no density
        known = None
    else:
        known = masks.ticket_density(target_view(target, layers), seen, prune_bias)
    return Problem(
        params,
        batch,
        model.apply,
        task.kind,
        objective,
        prune_bias,
        known,
        layers,
        model.flow,
        augment,
    )
