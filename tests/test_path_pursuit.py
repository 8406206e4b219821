"""Path pursuit: ReLU's ticket exactly, exact budgets, and a loss that never rises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles import problems
from ticketjax import masks, selection
from ticketjax.base import REGRESSION, Batch
from ticketjax.networks.mlp import mlp
from ticketjax.planting.plant import plant
from ticketjax.problem import Problem, make_problem
from ticketjax.seekers.exchange.path_pursuit import PathPursuit
from ticketjax.tasks import get_task

KEY = jax.random.key(2)
KEYS = jax.random.split(KEY, 4)


@functools.cache
def problem_of(name, depth, width, prune_bias=True, samples=200):
    task = get_task(name)
    model = mlp(task, depth, width)

    @jax.jit
    def draw(key):
        planted = plant(task.ticket(depth=depth), model.init(key))
        return planted.params, task.sample(key, samples, 0.01)

    params, batch = draw(KEY)
    return make_problem(task, model, params, batch, objective="rescaled", prune_bias=prune_bias)


def loss_in_numpy(problem, mask):
    x, y = (np.asarray(array) for array in problem.batch)
    layers = oracle.combine(np.multiply, oracle.layers_of(problem.params), oracle.layers_of(mask))
    out = oracle.outputs(layers, x)
    return oracle.loss(problem.kind, out * oracle.fitted_scale(problem.kind, out, y), y)


@pytest.mark.long
def test_the_ticket_of_relu_is_found_on_every_seed():
    task = get_task("relu")
    model = mlp(task, depth=5, width=12)

    def run(key):
        params = plant(task.ticket(depth=5), model.init(key)).params
        problem = make_problem(task, model, params, task.sample(key, 300, 0.01))
        problem = Problem(params, problem.batch, model.apply, REGRESSION, "rescaled")
        return params, PathPursuit(exchange=True, rounds=100, samples=50)(
            key, problem, 4 / 349
        ).mask

    params, found = jax.jit(jax.vmap(run))(KEYS)
    x = np.linspace(-1, 1, 101)[:, None]
    for seed in range(4):
        one, mask = jax.tree.map(lambda leaf, s=seed: np.asarray(leaf[s]), (params, found))
        assert sum(int(leaf.sum()) for leaf in jax.tree.leaves(mask)) == 4
        layers = oracle.combine(np.multiply, oracle.layers_of(one), oracle.layers_of(mask))
        out = oracle.outputs(layers, x)
        np.testing.assert_allclose(out / out[-1], np.maximum(x, 0), atol=1e-6)


@pytest.mark.long
def test_budgets_are_exact_at_every_density_and_biases_kept_when_told():
    prune_bias = False
    problem = problem_of("circle", 3, 22, prune_bias)
    size = masks.count_prunable(problem.params, prune_bias)
    kept = np.array([0, 1, 3, 40, size])
    seek = PathPursuit(exchange=True, rounds=8, samples=20)
    run = jax.jit(jax.vmap(lambda density: seek(KEY, problem, density).mask))
    found = run(jnp.asarray(kept / size, jnp.float32))
    got = jax.jit(jax.vmap(lambda mask: masks.count_kept(mask, prune_bias)))(found)
    np.testing.assert_array_equal(got, kept)
    assert all(bool(layer["bias"].all()) for layer in found.values())


@pytest.mark.long
def test_the_loss_falls_as_the_budget_is_used():
    problem = problem_of("helix", 4, 36)
    density = 40 / masks.count_prunable(problem.params)
    seek = PathPursuit(rounds=60, samples=1000)
    found = jax.jit(seek, static_argnums=2)(KEY, problem, density)
    losses, used = np.asarray(found.info["loss"]), np.asarray(found.info["kept"])
    assert np.all(np.diff(losses) <= 0)
    assert masks.count_kept(found.mask) == 40
    # Each round adds parameters until nothing more fits.
    assert np.all(np.diff(used) >= 0) and 38 <= used[-1] <= 40
    np.testing.assert_allclose(losses[-1], loss_in_numpy(problem, found.mask), rtol=1e-3)
    empty = loss_in_numpy(problem, jax.tree.map(np.zeros_like, problem.params))
    assert losses[-1] < 0.7 * empty
    again = jax.jit(selection.select)(found.scores, density)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(found.mask), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_first_path_by_hand():
    # Two paths compute relu(-x) up to a factor, one of them its negative.
    params = {
        "layer_0": {"kernel": [[-3.0, -2.0, 1.0]], "bias": [0.0, 0.0, 3.0]},
        "layer_1": {"kernel": [[-4.0], [1.0], [1.0]], "bias": [-0.5]},
    }
    params = {
        name: {part: np.array(values, np.float32) for part, values in layer.items()}
        for name, layer in params.items()
    }
    x = np.linspace(-1, 1, 41, dtype=np.float32)[:, None]
    problem = Problem(
        params,
        Batch(x, 2 * np.maximum(-x, 0)),
        mlp(get_task("relu"), 3, 3).apply,
        REGRESSION,
        "rescaled",
    )
    seek = PathPursuit(exchange=True, rounds=3, samples=41)
    found = jax.jit(seek, static_argnums=2)(KEY, problem, 2 / 10)
    assert found.mask["layer_0"]["kernel"].tolist() == [[False, True, False]]
    assert found.mask["layer_1"]["kernel"].tolist() == [[False], [True], [False]]
    assert int(masks.count_kept(found.mask)) == 2
    assert found.info["loss"][-1] < 1e-12


def test_settings_that_make_no_search_are_refused():
    for name in ("rounds", "samples", "width"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            PathPursuit(**{name: 0})
    with pytest.raises(ValueError, match="temperature"):
        PathPursuit(temperature=-1.0)
    with pytest.raises(ValueError, match="density"):
        PathPursuit()(KEY, problems.problem_of(problems.layers_of(0), REGRESSION), "tickets")
