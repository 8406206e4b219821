"""CHITA: the K parameters and their values that a quadratic model of the loss likes best."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.checks import option
from ticketjax.problem import Problem
from ticketjax.seekers.prunable import Prunable
from ticketjax.seekers.second_order.model import Quadratic, QuadraticSeeker
from ticketjax.selection import Scope, check_scope

# Sizes of a step, in units of the inverse of the model's largest curvature. The first cannot raise
# the model's loss; longer ones may lower it faster, and the best one is taken.
STEPS = (1.0, 4.0, 16.0, 64.0, 256.0)
POWER_ITERATIONS = 20


def largest_curvature(model: Quadratic) -> jax.Array:
    """The largest eigenvalue of the model's Hessian, (), by the power method, from below."""
    gram = model.rows @ model.rows.T

    def multiply(_, vector):
        product = gram @ vector
        size = jnp.linalg.norm(product)
        return product / jnp.where(size > 0, size, 1.0)

    start = jnp.full(gram.shape[0], 1.0) / jnp.sqrt(jnp.float32(gram.shape[0]))
    # Of vectors of length 1, their sum is no eigenvector that has nothing of the largest.
    vector = jax.lax.fori_loop(0, POWER_ITERATIONS, multiply, start)
    return jnp.linalg.norm(gram @ vector) + model.damp


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class CHITA(QuadraticSeeker):
    """A seeker that solves the quadratic model for K parameters, by iterative hard thresholding.

    Minimises |y - X w|^2 / 2 + n damp |w - theta|^2 / 2 over w with K entries other than 0, where X
    has the gradients of n samples as its rows and y = X theta - 1. A step is w <- H_K(w - step
    times the gradient), H_K keeping the K largest |w|, from H_K(theta); of several step sizes the
    best one is taken, and none that raises the loss. At last the K values are those of the
    least-squares problem. Found.scores are their sizes, -inf for what is pruned.

    Found.info has model_losses, (iterations + 1,), the model's loss before and after each step,
    less that of theta.

    Args:
        iterations: steps.
        scope: "global", "local" or LayerBudgets, as in problem.select().
        samples, damp, slope, epochs, batch_size, learning_rate, optimizer, objective: as in
            QuadraticSeeker.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer.

    Source: Benbaki et al. 2023, arXiv 2302.14623, the single-stage method.
    Published: of trained networks; on an active set of 1.5 K parameters that grows, with a line
        search, and the weights of the solution are used; for high sparsities in several stages.
    Departures: on all parameters at once; the best of five step sizes; biases as well; the mask is
        measured on initial values, the solution's weights as own_metric.

    >>> CHITA(iterations=50, damp=1e-3)  # (key, problem, density) -> Found
    CHITA(damp=0.001, iterations=50)
    """

    iterations: int = option(100, least=0)
    scope: Scope = option("global", free=True)

    name: ClassVar[str] = "chita"

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none."""
        super().check()
        check_scope(self.scope)

    def prunable(self, problem: Problem) -> Prunable:
        """The parameters as a vector, with the scope of the seeker."""
        return Prunable(problem, self.scope)

    def choose(
        self, model: Quadratic, prunable: Prunable, density: jax.Array | float
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """What to keep, its values, and the losses of the model."""
        sizes = jnp.asarray(STEPS, jnp.float32) / largest_curvature(model)

        def threshold(w):
            kept = prunable.keep(jnp.abs(w), density)
            w = jnp.where(kept, w, 0.0)
            loss = model.value(w)
            return w, kept, jnp.where(jnp.isnan(loss), jnp.inf, loss)

        def step(now, _):
            w, _, loss = now
            slope = model.slope(w)
            tried = jax.lax.map(lambda size: threshold(w - size * slope), sizes)
            best = jax.tree.map(lambda leaf: leaf[jnp.argmin(tried[2])], tried)
            better = best[2] < loss
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), best, now), loss

        now = threshold(model.theta)
        (_, kept, last), losses = jax.lax.scan(step, now, None, length=self.iterations)
        losses = jnp.append(losses, last) - jnp.sum(model.offset**2) / 2
        return kept, model.refitted(kept), {"model_losses": losses}
