"""Edge-popup: learn which parameters to keep, with all of them frozen."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Found, Params
from ticketjax.checks import Options, option
from ticketjax.masks import full_mask, layer_names, prunable_leaves
from ticketjax.objective import OBJECTIVES
from ticketjax.optimizers import Optimizer, make_optimizer, optimizer_text
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.best_of import BestOf
from ticketjax.seekers.checkpoints import as_info, no_checkpoints, with_checkpoint
from ticketjax.seekers.strategies import round_density
from ticketjax.selection import Scope, check_scope, select
from ticketjax.training import BATCH_SIZE, shuffles

EPOCHS = 10


def _initial_scores(key: jax.Array, params: Params) -> Params:
    """U(-1, 1) / sqrt(n_in), never exactly 0: there sgn(s) is 0, and the score could not move."""
    scores: Params = {}
    for i, name in enumerate(layer_names(params)):
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
        kernel = params[name]["kernel"]
        bound = (kernel.size // kernel.shape[-1]) ** -0.5
        scores[name] = {}
        for part, part_key in (("kernel", kernel_key), ("bias", bias_key)):
            if part in params[name]:
                shape = params[name][part].shape
                draw = jax.random.uniform(part_key, shape, jnp.float32, -bound, bound)
                scores[name][part] = jnp.where(draw == 0, bound, draw)
    return scores


def popup_params(params: Params, scores: Params, mask: Params) -> Params:
    """Kept parameters, with the straight-through gradient d/ds = sgn(s) * theta.

    The derivative is that of |s| * theta for every parameter, kept or not, so that a pruned one can
    come back.

    Args:
        params: theta, a view {"layer_0": {"kernel", "bias"}, ...}.
        scores: s, a tree like params.
        mask: bool, a tree like params.

    Returns:
        mask * theta, a tree like params.
    """

    def one(p, s, m):
        # Not the derivative of jnp.abs, which is 1 at 0.
        slope = jnp.sign(s) * (s - jax.lax.stop_gradient(s))
        return p * (jnp.where(m, 1.0, 0.0) + slope).astype(p.dtype)

    return jax.tree.map(one, params, scores, mask)


def layer_normalised(magnitudes: Params, prune_bias: bool = True) -> Params:
    """Every layer's magnitudes over the mean of its prunable ones; a layer of zeros stays so."""
    means = [
        sum(jnp.sum(leaf) for leaf in layer) / sum(leaf.size for leaf in layer)
        for layer in prunable_leaves(magnitudes, prune_bias)
    ]
    return {
        name: jax.tree.map(lambda s, m=mean: s / jnp.where(m > 0, m, 1.0), magnitudes[name])
        for name, mean in zip(layer_names(magnitudes), means, strict=True)
    }


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EdgePopup(Options):
    """A seeker that trains a score per weight and bias and keeps the largest magnitudes.

    In every step the mask keeps the top |s|, the parameters stay as they are, and
    s <- s - lr * sgn(s) * theta * dL/dtheta_eff, with momentum, weight decay and a learning rate
    that decays as a cosine over all steps. No softmax inside the network.

    Args:
        annealed: keep density^(i / epochs) in epoch i instead of the target from the start.
        normalise: rank |s| / mean |s| of the layer, so that layers of few inputs, where scores
            start larger, do not fill a global budget. With budgets per layer it changes nothing.
        scope: "local" as published, "global" or LayerBudgets, as in problem.select().
        epochs: passes over the training data.
        batch_size: samples per step.
        learning_rate: of the first step.
        momentum, weight_decay: of the gradient descent.
        restarts: searches, of which the best on the training data counts; see BestOf.
        levels: number of annealing steps, each of several epochs, instead of one per epoch.
        start: changes the random scores before the search begins: a function of the view
            {"layer_0": {"kernel", "bias"}, ...}; no score may become 0.
        optimizer: moves the scores in place of the gradient descent, text such as "adam(0.01)" or
            an optax.GradientTransformation; learning_rate, momentum and weight_decay are
            then ignored.
        objective: "raw" as published, or "rescaled". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range, an unknown scope or optimizer, levels beyond
            epochs.

    Source: Ramanujan et al. 2020, arXiv 1911.13299, section 3; biases and annealing: Fischer and
    Burkholz 2022, arXiv 2111.11153, section 3.2; global and annealed: baselines of Sreenivasan et
    al. 2022, arXiv 2202.12002, table 3.
    Published: no biases, 100 epochs in batches of 128 (small networks), weight decay 1e-4, weights
        scaled up by the root of 1 / density; by Fischer and Burkholz: the defaults here, kernel and
        bias of a layer ranked apart, scores of biases 0 at first, a softmax before every loss.
    Departures: a layer's kernel and bias are ranked together; scores of biases start as those of
        weights, as 0 cannot move; no softmax; the learning rate falls in every step, not every
        epoch; nothing is scaled up. The loss is the raw one, as published.

    >>> seeker = EdgePopup(annealed=True, scope="global")  # (key, problem, density) -> Found
    """

    annealed: bool = option(False)
    normalise: bool = option(False)
    scope: Scope = option("local", free=True)
    epochs: int = option(EPOCHS, least=1)
    batch_size: int = option(BATCH_SIZE, least=1)
    learning_rate: float = option(0.1, least=0)
    momentum: float = option(0.9, least=0)
    weight_decay: float = option(5e-4, least=0)
    restarts: int = option(1, least=1)
    levels: int | None = option(None, least=1, none=True)
    start: Callable[[Params], Params] | None = option(None, free=True)
    optimizer: Optimizer | None = option(None, free=True, text=optimizer_text)
    objective: str = option("raw", choices=OBJECTIVES)

    name: ClassVar[str] = "edge_popup"

    def check(self) -> None:
        """Refuse a scope, a start or an optimizer that is none, and more levels than epochs."""
        check_scope(self.scope)
        if self.levels is not None and self.levels > self.epochs:
            raise ValueError(f"levels must be at most the {self.epochs} epochs, got {self.levels}")
        if self.start is not None and not callable(self.start):
            raise ValueError(f"start must be a function of the scores, got {self.start!r}")
        if self.optimizer is not None:
            make_optimizer(self.optimizer)

    def _transformation(self, steps: int) -> optax.GradientTransformation:
        if self.optimizer is not None:
            return make_optimizer(self.optimizer)
        schedule = optax.cosine_decay_schedule(self.learning_rate, steps)
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay), optax.sgd(schedule, self.momentum)
        )

    def effective(self, params: Params, scores: Params, mask: Params) -> Params:
        """What the network computes with, differentiable in the scores; views like popup_params().

        Args:
            params, scores, mask: as in popup_params().

        Returns:
            A tree like params.
        """
        return popup_params(params, scores, mask)

    def _ranked(self, scores: Params, prune_bias: bool) -> Params:
        magnitudes = jax.tree.map(jnp.abs, scores)
        return layer_normalised(magnitudes, prune_bias) if self.normalise else magnitudes

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        if self.restarts > 1:
            once = dataclasses.replace(self, restarts=1)
            return BestOf(once, restarts=self.restarts)(key, problem, density)
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        prune_bias, seen = problem.prune_bias, problem.view(problem.params)
        init_key, order_key = jax.random.split(key)
        order = shuffles(order_key, self.epochs, problem.batch.x.shape[0], self.batch_size)
        transformation = self._transformation(order.shape[0] * order.shape[1])
        steps_down = self.epochs if self.levels is None else self.levels

        # Scores and masks are views: what belongs to no layer has none, and is used as it is.
        def keep(scores, target):
            ranked = self._ranked(scores, prune_bias)
            return select(ranked, target, self.scope, prune_bias=prune_bias)

        def step(carry, batch, target):
            scores, state = carry
            mask = keep(scores, target)
            here = dataclasses.replace(problem, batch=batch)

            def batch_loss(s):
                return here.descent_loss(problem.restore(self.effective(seen, s, mask)))

            gradients = jax.grad(batch_loss)(scores)
            updates, state = transformation.update(gradients, state, scores)
            return (optax.apply_updates(scores, updates), state), None

        def whole_mask(scores):
            return problem.restore(keep(scores, density), full_mask(problem.params))

        def epoch(carry, inputs):
            *carry, masks = carry
            i, indices = inputs
            level = jnp.ceil(i * steps_down / self.epochs)
            target = round_density(density, level, steps_down) if self.annealed else density
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            (scores, state), _ = jax.lax.scan(
                lambda c, batch: step(c, batch, target), tuple(carry), batches
            )
            masks = with_checkpoint(masks, i, self.epochs, lambda: whole_mask(scores))
            return (scores, state, masks), None

        scores = _initial_scores(init_key, seen)
        scores = scores if self.start is None else self.start(scores)
        epochs_from_1 = jnp.arange(1, self.epochs + 1, dtype=jnp.int32)
        begin = scores, transformation.init(scores), no_checkpoints(problem.params, self.epochs)
        (scores, _, masks), _ = jax.lax.scan(epoch, begin, (epochs_from_1, order))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), problem.params)
        ranked = problem.restore(self._ranked(scores, prune_bias), zeros)
        return Found(whole_mask(scores), ranked, as_info(masks, self.epochs))
