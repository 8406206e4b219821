"""Tasks whose tickets are drawn: counts, functions and balance, and a ticket for every seed."""

import functools
import itertools
import math

import jax
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles.forward import forward
from ticketjax.tuning.validation import training_samples, validation_task

TEACHERS = {
    "regression": {"inputs": 2, "outputs": 2, "hidden": (4, 5), "parameters": 24},
    "classes": {
        **{"inputs": 3, "outputs": 3, "hidden": (6, 4), "parameters": 34},
        "kind": "classification",
    },
    "wide": {"inputs": 32, "outputs": 1, "hidden": (6,), "parameters": 50, "biases": "none"},
    "hubs": {"inputs": 8, "outputs": 1, "hidden": (12, 12), "parameters": 60, "degree_spread": 2.0},
    "biased": {"inputs": 1, "outputs": 1, "hidden": (3, 3), "parameters": 16, "biases": "all"},
}
SEEDS = range(6)


def nonzero(ticket):
    return sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(ticket))


@functools.cache
def inputs_like(inputs):
    return np.random.default_rng(0).uniform(-1, 1, (4000, inputs))


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_has_its_parameters_all_of_them_on_a_path(name):
    task = tj.random_teacher(**TEACHERS[name])
    for seed in SEEDS:
        ticket = task.ticket_of(seed)
        assert nonzero(ticket) == TEACHERS[name]["parameters"]
        kernels = [layer["kernel"] != 0 for layer in ticket.values()]
        assert all(kernel.any(axis=0).all() and kernel.any(axis=1).all() for kernel in kernels)
        hidden_biases = [layer["bias"] != 0 for layer in list(ticket.values())[:-1]]
        share = np.mean(np.concatenate(hidden_biases))
        assert {"all": share == 1, "none": share == 0}.get(TEACHERS[name].get("biases"), True)


@pytest.mark.parametrize("name", TEACHERS)
def test_teachers_have_unit_variance_or_balanced_classes_and_no_dead_neuron(name):
    task = tj.random_teacher(**TEACHERS[name])
    for seed in SEEDS:
        ticket, x = task.ticket_of(seed), inputs_like(TEACHERS[name]["inputs"])
        outputs = forward(ticket, x)
        if task.kind == "classification":
            shares = np.bincount(outputs.argmax(axis=1), minlength=task.outputs) / len(x)
            # Teachers are balanced within a factor of two on as many other points.
            assert shares.min() > 0.45 * shares.max()
        else:
            np.testing.assert_allclose(outputs.std(axis=0), 1, atol=0.1)
        for layer in list(ticket.values())[:-1]:
            x = np.maximum(x @ layer["kernel"] + layer["bias"], 0)
            assert (x > 0).mean(axis=0).min() > 0.03


def test_degrees_spread_as_asked():
    def largest(spread):
        fields = TEACHERS["hubs"] | {"degree_spread": spread}
        task = tj.random_teacher(**fields)
        kernels = [task.ticket_of(seed)["layer_1"]["kernel"] for seed in range(20)]
        return np.mean([np.count_nonzero(kernel, axis=0).max() for kernel in kernels])

    assert largest(2.0) > largest(0.0) + 1


@pytest.mark.parametrize(("bits", "depth"), [(1, 3), (2, 3), (3, 3), (4, 3), (2, 4), (3, 6)])
def test_parity_is_the_product_of_hidden_signs(bits, depth):
    task = tj.sparse_parity(inputs=6, bits=bits, depth=depth)
    x = np.array(list(itertools.product((-1.0, 1.0), repeat=6)))
    subsets = set()
    for seed in range(8):
        ticket = task.ticket_of(seed)
        hidden = np.flatnonzero(ticket["layer_0"]["kernel"].any(axis=1))
        subsets.add(tuple(hidden))
        assert len(hidden) == bits
        product = np.prod(x[:, hidden], axis=1)
        np.testing.assert_array_equal(forward(ticket, x)[:, 0], product)
        if depth == 3:
            assert nonzero(ticket) == (bits + 1) ** 2 - (bits % 2 == 0)
    assert len(subsets) > 1
    drawn = task.sample(jax.random.key(0), 100, noise=0.0)
    assert set(np.unique(drawn.x)) == set(np.unique(drawn.y)) == {-1.0, 1.0}


@pytest.mark.parametrize("depth", [3, 5, 7])
def test_random_circles_are_four_rings_in_any_order(depth):
    task, x = tj.random_circle(depth=depth), inputs_like(2)
    counts, orders = set(), set()
    by_radius = np.argsort(np.sum(x**2, axis=1))
    for seed in SEEDS:
        ticket = task.ticket_of(seed)
        counts.add(nonzero(ticket))
        classes = forward(ticket, x).argmax(axis=1)[by_radius]
        assert np.bincount(classes, minlength=4).min() > 0.08 * len(x)
        # Each class is one interval of radii: cut at the ends of these, few points are misplaced.
        order = sorted(range(4), key=lambda c: np.median(np.flatnonzero(classes == c)))
        ends = np.cumsum([np.count_nonzero(classes == c) for c in order])[:-1]
        rings = np.searchsorted(ends, np.arange(len(x)), side="right")
        assert np.mean(np.array(order)[rings] != classes) < 0.02
        orders.add(tuple(order))
    assert len(counts) == 1
    assert len(orders) > 1


@pytest.mark.parametrize("depth", [3, 6])
def test_random_helices_are_as_far_from_the_origin_as_the_helix(depth):
    task, x = tj.random_helix(depth=depth), np.linspace(-1, 1, 200)[:, None]
    tickets = [task.ticket_of(seed) for seed in range(4)]
    assert len({nonzero(ticket) for ticket in tickets}) == 1
    for ticket in tickets:
        size = np.linalg.norm(forward(ticket, x), axis=1)
        # For any rotation and phase: |(u cos, u sin, u)| = sqrt(2) u.
        np.testing.assert_allclose(size, math.sqrt(2) * (5 + 3 * x[:, 0]) / 8, atol=0.05)
    ends = np.array([forward(ticket, x)[-1] for ticket in tickets])
    assert np.ptp(ends, axis=0).max() > 0.3


@pytest.mark.parametrize(
    "family",
    [
        lambda key: tj.random_teacher(key=key, **TEACHERS["regression"]),
        lambda key: tj.sparse_parity(inputs=5, bits=2, key=key),
        lambda key: tj.random_circle(key=key, depth=3),
        lambda key: tj.random_helix(key=key, depth=3),
    ],
)
def test_a_seed_s_ticket_and_data_are_those_of_its_key(family):
    every, fourth = family(None), family(4)
    own = every.ticket_of(4)
    jax.tree.map(np.testing.assert_array_equal, own, fourth.ticket(fourth_depth(fourth)))
    key = jax.random.key(3)
    drawn = jax.jit(lambda t: every.sample_of(key, 50, 0.3, t))(own)
    for ours, theirs in zip(drawn, fourth.sample(key, 50, 0.3), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    # A JAX key is also a key.
    assert family(jax.random.key(4)).name.endswith("_0-4")


def fourth_depth(task):
    return {"random_teacher": 4}.get(task.name.rpartition("_")[0], 3)


def test_a_sweep_over_tickets_plants_each_seed_s_own():
    task = tj.random_teacher(inputs=2, outputs=1, hidden=(3,), parameters=8)
    common = {"depth": 3, "width": 8, "noise": 0.0, "samples": 100, "epochs": 0}
    records = tj.sweep(task=task, seeds=[3, 4], seekers="magnitude", densities="ticket", **common)
    # Any other ticket than the one whose outputs are the data has an error of about 1.
    assert max(records["planted_metric"].to_pylist()) < 1e-10
    assert len(set(records["strong_metric"].to_pylist())) == 2


def test_a_results_directory_is_of_one_distribution(tmp_path):
    def opened(**changed):
        task = tj.random_teacher(**TEACHERS["regression"] | changed)
        grid = tj.make_grid(task=task, depth=4, width=6, seekers="snip", seeds=1, samples=100)
        tj.Store(tmp_path / "out", grid)

    opened()
    opened()
    with pytest.raises(ValueError, match="random_teacher parameters was 24, is 25"):
        opened(parameters=25)


def test_validation_tasks_draw_from_the_seed_s_ticket():
    task = tj.sparse_parity(inputs=4, bits=2)
    split, key, ticket = validation_task(task, 100), jax.random.key(0), task.ticket_of(1)
    count = training_samples(100)
    ours, whole = split.sample_of(key, count, 0.0, ticket), task.sample_of(key, 100, 0.0, ticket)
    np.testing.assert_array_equal(ours.y, whole.y[:count])


def test_texts_name_drawn_tasks():
    text = "sparse_parity(inputs=10, bits=3)"
    assert tj.get_task(text) is tj.get_task(text)
    assert tj.get_task(text).ticket_of(5)["layer_0"]["kernel"].shape == (10, 3)
    assert tj.get_task("random_circle(key=3)").name == "random_circle_3"
    grid = tj.make_grid(task=text, depth=3, width=10, seekers="snip", seeds=1)
    assert grid.settings()[0].setting.task.name == "sparse_parity"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tj.random_teacher(**TEACHERS["wide"] | {"parameters": 3}), "parameters must be"),
        (lambda: tj.random_teacher(**TEACHERS["wide"] | {"biases": "few"}), "biases must be one"),
        (lambda: tj.random_teacher(**TEACHERS["wide"] | {"key": -1}), "key must be at least 0"),
        (lambda: tj.sparse_parity(inputs=2, bits=2), "inputs must be at least 3"),
        (lambda: tj.sparse_parity(inputs=4, bits=5), "bits must be at most the 4 inputs"),
        (lambda: tj.random_circle(depth=2), "depth must be"),
        (lambda: tj.random_helix(key="0"), "key must be"),
        (lambda: tj.get_task("random_circel()"), "random_circle"),
        (lambda: tj.get_task("random_circle(width=3)"), "random_circle takes"),
        (lambda: tj.random_circle().ticket(depth=4), "depth must be the ticket's, 5, got 4"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
