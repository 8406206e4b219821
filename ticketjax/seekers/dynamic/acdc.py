"""AC/DC: training that alternates between the largest weights and all of them."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ticketjax.base import Batch, Found
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask, full_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, fused_adam, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.selection import Scope, check_scope, exclude
from ticketjax.training import BATCH_SIZE, shuffles


def compressed_epochs(
    epochs: int, warm_up: float, phase: float, last_dense: float, last_compressed: float
) -> np.ndarray:
    """Which epochs train a compressed network.

    Args:
        epochs: how many.
        warm_up, phase, last_dense, last_compressed: lengths in parts of the epochs, rounded to
            whole ones: of the dense start, of each phase after it, and of the last two.

    Returns:
        (epochs,) bool. The last phase has at least one epoch.

    >>> "".join("dc"[int(c)] for c in compressed_epochs(20, 0.1, 0.1, 0.1, 0.15))
    'ddccddccddccddcddccc'
    """
    first, last = round(warm_up * epochs), max(round(last_compressed * epochs), 1)
    end = epochs - last
    dense = end - round(last_dense * epochs)
    length = max(round(phase * epochs), 1)
    number = np.arange(epochs)
    alternating = (number >= first) & ((number - first) // length % 2 == 0)
    return np.where(number >= end, True, np.where(number >= dense, False, alternating))


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ACDC(Options):
    """A seeker that trains all weights and the K largest ones in turn, and ends with the latter.

    After a dense start, compressed and dense phases alternate. A compressed phase begins by keeping
    the K largest |theta|, and trains these; a dense phase trains all, those that were pruned from
    0, with the optimizer's state as at the start. The mask is that of the last phase.

    What was trained is Found.info["params"]. The mask itself is measured and trained from the
    *initial* values, as for every seeker. Parameters return from 0 and not from their initial
    values, so this seeker is one for the weak and the own quality, not for strong tickets.
    Found.scores are the trained magnitudes, -inf for what is pruned.

    Args:
        warm_up: length of the dense start, in parts of the epochs.
        phase: length of each phase after it.
        last_dense, last_compressed: lengths of the last two phases.
        scope: "global", "local" or LayerBudgets, as in problem.select().
        epochs: passes over the training data; lengths are rounded to whole ones.
        batch_size: samples per step.
        learning_rate: of Adam.
        optimizer: in place of Adam, text such as "sgd(0.1, momentum=0.9)" or an
            optax.GradientTransformation; learning_rate is then ignored.
        objective: of the training, "raw" as published or "rescaled". The problem's own overrides
            it.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer; lengths that
            are more than the epochs together.

    Source: Peste, Iofinova, Vladu and Alistarh 2021, arXiv 2106.12379, algorithm 1.
    Published: for 100 epochs, 10 of warm-up, phases of 5, and at last 10 dense and 15 compressed
        ones; the largest weights of all layers; SGD with momentum, which a dense phase resets.
    Departures: Adam with a constant rate and no decay of weights; biases are ranked with the
        weights where they are prunable.

    >>> ACDC(epochs=20)  # (key, problem, density) -> Found
    ACDC(epochs=20)
    """

    warm_up: float = option(0.1, least=0, most=1)
    phase: float = option(0.05, above=0, most=1)
    last_dense: float = option(0.1, least=0, most=1)
    last_compressed: float = option(0.15, above=0, most=1)
    scope: Scope = option("global", free=True)
    epochs: int = option(100, least=1)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(1e-3, least=0)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=OBJECTIVES)

    name: ClassVar[str] = "acdc"

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none, and lengths that do not fit."""
        check_scope(self.scope)
        if self.optimizer is not None:
            make_optimizer(self.optimizer)
        together = self.warm_up + self.last_dense + self.last_compressed
        if together > 1:
            raise ValueError(
                "warm_up, last_dense and last_compressed must be at most 1 together, got "
                f"{together:g}"
            )

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        order_key, step_key = jax.random.split(key)
        order = shuffles(order_key, self.epochs, problem.batch.x.shape[0], self.batch_size)
        transformation = make_optimizer(self.optimizer or fused_adam(self.learning_rate))
        compressed = compressed_epochs(
            self.epochs, self.warm_up, self.phase, self.last_dense, self.last_compressed
        )
        begins = np.diff(compressed, prepend=False)
        everything = full_mask(problem.params)

        def scores(params, mask):
            return exclude(jax.tree.map(jnp.abs, params), mask)

        def keep(params, mask):
            return problem.select(scores(params, mask), density, self.scope)

        def step(carry, inputs):
            params, mask, state = carry
            key, batch = inputs
            if problem.augment is not None:
                batch = batch._replace(x=problem.augment(key, batch.x))
            here = dataclasses.replace(problem, batch=batch)
            gradients = apply_mask(jax.grad(here.descent_loss)(params), mask)
            updates, state = transformation.update(gradients, state, params)
            return (optax.apply_updates(params, apply_mask(updates, mask)), mask, state), None

        def epoch(carry, inputs):
            params, mask, state, masks = carry
            i, indices, is_compressed, begin = inputs
            mask = jax.lax.cond(begin & is_compressed, lambda: keep(params, mask), lambda: mask)
            to_dense = begin & ~is_compressed
            mask = jax.tree.map(lambda leaf: leaf | to_dense, mask)
            params = apply_mask(params, mask)
            fresh = transformation.init(params)
            state = jax.tree.map(lambda a, b: jnp.where(to_dense, a, b), fresh, state)
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            keys = jax.random.split(jax.random.fold_in(step_key, i), indices.shape[0])
            carry, _ = jax.lax.scan(step, (params, mask, state), (keys, batches))
            masks = with_checkpoint(masks, i, self.epochs, lambda: keep(*carry[:2]))
            return (*carry, masks), None

        nothing = no_checkpoints(problem.params, self.epochs)
        start = problem.params, everything, transformation.init(problem.params), nothing
        numbers = jnp.arange(1, self.epochs + 1, dtype=jnp.int32)
        inputs = numbers, order, jnp.asarray(compressed), jnp.asarray(begins)
        (params, mask, _, masks), _ = jax.lax.scan(epoch, start, inputs)
        return Found(mask, scores(params, mask), {"params": params, **as_info(masks, self.epochs)})
