"""A seeker's mask as it is, shuffled, inverted, and on other values; networks without a ticket."""

import dataclasses

import jax
import jax.numpy as jnp

from ticketjax.masks import shuffle
from ticketjax.runs.instance import make_instance
from ticketjax.runs.programs import run_key
from ticketjax.runs.trial import measure, seek

VARIANTS = ("mask", "shuffled", "inverted", "other values")


def without_ticket(setting, key, instance):
    """The instance with a random network in which nothing is planted; key: the run's."""
    params = setting.model.init(jax.random.fold_in(key, 1))
    return instance._replace(planted=instance.planted._replace(params=params), start=params)


def inverted(key, found):
    """A mask of the lowest scores: in each kernel and bias, as many as the one that was found.

    Equal scores are in a random order. Searches that score what they keep 1 and all else 0 thus
    give random parameters among those that they did not keep.
    """
    leaves, structure = jax.tree.flatten(found.mask)

    def lowest(key, mask, scores):
        order = jnp.lexsort((jax.random.uniform(key, (mask.size,)), scores.ravel()))
        kept = jnp.arange(mask.size) < jnp.sum(mask)
        return jnp.zeros(mask.size, bool).at[order].set(kept).reshape(mask.shape)

    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, list(map(lowest, keys, leaves, jax.tree.leaves(found.scores)))
    )


def qualities(setting, seeker, seeds, noise):
    """Quality of masks before and after training.

    Args:
        setting: of the runs, at the ticket's own density.
        seeker: makes the masks.
        seeds: (n,) uint32.
        noise: of the data.

    Returns:
        (n, 4, 2), for each of VARIANTS before and after training: the mask; the mask with its
        entries in a random order within each kernel and bias; inverted(); the mask on newly drawn
        values.
    """
    anew = dataclasses.replace(setting, reinitialise=True)

    def one(seed):
        key = run_key(seed)
        instance = make_instance(setting, key, noise)
        found = seek(setting, seeker, key, instance, setting.ticket_density)[0]
        cases = [
            (instance, found.mask),
            (instance, shuffle(jax.random.fold_in(key, 1_000), found.mask)),
            (instance, inverted(jax.random.fold_in(key, 1_001), found)),
            (make_instance(anew, key, noise), found.mask),
        ]
        measured = [measure(setting, *case) for case in cases]
        return jnp.array([[each["strong_metric"], each["weak_metric"]] for each in measured])

    # One after the other: under vmap, searches with loops of data-dependent length wait for each
    # other.
    return jax.jit(lambda seeds: jax.lax.map(one, seeds))(seeds)
