"""FORCE: rounds of SNIP's score in which what was pruned may return."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask, full_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.strategies import RoundInfo, first_samples, round_density
from ticketjax.selection import Scope, check_scope, exclude


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Force(Options):
    """A seeker that prunes in rounds, at initialisation, by SNIP's score of every parameter.

    Round k keeps the density^(k / rounds) highest |theta * dL/dtheta|. The gradient is that of the
    network with the mask of the round before; theta is the initial value, also of what that mask
    has pruned. So a pruned parameter returns if the sparse network would need it. With one round it
    is SNIP. Iterative SNIP of the same paper, where nothing returns, is Singleshot(snip,
    rounds=60).

    Found.scores are those of the last round. Found.info has round_layer_kept and
    round_first_dead_layer, see RoundInfo.

    Args:
        scope: "global", "local" or LayerBudgets, as in problem.select().
        rounds: of scoring and pruning.
        score_samples: training samples of each gradient, as in Singleshot.
        objective: of the loss, "raw" as published or "rescaled". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range.

    Source: de Jorge, Sanyal, Behl, Torr, Rogez and Dokania 2021, arXiv 2006.09081, "FORCE".
    Published: 60 rounds, exponential schedule, one batch a round (CIFAR-10); of kernels.
    Departures: biases are ranked with the weights where they are prunable; all rounds see the same
        40 samples unless told otherwise; exactly the budget, where their code keeps all that tie.

    >>> Force(rounds=10)  # (key, problem, density) -> Found
    Force(rounds=10)
    """

    scope: Scope = option("global", free=True)
    rounds: int = option(60, least=1)
    score_samples: int | str | None = option("auto", least=1, word="auto", none=True)
    objective: str = option("raw", choices=OBJECTIVES)

    name: ClassVar[str] = "force"

    def check(self) -> None:
        """Refuse a scope that is none."""
        check_scope(self.scope)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        del key
        density = resolve_density(problem, density)
        scored = first_samples(problem.by_default(self.objective), self.score_samples)
        everything = full_mask(problem.params)

        def prune(carry: tuple[Tree, Tree], k: jax.Array) -> tuple[tuple[Tree, Tree], RoundInfo]:
            gradients = jax.grad(scored.descent_loss)(apply_mask(problem.params, carry[0]))
            scores = jax.tree.map(lambda p, g: jnp.abs(p * g), problem.params, gradients)
            scores = exclude(scores, everything)
            target = density if self.rounds == 1 else round_density(density, k, self.rounds)
            mask = problem.select(scores, target, self.scope)
            return (mask, scores), RoundInfo.of(problem, mask)

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), problem.params)
        rounds_from_1 = jnp.arange(1, self.rounds + 1, dtype=jnp.int32)
        (mask, scores), info = jax.lax.scan(prune, (everything, zeros), rounds_from_1)
        return Found(mask, scores, info._asdict())
