"""A seeker's mask as it is, shuffled, and on other values; networks without a ticket."""

import dataclasses

import jax
import jax.numpy as jnp

from ticketjax.masks import shuffle
from ticketjax.runs.instance import make_instance
from ticketjax.runs.programs import run_key
from ticketjax.runs.trial import measure, seek

VARIANTS = ("mask", "shuffled", "other values")


def without_ticket(setting, key, instance):
    """The instance with a random network in which nothing is planted; key: the run's."""
    params = setting.model.init(jax.random.fold_in(key, 1))
    return instance._replace(planted=instance.planted._replace(params=params), start=params)


def qualities(setting, seeker, seeds, noise):
    """Quality of masks before and after training.

    Args:
        setting: of the runs, at the ticket's own density.
        seeker: makes the masks.
        seeds: (n,) uint32.
        noise: of the data.

    Returns:
        (n, 3, 2), for each of VARIANTS before and after training: the mask; the mask with its
        entries in a random order within each kernel and bias; the mask on newly drawn values.
    """
    anew = dataclasses.replace(setting, reinitialise=True)

    def one(seed):
        key = run_key(seed)
        instance = make_instance(setting, key, noise)
        mask = seek(setting, seeker, key, instance, setting.ticket_density)[0].mask
        shuffled = shuffle(jax.random.fold_in(key, 1_000), mask)
        cases = (instance, mask), (instance, shuffled), (make_instance(anew, key, noise), mask)
        measured = [measure(setting, *case) for case in cases]
        return jnp.array([[each["strong_metric"], each["weak_metric"]] for each in measured])

    # One after the other: under vmap, searches with loops of data-dependent length wait for each
    # other.
    return jax.jit(lambda seeds: jax.lax.map(one, seeds))(seeds)
