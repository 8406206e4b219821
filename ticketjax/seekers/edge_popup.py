"""Edge-popup: learn which parameters to keep, with all of them frozen."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ticketjax.base import Batch, Found, Params, Problem, Seeker
from ticketjax.masks import check_scope, layer_names, prunable_leaves, select
from ticketjax.objective import problem_loss
from ticketjax.seekers.restarts import best_of
from ticketjax.strategies import resolve_density, round_density
from ticketjax.training import BATCH_SIZE, check_count, shuffles

EPOCHS = 10


def _initial_scores(key: jax.Array, params: Params) -> Params:
    """U(-1, 1) / sqrt(n_in), never exactly 0: there sgn(s) is 0, and the score could not move."""
    scores = {}
    for i, name in enumerate(layer_names(params)):
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        bound = (kernel.size // bias.size) ** -0.5
        draw = {
            "kernel": jax.random.uniform(kernel_key, kernel.shape, jnp.float32, -bound, bound),
            "bias": jax.random.uniform(bias_key, bias.shape, jnp.float32, -bound, bound),
        }
        scores[name] = jax.tree.map(lambda s, b=bound: jnp.where(s == 0, b, s), draw)
    return scores


def popup_params(params: Params, scores: Params, mask: Params) -> Params:
    """Kept parameters, with the straight-through gradient d/ds = sgn(s) * theta.

    The value is mask * theta; the derivative is that of |s| * theta for every parameter, kept or
    not, so that a pruned one can come back.
    """

    def one(p, s, m):
        magnitude = jnp.abs(s)
        return p * (jnp.where(m, 1.0, 0.0) + magnitude - jax.lax.stop_gradient(magnitude))

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


def edge_popup(
    *,
    annealed: bool = False,
    normalise: bool = False,
    scope: str = "local",
    epochs: int = EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    restarts: int = 1,
    levels: int | None = None,
    start: Callable[[Params], Params] | None = None,
) -> Seeker:
    """A seeker that trains a score per weight and bias and keeps the largest magnitudes.

    In every step the mask keeps the top |s|, the parameters stay as they are, and
    s <- s - lr * sgn(s) * theta * dL/dtheta_eff, with momentum, weight decay and a learning rate
    that decays as a cosine over all steps. No softmax inside the network; the problem's objective
    says whether the loss sees the output as it is or rescaled.

    annealed: keep density^(i / epochs) in epoch i instead of the target from the start.
    normalise: rank |s| / mean |s| of the layer, so that layers of few inputs, where scores start
        larger, do not fill a global budget. Local budgets and the oracle's are all the same.
    levels: anneal in so many steps, each of several epochs, instead of one every epoch.
    scope: "local" as published, "global" or "oracle", as in select().
    restarts: searches, of which the best on the training data counts; see best_of().
    start: what the random scores become before the search begins; none may become 0.

    Source: Ramanujan et al. 2020, arXiv 1911.13299, equations 4 to 6; annealing: Fischer and
    Burkholz 2022; global and annealed: a baseline of Sreenivasan et al. 2022, arXiv 2202.12002.
    Raises ValueError for an unknown scope, epochs < 1, restarts < 1, or levels out of 1..epochs.
    """
    check_scope(scope)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if levels is not None:
        check_count("levels", levels, 1)
        if levels > epochs:
            raise ValueError(f"levels must be at most the {epochs} epochs, got {levels}")
    steps_down = epochs if levels is None else levels

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        density = resolve_density(problem, density)
        init_key, order_key = jax.random.split(key)
        order = shuffles(order_key, epochs, problem.batch.x.shape[0], batch_size)
        schedule = optax.cosine_decay_schedule(learning_rate, order.shape[0] * order.shape[1])
        optimiser = optax.chain(
            optax.add_decayed_weights(weight_decay), optax.sgd(schedule, momentum)
        )

        def ranked(scores):
            magnitudes = jax.tree.map(jnp.abs, scores)
            return layer_normalised(magnitudes, problem.prune_bias) if normalise else magnitudes

        def keep(scores, target):
            return select(
                ranked(scores),
                target,
                scope,
                prune_bias=problem.prune_bias,
                ticket_layers=problem.ticket_layers,
            )

        def step(carry, batch, target):
            scores, state = carry
            mask = keep(scores, target)

            def batch_loss(s):
                here = dataclasses.replace(problem, batch=batch)
                return problem_loss(here, popup_params(problem.params, s, mask))

            updates, state = optimiser.update(jax.grad(batch_loss)(scores), state, scores)
            return (optax.apply_updates(scores, updates), state), None

        def epoch(carry, inputs):
            i, indices = inputs
            level = jnp.ceil(jnp.float32(i * steps_down) / epochs)
            target = round_density(density, level, steps_down) if annealed else density
            batches = Batch(problem.batch.x[indices], problem.batch.y[indices])
            return jax.lax.scan(lambda c, batch: step(c, batch, target), carry, batches)

        scores = _initial_scores(init_key, problem.params)
        scores = scores if start is None else start(scores)
        epochs_from_1 = jnp.arange(1, epochs + 1)
        (scores, _), _ = jax.lax.scan(
            epoch, (scores, optimiser.init(scores)), (epochs_from_1, order)
        )
        return Found(keep(scores, density), ranked(scores), {})

    return best_of(seek, restarts)
