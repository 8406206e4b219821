"""The main property: the planted mask is a strong ticket under the benchmark's own measure."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tests.oracles.forward import forward, masked
from tests.oracles.networks import he_network
from ticketjax.base import CLASSIFICATION, Batch
from ticketjax.masks import apply_mask
from ticketjax.measure.quality import strong_quality
from ticketjax.networks.mlp import mlp
from ticketjax.planting.plant import plant
from ticketjax.problem import make_problem
from ticketjax.tasks import TASKS

WIDTH, SEEDS, SAMPLES, TRAIN = 100, 3, 10_000, 9_000


@functools.cache
def data_of(name):
    """Training and held-out data of every seed."""
    keys = jax.random.split(jax.random.key(0), SEEDS)
    draw = jax.jit(jax.vmap(lambda key: TASKS[name].sample(key, SAMPLES, 0.01)))
    x, y = jax.device_get(draw(keys))
    return Batch(x[:, :TRAIN], y[:, :TRAIN]), Batch(x[:, TRAIN:], y[:, TRAIN:])


@pytest.mark.parametrize(
    "depth",
    [5, 10, *(pytest.param(depth, marks=pytest.mark.long) for depth in (3, 4, 6, 7, 8, 9))],
)
@pytest.mark.parametrize("name", TASKS)
def test_the_planted_mask_is_as_good_as_the_bare_ticket(name, depth):
    task, model = TASKS[name], mlp(TASKS[name], depth, WIDTH)
    target = task.ticket(depth)
    widths = [task.inputs, *[WIDTH] * (depth - 2), task.outputs]
    mothers = he_network(np.random.default_rng(depth), widths, (SEEDS,))
    planted = jax.vmap(functools.partial(plant, target))(mothers)
    ticket = apply_mask(planted.params, planted.mask)
    # NumPy selects one of several networks without compiling.
    planted, ticket = jax.device_get((planted, ticket))
    train, held_out = data_of(name)

    first = jax.tree.map(lambda leaf: leaf[0], (planted.params, train))
    problem = make_problem(task, model, *first)

    @jax.vmap
    def strong(params, train, held_out):
        return strong_quality(dataclasses.replace(problem, batch=train), params, held_out)

    qualities = strong(ticket, train, held_out)
    bare = strong(jax.tree.map(lambda leaf: np.stack([leaf] * SEEDS), target), train, held_out)
    np.testing.assert_allclose(qualities.metric, bare.metric, rtol=0, atol=1e-4)
    np.testing.assert_allclose(qualities.loss, bare.loss, rtol=0, atol=1e-4)
    # Mean squared errors are themselves of this order, so the tolerance is also relative.
    np.testing.assert_allclose(qualities.loss, bare.loss, rtol=1e-3)

    # The quality is that of a ticket; equal quality alone could mean that both are bad.
    metric, y = np.asarray(qualities.metric), np.asarray(held_out.y, np.float64)
    if task.kind == CLASSIFICATION:
        assert np.all(metric > 0.95)
    else:
        assert np.all(metric < 0.02 * y.var(axis=1).mean(axis=-1))

    # And exactly: the planted network computes the target.
    x = held_out.x[0]
    wanted = forward(target, x)
    in_float32 = np.asarray(jax.vmap(model.apply, (0, None))(ticket, x), np.float64)
    for seed in range(SEEDS):
        one = jax.tree.map(lambda leaf, i=seed: leaf[i], planted)
        outputs = forward(masked(one.params, one.mask), x) * float(one.output_scale)
        assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()
        outputs = in_float32[seed] * float(one.output_scale)
        assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()
