"""Convolutional and residual networks: what they compute, planting, paths, scores."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from ticketjax.base import Task, Wire
from ticketjax.masks import apply_mask
from ticketjax.networks.images import lenet300, resnet18, vgg
from ticketjax.networks.paths import collapsed, effective_density, first_dead_layer, log10_paths
from ticketjax.networks.wiring import chain, wiring_of


def no_ticket(depth):
    raise ValueError(f"no ticket of depth {depth}")


def images(size, channels=3, classes=4):
    return Task("images", (size, size, channels), classes, "classification", None, no_ticket)


def convolve(x, kernel, stride):
    """Oracle: loops over places, in float64, zeros around the image."""
    n, height, width, _ = x.shape
    window = kernel.shape[0]
    padded = np.pad(x, ((0, 0), (window // 2,) * 2, (window // 2,) * 2, (0, 0)))
    places = range(0, height, stride), range(0, width, stride)
    out = np.zeros((n, len(places[0]), len(places[1]), kernel.shape[3]))
    for (i, row), (j, column) in itertools.product(*map(enumerate, places)):
        seen = padded[:, row : row + window, column : column + window]
        out[:, i, j] = np.tensordot(seen, kernel, axes=3)
    return out


def pool(x, reduce):
    n, height, width, channels = x.shape
    return reduce(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


def relu(x):
    return np.maximum(x, 0)


def layer(params, name):
    return (np.asarray(params[name][part], np.float64) for part in ("kernel", "bias"))


def vgg11(params, x):
    """Oracle of VGG11."""
    index = 0
    for stage, length in enumerate((1, 1, 2, 2, 2)):
        for _ in range(length):
            kernel, bias = layer(params, f"layer_{index}")
            x = relu(convolve(x, kernel, 1) + bias)
            index += 1
        x = pool(x, np.mean if stage == 4 else np.max)
    kernel, bias = layer(params, f"layer_{index}")
    return x.reshape(x.shape[0], -1) @ kernel + bias


def resnet(params, x):
    """Oracle of ResNet18."""

    def unit(name, x, stride=1):
        kernel, bias = layer(params, name)
        x = convolve(x, kernel, stride) + bias
        size = np.sqrt(np.mean(x**2, axis=(1, 2), keepdims=True))
        return np.divide(x, size, out=np.zeros_like(x), where=size > 0)

    stream = relu(unit("layer_0", x))
    for block in range(8):
        first, second = f"layer_{1 + 2 * block}", f"layer_{2 + 2 * block}"
        stride = 2 if block in (2, 4, 6) else 1
        branch = unit(second, relu(unit(first, stream, stride)))
        if stride == 2:
            stream = unit(f"{second}_shortcut", stream, 2)
        stream = relu(stream + branch)
    kernel, bias = layer(params, "layer_17")
    return stream.mean(axis=(1, 2)) @ kernel + bias


MODELS = {
    # 64 x 64 leaves 2 x 2 places after the last pooling, whose channels the dense layer reads.
    "vgg11": (vgg(images(64), 11, 1 / 32), vgg11, 64),
    "resnet18": (resnet18(images(16), 1 / 16), resnet, 16),
}


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    """A model, its oracle, inputs, parameters of one draw, and a sparse network of another."""
    model, oracle, size = MODELS[request.param]
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    params, other = (jax.jit(model.init)(jax.random.key(seed)) for seed in range(2))
    generator = np.random.default_rng(1)
    sparse = jax.tree.map(lambda p: np.where(generator.uniform(size=p.shape) < 0.4, p, 0), other)
    return model, oracle, x, params, sparse


def test_outputs_are_those_of_loops(network):
    model, oracle, x, params, _ = network
    np.testing.assert_allclose(model.apply(params, x), oracle(params, x), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("network", "match"),
    [("vgg11", "cosine"), ("resnet18", "cosine"), ("vgg11", "hidden")],
    indirect=["network"],
)
def test_a_sparse_network_is_planted_exactly(network, match):
    model, oracle, x, params, sparse = network
    planted = jax.jit(lambda t, p: tj.plant(t, p, model=model, match=match))(sparse, params)
    outputs = oracle(apply_mask(planted.params, planted.mask), x) * float(planted.output_scale)
    wanted = oracle(sparse, x)
    assert np.abs(outputs - wanted).max() < 1e-4 * np.abs(wanted).max()
    for name, marks in planted.mask.items():
        for part, mask in marks.items():
            kept = np.asarray(planted.params[name][part])
            # As many as in the target, with its signs, as factors are positive; others as before.
            assert mask.sum() == np.count_nonzero(sparse[name][part])
            assert (kept[mask] > 0).sum() == (np.asarray(sparse[name][part]) > 0).sum()
            np.testing.assert_array_equal(kept[~mask], np.asarray(params[name][part])[~mask])


@pytest.mark.long
def test_a_narrow_target_is_planted_into_a_wider_network():
    # With fewer channels in every layer, like a pruned network without its dead channels.
    task, x = images(32), np.random.default_rng(2).normal(size=(2, 32, 32, 3)).astype(np.float32)
    narrow, wide = vgg(task, 11, 1 / 64), vgg(task, 11, 1 / 32)
    target, params = narrow.init(jax.random.key(3)), wide.init(jax.random.key(4))
    planted = tj.plant(target, params)
    outputs = vgg11(apply_mask(planted.params, planted.mask), x) * float(planted.output_scale)
    np.testing.assert_allclose(outputs, vgg11(target, x), rtol=1e-4)


# A stream that three layers add to, without normalisation: layer_0, layer_2 and layer_3, which
# reads the stream itself.
STREAM = (
    Wire("layer_0", 0, 1),
    Wire("layer_1", 1, 2),
    Wire("layer_2", 2, 1),
    Wire("layer_3", 1, 1),
    Wire("layer_4", 1, 3),
)


STREAM_MODEL = tj.Model(None, None, tuple(tj.Layer(*wire[:3]) for wire in STREAM))


def stream(params, x):
    def add(name, x):
        kernel, bias = layer(params, name)
        return x @ kernel + bias

    here = relu(add("layer_0", x))
    here = relu(here + add("layer_2", relu(add("layer_1", here))))
    here = relu(here + add("layer_3", here))
    return add("layer_4", here)


def dense(generator, width, density=1.0):
    sizes = [(2, width), (width, 3), (3, width), (width, width), (width, 2)]
    return {
        f"layer_{i}": {
            "kernel": draw((n_in, n_out), generator, density),
            "bias": draw((n_out,), generator, density),
        }
        for i, (n_in, n_out) in enumerate(sizes)
    }


def draw(shape, generator, density):
    kept = generator.uniform(size=shape) < density
    return np.where(kept, generator.normal(size=shape), 0).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_residual_branches_share_the_places_and_factors_of_their_stream(seed):
    generator = np.random.default_rng(seed)
    target, params = dense(generator, 4, 0.7), dense(generator, 6)
    params["layer_1"], params["layer_2"] = (
        {"kernel": draw(shape, generator, 1), "bias": draw(shape[1:], generator, 1)}
        for shape in ((6, 5), (5, 6))
    )
    planted = tj.plant(target, params, model=STREAM_MODEL)
    x = generator.uniform(-1, 1, (50, 2))
    outputs = stream(apply_mask(planted.params, planted.mask), x) * float(planted.output_scale)
    wanted = stream(target, x)
    assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_what_cannot_be_planted_is_refused():
    params = resnet18(images(16), 1 / 16).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"must define the layers .* got layer_0/bias"):
        tj.plant(params, params)
    small, large = (vgg(images(size), 11, 1 / 64).init(jax.random.key(0)) for size in (32, 64))
    with pytest.raises(ValueError, match="layer_8: the ticket's kernel .* not of one kind"):
        tj.plant(small, large)
    with pytest.raises(ValueError, match='match "hidden" is for layers one after the other'):
        tj.plant(params, params, model=resnet18(images(16), 1 / 16), match="hidden")
    layers = dict.fromkeys(["layer_0", "layer_1"])
    for wiring, reason in [
        ((Wire("layer_0", 0, 1),), "the network has layer_0, layer_1"),
        ((Wire("layer_0", 0, 1), Wire("layer_1", 2, 3)), "layer_1 reads space 2"),
        ((Wire("layer_0", 0, 1), Wire("layer_1", 0, 1)), "must be the only one at the outputs"),
        ((Wire("layer_0", 0, 1), Wire("layer_1", 1, 2, True)), "and not normalised"),
    ]:
        with pytest.raises(ValueError, match=reason):
            wiring_of(layers, wiring)


def test_paths_through_a_stream_counted_by_hand():
    ones = {
        name: {part: np.ones(leaf.shape, bool) for part, leaf in parts.items()}
        for name, parts in dense(np.random.default_rng(0), 4).items()
    }
    # 2 reach each of 4 neurons; 8 in all through each of 3, so 24 more each; then 26 + 4 * 26.
    assert np.isclose(10 ** log10_paths(ones, STREAM), 2 * 4 * (26 + 4 * 26))
    assert effective_density(ones, True, STREAM) == 1
    ones["layer_1"]["kernel"][:] = False
    # A dead branch leaves the stream alive: only its own 4 * 3 + 3 and 3 * 4 are unused.
    assert first_dead_layer(ones, STREAM) == -1 and not collapsed(ones, STREAM)
    assert np.isclose(10 ** log10_paths(ones, STREAM), 2 * 4 * (2 + 4 * 2))
    ones["layer_4"]["kernel"][:] = False
    assert collapsed(ones, STREAM) and first_dead_layer(ones, STREAM) == 1


def test_taps_and_places_are_edges():
    mask = {
        "layer_0": {"kernel": np.ones((3, 3, 2, 3), bool), "bias": np.zeros(3, bool)},
        "layer_1": {"kernel": np.ones((4 * 3, 5), bool), "bias": np.zeros(5, bool)},
    }
    assert np.isclose(10 ** log10_paths(mask), 2 * 9 * 3 * 4 * 5)
    mask["layer_0"]["kernel"][..., 1:] = False
    assert np.isclose(10 ** log10_paths(mask), 2 * 9 * 4 * 5)
    # Of the dense layer's 60 weights, the 20 of the one filter that is left; 18 + 20 of 122.
    assert np.isclose(effective_density(mask), 38 / (54 + 3 + 60 + 5))


@pytest.fixture(scope="module")
def residual():
    """The residual network, inputs and parameters."""
    model, _, size = MODELS["resnet18"]
    x = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    return model, x, jax.jit(model.init)(jax.random.key(0))


@pytest.mark.long
def test_synflow_is_theta_times_the_flows_slope_without_normalisation(residual):
    model, x, params = residual
    task = images(16)
    problem = tj.make_problem(task, model, params, tj.Batch(x, np.zeros(2, np.int32)))
    found = jax.jit(lambda p: tj.get_seeker("synflow")(jax.random.key(0), p, 0.2))(problem)
    positive = jax.tree.map(jnp.abs, params)
    slope = jax.jit(jax.grad(lambda p: jnp.sum(model.flow(p, jnp.ones_like(x[:1])))))(positive)
    for name in params:
        np.testing.assert_allclose(
            found.scores[name]["kernel"],
            np.abs(positive[name]["kernel"] * slope[name]["kernel"]),
            rtol=1e-3,
        )


@pytest.mark.parametrize(
    "seeker, options",
    [
        pytest.param("grasp", {}, marks=pytest.mark.long),
        pytest.param(
            "edge_popup",
            {"strategy": "annealed", "epochs": 2, "levels": 1, "batch_size": 2},
            marks=pytest.mark.long,
        ),
        pytest.param("probabilistic", {"epochs": 2, "batch_size": 2}, marks=pytest.mark.long),
        pytest.param("erk", {}, marks=pytest.mark.long),
    ],
)
def test_seekers_keep_the_exact_budget_of_a_residual_network(residual, seeker, options):
    model, x, params = residual
    batch = tj.Batch(np.concatenate([x, -x]), np.arange(4, dtype=np.int32))
    problem = tj.make_problem(images(16), model, params, batch, objective="rescaled")
    seek = tj.get_seeker(seeker, **{"scope": "global", **options})
    found = jax.jit(seek)(jax.random.key(1), problem, 0.1)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(int(leaf.sum()) for leaf in jax.tree.leaves(found.mask)) == round(0.1 * size)


def test_sizes_are_those_of_the_published_networks():
    task = images(32, classes=10)
    shapes = jax.eval_shape(vgg(task, 16).init, jax.random.key(0))
    kernels = [shapes[wire.layer]["kernel"].shape for wire in chain(shapes)]
    assert len(kernels) == 14 and kernels[0] == (3, 3, 3, 64) and kernels[-1] == (512, 10)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 14_719_818
    assert [len(jax.eval_shape(vgg(task, n).init, jax.random.key(0))) for n in (11, 13, 19)] == [
        9,
        11,
        17,
    ]
    shapes = jax.eval_shape(resnet18(task).init, jax.random.key(0))
    # 11,173,962 of the usual network, minus the norms' 9,600 parameters, plus 4,800 biases.
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 11_169_162
    shapes = jax.eval_shape(lenet300(images(28, 1, 10)).init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 266_610


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: vgg(images(32), 12), "layers must be one of 11, 13, 16, 19, got 12"),
        (lambda: vgg(images(32), 11, 0), "width must be positive"),
        (lambda: resnet18(tj.get_task("circle")), "task must be of images"),
        (lambda: lenet300(images(8), -1), "width must be positive"),
    ],
)
def test_networks_that_cannot_be_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
