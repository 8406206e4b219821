"""Learning-rate rewinding: train and prune in rounds, going on from the trained weights."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Found
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask, full_mask
from ticketjax.optimizers import Optimizer, fused_adam, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.strategies import round_density
from ticketjax.selection import Scope, check_scope, exclude
from ticketjax.training import BATCH_SIZE, train_in_random_order

LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Rewinding(Options):
    """A seeker that trains, prunes by magnitude, and resets the optimizer but not the weights.

    Round k trains the remaining weights from the final values of round k - 1, and keeps the
    density^(k / rounds) largest magnitudes; a pruned parameter never returns. The learning rate is
    constant here, so what is rewound of its schedule is Adam's own: moments and bias correction.
    After the last pruning, the remaining weights are trained once more and returned as
    Found.info["params"]. The mask itself is measured and trained from the *initial* values, as for
    every seeker. This measures the mask and not the trained weights.

    Found.scores are the trained magnitudes, -inf for what an earlier round pruned.

    Args:
        scope: "global", "local" or LayerBudgets, as in problem.select().
        rounds: of training and pruning.
        round_epochs: of training in each round.
        batch_size: samples per step.
        learning_rate: of Adam.
        optimizer: in place of Adam, text such as "sgd(0.1)" or an optax.GradientTransformation;
            learning_rate is then ignored.
        objective: "raw" alone, that of the training.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer.

    Source: Renda, Frankle and Carbin 2020, arXiv 2003.02389, section 2.
    Published: the whole training repeated in every round, its schedule of learning rates from the
        start, one threshold that prunes 20% of the weights; judged by the weights in the end.
    Departures: rounds of few epochs with Adam and a constant rate; density^(k / rounds) is kept in
        round k; biases are ranked with the weights where they are prunable. The trained weights are
        measured too (own_metric), beside the mask.

    >>> seeker = Rewinding(rounds=5)  # (key, problem, density) -> Found
    """

    scope: Scope = option("global", free=True)
    rounds: int = option(10, least=1)
    round_epochs: int = option(5, least=0)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(LEARNING_RATE, least=0)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=("raw",))

    name: ClassVar[str] = "rewinding"

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none."""
        check_scope(self.scope)
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density = resolve_density(problem, density)
        optimizer = fused_adam(self.learning_rate) if self.optimizer is None else self.optimizer

        def fit(params, mask, k):
            round_key = jax.random.fold_in(key, k)
            here = dataclasses.replace(problem, params=params)
            return train_in_random_order(
                round_key, here, mask, self.round_epochs, self.batch_size, optimizer
            )

        def again(carry, k):
            params, mask, _ = carry
            params = fit(params, mask, k)
            scores = exclude(jax.tree.map(jnp.abs, params), mask)
            target = density if self.rounds == 1 else round_density(density, k, self.rounds)
            mask = problem.select(scores, target, self.scope)
            return (apply_mask(params, mask), mask, scores), None

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), problem.params)
        start = problem.params, full_mask(problem.params), zeros
        rounds_from_1 = jnp.arange(1, self.rounds + 1, dtype=jnp.int32)
        (params, mask, scores), _ = jax.lax.scan(again, start, rounds_from_1)
        return Found(mask, scores, {"params": fit(params, mask, self.rounds + 1)})
