"""Teachers: a trained sparse network as the target, and its training data as the task's data."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Params, Task
from ticketjax.masks import depth as depth_of
from ticketjax.masks import layer_names, nonzero_mask
from ticketjax.tasks.checks import check_sample


def teacher(name: str, target: Params, data: Batch) -> Task:
    """A task whose ticket is a given network, and whose samples are drawn from given data.

    Plant it into a wider dense network, or one of the same kind:

        task = teacher("mnist", target, images)
        model = mlp(task, depth=masks.depth(target), width=300)

    Args:
        name: the task's name in records.
        target: a trained network, {"layer_0": {"kernel", "bias"}, ...}, pruned parameters 0.
        data: its training data; integers as y make a classification, other numbers a regression.

    Returns:
        A Task. Its samples are drawn without replacement; the noise is the share of labels that get
        another class, or the standard deviation of the noise added to the outputs. Its sample()
        raises ValueError for more samples than there are, its ticket() for another depth.

    Raises:
        ValueError: a target without parameters, more classes than the target has outputs, or
            another number of outputs.
    """
    if not any(np.any(leaf) for leaf in jax.tree.leaves(jax.device_get(nonzero_mask(target)))):
        raise ValueError(f"target of {name} has no parameter that is not 0")
    kind = CLASSIFICATION if jnp.issubdtype(data.y.dtype, jnp.integer) else REGRESSION
    outputs = target[layer_names(target)[-1]]["bias"].size
    there = int(jnp.max(data.y)) + 1 if kind == CLASSIFICATION else data.y.shape[1]
    if there > outputs or (kind == REGRESSION and there != outputs):
        raise ValueError(f"target of {name} has {outputs} outputs, the data need {there}")

    def sample(key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.0) -> Batch:
        check_sample(name, n, noise, largest_noise=1 if kind == CLASSIFICATION else np.inf)
        if n > data.x.shape[0]:
            raise ValueError(f"{name}: n must be at most the {data.x.shape[0]} samples, got {n}")
        order_key, which_key, noise_key = jax.random.split(key, 3)
        chosen = jax.random.permutation(order_key, data.x.shape[0])[:n]
        x, y = jnp.asarray(data.x)[chosen], jnp.asarray(data.y)[chosen]
        if kind == REGRESSION:
            return Batch(x, y + noise * jax.random.normal(noise_key, y.shape, y.dtype))
        other = (y + jax.random.randint(noise_key, y.shape, 1, outputs)) % outputs
        is_wrong = jax.random.uniform(which_key, y.shape, jnp.float32) < noise
        return Batch(x, jnp.where(is_wrong, other, y).astype(jnp.int32))

    def ticket(depth: int) -> Params:
        if depth != depth_of(target):
            raise ValueError(f"{name}: the ticket has depth {depth_of(target)}, got {depth!r}")
        return target

    shape: Any = data.x.shape[1:]
    return Task(name, shape if len(shape) > 1 else shape[0], outputs, kind, sample, ticket)
