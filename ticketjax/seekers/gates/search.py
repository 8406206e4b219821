"""What seekers with a trained gate per parameter share: the search, its schedules, its budget.

The network's parameters stay as they are. Every prunable one has a gate, a number that an optimizer
moves; a method says how gates become a mask, what keeps them few, and how they rank in the end. All
gates are one vector, so that each step draws, projects and updates them in one go.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Found
from ticketjax.checks import Options, option
from ticketjax.masks import share
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.best_of import BestOf
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.prunable import Prunable
from ticketjax.selection import Scope, check_scope
from ticketjax.training import shuffles

# In batches of 32, the noise of the gradient hides which gates matter.
BATCH_SIZE = 256
SCHEDULES = ("cubic", "log")


class Gates(NamedTuple):
    """The state of a search.

    Args:
        values: (n,) float32, one per prunable parameter: what the optimizer moves.
        memory: whatever else the method needs in the next step, a tree of arrays.
    """

    values: jax.Array
    memory: Any = ()


class Moment(NamedTuple):
    """When a step takes place.

    Args:
        progress: () float32, the fraction of all steps that is done after this one, 1 in the last.
        density: () float32, of the mask that the search has to return.
    """

    progress: jax.Array
    density: jax.Array


# (values, density) -> bool (n,): the gates that select() keeps under the seeker's scope.
Keep = Callable[[jax.Array, jax.Array], jax.Array]


def _no_penalty(gates: Gates, moment: Moment) -> jax.Array:
    return jnp.float32(0)


def _as_they_are(gates: Gates, *_: Any) -> Gates:
    return gates


def _added(
    of_loss: jax.Array, of_penalty: jax.Array, gates: Gates, moment: Moment
) -> tuple[jax.Array, Gates]:
    return of_loss + of_penalty, gates


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm as pure functions on gates.

    Args:
        init: (key, n, density) -> Gates, the density being that of Moment.
        relax: (key, gates, moment) -> (n,) the mask of this step, differentiable in gates.values.
        penalty: (gates, moment) -> (), added to the loss.
        after_step: (gates, moment) -> gates, once the optimizer has moved them: a projection, a
            multiplier.
        after_epoch: (gates, moment, keep) -> gates.
        score: (gates) -> (n,), which the last selection ranks.
        balance: (slope of the loss, slope of the penalty, gates, moment) -> (slope, gates), what
            the optimizer follows; their sum, if nothing else is said.
    """

    init: Callable[[jax.Array, int, jax.Array], Gates]
    relax: Callable[[jax.Array, Gates, Moment], jax.Array]
    penalty: Callable[[Gates, Moment], jax.Array] = _no_penalty
    after_step: Callable[[Gates, Moment], Gates] = _as_they_are
    after_epoch: Callable[[Gates, Moment, Keep], Gates] = _as_they_are
    score: Callable[[Gates], jax.Array] = lambda gates: gates.values
    balance: Callable[[jax.Array, jax.Array, Gates, Moment], tuple[jax.Array, Gates]] = _added


def density_now(moment: Moment, schedule: str, ramp: tuple[float, float]) -> jax.Array:
    """Density at a moment: 1 before the ramp, the target after it, falling fast and then slowly.

    Args:
        moment: of the search.
        schedule: with r = (1 - t)^3 and t the fraction of the ramp that is done, "cubic" is
            density + (1 - density) r (Zhu and Gupta 2017, arXiv 1710.01878); "log" is
            density^(1 - r), the same curve for the logarithm, which is near a very low density for
            most of the time.
        ramp: the fractions of the search between which the density falls.

    Returns:
        () float32.
    """
    first, last = ramp
    remaining = (1 - jnp.clip((moment.progress - first) / (last - first), 0, 1)) ** 3
    if schedule == "cubic":
        return moment.density + (1 - moment.density) * remaining
    return moment.density ** (1 - remaining)


def raised_multiplier(multiplier: jax.Array, rate: float, size: jax.Array, budget: jax.Array):
    """One step of dual ascent on size <= budget: max(0, multiplier + rate log(size / budget)).

    The logarithm has the difference's sign, and is as quick at 10 parameters as at 10,000.

    Args:
        multiplier: () at least 0, before the step.
        rate: size of the step.
        size, budget: () numbers of parameters.

    Returns:
        () the multiplier after the step.
    """
    # A size that underflows is far below any budget.
    excess = jnp.log(jnp.maximum(size, 1e-3) / jnp.maximum(budget, 1e-3))
    return jnp.maximum(0.0, multiplier + rate * excess)


# (gates, moment) -> (): how many gates are open, as far as a relaxed gate can be.
Count = Callable[[Gates, Moment], jax.Array]


def dual_ascent(
    open_gates: Count,
    rate: float,
    schedule: str,
    ramp: tuple[float, float],
) -> Callable[[Gates, Moment], Gates]:
    """The step of a method whose memory is a multiplier: raise it while too many gates are open.

    Args:
        open_gates: (gates, moment) -> (), how many gates are open.
        rate: as in raised_multiplier().
        schedule, ramp: of the budget, as in density_now().

    Returns:
        The after_step of a Method.
    """

    def after_step(gates: Gates, moment: Moment) -> Gates:
        budget = density_now(moment, schedule, ramp) * gates.values.size
        multiplier = raised_multiplier(gates.memory, rate, open_gates(gates, moment), budget)
        return gates._replace(memory=multiplier)

    return after_step


def priced(open_gates: Count) -> Callable[[Gates, Moment], jax.Array]:
    """The penalty of a method whose memory is a multiplier: that times what is open."""
    return lambda gates, moment: gates.memory * open_gates(gates, moment)


def unit_norm(gradient: jax.Array) -> jax.Array:
    """A gradient over its Euclidean norm; 0 where that is 0, infinite or no number."""
    largest = jnp.max(jnp.abs(gradient))
    usable = (largest > 0) & (largest < jnp.inf)
    # First by the largest entry, whose square neither overflows nor underflows.
    scaled = jnp.where(usable, gradient / jnp.where(usable, largest, 1.0), 0.0)
    return scaled / jnp.where(usable, jnp.linalg.norm(scaled), 1.0)


def round_straight_through(values: jax.Array) -> jax.Array:
    """1 where a value exceeds 1/2, otherwise 0; the derivative is 1 everywhere."""
    return values + jax.lax.stop_gradient(jnp.where(values > 0.5, 1.0, 0.0) - values)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class GateSeeker(Options, abc.ABC):
    """A seeker that searches by a method: epochs * (samples // batch_size) steps of Adam.

    In every step, the gradient of the loss of relax(gates) * parameters on one batch, under the
    objective, plus that of the penalty, moves the gates (a method may balance the two). In the end,
    select() keeps exactly the budget by score().

    Args:
        scope: of that selection (and of after_epoch's), as in problem.select(). A budget that
            enters the optimisation itself is one for the whole network.
        epochs: how often all samples are seen.
        batch_size: samples per step; all of them, where there are fewer.
        learning_rate: of Adam, in the first step.
        decay: let it fall to 0 as a cosine; otherwise it stays, and so does the noise in the gates.
        unit_gradients: bring the loss's gradient to norm 1 in every step, the penalty's not, so
            that neither the loss's size nor a few violent batches decide.
        restarts: searches, of which the best on the training data counts; see BestOf.
        optimizer: moves the gates in place of Adam, text such as "sgd(0.1)" or an
            optax.GradientTransformation; learning_rate and decay are then ignored.
        objective: of the search: "rescaled", as frozen parameters cannot correct the output's
            scale, or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range, an unknown optimizer.

    Departures from what is published, in all of these seekers: the loss at the best output scale
        in place of the raw one; gradients of norm 1; the parameters stay frozen, where most train
        them at the same time or afterwards; biases have gates as weights have; exactly K are kept;
        learning rates and epochs were chosen here.
    """

    scope: Scope = option("global", free=True)
    epochs: int = option(60, least=1)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(0.03, above=0)
    decay: bool = option(True)
    unit_gradients: bool = option(True)
    restarts: int = option(1, least=1)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("rescaled", choices=OBJECTIVES)

    def check(self) -> None:
        """Refuse a scope or an optimizer that is none."""
        check_scope(self.scope)
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    @abc.abstractmethod
    def method(self) -> Method:
        """The algorithm with these options."""

    def loss(self, problem: Problem, prunable: Prunable, mask: jax.Array) -> jax.Array:
        """What the search descends: the loss of the masked network.

        Args:
            problem: with the data of one batch.
            prunable: the problem's parameters as a vector.
            mask: (n,), of the step, differentiable.

        Returns:
            () float32.
        """
        return problem.descent_loss(prunable.network(mask * prunable.parameters))

    def own_optimizer(self, steps: int) -> optax.GradientTransformation:
        """What moves the gates of a search of so many steps, if nothing else is chosen."""
        if self.decay:
            return optax.adam(optax.cosine_decay_schedule(self.learning_rate, steps))
        return optax.adam(self.learning_rate)

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        if self.restarts > 1:
            once = dataclasses.replace(self, restarts=1)
            return BestOf(once, restarts=self.restarts)(key, problem, density)
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        target = jnp.asarray(density, jnp.float32)
        init_key, order_key, step_key = jax.random.split(key, 3)
        samples = problem.batch.x.shape[0]
        batch = min(self.batch_size, samples)
        steps = samples // batch
        method, prunable = self.method(), Prunable(problem, self.scope)
        if self.optimizer is None:
            transformation = self.own_optimizer(self.epochs * steps)
        else:
            transformation = make_optimizer(self.optimizer)

        def gradient(
            gates: Gates, step_key: jax.Array, moment: Moment, data: Batch
        ) -> tuple[jax.Array, Gates]:
            here = dataclasses.replace(problem, batch=data)

            def loss(values: jax.Array) -> jax.Array:
                mask = method.relax(step_key, gates._replace(values=values), moment)
                return self.loss(here, prunable, mask)

            def penalty(values: jax.Array) -> jax.Array:
                return method.penalty(gates._replace(values=values), moment)

            slope = jax.grad(loss)(gates.values)
            slope = unit_norm(slope) if self.unit_gradients else slope
            return method.balance(slope, jax.grad(penalty)(gates.values), gates, moment)

        def step(carry, indexed):
            gates, state = carry
            i, data = indexed
            moment = Moment(share(i + 1, self.epochs * steps), target)
            slope, gates = gradient(gates, jax.random.fold_in(step_key, i), moment, data)
            updates, state = transformation.update(slope, state, gates.values)
            gates = gates._replace(values=gates.values + updates)
            return (method.after_step(gates, moment), state), None

        def epoch(carry, i):
            *carry, masks = carry
            order = shuffles(jax.random.fold_in(order_key, i), 1, samples, batch)[0]
            data = Batch(problem.batch.x[order], problem.batch.y[order])
            indexed = (i * steps + jnp.arange(steps, dtype=jnp.int32), data)
            (gates, state), _ = jax.lax.scan(step, tuple(carry), indexed)
            moment = Moment(share(i + 1, self.epochs), target)
            gates = method.after_epoch(gates, moment, prunable.keep)
            masks = with_checkpoint(
                masks,
                i + 1,
                self.epochs,
                lambda: prunable.found(method.score(gates), density).mask,
            )
            return (gates, state, masks), None

        gates = method.init(init_key, prunable.parameters.size, target)
        nothing = no_checkpoints(problem.params, self.epochs)
        start = gates, transformation.init(gates.values), nothing
        epochs = jnp.arange(self.epochs, dtype=jnp.int32)
        (gates, _, masks), _ = jax.lax.scan(epoch, start, epochs)
        found = prunable.found(method.score(gates), density)
        return found._replace(info=as_info(masks, self.epochs))


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ScheduledGateSeeker(GateSeeker):
    """A gate seeker with a budget that falls during the search.

    Args:
        schedule, ramp: of the budget K_t, "log" or "cubic", and the fractions of the search between
            which it falls; see density_now().
        scope, epochs, batch_size, learning_rate, decay, unit_gradients, restarts, optimizer,
            objective: as in GateSeeker.
    """

    schedule: str = option("log", choices=SCHEDULES)
    ramp: tuple[float, float] = option((0.0, 0.8), least=0, most=1)

    def check(self) -> None:
        """Refuse a ramp that is no part of the search, besides."""
        super().check()
        first, last = self.ramp
        if not first < last:
            raise ValueError(f"ramp must be two fractions 0 <= first < last <= 1, got {self.ramp}")


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PricedGateSeeker(ScheduledGateSeeker):
    """A gate seeker whose open gates have a price, lambda, that dual ascent may raise.

    Args:
        penalty: lambda at first.
        dual_rate: how fast lambda answers to too many or too few open gates; with 0, it stays the
            penalty.
        schedule, ramp: as in ScheduledGateSeeker.
        scope, epochs, batch_size, learning_rate, decay, unit_gradients, restarts, optimizer,
            objective: as in GateSeeker.
    """

    penalty: float = option(0.0, least=0)
    dual_rate: float = option(1e-3, least=0)

    def check(self) -> None:
        """Refuse a price that would stay 0, besides."""
        super().check()
        if self.penalty + self.dual_rate == 0:
            raise ValueError(
                "penalty and dual_rate must be at least 0 and not both 0, "
                f"got {self.penalty!r} and {self.dual_rate!r}"
            )
