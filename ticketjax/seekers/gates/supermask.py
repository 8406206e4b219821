"""Supermasks: drawn binary masks, whose probabilities are learned straight through the draws."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Params
from ticketjax.checks import option
from ticketjax.problem import Problem
from ticketjax.seekers.gates.search import Gates, GateSeeker, Method
from ticketjax.seekers.prunable import Prunable


def draw(key: jax.Array, logits: jax.Array) -> jax.Array:
    """Draw m ~ Bernoulli(sigmoid(s)), exactly 0 or 1, with the derivative of sigmoid(s).

    Args:
        key: of the draws.
        logits: s, (n,).

    Returns:
        (n,) m.
    """
    probabilities = jax.nn.sigmoid(logits)
    drawn = jnp.where(jax.random.uniform(key, logits.shape) < probabilities, 1.0, 0.0)
    return drawn + (probabilities - jax.lax.stop_gradient(probabilities))


def rescaled_kernels(masks: Params) -> Params:
    """Every kernel's mask times its size over its sum; biases' masks stay.

    Args:
        masks: {"layer_0": {"kernel", "bias"}, ...}.

    Returns:
        A tree like masks; kernels without a single one stay 0.

    >>> mask = {"layer_0": {"kernel": jnp.array([[1.0, 0.0, 1.0]]), "bias": jnp.array([1.0])}}
    >>> rescaled_kernels(mask)["layer_0"]["kernel"].tolist()
    [[1.5, 0.0, 1.5]]
    """

    def one(layer: dict[str, jax.Array]) -> dict[str, jax.Array]:
        kernel = layer["kernel"]
        return {**layer, "kernel": kernel * (kernel.size / jnp.maximum(jnp.sum(kernel), 1.0))}

    return {name: one(layer) for name, layer in masks.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Supermask(GateSeeker):
    """A seeker that learns the probability of every entry of a mask, from drawn masks.

    Every logit s starts at `start`. In every step m ~ Bernoulli(sigmoid(s)) multiplies the
    parameters, and s descends by the gradient of the loss by m times that of sigmoid(s), with
    momentum. Nothing keeps the masks sparse. The K largest s are kept.

    With `rescale`, each kernel is multiplied by its size over the number of its ones, in the search
    alone. In a network without biases this is one positive factor of the output, which the
    rescaled objective takes out anyway. With biases, the measured network computes a different
    function.

    Args:
        start: every s at first: sigmoid(start) of all parameters are open.
        rescale: the dynamic rescaling above.
        epochs: 60 are about 2,100 steps at 9,000 samples.
        learning_rate: of the gradient descent. It is large, as a sigmoid's derivative and a single
            entry's share of the loss are small.
        momentum: of the gradient descent.
        decay: let the rate fall to 0 as a cosine; off as published.
        unit_gradients: as in GateSeeker, off as published.
        scope, batch_size, restarts, optimizer, objective: as in GateSeeker.

    Raises:
        ValueError: an option of another type or range.

    Source: Zhou, Lan, Liu and Yosinski 2019, arXiv 1905.01067, section 5.2, and the authors' code.
    Published: s = 0, other starts for other densities; momentum 0.9 and a rate of 100, batches of
        250, 2,000 epochs of MNIST; biases are 0 and not pruned. The result is measured as drawn:
        there is no budget.
    Departures: those of GateSeeker but Adam and the gradients of norm 1 (the rate is the published
        one); far fewer steps; the K largest s.

    >>> seeker = Supermask(epochs=10, rescale=False)  # (key, problem, density) -> Found
    """

    start: float = option(0.0)
    rescale: bool = option(True)
    learning_rate: float = option(100.0, above=0)
    momentum: float = option(0.9, least=0)
    decay: bool = option(False)
    unit_gradients: bool = option(False)

    name: ClassVar[str] = "supermask"

    def own_optimizer(self, steps: int) -> optax.GradientTransformation:
        """Gradient descent with momentum."""
        rate = optax.cosine_decay_schedule(self.learning_rate, steps)
        return optax.sgd(rate if self.decay else self.learning_rate, self.momentum)

    def loss(self, problem: Problem, prunable: Prunable, mask: jax.Array) -> jax.Array:
        """The loss of the network with this mask, rescaled if so chosen."""
        if self.rescale:
            mask = prunable.vector(rescaled_kernels(prunable.layers(mask)))
        return super().loss(problem, prunable, mask)

    def method(self) -> Method:
        """Logits of draws."""

        def init(key, size, density):
            del key, density
            return Gates(jnp.full(size, self.start, jnp.float32))

        def relax(key, gates, moment):
            del moment
            return draw(key, gates.values)

        return Method(init, relax)
