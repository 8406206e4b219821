"""Screening: the best of thousands of changes, by slope and curvature first, then exactly."""

import jax
import jax.numpy as jnp

from ticketjax.seekers.exchange.activity import useful
from ticketjax.seekers.exchange.least import least
from ticketjax.seekers.exchange.neighbourhood import segments
from ticketjax.seekers.exchange.neurons import detours, replacements, state_of
from ticketjax.seekers.exchange.slopes import flips, influences, loss_of, slope_and_root
from ticketjax.seekers.exchange.vectors import forward, sinks_of


def _without(masks: jax.Array, out: jax.Array) -> jax.Array:
    """Masks without the parameters listed, one row each; an index beyond the last is none."""
    return jax.vmap(lambda mask, gone: mask.at[gone].set(False, mode="drop"))(masks, out)


def improve(problem, theta, x, y, weights, prunable, sizes, size, mask, free, draws, around, heat):
    """The best changes of a neighbourhood, (finalists, parameters), and what each adds.

    What is impossible, or changes nothing, adds a number of parameters that is infinite.
    mask: without anything that cannot matter. size: how many prunable parameters it may have.
    free: which parameters may be added or removed singly. heat: with any, the finalists are drawn,
    each with probability in proportion to exp(fall of the log loss per parameter / heat).
    """
    received, before = forward(theta * mask, x, sizes)
    outputs = before[-1]
    slope, root = slope_and_root(problem, outputs, y, weights)
    influence = influences(theta * mask, before, sizes)
    pulls = [jnp.sum(layer * slope[None], -1) for layer in influence]
    reaches = [jnp.einsum("jno,nop->jnp", layer, root) for layer in influence]
    pull, reach = jnp.concatenate(pulls), jnp.concatenate(reaches)
    sinks = jnp.asarray(sinks_of(sizes))
    changes = flips(theta, mask, received, before, sizes)
    own = jnp.sum(changes * pull[sinks] + 0.5 * changes**2 * jnp.sum(reach**2, -1)[sinks], axis=1)
    count = jnp.sum(mask & prunable)

    def effects(index):
        return (changes[index][:, :, None] * reach[sinks[index]]).reshape(index.size, -1)

    kept_own = jnp.where(mask & prunable & free, own, jnp.inf)
    leaving_own, leaving = least(kept_own, min(around.leaving, own.size))
    leaving_effects = effects(leaving)

    def screen(own, effects, new, most, limit):
        """The most promising of some additions, and what leaves for each."""
        most = min(most, leaving.size)
        removed = jnp.maximum(count + new - size, 0)
        estimate, out = own, jnp.zeros((own.size, 0), jnp.int32)
        if most > 0:
            together = jnp.matmul(effects, leaving_effects.T) + leaving_own[None]
            losses, which = least(together, most)
            # The last room, too small for a path: were it only added to, the search could stand
            # still although an exchange is better.
            last = (new == 1) & (count + 1 == size)
            removed = jnp.where(last & (losses[:, 0] < 0), 1, removed)
            leaves = jnp.arange(most)[None] < removed[:, None]
            estimate = own + jnp.sum(jnp.where(leaves, losses, 0.0), 1)
            out = jnp.where(leaves, leaving[which], mask.size)
        possible = (removed <= most) & (estimate < jnp.inf)
        estimate = jnp.where(possible, estimate, jnp.inf)
        more = jnp.maximum(new - removed, 1)
        _, chosen = least(estimate / more, min(limit, own.size))
        return chosen, out[chosen], more[chosen], possible[chosen]

    pruned_own = jnp.where(prunable & ~mask & free, own, jnp.inf)
    half = min(around.singles // 2, own.size)
    _, best = least(pruned_own, half)
    singles = jnp.concatenate([best, draws.below(half, own.size)])
    limit = around.candidates // 2
    new = jnp.ones(singles.size, count.dtype)
    chosen, out, *first = screen(
        pruned_own[singles], effects(singles), new, min(around.removals, 1), limit
    )
    masks = jax.vmap(lambda index: mask.at[index].set(True))(singles[chosen])
    first_masks = _without(masks, out)

    sampled = segments(draws, around.segments, mask, prunable, sizes, theta, received)
    # Nothing added: what is above the limit has to go.
    sampled = jnp.concatenate([sampled, mask[None]])
    if len(sizes) > 2:
        state = state_of(theta, mask, prunable, sizes, received, before, pulls, reaches)
        if around.detours:
            longer = detours(state, around.detours, problem.prune_bias)
            sampled = jnp.concatenate([sampled, longer])
        if around.replacements:
            sampled = jnp.concatenate([sampled, replacements(state, around.replacements)])
    moved = jax.vmap(lambda m: forward(theta * m, x, sizes)[1][-1])(sampled) - outputs[None]
    moved = jnp.swapaxes(moved, 1, 2)
    sampled_effects = jnp.einsum("bno,nop->bnp", moved, root).reshape(sampled.shape[0], -1)
    sampled_own = jnp.sum(moved * slope[None], (1, 2)) + 0.5 * jnp.sum(sampled_effects**2, 1)
    new = jnp.sum(sampled & prunable[None], 1) - count
    # The scale of the outputs is held in an estimate. Where a change is so large that it has to be
    # another one, as with the first paths, the best may look bad: so some are taken untested.
    untested = jnp.arange(sampled.shape[0]) < around.candidates // 4
    sampled_own = jnp.where(untested & jnp.isfinite(sampled_own), -jnp.inf, sampled_own)
    chosen, out, *second = screen(
        sampled_own, sampled_effects, new, around.removals, around.candidates - limit
    )
    masks = jnp.concatenate([first_masks, _without(sampled[chosen], out)])
    more, possible = (jnp.concatenate(pair) for pair in zip(first, second, strict=True))

    masks = jax.vmap(lambda m: useful(m, sizes, prunable))(masks)
    results = jax.vmap(lambda m: forward(theta * m, x, sizes)[1][-1])(masks)
    losses = jax.vmap(lambda result: loss_of(problem, result, y, weights))(results)
    now = loss_of(problem, outputs, y, weights)
    # What changes nothing would stand in the way of a slightly worse move that is accepted.
    more = jnp.where(possible & (losses != now), more.astype(jnp.float32), jnp.inf)
    # The largest of values with Gumbel noise is drawn in proportion to their exponentials.
    noise = -jnp.log(jnp.maximum(-jnp.log1p(-draws.take(losses.size)), 1e-30))
    worth = (jnp.log(now) - jnp.log(losses)) / more + heat * noise
    # NaN would be the best of all.
    worth = jnp.where(jnp.isfinite(losses) & jnp.isfinite(more), worth, -jnp.inf)
    _, best = least(-worth, min(around.finalists, worth.size))
    return masks[best], jnp.where(worth[best] > -jnp.inf, more[best], jnp.inf)
