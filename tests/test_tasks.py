"""Tasks and their tickets against oracles written in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Task
from ticketjax.tasks import TASKS, get_task
from ticketjax.tasks.piecewise import fit

BOUNDARIES = (0.2, 0.5, 0.7)
SMALLEST_DEPTH = {"relu": 2, "circle": 3, "helix": 3}
# Task, depth, non-zero weights and quality of the published tickets (PAPER.md's table); accuracy
# for circle, mean squared error for the others.
PUBLISHED = [
    ("circle", 3, 100, 0.963),
    ("circle", 4, 124, 0.990),
    ("circle", 5, 108, 0.991),
    ("circle", 6, 119, 0.986),
    ("circle", 10, 153, 0.998),
    ("relu", 3, 2, 1e-14),
    ("relu", 5, 4, 1e-14),
    ("relu", 10, 9, 1e-14),
    ("helix", 3, 115, 2.1e-4),
    ("helix", 4, 117, 2.2e-4),
    ("helix", 5, 120, 2.2e-4),
    ("helix", 6, 123, 2.2e-4),
    ("helix", 10, 135, 2.2e-4),
]


# Compiled and computed once, because many tests use the same.
SAMPLE = {name: jax.jit(task.sample, static_argnums=1) for name, task in TASKS.items()}
N = 20_000


@functools.cache
def ticket_of(name, depth):
    return TASKS[name].ticket(depth)


def draw(name, seed, noise):
    return SAMPLE[name](jax.random.key(seed), N, noise)


def activations(ticket, x):
    """Return every layer's values before its ReLU, in float64."""
    values = []
    hidden = np.asarray(x, np.float64)
    for index in range(len(ticket)):
        layer = ticket[f"layer_{index}"]
        values.append(hidden @ layer["kernel"].astype(np.float64) + layer["bias"])
        hidden = np.maximum(values[-1], 0.0)
    return values


def circle_class(radius_squared):
    """Return the class, one sample at a time."""
    label = 0
    for boundary in BOUNDARIES:
        if radius_squared > boundary:
            label += 1
    return label


def target(name, x):
    """Return the noise-free targets, in float64."""
    x = np.asarray(x, np.float64)
    if name == "circle":
        return np.searchsorted(BOUNDARIES, x[:, 0] ** 2 + x[:, 1] ** 2)
    if name == "relu":
        return np.where(x > 0, x, 0.0)
    u = 5 * np.pi + 3 * np.pi * x[:, 0]
    return np.stack([u * np.cos(u), u * np.sin(u), u], axis=1) / (8 * np.pi)


def quality(name, ticket, x):
    """Return the accuracy (circle) or the mean squared error."""
    outputs = activations(ticket, x)[-1]
    if name == "circle":
        return np.mean(outputs.argmax(axis=1) == target(name, x))
    return np.mean((outputs - target(name, x)) ** 2)


def inputs(name, n=100_000):
    return np.random.default_rng(0).uniform(-1, 1, (n, TASKS[name].inputs))


def nonzero(ticket, leaf):
    return sum(np.count_nonzero(layer[leaf]) for layer in ticket.values())


# Piecewise-linear approximation.


def test_fit_is_exact_on_its_own_functions():
    knots, signs = np.array([-0.7, -0.1, 0.2, 0.6]), np.array([1, -1, 1, -1])
    slope_changes = np.array([[2.0, 0.0], [-3.0, 0.5], [0.25, 0.0], [1.0, -4.0]])
    offset = np.array([0.3, 0.0])

    def function(x):
        return np.maximum(signs * (x[:, None] - knots), 0) @ slope_changes + offset

    fitted, fitted_offset = fit(function, knots, signs, (-1.0, 1.0))
    np.testing.assert_allclose(fitted, slope_changes, atol=1e-11)
    np.testing.assert_allclose(fitted_offset, offset, atol=1e-11)
    assert (fitted == 0).sum() == 2 and fitted_offset[1] == 0  # rounding is removed, exactly


def test_fit_of_the_square_by_hand():
    # One piece: the best line through x^2 on [0, 1] is x - 1/6.
    slope_changes, offset = fit(np.square, [0.0], [1], (0.0, 1.0))
    np.testing.assert_allclose(slope_changes, [1.0], atol=1e-7)
    np.testing.assert_allclose(offset, -1 / 6, atol=1e-7)


def root_mean_square_error(function, count):
    knots = np.linspace(0, 2, count, endpoint=False)
    slope_changes, offset = fit(function, knots, np.ones(count), (0.0, 2.0))
    x = np.linspace(0, 2, 7001)
    approximation = np.maximum(x[:, None] - knots, 0) @ slope_changes + offset
    interpolation = np.interp(x, [*knots, 2.0], function(np.array([*knots, 2.0])))
    return [np.sqrt(np.mean((g - function(x)) ** 2)) for g in (approximation, interpolation)]


@pytest.mark.parametrize("function", [np.square, np.sin, np.exp])
def test_halving_the_spacing_quarters_the_error(function):
    errors = [root_mean_square_error(function, count)[0] for count in (5, 10, 20, 40)]
    for wide, narrow in zip(errors[:-1], errors[1:], strict=True):
        assert wide / narrow > 3.9


def test_fit_beats_interpolation():
    fitted, interpolated = root_mean_square_error(np.square, 10)
    # For x^2 with spacing h, the mean of (t (h - t))^2 is h^4 / 30 for the interpolation, and
    # independent lines leave its variance, h^4 / 30 - h^4 / 36 = h^4 / 180.
    np.testing.assert_allclose(interpolated, 0.2**2 / np.sqrt(30), rtol=0.01)
    assert 0.99 * 0.2**2 / np.sqrt(180) < fitted < 0.45 * interpolated


def test_fit_is_the_best_continuous_piecewise_linear_function():
    knots = np.linspace(0, 2, 12, endpoint=False)
    slope_changes, offset = fit(np.sin, knots, np.ones(12), (0.0, 2.0))
    x = (np.arange(20_000) + 0.5) / 10_000
    residual = np.maximum(x[:, None] - knots, 0) @ slope_changes + offset - np.sin(x)
    hats = np.stack([np.interp(x, [*knots, 2.0], unit) for unit in np.eye(13)])
    # Least squares means orthogonality to every function of the space, which has hats as a basis.
    assert np.abs(hats @ residual / len(x)).max() < 1e-7
    assert np.abs(residual).max() > 1e-4


def test_mirrored_knots_and_signs():
    knots, signs = np.array([-0.5, 0.1, 0.4]), np.array([1, -1, 1])
    fitted = fit(np.exp, knots, signs, (-1.0, 0.8))
    mirrored = fit(lambda x: np.exp(-x), -knots, -signs, (-0.8, 1.0))
    np.testing.assert_allclose(fitted[0], mirrored[0], rtol=1e-9)
    np.testing.assert_allclose(fitted[1], mirrored[1], rtol=1e-9)

    slope_changes, _ = fit(np.square, [0.0, 0.5, 0.0, -0.5], [1, 1, -1, -1], (-1.0, 1.0))
    np.testing.assert_allclose(slope_changes[:2], slope_changes[2:], rtol=1e-9)
    np.testing.assert_allclose(slope_changes[1], 1.0, rtol=0.1)  # slopes 2x at 0.25 and 0.75


@pytest.mark.parametrize(
    ("knots", "signs", "interval", "words"),
    [
        ([0.0, 1.0], [1], (0, 1), r"knots and signs .*\(2,\) and \(1,\)"),
        ([0.0, 1.0], [1, 0], (0, 1), r"signs must be -1 or \+1, got \[1.0, 0.0\]"),
        ([0.0], [1], (1, 1), r"interval .*low < high, got \(1, 1\)"),
    ],
)
def test_fit_refuses(knots, signs, interval, words):
    with pytest.raises(ValueError, match=words):
        fit(np.square, knots, signs, interval)


# The registry.


def test_registry():
    assert list(TASKS) == ["relu", "circle", "helix"]
    shapes = {name: (task.inputs, task.outputs, task.kind) for name, task in TASKS.items()}
    assert shapes == {
        "relu": (1, 1, REGRESSION),
        "circle": (2, 4, CLASSIFICATION),
        "helix": (1, 3, REGRESSION),
    }
    for name, task in TASKS.items():
        assert task.name == name
        assert get_task(name) is task


def test_get_task_passes_a_task_through():
    own = Task("own", 1, 1, REGRESSION, TASKS["relu"].sample, TASKS["relu"].ticket)
    assert get_task(own) is own


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cirle", "; did you mean 'circle'?"),
        ("Helix", "; did you mean 'helix'?"),
        ("he", "; did you mean 'helix'?"),
        ("nosuch", ""),
        ("", ""),
    ],
)
def test_get_task_refuses_an_unknown_name(name, hint):
    words = f"task must be one of relu, circle, helix or a Task, got {name!r}{hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        get_task(name)


# Tickets.


@pytest.mark.parametrize(("name", "depth", "weights", "published"), PUBLISHED)
def test_ticket_is_at_least_as_good_as_published(name, depth, weights, published):
    ticket = ticket_of(name, depth)
    assert nonzero(ticket, "kernel") <= weights
    if name == "circle":
        assert quality(name, ticket, inputs(name)) >= published
    else:
        assert quality(name, ticket, inputs(name)) <= published


def test_circle_depth_5_has_130_parameters():
    ticket = ticket_of("circle", 5)
    assert [np.count_nonzero(layer["kernel"]) for layer in ticket.values()] == [4, 4, 20, 80]
    assert [np.count_nonzero(layer["bias"]) for layer in ticket.values()] == [0, 0, 18, 4]


def test_parameters_of_the_other_tickets_by_hand():
    def counts(name, depth, leaf):
        return [np.count_nonzero(layer[leaf]) for layer in ticket_of(name, depth).values()]

    assert counts("circle", 3, "kernel") == [20, 80]
    assert counts("circle", 3, "bias") == [16, 4]  # two of the twenty knots are at 0
    assert counts("circle", 4, "kernel") == [4, 40, 80]
    # Fold: 2 + 2 + 2, then 3 + 3 + 3; a knot of the perpendicular component has two weights.
    assert counts("circle", 6, "kernel") == [4, 4, 6, 11 + 2 * 8, 4 * 19]
    assert counts("circle", 7, "kernel") == [4, 4, 6, 9, 14 + 2 * 5, 4 * 19]
    # The linear coordinate needs one knot on each side of the middle.
    assert counts("helix", 3, "kernel") == [30, 62]
    assert counts("helix", 3, "bias") == [28, 3]  # two knots are at 0
    assert counts("helix", 6, "kernel") == [1, 30, 62, 3, 3]
    assert counts("helix", 6, "bias") == [1, 30, 3, 0, 3]
    assert counts("relu", 6, "kernel") == [1, 1, 1, 1, 1]
    assert counts("relu", 6, "bias") == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("depth", range(3, 13))
def test_ticket_shapes_and_quality_at_every_depth(name, depth):
    task = TASKS[name]
    ticket = ticket_of(name, depth)
    assert list(ticket) == [f"layer_{index}" for index in range(depth - 1)]
    width = task.inputs
    for layer in ticket.values():
        assert list(layer) == ["kernel", "bias"]
        assert layer["kernel"].shape == (width, layer["bias"].size)
        for leaf in layer.values():
            assert isinstance(leaf, np.ndarray) and leaf.dtype == np.float32
            sizes = np.abs(leaf[leaf != 0])
            assert np.all(sizes > 1e-6)  # no rounding noise counts as a parameter
        (width,) = layer["bias"].shape
        assert width <= 30
    assert width == task.outputs
    bound = {"relu": 1e-14, "circle": 0.993, "helix": 5e-5}[name]
    value = quality(name, ticket, inputs(name, N))
    assert value >= bound if name == "circle" else value <= bound
    # The published circle tickets grow from 119 weights at depth 6 to 153 at depth 10.
    circle = 124 if depth < 6 else 119 + (153 - 119) / 4 * (depth - 6)
    heaviest = {"relu": depth - 1, "circle": circle, "helix": 105 + 3 * depth}
    assert nonzero(ticket, "kernel") <= heaviest[name]


@pytest.mark.parametrize("depth", range(3, 13))
def test_circle_is_right_wherever_it_is_not_close(depth):
    axis = np.linspace(-1, 1, 161)  # corners included: squared radii up to 2
    x = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    radius_squared = np.sum(x**2, axis=1)
    distance = np.abs(radius_squared[:, None] - BOUNDARIES).min(axis=1)
    classes = activations(ticket_of("circle", depth), x)[-1].argmax(axis=1)
    wrong = classes != target("circle", x)
    assert radius_squared.max() == 2
    assert np.all(distance[wrong] < (0.01 if depth == 3 else 0.003))


@pytest.mark.parametrize("depth", [3, 5, 9])
def test_circle_neighbours_are_equal_at_the_boundaries(depth):
    outputs = activations(ticket_of("circle", depth), inputs("circle", 100))[-1]
    # Two logits give g; the others must be the affine maps that meet at 0.2, 0.5, 0.7.
    g = (outputs[:, 1] - outputs[:, 0]) / 5 + 0.2
    np.testing.assert_allclose(outputs[:, 2] - outputs[:, 1], 10 * (g - 0.5), atol=2e-5)
    np.testing.assert_allclose(outputs[:, 3] - outputs[:, 2], 20 * (g - 0.7), atol=4e-5)
    np.testing.assert_allclose(outputs[:, 0], 5 * g, atol=1e-5)


def test_circle_components_keep_the_radius():
    x = inputs("circle", 1000)
    for depth in range(5, 13):
        values = activations(ticket_of("circle", depth), x)
        for hidden in values[1:-2]:
            radius_squared = np.sum(hidden[:, :2] ** 2, axis=1)
            np.testing.assert_allclose(radius_squared, np.sum(x**2, axis=1), rtol=2e-6)
            # The parallel component is kept by a ReLU, the perpendicular one by two.
            assert np.all(hidden[:, 0] >= 0)
            if hidden is not values[1]:
                np.testing.assert_allclose(hidden[:, 2], -hidden[:, 1])
        if depth > 5:
            sector = np.pi / 2 ** (depth - 4)
            angle = np.arctan2(np.abs(values[-3][:, 1]), values[-3][:, 0])
            assert sector * 0.9 < angle.max() < sector * (1 + 1e-5)


def test_helix_is_one_function_at_all_depths():
    x = np.linspace(-1, 1, 5001)[:, None]
    first = activations(ticket_of("helix", 3), x)[-1]
    for depth in range(4, 13):
        values = activations(ticket_of("helix", depth), x)
        np.testing.assert_allclose(values[-1], first, atol=2e-5)
        assert np.all(values[0] >= 0)
        for coordinates in values[2:-1]:
            assert np.all(coordinates > 0.01)  # so no identity is cut by its ReLU


def test_relu_depth_2_is_the_identity():
    x = inputs("relu")
    ticket = ticket_of("relu", 2)
    np.testing.assert_array_equal(activations(ticket, x)[-1], x)
    np.testing.assert_allclose(quality("relu", ticket, x), 1 / 6, rtol=0.02)


@pytest.mark.parametrize("name", TASKS)
def test_ticket_refuses_a_depth_it_does_not_have(name):
    smallest = SMALLEST_DEPTH[name]
    for depth in (smallest - 1, 0, -3, 5.0, "5", None, True):
        with pytest.raises(ValueError, match=f"{name}: depth .* >= {smallest} .*got {depth!r}"):
            TASKS[name].ticket(depth)
    assert len(TASKS[name].ticket(np.int64(smallest))) == smallest - 1


# Samples.


@pytest.mark.parametrize("name", TASKS)
def test_sample_shapes_and_inputs(name):
    task = TASKS[name]
    batch = draw(name, 0, 0.01)
    assert isinstance(batch, Batch)
    assert batch.x.shape == (N, task.inputs) and batch.x.dtype == jnp.float32
    if task.kind == CLASSIFICATION:
        assert batch.y.shape == (N,) and batch.y.dtype == jnp.int32
        assert set(np.unique(batch.y)) == set(range(task.outputs))
    else:
        assert batch.y.shape == (N, task.outputs) and batch.y.dtype == jnp.float32
    x = np.asarray(batch.x, np.float64)
    assert np.all((x >= -1) & (x <= 1))
    # Uniform on [-1, 1]: mean 0 and variance 1/3, within five standard errors; independent columns.
    assert np.all(np.abs(x.mean(axis=0)) < 5 * np.sqrt(1 / 3 / N))
    assert np.all(np.abs((x**2).mean(axis=0) - 1 / 3) < 5 * np.sqrt(4 / 45 / N))
    assert abs((x[:, 0] * x[:, -1]).mean()) < 0.02 or task.inputs == 1


@pytest.mark.parametrize("name", TASKS)
def test_sample_is_exact_without_noise(name):
    batch = draw(name, 1, 0.0)
    if name == "circle":
        x = np.asarray(batch.x, np.float64)
        expected = [circle_class(x1 * x1 + x2 * x2) for x1, x2 in x]
        np.testing.assert_array_equal(batch.y, expected)
    else:
        np.testing.assert_allclose(batch.y, target(name, batch.x), atol=5e-6)


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.1, 1.0])
def test_circle_noise_moves_labels_to_the_nearest_neighbour(noise):
    batch = draw("circle", 2, noise)
    x, y = np.asarray(batch.x, np.float64), np.asarray(batch.y)
    radius_squared = np.sum(x**2, axis=1)
    moved = np.flatnonzero(y != target("circle", x))
    assert abs(len(moved) / N - noise) <= 5 * np.sqrt(noise * (1 - noise) / N)
    for index in moved[:4000]:
        true = circle_class(radius_squared[index])
        below = radius_squared[index] - BOUNDARIES[true - 1] if true > 0 else np.inf
        above = BOUNDARIES[true] - radius_squared[index] if true < 3 else np.inf
        assert y[index] == (true - 1 if below < above else true + 1)


@pytest.mark.parametrize("name", ["relu", "helix"])
@pytest.mark.parametrize("noise", [0.001, 0.01, 0.1])
def test_regression_noise_is_normal(name, noise):
    batch = draw(name, 3, noise)
    deviation = (np.asarray(batch.y, np.float64) - target(name, batch.x)) / noise
    assert np.all(np.abs(deviation.mean(axis=0)) < 5 / np.sqrt(N))
    np.testing.assert_allclose(deviation.std(axis=0), 1.0, atol=5 / np.sqrt(2 * N))
    np.testing.assert_allclose((deviation**4).mean(axis=0), 3.0, atol=5 * np.sqrt(96 / N))
    correlation = np.corrcoef(np.concatenate([deviation, batch.x], axis=1).T)
    assert np.abs(correlation - np.eye(len(correlation))).max() < 5 / np.sqrt(N)


@pytest.mark.parametrize("name", TASKS)
def test_samples_follow_from_the_key(name):
    first, again = draw(name, 4, 0.1), draw(name, 4, 0.1)
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    # The noise level changes only the targets, the key everything.
    np.testing.assert_array_equal(first.x, draw(name, 4, 0.0).x)
    assert np.mean(np.asarray(first.x) == np.asarray(draw(name, 5, 0.1).x)) < 0.01


@pytest.mark.parametrize("name", TASKS)
def test_sample_under_jit_and_vmap(name):
    keys = jax.random.split(jax.random.key(6), 3)
    noises = jnp.array([0.0, 0.01, 0.5])
    mapped = jax.vmap(SAMPLE[name], in_axes=(0, None, 0))(keys, N, noises)
    for index, (key, noise) in enumerate(zip(keys, noises, strict=True)):
        expected = TASKS[name].sample(key, N, float(noise))
        for batch in (SAMPLE[name](key, N, noise), Batch(mapped.x[index], mapped.y[index])):
            assert batch.x.dtype == expected.x.dtype and batch.y.dtype == expected.y.dtype
            np.testing.assert_array_equal(batch.x, expected.x)
            np.testing.assert_allclose(batch.y, expected.y, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", TASKS)
def test_sample_is_float32_when_64_bits_are_enabled(name):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        batch = jax.eval_shape(
            functools.partial(TASKS[name].sample, n=10, noise=0.1), jax.random.key(7)
        )
    assert batch.x.dtype == jnp.float32
    assert batch.y.dtype == (jnp.int32 if name == "circle" else jnp.float32)


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        (name, noise)
        for name, wrong in {
            "relu": [-0.1, np.nan, np.inf],
            "circle": [-0.1, 1.1, np.nan],
            "helix": [-0.1, np.nan, np.inf],
        }.items()
        for noise in wrong
    ],
)
def test_sample_refuses_an_impossible_noise(name, noise):
    with pytest.raises(ValueError, match=f"{name}: noise must be .*, got {noise!r}"):
        TASKS[name].sample(jax.random.key(8), 10, noise)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_sample_refuses_an_impossible_number(name, n):
    with pytest.raises(ValueError, match=f"{name}: n must be an integer >= 1, got {n}"):
        TASKS[name].sample(jax.random.key(9), n)


@pytest.mark.parametrize("name", ["relu", "circle", "helix"])
def test_a_depth_that_would_take_for_ever_is_refused(name):
    with pytest.raises(ValueError, match="depth must be an integer .* at most 1,000"):
        get_task(name).ticket(2**31)
