"""Sparse training that exchanges connections: what RigL and SET share, all but how they grow."""

import abc
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ticketjax.base import Batch, Found, Tree
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask, full_mask, layer_names, prunable_leaves
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, fused_adam, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.scores.layer_densities import erk
from ticketjax.selection import Scope, check_scope, exclude, top_k_mask
from ticketjax.training import BATCH_SIZE, shuffles


def exchanged(
    magnitudes: jax.Array, kept: jax.Array, growth: jax.Array, fraction: jax.Array | float
) -> jax.Array:
    """The mask of a layer of which a fraction is dropped, and as many grown.

    Args:
        magnitudes: (n,) at least 0; the smallest of the kept ones are dropped. NaN counts as 0.
        kept: (n,) bool.
        growth: (n,) at least 0; the largest grow, of those that are not kept or just dropped. NaN
            counts as 0.
        fraction: of the kept ones, in 0..1; the number is rounded down.

    Returns:
        (n,) bool, as many as before. Among equals, the first ones are kept and grown.

    >>> kept = jnp.array([True, True, True, False, False])
    >>> magnitudes, growth = jnp.array([3, 1, 2, 0, 0.0]), jnp.array([9, 2, 9, 1, 3.0])
    >>> exchanged(magnitudes, kept, growth, 1 / 3).tolist()
    [True, False, True, False, True]
    """
    size = jnp.sum(kept)
    count = jnp.floor(jnp.float32(fraction) * size).astype(size.dtype)

    def rank(score: jax.Array, chosen: jax.Array) -> jax.Array:
        return jnp.where(chosen, jnp.where(score > 0, score, 0.0), -1.0)

    stay = top_k_mask(rank(magnitudes, kept), size - count)
    return stay | top_k_mask(rank(growth, ~stay), count)


def exchanged_layers(
    problem: Problem, params: Tree, mask: Tree, growth: Tree, fraction: jax.Array
) -> Tree:
    """The mask after an exchange within every layer, by exchanged().

    Args:
        problem: whose layers they are.
        params, mask, growth: trees like its params.
        fraction: () float32.

    Returns:
        A bool tree like params. What is not prunable stays as it is.
    """
    new = problem.view(mask)
    layers = (
        prunable_leaves(problem.view(tree), problem.prune_bias) for tree in (params, mask, growth)
    )
    for name, *leaves in zip(layer_names(new), *layers, strict=True):
        theta, kept, scores = (jnp.concatenate([p.ravel() for p in parts]) for parts in leaves)
        after = exchanged(jnp.abs(theta), kept, scores, fraction)
        shapes = [leaf.shape for leaf in leaves[0]]
        split = jnp.split(after, np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1])
        parts = [part.reshape(shape) for part, shape in zip(split, shapes, strict=True)]
        new[name] |= dict(zip(("kernel", "bias"), parts, strict=False))
    return problem.restore(new, mask)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class DynamicSeeker(Options, abc.ABC):
    """A seeker that trains under a mask, and exchanges a fraction of each layer now and then.

    The first mask is random, with the layer densities of erk. Every `interval` steps, a step drops
    the smallest |theta| of each layer and grows as many others, which start at 0; the others are
    steps of the optimizer. The number of parameters of a layer never changes. The exchanged
    fraction falls as a cosine, from `fraction` to 0 at `until` of all steps; the mask then stays.

    What was trained is Found.info["params"]. The mask itself is measured and trained from the
    *initial* values, as for every seeker. Grown parameters have left their initial values, so this
    seeker is one for the weak and the own quality, not for strong tickets. Found.scores are the
    trained magnitudes, -inf for what is pruned.

    Args:
        fraction: of the parameters of a layer that the first exchange would drop.
        interval: steps from one exchange to the next; None for those of an epoch.
        until: the fraction of all steps after which the mask stays.
        scope: "global" for the layer densities of erk, "local" for equal ones, or LayerBudgets.
        epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: of Adam.
        optimizer: in place of Adam, text such as "sgd(0.1, momentum=0.9)" or an
            optax.GradientTransformation; learning_rate is then ignored.
        objective: of the training, "raw" as published or "rescaled". The problem's own overrides
            it.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer.

    Departures from what is published, in both: Adam with a constant rate and no decay of weights;
        a bias counts to its layer where it is prunable; exactly K are kept.
    """

    fraction: float = option(0.3, least=0, most=1)
    interval: int | None = option(None, least=1, none=True)
    until: float = option(0.75, above=0, most=1)
    scope: Scope = option("global", free=True)
    epochs: int = option(50, least=1)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(1e-3, least=0)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=OBJECTIVES)

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none."""
        check_scope(self.scope)
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    @abc.abstractmethod
    def growth(self, key: jax.Array, problem: Problem, gradients: Tree) -> Tree:
        """At least 0, a tree like the gradients (of all parameters): the largest grow."""

    def exchanges(self, epochs: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """When connections are exchanged, and which fraction of them.

        Args:
            epochs, steps: of the training, and of an epoch.

        Returns:
            (epochs, steps) bool and float32. The first step of all is number 0, and never one.
        """
        number = np.arange(epochs * steps).reshape(epochs, steps)
        last = self.until * number.size
        due = (number % (self.interval or steps) == 0) & (number > 0) & (number < last)
        fraction = self.fraction / 2 * (1 + np.cos(np.pi * np.minimum(number / last, 1)))
        return due, fraction.astype(np.float32)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        mask_key, order_key, step_key = jax.random.split(key, 3)
        order = shuffles(order_key, self.epochs, problem.batch.x.shape[0], self.batch_size)
        transformation = make_optimizer(self.optimizer or fused_adam(self.learning_rate))
        steps = order.shape[1]
        due, fraction = map(jnp.asarray, self.exchanges(self.epochs, steps))

        def step(carry, inputs):
            number, due, fraction, batch = inputs
            params, mask, state = carry
            augment_key, growth_key = jax.random.split(jax.random.fold_in(step_key, number))
            if problem.augment is not None:
                batch = batch._replace(x=problem.augment(augment_key, batch.x))
            here = dataclasses.replace(problem, batch=batch)
            gradients = jax.grad(here.descent_loss)(params)

            def descend():
                updates, new_state = transformation.update(
                    apply_mask(gradients, mask), state, params
                )
                return optax.apply_updates(params, apply_mask(updates, mask)), mask, new_state

            def exchange():
                growth = self.growth(growth_key, problem, gradients)
                after = exchanged_layers(problem, params, mask, growth, fraction)
                # What has just grown is 0 already, as all that was pruned.
                return apply_mask(params, after), after, state

            return jax.lax.cond(due, exchange, descend), None

        def epoch(carry, inputs):
            *carry, masks = carry
            i, indices, due, fraction = inputs
            numbers = i * steps + jnp.arange(steps, dtype=jnp.int32)
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            carry, _ = jax.lax.scan(step, tuple(carry), (numbers, due, fraction, batches))
            masks = with_checkpoint(masks, i + 1, self.epochs, lambda: carry[1])
            return (*carry, masks), None

        everything = full_mask(problem.params)
        scores = erk(mask_key, problem, problem.params, everything)
        mask = problem.select(scores, density, self.scope)
        params = apply_mask(problem.params, mask)
        nothing = no_checkpoints(problem.params, self.epochs)
        start = params, mask, transformation.init(params), nothing
        numbers = jnp.arange(self.epochs, dtype=jnp.int32)
        (params, mask, _, masks), _ = jax.lax.scan(epoch, start, (numbers, order, due, fraction))
        scores = exclude(jax.tree.map(jnp.abs, params), mask)
        return Found(mask, scores, {"params": params, **as_info(masks, self.epochs)})
