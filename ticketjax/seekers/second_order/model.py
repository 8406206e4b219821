"""The quadratic model of the loss: a least-squares problem of as many rows as there are samples.

With G the gradients of n samples, (n, d), at parameters theta, the loss of w is taken for

    (|G (w - theta) + 1|^2 / n + damp |w - theta|^2) / 2

up to a constant: G^T 1 / n is the slope of the loss, G^T G / n its empirical Fisher matrix, in
place of the Hessian. No d x d matrix is ever formed.
"""

import abc
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ticketjax.base import Batch, Found, Tree
from ticketjax.checks import Options, option
from ticketjax.masks import full_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, fused_adam, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.prunable import Prunable
from ticketjax.training import BATCH_SIZE, train_in_random_order

SAMPLES = 100
# Of the least-squares problem: in theory, as many as there are samples solve it.
CONJUGATE_STEPS = 50


class Quadratic(NamedTuple):
    """The model.

    Args:
        theta: (d,) where it is exact.
        rows: (n, d) gradients of the samples over the root of n.
        offset: (n,) 1 over the root of n; 0 for a model without slope.
        damp: added to the diagonal of the Hessian.
    """

    theta: jax.Array
    rows: jax.Array
    offset: jax.Array
    damp: float

    def residual(self, w: jax.Array) -> jax.Array:
        """Rows (w - theta) + offset, (n,)."""
        return self.rows @ (w - self.theta) + self.offset

    def value(self, w: jax.Array) -> jax.Array:
        """The model of the loss, (); |offset|^2 / 2 at theta."""
        moved = self.damp * jnp.sum((w - self.theta) ** 2)
        return (jnp.sum(self.residual(w) ** 2) + moved) / 2

    def slope(self, w: jax.Array) -> jax.Array:
        """The gradient of value(), (d,)."""
        return self.residual(w) @ self.rows + self.damp * (w - self.theta)

    def refitted(self, kept: jax.Array) -> jax.Array:
        """The best parameters that are 0 where they are not kept, by conjugate gradients.

        Args:
            kept: (d,) bool.

        Returns:
            (d,) of no higher value than theta with zeros: after CONJUGATE_STEPS, or exactly if n
            is less than that.
        """

        def free(vector: jax.Array) -> jax.Array:
            return jnp.where(kept, vector, 0.0)

        def step(_, state):
            w, downhill, direction = state
            curved = free((self.rows @ direction) @ self.rows + self.damp * direction)
            size, curvature = jnp.sum(downhill**2), jnp.sum(direction * curved)
            # At the solution both are 0.
            length = size / jnp.where(curvature > 0, curvature, jnp.inf)
            after = downhill - length * curved
            turn = jnp.sum(after**2) / jnp.where(size > 0, size, jnp.inf)
            return w + length * direction, after, after + turn * direction

        start = free(self.theta)
        downhill = -free(self.slope(start))
        return jax.lax.fori_loop(0, CONJUGATE_STEPS, step, (start, downhill, downhill))[0]


def sample_gradients(problem: Problem, prunable: Prunable) -> jax.Array:
    """The gradient of every sample's loss by the prunable parameters.

    Under the rescaled objective, the scale is that of all of these samples.

    Args:
        problem: whose batch they are.
        prunable: of this problem.

    Returns:
        (n, d); their mean is the gradient of problem.descent_loss().
    """
    x, theta = problem.batch.x, prunable.parameters
    outputs = problem.apply(prunable.network(theta), x)
    of_outputs = dataclasses.replace(problem, apply=lambda given, _: given)
    slopes = x.shape[0] * jax.grad(of_outputs.descent_loss)(outputs)

    def one(sample: jax.Array, slope: jax.Array) -> jax.Array:
        return jax.grad(
            lambda vector: jnp.sum(problem.apply(prunable.network(vector), sample[None])[0] * slope)
        )(theta)

    return jax.vmap(one)(x, slopes)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class QuadraticSeeker(Options, abc.ABC):
    """A seeker that chooses what to keep by the quadratic model, at initialisation or trained.

    The mask is measured and trained from the *initial* values, as for every seeker. The model's own
    best values of what is kept are Found.info["params"], and are measured too (own_metric).

    Args:
        samples: how many of the training samples, the first ones; None for all. samples *
            parameters numbers are in memory.
        damp: added to the diagonal of the Hessian.
        slope: whether the model has the slope of the loss. It matters at initialisation.
        epochs: of training all parameters, before the model is made; 0 for none.
        batch_size: samples per step of that training.
        learning_rate: of its Adam.
        optimizer: in place of Adam, text such as "sgd(0.1)" or an optax.GradientTransformation;
            learning_rate is then ignored.
        objective: of the model, "raw" as published or "rescaled". The problem's own overrides it.
            Training is always that of the raw output.
    """

    samples: int | None = option(SAMPLES, least=1, none=True)
    damp: float = option(1e-4, above=0)
    slope: bool = option(True)
    epochs: int = option(0, least=0)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(1e-3, least=0)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=OBJECTIVES)

    def check(self) -> None:
        """Refuse an optimizer that is none."""
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    @abc.abstractmethod
    def prunable(self, problem: Problem) -> Prunable:
        """The parameters as a vector, with the scope of the seeker."""

    @abc.abstractmethod
    def choose(
        self, model: Quadratic, prunable: Prunable, density: jax.Array | float
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """What to keep, (d,) bool, its values, (d,), 0 elsewhere, and entries of Found.info."""

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        if self.epochs:
            problem = dataclasses.replace(problem, params=self._trained(key, problem))
        batch = Batch(*(array[: self.samples] for array in problem.batch))
        seen = dataclasses.replace(problem, batch=batch)
        prunable = self.prunable(seen)
        gradients = sample_gradients(seen, prunable)
        root = jnp.sqrt(jnp.float32(gradients.shape[0]))
        offset = jnp.full(gradients.shape[0], float(self.slope)) / root
        model = Quadratic(prunable.parameters, gradients / root, offset, self.damp)
        kept, values, info = self.choose(model, prunable, density)
        lowest = jnp.finfo(jnp.float32).min
        sizes = jnp.where(jnp.isfinite(values), jnp.abs(values), lowest)
        mask, scores, _ = prunable.found(jnp.where(kept, sizes, -jnp.inf), density)
        return Found(mask, scores, {"params": prunable.network(values), **info})

    def _trained(self, key: jax.Array, problem: Problem) -> Tree:
        optimizer = self.optimizer or fused_adam(self.learning_rate)
        everything = full_mask(problem.params)
        return train_in_random_order(
            key, problem, everything, self.epochs, self.batch_size, optimizer
        )
