"""Planting into users' networks: exactly, or refused with the layer and the reason."""

import functools

import flax.linen as nn
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import ticketjax as tj
from tests.user_networks import CIRCLE, KEY, Chain, Listed, Normed, Residual, by_hand, model_of

PLANTED = [("relu", 3), ("relu", 5), ("circle", 4), ("circle", 5), ("helix", 3), ("helix", 5)]


def target_outputs(target, x):
    """The target in float64."""
    hidden = np.asarray(x, np.float64)
    for i in range(len(target)):
        layer = target[f"layer_{i}"]
        hidden = hidden @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
        hidden = np.maximum(hidden, 0) if i < len(target) - 1 else hidden
    return hidden


def widths_for(target, generator=None):
    """Hidden widths, different ones, as wide as the target or wider."""
    widths = [layer["kernel"].shape[1] for layer in target.values()][:-1]
    more = (3, 6, 2, 9, 4) if generator is None else generator.integers(0, 8, len(widths))
    return [width + extra for width, extra in zip(widths, more, strict=False)]


def assert_planted(model, target, planted, params, x):
    kept = jax.tree.map(lambda p, m: p * m, planted.params, planted.mask)
    wanted = target_outputs(target, x)
    outputs = np.asarray(model.apply(kept, x), np.float64) * float(planted.output_scale)
    assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert jax.tree.structure(planted.mask) == jax.tree.structure(params)
    size = sum(int(np.sum(leaf)) for leaf in jax.tree.leaves(planted.mask))
    assert size == sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(target))
    # Everything else stays bit for bit.
    for p, m, old in zip(
        *map(jax.tree.leaves, (planted.params, planted.mask, params)), strict=True
    ):
        np.testing.assert_array_equal(
            np.asarray(p)[~np.asarray(m)], np.asarray(old)[~np.asarray(m)]
        )


@pytest.mark.parametrize(
    ("name", "depth", "framework"),
    [
        *((*one, "linen") for one in PLANTED[::2]),
        *(pytest.param(*one, "linen", marks=pytest.mark.long) for one in PLANTED[1::2]),
        *(pytest.param(*one, "nnx", marks=pytest.mark.long) for one in PLANTED[::2]),
    ],
)
def test_tickets_are_planted_exactly_into_flax_chains(name, depth, framework):
    task = tj.get_task(name)
    target = task.ticket(depth=depth)
    hidden = widths_for(target)
    if framework == "linen":
        model = tj.from_linen(Chain((*hidden, task.outputs)), task)
    else:
        widths = (task.inputs, *hidden, task.outputs)
        model = tj.from_nnx(functools.partial(Listed, widths=widths), task)
    x = jax.random.uniform(KEY, (64, task.inputs), minval=-1.0)

    mothers = jax.vmap(model.init)(jax.random.split(KEY, 2))
    plant = jax.jit(jax.vmap(functools.partial(tj.plant, target, model=model)))
    several = jax.device_get((mothers, plant(mothers)))
    for i in range(2):
        params, planted = jax.tree.map(lambda leaf, i=i: leaf[i], several)
        assert_planted(model, target, planted, params, x)
    if (name, depth) == ("circle", 4):
        eager = tj.plant(target, params, model=model)
        assert_planted(model, target, eager, params, x)
        np.testing.assert_array_equal(*(_leaves(one.mask) for one in (eager, planted)))


def _leaves(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.long
@hypothesis.settings(max_examples=4)
@hypothesis.given(
    st.integers(0, 2**31), st.sampled_from([("relu", 4), ("circle", 4), ("helix", 3)])
)
def test_planting_is_exact_at_any_width(seed, task_and_depth):
    name, depth = task_and_depth
    task, generator = tj.get_task(name), np.random.default_rng(seed)
    target = task.ticket(depth=depth)
    widths = (*map(int, widths_for(target, generator)), task.outputs)
    model = tj.from_linen(Chain(widths), task)
    # Drawn in NumPy, which compiles nothing; biases too, which linen initialises as 0.
    params = jax.tree.map(
        lambda leaf: generator.normal(size=leaf.shape).astype(np.float32),
        jax.eval_shape(model.init, KEY),
    )
    planted = jax.jit(functools.partial(tj.plant, target, model=model))(params)
    x = generator.uniform(-1, 1, (32, task.inputs)).astype(np.float32)
    assert_planted(model, target, planted, params, x)


def test_planting_by_hand_made_layers_and_without_the_biases_that_are_not_needed():
    # The second layer of circle's ticket has none.
    target = CIRCLE.ticket(depth=5)
    model = by_hand((2, 9, 7, 23, 4))
    params = model.init(KEY)
    planted = tj.plant(target, params, model=model)
    kept = jax.tree.map(lambda p, m: p * m, planted.params, planted.mask)
    # "scale" belongs to no layer: the ticket's mask leaves it out, every seeker's mask keeps it.
    assert not planted.mask["scale"]
    kept["scale"] = params["scale"]
    x = jax.random.uniform(KEY, (64, 2), minval=-1.0)
    wanted = target_outputs(target, x)
    outputs = np.asarray(model.apply(kept, x), np.float64) * float(planted.output_scale)
    assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_a_target_of_the_networks_own_structure_is_planted_into_a_residual_network():
    model = model_of("residual")
    generator = np.random.default_rng(3)
    shapes = {"stem": (2, 4), "down": (4, 3), "up": (3, 4), "head": (4, 4)}
    target = {
        name: {
            "kernel": np.float32(generator.normal(size=shape) * (generator.random(shape) < 0.6)),
            "bias": np.float32(generator.normal(size=shape[1])),
        }
        for name, shape in shapes.items()
    }
    params = model.init(KEY)
    planted = jax.jit(functools.partial(tj.plant, model=model))(target, params)
    kept = jax.tree.map(lambda p, m: p * m, planted.params, planted.mask)
    x = jax.random.uniform(KEY, (64, 2), minval=-1.0)
    hidden = np.maximum(np.asarray(x, float) @ target["stem"]["kernel"] + target["stem"]["bias"], 0)
    branch = np.maximum(hidden @ target["down"]["kernel"] + target["down"]["bias"], 0)
    hidden = hidden + branch @ target["up"]["kernel"] + target["up"]["bias"]
    wanted = np.maximum(hidden, 0) @ target["head"]["kernel"] + target["head"]["bias"]
    outputs = np.asarray(model.apply(kept, x), np.float64) * float(planted.output_scale)
    assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()


class Changed(nn.Module):
    """A chain of two layers with something else between or around them."""

    between: object = nn.relu
    after: object = staticmethod(lambda x: x)

    @nn.compact
    def __call__(self, x):
        return self.after(nn.Dense(4, name="head")(self.between(nn.Dense(40, name="stem")(x))))


REFUSED = [
    (Normed(nn.LayerNorm()), 3, "nothing can be planted: head: its input has passed through"),
    (Normed(nn.BatchNorm(use_running_average=True)), 3, "head: its input has passed through"),
    (Normed(nn.LayerNorm()), 3, "head: .*norm/bias"),
    (Residual(), 5, "up: it is not one of layers one after the other|head: .*sum of branches"),
    (Changed(nn.tanh), 3, "head: its input has passed through tanh"),
    (Changed(nn.silu), 3, "head: its input has passed through silu"),
    (Changed(lambda x: x), 3, "head: its input has not passed through ReLU"),
    (Changed(lambda x: nn.relu(x) + 1), 3, "head: its input has passed through add"),
    (Changed(lambda x: nn.relu(x - 0.5)), 3, "head: its input has passed through sub"),
    (Changed(lambda x: nn.relu(-x)), 3, "head: its input has passed through neg"),
    (Changed(nn.relu, nn.softmax), 3, "head: its result has passed through"),
    (Changed(nn.relu, nn.relu), 3, "head: its result is changed before it is returned"),
]


@pytest.mark.parametrize(("module", "depth", "message"), REFUSED)
def test_refusals_to_plant_name_the_layer_and_the_reason(module, depth, message):
    model = tj.from_linen(module, CIRCLE)
    params = jax.eval_shape(model.init, KEY)
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), params)
    with pytest.raises(ValueError, match=message):
        tj.plant(CIRCLE.ticket(depth=depth), params, model=model)


def test_a_ticket_with_a_bias_needs_a_layer_with_one():
    # Circle's ticket of depth 5 has its first biases in the third layer.
    model = tj.from_linen(Chain((9, 7, 23, 4), use_bias=False), CIRCLE)
    with pytest.raises(ValueError, match="block2 has no bias, and the ticket needs one there"):
        tj.plant(CIRCLE.ticket(depth=5), model.init(KEY), model=model)
    # ReLU's has none at all.
    relu = tj.get_task("relu")
    model = tj.from_linen(Chain((5, 6, 1), use_bias=False), relu)
    params = model.init(KEY)
    planted = jax.jit(functools.partial(tj.plant, relu.ticket(depth=4), model=model))(params)
    x = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]
    assert_planted(model, relu.ticket(depth=4), planted, params, x)


def test_refusals_of_sizes_name_the_layer():
    def refusal(hidden, depth=5):
        model = tj.from_linen(Chain((*hidden, 4)), CIRCLE)
        with pytest.raises(ValueError, match="layers|narrow") as refused:
            tj.plant(CIRCLE.ticket(depth=depth), model.init(KEY), model=model)
        return str(refused.value)

    assert "block2 is too narrow: the ticket needs 20 neurons, the network has 19" in refusal(
        (9, 9, 19)
    )
    assert "the ticket has 4 layers and the network 3: too shallow by 1" in refusal((9, 25))


def test_networks_that_are_none_are_refused():
    with pytest.raises(ValueError, match="must give 4 outputs per sample of circle"):
        tj.from_linen(Chain((9, 3)), CIRCLE)
    with pytest.raises(ValueError, match="must give 4 outputs per sample of circle"):
        tj.from_nnx(functools.partial(Listed, widths=(2, 9, 3)), CIRCLE)
    with pytest.raises(ValueError, match="layer 'nowhere' has no w; the parameters are"):
        layers = (tj.Layer("nowhere", 0, 1, kernel="w"),)
        model = by_hand()
        tj.plant(CIRCLE.ticket(depth=3), model.init(KEY), model=tj.Model(model.init, model.apply,
                                                                        layers))  # fmt: skip
