"""The combinatorial brain surgeon: parameters whose removals cancel one another are pruned."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.problem import Problem
from ticketjax.seekers.prunable import Prunable
from ticketjax.seekers.second_order.model import Quadratic, QuadraticSeeker

# Twice the model's loss has to fall by this part of itself: less is rounding.
LEAST_GAIN = 1e-5


class Removal(NamedTuple):
    """Twice the loss of the model, of a set of pruned parameters: |sum of columns + offset|^2 + .

    Args:
        columns: (n, d): what removing each parameter adds to the residual of the model.
        offset: (n,) the residual of removing none.
        costs: (d,) damp theta^2, of each by itself.
    """

    columns: jax.Array
    offset: jax.Array
    costs: jax.Array

    @classmethod
    def of(cls, model: Quadratic) -> "Removal":
        """The removals of a model, which leave the other parameters as they are."""
        # Removal takes theta away; both signs are turned, as the square is the same.
        return cls(model.rows * model.theta[None], -model.offset, model.damp * model.theta**2)

    def value(self, pruned: jax.Array) -> jax.Array:
        """Twice the loss, ()."""
        residual = self.columns @ pruned.astype(jnp.float32) + self.offset
        return jnp.sum(residual**2) + jnp.sum(jnp.where(pruned, self.costs, 0.0))

    def swapped(self, pruned: jax.Array, candidates: int) -> jax.Array:
        """Another pruned set of the same size and no higher value.

        Args:
            pruned: (d,) bool.
            candidates: parameters to take from either set: those whose return alone would lower the
                value most, and those whose removal alone would raise it least.

        Returns:
            (d,) bool, after as many swaps, one after the other the best one, each candidate once.
        """
        residual = self.columns @ pruned.astype(jnp.float32) + self.offset
        reach = residual @ self.columns
        squares = jnp.sum(self.columns**2, axis=0)
        # The fall from a return (alpha), and the rise from a removal (beta), each by itself.
        alpha = jnp.where(pruned, 2 * reach - squares + self.costs, -jnp.inf)
        beta = jnp.where(pruned, jnp.inf, 2 * reach + squares + self.costs)
        alpha, back = jax.lax.top_k(alpha, candidates)
        beta, away = jax.lax.top_k(-beta, candidates)
        one, other = self.columns[:, back], self.columns[:, away]
        within_one, across, within_other = one.T @ one, one.T @ other, other.T @ other
        least = LEAST_GAIN * self.value(pruned)

        def swap(_, state):
            alpha, beta, returned, removed = state
            # What both do together is gamma, twice the product of their columns.
            change = beta[None] - alpha[:, None] - 2 * across
            allowed = ~returned[:, None] & ~removed[None] & pruned[back][:, None]
            change = jnp.where(allowed & ~pruned[away][None], change, jnp.inf)
            i, j = jnp.unravel_index(jnp.argmin(change), change.shape)
            better = change[i, j] < -least
            alpha_then = alpha + 2 * (across[:, j] - within_one[:, i])
            beta_then = beta + 2 * (within_other[:, j] - across[i])
            then = alpha_then, beta_then, returned.at[i].set(True), removed.at[j].set(True)
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), then, state)

        none = jnp.zeros(candidates, bool)
        start = alpha, -beta, none, none
        _, _, returned, removed = jax.lax.fori_loop(0, candidates, swap, start)
        after = pruned.at[back].set(pruned[back] & ~returned)
        return after.at[away].set(after[away] | removed)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class CombinatorialBrainSurgeon(QuadraticSeeker):
    """A seeker that swaps pruned for kept parameters while a quadratic model of the loss falls.

    The model's loss of pruning a set P is theta_P^T H theta_P / 2 - g^T theta_P. A swap of i, which
    returns, for j, which is pruned, changes twice the loss by beta_j - alpha_i - gamma_ij, where
    alpha_i is the fall from the return alone, beta_j the rise from the removal alone, and gamma_ij
    = 2 theta_i H_ij theta_j is what both do together. From the mask of largest magnitudes, each
    round takes the parameters with largest alpha and with smallest beta, and makes the best swaps
    among them, while there is one that lowers the loss. The budget is exact throughout.

    Found.info has model_losses, (rounds + 1,), the model's loss before and after each round, less
    that of pruning nothing.

    Args:
        rounds: how often candidates are taken.
        candidates: from either set in a round, and swaps that a round can make.
        scope: "global" alone, one budget over all layers.
        samples, damp, slope, epochs, batch_size, learning_rate, optimizer, objective: as in
            QuadraticSeeker.

    Raises:
        ValueError: an option of another type or range, an unknown optimizer.

    Source: Yu, Serra, Ramalingam and Zhe 2022, arXiv 2203.04466, the selection and the update.
    Published: of trained networks, without slope, from randomised magnitude pruning. Sorted by
        alpha and beta, i is tried with those j within 10 ranks; gains of 1e-4 or more are accepted,
        and 20 failures end the search. The weights that are left are then moved to the model's
        optimum.
    Departures: the best of all pairs of candidates; from magnitude pruning; relative gains; the
        slope, unless slope=False; biases as well; the mask is measured on initial values, the moved
        weights as own_metric.

    >>> CombinatorialBrainSurgeon(epochs=10, rounds=20)  # (key, problem, density) -> Found
    CombinatorialBrainSurgeon(epochs=10, rounds=20)
    """

    rounds: int = option(100, least=0)
    candidates: int = option(64, least=1)
    scope: str = option("global", choices=("global",))

    name: ClassVar[str] = "combinatorial_brain_surgeon"

    def prunable(self, problem: Problem) -> Prunable:
        """The parameters as a vector, with the scope of the seeker."""
        return Prunable(problem, self.scope)

    def choose(
        self, model: Quadratic, prunable: Prunable, density: jax.Array | float
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """What to keep, its values, and the losses of the model."""
        removal = Removal.of(model)
        candidates = min(self.candidates, model.theta.size)

        def step(pruned, _):
            return removal.swapped(pruned, candidates), removal.value(pruned)

        pruned = ~prunable.keep(jnp.abs(model.theta), density)
        pruned, values = jax.lax.scan(step, pruned, None, length=self.rounds)
        values = jnp.append(values, removal.value(pruned)) - jnp.sum(model.offset**2)
        return ~pruned, model.refitted(~pruned), {"model_losses": values / 2}
