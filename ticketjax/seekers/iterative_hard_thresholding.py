"""Iterative hard thresholding: train everything, and keep the largest parameters at every step."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Found
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.strategies import round_density
from ticketjax.selection import Scope, check_scope
from ticketjax.training import BATCH_SIZE, shuffles

EPOCHS = 10
LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class IterativeHardThresholding(Options):
    """A seeker that trains all parameters and sets all but the largest to 0 after every step.

    W <- H_K(W - Adam(dL/dW)), H_K keeping the K entries of largest |W|. A parameter at 0 still has
    a gradient, and returns if a step makes it one of the largest. Parameters that are not prunable
    are trained too, and stay. The mask is the last support, and is measured on initial values as
    for every seeker; what was trained is Found.info["params"]. Found.scores are |W| before the last
    threshold.

    Args:
        annealed: keep density^(i / epochs) in epoch i instead of the target from the start, where
            the first step already decides nearly everything.
        scope: "global", "local" or LayerBudgets, as in problem.select().
        epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: of Adam.
        optimizer: in place of Adam, text such as "sgd(0.1)" or an optax.GradientTransformation;
            learning_rate is then ignored.
        objective: of the training, "raw" as published or "rescaled". The problem's own overrides
            it.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer.

    Source: Blumensath and Davies 2009, arXiv 0805.0510, for linear models; of networks: Jin et al.
    2016, arXiv 1607.05423, and Fridovich-Keil and Pilanci 2025, arXiv 2509.20323.
    Published: Jin et al. alternate two phases, of some epochs each: training of what a threshold
        has left, and of the whole network. Fridovich-Keil and Pilanci prove recovery for networks
        of two layers, y = A w. All are judged by the weights that were trained, on the raw loss.
    Departures: one phase, with a threshold at every step, as in the linear method; Adam in place of
        the gradient; from random weights, not 0; weights and biases ranked together. The trained
        weights are measured too (own_metric), beside the mask.

    >>> seeker = IterativeHardThresholding(annealed=True)  # (key, problem, density) -> Found
    """

    annealed: bool = option(False)
    scope: Scope = option("global", free=True)
    epochs: int = option(EPOCHS, least=1)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(LEARNING_RATE, least=0)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=OBJECTIVES)

    name: ClassVar[str] = "iterative_hard_thresholding"

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none."""
        check_scope(self.scope)
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        order = shuffles(key, self.epochs, problem.batch.x.shape[0], self.batch_size)
        if self.optimizer is None:
            transformation = optax.adam(self.learning_rate)
        else:
            transformation = make_optimizer(self.optimizer)

        def keep(params, target):
            return problem.select(jax.tree.map(jnp.abs, params), target, self.scope)

        def step(carry, batch, target):
            params, state = carry
            # Thresholded before the gradient and not after, so that the last |W| can be told.
            params = apply_mask(params, keep(params, target))
            here = dataclasses.replace(problem, batch=batch)
            gradients = jax.grad(here.descent_loss)(params)
            updates, state = transformation.update(gradients, state, params)
            return (optax.apply_updates(params, updates), state), None

        def epoch(carry, inputs):
            *carry, masks = carry
            i, indices = inputs
            target = round_density(density, i, self.epochs) if self.annealed else density
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            (params, state), _ = jax.lax.scan(
                lambda c, batch: step(c, batch, target), tuple(carry), batches
            )
            masks = with_checkpoint(masks, i, self.epochs, lambda: keep(params, density))
            return (params, state, masks), None

        nothing = no_checkpoints(problem.params, self.epochs)
        start = problem.params, transformation.init(problem.params), nothing
        epochs_from_1 = jnp.arange(1, self.epochs + 1, dtype=jnp.int32)
        (params, _, masks), _ = jax.lax.scan(epoch, start, (epochs_from_1, order))
        mask = keep(params, density)
        info = {"params": apply_mask(params, mask), **as_info(masks, self.epochs)}
        return Found(mask, jax.tree.map(jnp.abs, params), info)
