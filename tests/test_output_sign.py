"""The planted network with its last layer negated computes the negative: it is no ticket."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from ticketjax.measure.quality import strong_quality
from ticketjax.runs.instance import complete_instance, make_instance
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate
from ticketjax.seekers.exchange.refined import refine

KEY = jax.random.key(3)
DEPTH = 3
TASKS = {"relu": 6, "circle": 22, "helix": 33}


@functools.cache
def both(name):
    """A setting; a planted instance and the one whose network has its last layer negated."""
    task = tj.get_task(name)
    model = tj.mlp(task, DEPTH, TASKS[name])
    setting = Setting(task, model, samples=400, training=tj.Training(epochs=0))

    @jax.jit
    def make(key):
        right = make_instance(setting, key, 0.01)
        last = f"layer_{DEPTH - 2}"
        params = right.planted.params
        negated = {**params, last: jax.tree.map(jnp.negative, params[last])}
        planted = right.planted._replace(params=negated)
        wrong = complete_instance(
            setting, key, setting.target, planted, None, None, right.train, right.held_out
        )
        return right, wrong

    return setting, *make(KEY)


@pytest.mark.parametrize("name", TASKS)
def test_the_negative_of_a_ticket_is_no_ticket_where_masks_are_measured(name):
    setting, right, wrong = both(name)
    measure = jax.jit(lambda instance: evaluate(setting, instance, right.planted.mask))
    good, bad = measure(right), measure(wrong)
    assert good["found"] and good["output_sign"] == 1
    assert not bad["found"] and bad["output_sign"] == -1
    # As a function, it is as far from the target as a network that computes 0.
    assert bad["target_error_relative"] > 0.3
    if setting.task.kind == "classification":
        assert bad["strong_metric"] < 0.5 < good["strong_metric"]
    else:
        nothing = float(jnp.mean(right.held_out.y**2))
        assert good["strong_metric"] < 0.1 * nothing
        assert float(bad["strong_metric"]) == pytest.approx(nothing, rel=1e-3)
    # The instance's own ticket, and the instance's entries on its planted mask.
    assert float(right.planted_metric) == pytest.approx(float(right.ticket_metric), 1e-3)
    assert float(wrong.planted_metric) == pytest.approx(float(bad["strong_metric"]))


@pytest.mark.parametrize("name", ["relu", "helix"])
def test_the_negative_of_a_ticket_is_no_ticket_to_searches(name):
    setting, right, wrong = both(name)
    losses, weights = [], []
    for instance in (right, wrong):
        problem = setting.problem(instance.planted.params, instance.train).by_default("rescaled")
        kept = tj.apply_mask(problem.params, instance.planted.mask)
        losses.append(float(problem.loss(kept)))
        weights.append(float(strong_quality(problem, kept, instance.held_out).metric))
    # A search that minimises the objective leaves a network that is no better than none.
    zero = float(np.mean(np.square(right.train.y)))
    assert losses[0] < 0.05 * zero and losses[1] == pytest.approx(zero, rel=1e-5)
    assert weights[0] < 0.05 * zero < weights[1]


@pytest.mark.long
def test_the_exchange_search_leaves_a_path_of_the_wrong_sign():
    # One of the two paths computes the negative of the target; the search starts from it.
    params = {
        "layer_0": {"kernel": [[1.0, 1.0]], "bias": [0.0, 0.0]},
        "layer_1": {"kernel": [[-1.0], [0.5]], "bias": [0.0]},
    }
    params = {n: {p: jnp.array(v) for p, v in layer.items()} for n, layer in params.items()}
    mask = {
        "layer_0": {"kernel": [[True, False]], "bias": [False, False]},
        "layer_1": {"kernel": [[True], [False]], "bias": [False]},
    }
    mask = {n: {p: jnp.array(v) for p, v in layer.items()} for n, layer in mask.items()}
    x = jnp.linspace(-1, 1, 40)[:, None]
    task = tj.get_task("relu")
    batch = tj.Batch(x, jnp.maximum(x, 0))
    problem = tj.make_problem(task, tj.mlp(task, 3, 2), params, batch, objective="rescaled")
    found = jax.jit(lambda key: refine(problem, mask, key, rounds=10, samples=40))(KEY)
    assert found["layer_1"]["kernel"].tolist() == [[False], [True]]
    assert float(problem.loss(tj.apply_mask(params, found))) < 1e-10
