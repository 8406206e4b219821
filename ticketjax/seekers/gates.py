"""What seekers with a trained gate per parameter share: the search, its schedules, its budget.

The network's parameters stay as they are. Every prunable one has a gate, a number that Adam moves;
a method says how gates become a mask, what keeps them few, and how they rank in the end. All
gates are one vector, so that each step draws, projects and updates them in one go.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from ticketjax.base import Batch, Found, Params, Problem, Seeker
from ticketjax.masks import check_scope, select, share
from ticketjax.objective import problem_loss
from ticketjax.seekers.restarts import best_of
from ticketjax.strategies import resolve_density
from ticketjax.training import check_count, shuffles

# In batches of 32, the noise of the gradient hides which gates matter.
BATCH_SIZE = 256
SCHEDULES = ("cubic", "log")


class Gates(NamedTuple):
    """Where a search stands.

    values: (n,) float32, one per prunable parameter: what Adam moves.
    memory: whatever else the method needs in the next step, a tree of arrays.
    """

    values: jax.Array
    memory: Any = ()


class Moment(NamedTuple):
    """When a step takes place.

    progress: () float32, the fraction of all steps that is done after this one, 1 in the last.
    density: () float32, what the search is to arrive at.
    """

    progress: jax.Array
    density: jax.Array


# (values, density) -> bool (n,): the gates that select() keeps under the seeker's scope.
Keep = Callable[[jax.Array, jax.Array], jax.Array]


def _no_penalty(gates: Gates, moment: Moment) -> jax.Array:
    return jnp.float32(0)


def _as_they_are(gates: Gates, *_: Any) -> Gates:
    return gates


@dataclasses.dataclass(frozen=True)
class Method:
    """An algorithm as pure functions on gates.

    init: (key, n) -> Gates.
    relax: (key, gates, moment) -> (n,) the mask of this step, differentiable in gates.values.
    penalty: (gates, moment) -> (), added to the loss.
    after_step: (gates, moment) -> gates, once Adam has moved them: a projection, a multiplier.
    after_epoch: (gates, moment, keep) -> gates.
    score: (gates) -> (n,), which the last selection ranks.
    """

    init: Callable[[jax.Array, int], Gates]
    relax: Callable[[jax.Array, Gates, Moment], jax.Array]
    penalty: Callable[[Gates, Moment], jax.Array] = _no_penalty
    after_step: Callable[[Gates, Moment], Gates] = _as_they_are
    after_epoch: Callable[[Gates, Moment, Keep], Gates] = _as_they_are
    score: Callable[[Gates], jax.Array] = lambda gates: gates.values


def check_schedule(schedule: str, ramp: tuple[float, float]) -> None:
    """Raise ValueError for an unknown schedule, or a ramp that is no part of the search."""
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    if not 0 <= ramp[0] < ramp[1] <= 1:
        raise ValueError(f"ramp must be two fractions 0 <= first < last <= 1, got {ramp}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError for anything but a number above 0."""
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")


def density_now(moment: Moment, schedule: str, ramp: tuple[float, float]) -> jax.Array:
    """Density at a moment: 1 before the ramp, the target after it, falling fast and then slowly.

    With r = (1 - t)^3 and t the fraction of the ramp that is done: "cubic" is
    density + (1 - density) r (Zhu and Gupta 2017, arXiv 1710.01878), "log" is density^(1 - r), the
    same curve for the logarithm, which spends most of the time near a very low density.
    """
    first, last = ramp
    remaining = (1 - jnp.clip((moment.progress - first) / (last - first), 0, 1)) ** 3
    if schedule == "cubic":
        return moment.density + (1 - moment.density) * remaining
    return moment.density ** (1 - remaining)


def raised_multiplier(multiplier: jax.Array, rate: float, size: jax.Array, budget: jax.Array):
    """One step of dual ascent on size <= budget: max(0, multiplier + rate log(size / budget)).

    The logarithm has the difference's sign, and is as quick at 10 parameters as at 10,000.
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

    schedule, ramp: of the budget, as in density_now().
    """

    def after_step(gates: Gates, moment: Moment) -> Gates:
        budget = density_now(moment, schedule, ramp) * gates.values.size
        multiplier = raised_multiplier(gates.memory, rate, open_gates(gates, moment), budget)
        return gates._replace(memory=multiplier)

    return after_step


def priced(open_gates: Count) -> Callable[[Gates, Moment], jax.Array]:
    """The penalty of a method whose memory is a multiplier: that times what is open."""
    return lambda gates, moment: gates.memory * open_gates(gates, moment)


def check_multiplier(penalty: float, dual_rate: float) -> None:
    """Raise ValueError for a multiplier that would be negative or stay 0."""
    if not (penalty >= 0 and dual_rate >= 0 and penalty + dual_rate > 0):
        raise ValueError(
            "penalty and dual_rate must be at least 0 and not both 0, "
            f"got {penalty!r} and {dual_rate!r}"
        )


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


def gate_seeker(
    method: Method,
    *,
    scope: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    decay: bool,
    unit_gradients: bool,
    restarts: int,
) -> Seeker:
    """The seeker that searches by a method: epochs * (samples // batch_size) steps of Adam.

    In every step, the gradient of the loss of relax(gates) * parameters on one batch, under the
    problem's objective, plus that of the penalty, moves the gates. In the end, select() keeps
    exactly the budget by score().

    scope: of that selection (and of after_epoch's), as in select(). A budget that enters the
        optimisation itself is one for the whole network.
    batch_size: samples per step; all of them, where there are fewer.
    learning_rate: of Adam, in the first step.
    decay: let it fall to 0 as a cosine; otherwise it stays, and so does the noise in the gates.
    unit_gradients: bring the loss's gradient to norm 1 in every step, the penalty's not, so that
        neither the loss's size nor a few violent batches decide.
    restarts: searches, of which the best on the training data counts; see best_of().

    Raises ValueError for an unknown scope, epochs, batch_size or restarts < 1, or a learning rate
    that is not above 0.
    """
    check_scope(scope)
    check_count("epochs", epochs, 1)
    check_count("batch_size", batch_size, 1)
    check_positive("learning_rate", learning_rate)

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        density = resolve_density(problem, density)
        target = jnp.asarray(density, jnp.float32)
        init_key, order_key, step_key = jax.random.split(key, 3)
        samples = problem.batch.x.shape[0]
        batch = min(batch_size, samples)
        steps = samples // batch
        rate = learning_rate
        if decay:
            rate = optax.cosine_decay_schedule(learning_rate, epochs * steps)
        optimiser = optax.adam(rate)

        def prunable(tree: Params) -> Params:
            if problem.prune_bias:
                return tree
            return {name: {"kernel": layer["kernel"]} for name, layer in tree.items()}

        parameters, unravel = ravel_pytree(prunable(problem.params))

        def whole(vector: jax.Array, rest: Params) -> Params:
            """A tree of the vector, with the rest's entry for what is not prunable."""
            part = unravel(vector)
            return {name: {**rest[name], **part[name]} for name in part}

        def choose(values: jax.Array, wanted: jax.Array | float) -> tuple[Params, Params]:
            scores = whole(values, jax.tree.map(jnp.zeros_like, problem.params))
            mask = select(
                scores,
                wanted,
                scope,
                prune_bias=problem.prune_bias,
                ticket_layers=problem.ticket_layers,
            )
            return mask, scores

        def keep(values: jax.Array, wanted: jax.Array) -> jax.Array:
            return ravel_pytree(prunable(choose(values, wanted)[0]))[0]

        def step(carry, indexed):
            gates, moments = carry
            i, data = indexed
            moment = Moment(share(i + 1, epochs * steps), target)
            here = dataclasses.replace(problem, batch=data)

            def loss(values: jax.Array) -> jax.Array:
                moved = gates._replace(values=values)
                mask = method.relax(jax.random.fold_in(step_key, i), moved, moment)
                return problem_loss(here, whole(mask * parameters, problem.params))

            gradient = jax.grad(loss)(gates.values)
            if unit_gradients:
                gradient = unit_norm(gradient)
            gradient += jax.grad(lambda v: method.penalty(gates._replace(values=v), moment))(
                gates.values
            )
            updates, moments = optimiser.update(gradient, moments)
            gates = gates._replace(values=gates.values + updates)
            return (method.after_step(gates, moment), moments), None

        def epoch(carry, i):
            order = shuffles(jax.random.fold_in(order_key, i), 1, samples, batch)[0]
            data = Batch(problem.batch.x[order], problem.batch.y[order])
            indexed = (i * steps + jnp.arange(steps), data)
            (gates, moments), _ = jax.lax.scan(step, carry, indexed)
            gates = method.after_epoch(gates, Moment(share(i + 1, epochs), target), keep)
            return (gates, moments), None

        gates = method.init(init_key, parameters.size)
        start = (gates, optimiser.init(gates.values))
        (gates, _), _ = jax.lax.scan(epoch, start, jnp.arange(epochs))
        mask, scores = choose(method.score(gates), density)
        return Found(mask, scores, {})

    return best_of(seek, restarts)
