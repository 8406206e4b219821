"""The cost of a search, for its records, counted once for each setting and seeker."""

import functools
import math

import jax
import jax.numpy as jnp

from ticketjax.measure.work import pass_flops, search_flops
from ticketjax.problem import Problem, Seeker
from ticketjax.runs.setting import Setting


@functools.lru_cache(maxsize=256)
def work_of(setting: Setting, seeker: Seeker) -> dict[str, float]:
    """The cost of a search: the entries "flops" and "passes" of its records.

    Args:
        setting: what is fixed.
        seeker: traced on shapes alone; nothing is computed.

    Returns:
        Floating point operations, and the number of passes forward and backward over all training
        data with as many operations; empty if they cannot be counted.
    """
    flops = search_flops(seeker, _abstract_problem(setting))
    return {} if math.isnan(flops) else {"flops": flops, "passes": flops / _flops_of_pass(setting)}


@functools.lru_cache(maxsize=64)
def _flops_of_pass(setting: Setting) -> float:
    return pass_flops(_abstract_problem(setting))


def _abstract_problem(setting: Setting) -> Problem:
    """The problem of a setting as shapes."""
    task = setting.task
    if task.data is None:
        key = jax.eval_shape(jax.random.key, 0)
        drawn = jax.eval_shape(lambda k: task.sample(k, setting.samples, 0.0), key)
        train = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                (setting.training_samples, *leaf.shape[1:]), leaf.dtype
            ),
            drawn,
        )
    else:
        train = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.asarray(leaf[:0]).dtype),
            task.data()[0],
        )
    return setting.problem(setting.parameter_shapes, train)
