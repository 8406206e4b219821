"""Several searches of one planted network, with other keys and the same data."""

import itertools

import jax
import jax.numpy as jnp

from ticketjax import masks
from ticketjax.measure.equivalence import input_grid, is_found, target_error
from ticketjax.measure.quality import recovery, strong_quality
from ticketjax.problem import outputs_of
from ticketjax.runs.instance import make_instance
from ticketjax.runs.programs import run_key
from ticketjax.runs.trial import look


def searched(setting, seeker, density, searches: int):
    """A program that searches one network several times.

    Args:
        setting: the task, the network and what is planted.
        seeker: (key, problem, density) -> Found.
        density: of the masks.
        searches: how many.

    Returns:
        A function of a seed: (searches,) metrics before training, whether the target's function was
        found, digests of the masks; Jaccard indices of all pairs of masks, in the order of
        itertools.combinations(), and (searches,) those of each mask and the planted one.
    """
    pairs = jnp.array(list(itertools.combinations(range(searches), 2))).T
    points = input_grid(setting.task.inputs)

    @jax.jit
    def run(seed):
        key = run_key(seed)
        instance = make_instance(setting, key, 0.01)
        problem = setting.problem(instance.planted.params, instance.train)
        ticket = masks.apply_mask(instance.planted.params, instance.planted.mask)
        target = outputs_of(problem, ticket, points)

        def search(i):
            mask = look(setting, seeker, jax.random.fold_in(key, 1000 + i), instance, density).mask
            params = masks.apply_mask(instance.planted.params, mask)
            quality = strong_quality(problem, params, instance.held_out)
            error = target_error(setting.task.kind, outputs_of(problem, params, points), target)
            return mask, quality.metric, is_found(setting.task.kind, error), masks.digest(mask)

        found, metric, is_target, digest = jax.vmap(search)(jnp.arange(searches))
        first, second = (jax.tree.map(lambda leaf, at=at: leaf[at], found) for at in pairs)
        between = jax.vmap(lambda a, b: recovery(a, b).jaccard)(first, second)
        planted = jax.vmap(lambda mask: recovery(mask, instance.planted.mask).jaccard)(found)
        return metric, is_target, digest, between, planted

    return run
