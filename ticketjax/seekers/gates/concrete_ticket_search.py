"""Concrete ticket search: relaxed draws around the budget, their price set by GradBalance."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import CLASSIFICATION, Tree
from ticketjax.checks import option
from ticketjax.networks.activations import relu_outputs
from ticketjax.problem import Problem
from ticketjax.seekers.gates.search import Gates, GateSeeker, Method
from ticketjax.seekers.prunable import Prunable
from ticketjax.selection import budget

TARGETS = ("loss", "kl", "features")
# As published: what multiplies target and count, by how much the count may exceed the budget, how
# fast the price moves, and when the learning rate falls to a tenth.
FACTOR = 100.0
SLACK = 1.1
SMOOTHING = 0.01
DECAY_AT = 0.88
# The price before the first step; no price is below 0.
NONE_YET = -1.0


def divergence_from_dense(problem: Problem, params: Tree) -> jax.Array:
    """KL(p || p_dense) of the classes' probabilities, the mean over the samples.

    Args:
        problem: whose parameters are the dense network's.
        params: a tree like these; p is this network's.

    Returns:
        () float32.
    """
    log_p = jax.nn.log_softmax(problem.apply(params, problem.batch.x))
    dense = jax.nn.log_softmax(problem.apply(problem.params, problem.batch.x))
    return jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - dense), axis=1))


def standardised(activations: jax.Array) -> jax.Array:
    """(x - mean) / (deviation + 1e-9) of each sample's activations.

    Args:
        activations: (n, activations), of which there are at least 2.

    Returns:
        The same shape; 0 for a sample whose activations are all equal.
    """
    centred = activations - jnp.mean(activations, axis=1, keepdims=True)
    variance = jnp.sum(centred**2, axis=1, keepdims=True) / (activations.shape[1] - 1)
    # The root has no derivative at 0.
    varies = variance > 0
    deviation = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return centred / (deviation + 1e-9)


def feature_distance(problem: Problem, params: Tree) -> jax.Array:
    """Mean squared difference of standardised activations from the dense network's.

    Args:
        problem: whose parameters are the dense network's.
        params: a tree like these.

    Returns:
        () float32, the mean over the ReLUs and, for a classification, the classes' probabilities.

    Raises:
        ValueError: a network in which no ReLU of at least two neurons can be seen.
    """

    def features(of: Tree) -> list[jax.Array]:
        outputs, rectified = relu_outputs(problem.apply, of, problem.batch.x)
        if not any(activations.shape[1] > 1 for activations in rectified):
            raise ValueError(
                "target 'features' needs a network with ReLUs of at least two neurons, as "
                "jax.nn.relu or jnp.maximum(x, 0) outside of loops; none was found"
            )
        if problem.kind == CLASSIFICATION:
            rectified.append(jax.nn.softmax(outputs))
        # A single neuron has no deviation.
        return [standardised(each) for each in rectified if each.shape[1] > 1]

    pairs = zip(features(params), features(problem.params), strict=True)
    return jnp.mean(jnp.stack([jnp.mean((sparse - dense) ** 2) for sparse, dense in pairs]))


def _norm(vector: jax.Array) -> jax.Array:
    """Euclidean, by the largest entry first, whose square may be out of float32's range."""
    largest = jnp.max(jnp.abs(vector))
    return largest * jnp.linalg.norm(vector / jnp.where(largest > 0, largest, 1.0))


def next_price(
    price: jax.Array | float, of_target: jax.Array, of_count: jax.Array, is_over: jax.Array | bool
) -> jax.Array:
    """GradBalance: the price of the count that would make both slopes equally long, smoothed.

    Args:
        price: () of the step before; below 0 for none.
        of_target, of_count: (n,) slopes of the target and of the count.
        is_over: whether more gates are open than may be. Otherwise the price tends to 0.

    Returns:
        () the price of this step, at least 0.

    >>> float(next_price(2.0, jnp.array([3.0, 4.0]), jnp.array([0.0, 0.5]), True))
    2.08
    """
    length = _norm(of_count)
    balanced = _norm(of_target) / jnp.where(length > 0, length, 1.0)
    wanted = jnp.where(is_over & (length > 0), balanced, 0.0)
    return jnp.where(price < 0, wanted, (1 - SMOOTHING) * price + SMOOTHING * wanted)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class ConcreteTicketSearch(GateSeeker):
    """A seeker that trains concrete gates which are as few as the budget from the start.

    Every logit a starts at logit(K / n). In every step m = sigmoid(a + Logistic(0, 1) / tau)
    multiplies the parameters; t is the slope of 100 R by a, R the target, and c that of
    100 sum sigmoid(a) / (1.1 K). Adam follows t + lambda c, where
    lambda <- 0.99 lambda + 0.01 lambda* (in the first step: lambda*), and lambda* = |t| / |c| while
    sum sigmoid(a) > 1.1 K, otherwise 0. The K largest a are kept.

    Args:
        target: R. "loss" is the task's loss under the objective; "kl" is KL(p || p_dense) of a
            classification, "features" the distance of standardised activations, both from the
            network without a mask: they use no labels. The outputs of a network in which a ticket
            is planted are noise without the mask, so that both can only preserve how it trains.
        temperature: tau. An entry of m is above 1/2 with probability sigmoid(a tau).
        epochs: 60 are about 2,100 steps at 9,000 samples.
        learning_rate: of Adam, until 88% of the steps.
        decay: let it fall to a tenth then.
        unit_gradients: bring t to norm 1, at which lambda* is 1 / |c|; off as published.
        objective: of the target "loss", as in GateSeeker; the others use none.
        scope, batch_size, restarts, optimizer: as in GateSeeker.

    Raises:
        ValueError: an option of another type or range, another target; when called, the target "kl"
            for a regression, "features" for a network without ReLUs.

    Source: Arora and Teuscher 2025, arXiv 2512.07142, and the authors' code.
    Published: tau 2/3, Adam with the data set's rate of training (0.1 for CIFAR), batches of 512,
        160 epochs, or 20; batch normalisation as it is in evaluation.
    Departures: those of GateSeeker but the gradients of norm 1 (the rate is the published one); a
        slope that is no number counts as 0; features of a regression are those of its ReLUs.

    >>> seeker = ConcreteTicketSearch(target="kl")  # (key, problem, density) -> Found
    """

    target: str = option("loss", choices=TARGETS)
    temperature: float = option(2 / 3, above=0)
    learning_rate: float = option(0.1, above=0)
    unit_gradients: bool = option(False)

    name: ClassVar[str] = "concrete_ticket_search"

    def own_optimizer(self, steps: int) -> optax.GradientTransformation:
        """Adam, whose rate falls once."""
        if not self.decay:
            return optax.adam(self.learning_rate)
        falls = {round(DECAY_AT * steps): 0.1}
        return optax.adam(optax.piecewise_constant_schedule(self.learning_rate, falls))

    def loss(self, problem: Problem, prunable: Prunable, mask: jax.Array) -> jax.Array:
        """The target of the masked network."""
        if self.target == "loss":
            return FACTOR * super().loss(problem, prunable, mask)
        masked = prunable.network(mask * prunable.parameters)
        if self.target == "features":
            return FACTOR * feature_distance(problem, masked)
        if problem.kind != CLASSIFICATION:
            raise ValueError(
                "target 'kl' needs a classification, whose outputs are probabilities of classes; "
                f"got a {problem.kind}, for which target may be 'loss' or 'features'"
            )
        return FACTOR * divergence_from_dense(problem, masked)

    def method(self) -> Method:
        """Logits of relaxed draws, and a price."""

        def init(key, size, density):
            del key
            kept = jnp.asarray(budget(density, size), jnp.float32)
            # Half a gate at least on either side: infinite logits could not move.
            start = jnp.log(jnp.maximum(kept, 0.5)) - jnp.log(jnp.maximum(size - kept, 0.5))
            return Gates(jnp.full(size, start), memory=jnp.float32(NONE_YET))

        def relax(key, gates, moment):
            del moment
            noise = jax.random.logistic(key, gates.values.shape, jnp.float32)
            return jax.nn.sigmoid(gates.values + noise / self.temperature)

        def most(gates, moment):
            return SLACK * jnp.maximum(budget(moment.density, gates.values.size), 1)

        def count(gates, moment):
            return FACTOR * jnp.sum(jax.nn.sigmoid(gates.values)) / most(gates, moment)

        def balance(of_target, of_count, gates, moment):
            usable = jnp.max(jnp.abs(of_target)) < jnp.inf
            of_target = jnp.where(usable, of_target, 0.0)
            is_over = count(gates, moment) > FACTOR
            price = next_price(gates.memory, of_target, of_count, is_over)
            return of_target + price * of_count, gates._replace(memory=price)

        return Method(init, relax, count, balance=balance)
