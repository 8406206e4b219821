"""Users' networks: layers are found, pruned within exact budgets, and planted in or refused."""

import functools

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import strategies as st

import ticketjax as tj
from ticketjax.masks import LayerBudgets
from ticketjax.networks.layers import leaf_paths
from ticketjax.seekers.exchange.refined import refine
from ticketjax.seekers.registry import SCORES

KEY = jax.random.key(5)
CIRCLE = tj.get_task("circle")


class Chain(nn.Module):
    """Dense layers with ReLU between, the last one as wide as the outputs."""

    widths: tuple
    use_bias: bool = True

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate(self.widths[:-1]):
            x = nn.relu(nn.Dense(width, self.use_bias, name=f"block{i}")(x))
        return nn.Dense(self.widths[-1], self.use_bias, name="head")(x)


class Normed(nn.Module):
    """With a function between two layers that is an obstacle to planting."""

    norm: nn.Module

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.norm(nn.Dense(9, name="stem")(x)))
        return nn.Dense(4, name="head")(x)


class Residual(nn.Module):
    """A branch that is added to the stream that it has read."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(9, name="stem")(x))
        x = x + nn.Dense(9, name="up")(nn.relu(nn.Dense(7, name="down")(x)))
        return nn.Dense(4, name="head")(nn.relu(x))


class Listed(nnx.Module):
    """The same chain in nnx, its layers in a list."""

    def __init__(self, rngs, widths=(2, 9, 7, 4)):
        pairs = zip(widths, widths[1:], strict=False)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def by_hand(widths=(2, 9, 7, 4)):
    """A tree of arrays: kernels are called "w", and the second layer has no bias."""
    layers = [
        tj.Layer(f"part{i}", i, i + 1, kernel="w", bias=None if i == 1 else "b")
        for i in range(len(widths) - 1)
    ]

    def init(key):
        params = {"scale": jnp.ones(())}
        for layer, n_in, n_out in zip(layers, widths, widths[1:], strict=False):
            key, own = jax.random.split(key)
            params[layer.path] = {"w": jax.random.normal(own, (n_in, n_out)) / np.sqrt(n_in)}
            if layer.bias:
                params[layer.path]["b"] = 0.1 * jnp.ones(n_out)
        return params

    @jax.numpy_rank_promotion("allow")  # biases are added in the usual way
    def apply(params, x):
        for layer in layers:
            own = params[layer.path]
            x = x @ own["w"]
            x = x + own["b"] if layer.bias else x
            x = jax.nn.relu(x) if layer is not layers[-1] else x
        return x * params["scale"]

    return tj.Model(init, apply, tuple(layers))


NETWORKS = {
    "bare": lambda: tj.from_linen(Chain((9, 7, 4), use_bias=False), CIRCLE),
    "layer norm": lambda: tj.from_linen(Normed(nn.LayerNorm()), CIRCLE),
    "batch norm": lambda: tj.from_linen(Normed(nn.BatchNorm(use_running_average=True)), CIRCLE),
    "residual": lambda: tj.from_linen(Residual(), CIRCLE),
    "nnx": lambda: tj.from_nnx(Listed, CIRCLE),
    "by hand": by_hand,
}
# (path, reads, writes, bias) of every layer.
LAYERS = {
    "bare": [("block0", 0, 1, None), ("block1", 1, 2, None), ("head", 2, 3, None)],
    "layer norm": [("stem", 0, 1, "bias"), ("head", 1, 2, "bias")],
    "batch norm": [("stem", 0, 1, "bias"), ("head", 1, 2, "bias")],
    "residual": [
        ("stem", 0, 1, "bias"),
        ("down", 1, 2, "bias"),
        ("up", 2, 1, "bias"),
        ("head", 1, 3, "bias"),
    ],
    "nnx": [(f"layers/{i}", i, i + 1, "bias") for i in range(3)],
    "by hand": [("part0", 0, 1, "b"), ("part1", 1, 2, None), ("part2", 2, 3, "b")],
}
UNPRUNED = {
    "layer norm": {"norm/scale", "norm/bias"},
    "batch norm": {"norm/scale", "norm/bias"},
    "by hand": {"scale"},
}


@functools.cache
def model_of(name):
    return NETWORKS[name]()


@functools.cache
def problem_of(name, prune_bias=True, objective="raw"):
    model = model_of(name)
    batch = CIRCLE.sample(jax.random.key(1), 24, noise=0.01)
    params = model.init(jax.random.key(0))
    return tj.make_problem(CIRCLE, model, params, batch, prune_bias=prune_bias, objective=objective)


def leaves_by_path(tree):
    return dict(zip(leaf_paths(tree), map(np.asarray, jax.tree.leaves(tree)), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_are_found(name):
    got = [(layer.path, layer.reads, layer.writes, layer.bias) for layer in model_of(name).layers]
    assert got == LAYERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_that_are_said_by_hand_are_those_that_are_found(name):
    model = model_of(name)
    params = jax.eval_shape(model.init, KEY)
    found = tj.follow(model.apply, params, jax.ShapeDtypeStruct((3, 2), jnp.float32))
    assert [(layer.path, layer.reads, layer.writes, layer.bias) for layer in found] == LAYERS[name]


@pytest.mark.parametrize("name", ["bare", "residual", "layer norm"])
def test_a_model_keeps_the_modules_own_tree(name):
    module = {
        "bare": Chain((9, 7, 4), use_bias=False),
        "residual": Residual(),
        "layer norm": Normed(nn.LayerNorm()),
    }[name]
    x = jnp.ones((5, 2))
    variables = module.init(KEY, x)
    model = model_of(name)
    params = model.init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])
    for a, b in zip(*map(jax.tree.leaves, (params, variables["params"])), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.apply(params, x), module.apply(variables, x))


def test_an_nnx_model_computes_what_the_module_does():
    model, x = model_of("nnx"), jnp.ones((5, 2))
    np.testing.assert_array_equal(model.apply(model.init(KEY), x), Listed(nnx.Rngs(KEY))(x))


# Pruning.

SMALL = {"batch_size": 8}
SEEKERS = {
    **{name: tj.Singleshot(score) for name, score in SCORES.items()},
    "local": tj.Singleshot(tj.snip, scope="local"),
    "multishot": tj.Multishot(tj.magnitude, rounds=2, round_epochs=1, **SMALL),
    "random_paths": tj.RandomPaths(draws=2),
    "force": tj.Force(rounds=2),
    "phew": tj.Phew(),
    "edge_popup": tj.EdgePopup(epochs=1, scope="global", normalise=True, **SMALL),
    "concrete": tj.Concrete(epochs=1, **SMALL),
    "features": tj.ConcreteTicketSearch(target="features", epochs=1, **SMALL),
    "hard": tj.IterativeHardThresholding(epochs=1, **SMALL),
    "rigl": tj.RigL(epochs=2, interval=1, **SMALL),
    "surgeon": tj.CombinatorialBrainSurgeon(rounds=2, samples=4),
    "chita": tj.CHITA(iterations=2, samples=4),
    "genetic": tj.Genetic(generations=2, population=10, samples=8),
    "acdc": tj.ACDC(epochs=3, **SMALL),
    "rewinding": tj.Rewinding(rounds=2, round_epochs=1, **SMALL),
}
FEW = ("snip", "balanced", "edge_popup", "concrete", "random_paths")
LONG = ("residual", "by hand", "bare", "layer norm", "batch norm", "nnx")


def counted(problem, mask, prune_bias):
    """Kept and all prunable parameters of every layer."""
    kept, there = leaves_by_path(mask), leaves_by_path(problem.params)
    counts = []
    for layer in problem.layers:
        parts = [layer.kernel or "kernel", layer.bias if prune_bias else None]
        paths = [f"{layer.path}/{part}" for part in parts if part is not None]
        counts.append((sum(kept[p].sum() for p in paths), sum(there[p].size for p in paths)))
    return np.array(counts)


@pytest.mark.parametrize(
    ("name", "prune_bias"),
    [
        *((name, True) for name in NETWORKS if name not in LONG),
        *(pytest.param(name, True, marks=pytest.mark.long) for name in LONG),
        pytest.param("residual", False, marks=pytest.mark.long),
        ("by hand", False),
    ],
)
def test_every_network_is_pruned_within_its_budget(name, prune_bias):
    problem = problem_of(name, prune_bias)
    params = problem.params
    # All seekers on two kinds of trees: a user's containers, and a stream with branches.
    is_whole = prune_bias and name in ("by hand", "residual")
    seekers = {label: SEEKERS[label] for label in (SEEKERS if is_whole else FEW)}
    budgets = LayerBudgets(tuple(range(1, len(problem.layers) + 1)))
    seekers["budgets"] = tj.Singleshot(tj.random_score, scope=budgets)

    @jax.jit
    def run(key, problem, density):
        return {label: seeker(key, problem, density) for label, seeker in seekers.items()}

    found = jax.device_get(run(KEY, problem, np.float32(0.4)))
    biases = {f"{layer.path}/{layer.bias}" for layer in problem.layers if layer.bias}
    for label, (mask, scores, _) in found.items():
        for tree in (mask, scores):
            assert jax.tree.structure(tree) == jax.tree.structure(params), label
        kept, rated = leaves_by_path(mask), leaves_by_path(scores)
        assert all(leaf.dtype == bool for leaf in kept.values()), label
        assert all(leaf.dtype == np.float32 for leaf in rated.values()), label
        for path, leaf in leaves_by_path(params).items():
            assert kept[path].shape == rated[path].shape == leaf.shape
            assert not np.any(np.isnan(rated[path])), (label, path)
        always = UNPRUNED.get(name, set()) | (set() if prune_bias else biases)
        assert all(np.all(kept[path]) for path in always), label
        own, all_ = counted(problem, mask, prune_bias).T
        assert all_.sum() == problem.prunable
        if label == "local":
            assert own.tolist() == [round(0.4 * size) for size in all_]
        elif label == "budgets":
            shares = 0.4 * all_.sum() * np.array(budgets.counts) / sum(budgets.counts)
            assert np.all(np.abs(own - np.minimum(shares, all_)) <= 0.5 + 1e-4)
        else:
            assert own.sum() == round(0.4 * all_.sum()), label
    if is_whole:
        assert len({kept.tobytes() for kept in map(_flat, found.values())}) > 6


def _flat(found):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found.mask)])


@pytest.mark.parametrize("name", ["bare", "nnx", "by hand"])
def test_scores_are_those_of_the_same_network_as_a_plain_chain(name):
    """The tree's form changes nothing: its view is a network of the library's own form."""
    problem = problem_of(name)
    seen = problem.view(problem.params)
    with_biases = {
        layer: {"bias": jnp.zeros(own["kernel"].shape[1]), **own} for layer, own in seen.items()
    }
    plain = tj.make_problem(CIRCLE, tj.mlp(CIRCLE, 4, 9), with_biases, problem.batch)

    # For GraSP, a trainable bias of 0 is different from no bias.
    compared = ["magnitude", "snip", "synflow", *["grasp"] * (name == "nnx")]

    @jax.jit
    def both(problem, plain):
        everything = [jax.tree.map(lambda p: jnp.ones(p.shape, bool), p.params) for p in two]
        scores = [
            {s: SCORES[s](KEY, p, p.params, m) for s in compared}
            for p, m in zip((problem, plain), everything, strict=True)
        ]
        return {s: problem.view(one) for s, one in scores[0].items()}, scores[1]

    two = problem, plain
    ours, theirs = both(problem, plain)
    for score, layers in ours.items():
        largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(layers))
        for layer, parts in layers.items():
            for part, leaf in parts.items():
                np.testing.assert_allclose(
                    leaf, theirs[score][layer][part], rtol=2e-4, atol=1e-5 * largest
                )


def test_what_is_in_no_layer_is_rated_zero_and_still_used():
    problem = problem_of("layer norm")
    scores = jax.jit(SCORES["synflow"])(
        KEY,
        problem,
        problem.params,
        jax.tree.map(lambda p: jnp.ones(p.shape, bool), problem.params),
    )
    assert not np.any(leaves_by_path(scores)["norm/bias"])
    louder = {**problem.params, "norm": jax.tree.map(lambda p: 2 * p + 1, problem.params["norm"])}
    assert abs(float(problem.loss(louder)) - float(problem.loss(problem.params))) > 1e-3


# Planting.

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


# Exchange, which computes the network's output itself.

PURSUIT = tj.PathPursuit(exchange=True, rounds=3, samples=20, width=4)
REFINED = tj.Refined(tj.magnitude, rounds=3, samples=20, candidates=8)
ANNEALED = tj.Annealed(tj.magnitude, steps=2, proposals=8, batch=8, width=4)


@pytest.mark.parametrize(
    "name", [pytest.param("bare", marks=pytest.mark.long), "by hand without scale"]
)
@pytest.mark.parametrize(
    "seeker",
    [
        pytest.param(PURSUIT, id="pursuit"),
        pytest.param(REFINED, marks=pytest.mark.long, id="refined"),
    ],
)
def test_exchange_works_on_chains_of_any_tree(name, seeker):
    if name == "by hand without scale":
        name, chain = "by hand", by_hand()
        params = chain.init(jax.random.key(0))
        del params["scale"]
        model = tj.Model(
            lambda key: params, lambda p, x: chain.apply({**p, "scale": 1.0}, x), chain.layers
        )
        batch = problem_of(name).batch
        problem = tj.make_problem(CIRCLE, model, params, batch, objective="rescaled")
    else:
        problem = problem_of(name, objective="rescaled")
    found = jax.jit(seeker)(KEY, problem, np.float32(0.3))
    assert jax.tree.structure(found.mask) == jax.tree.structure(problem.params)
    own, all_ = counted(problem, found.mask, True).T
    assert own.sum() == round(0.3 * all_.sum())
    # It computes the same as the network.
    if seeker is PURSUIT:
        kept = jax.tree.map(lambda p, m: p * m, problem.params, found.mask)
        np.testing.assert_allclose(found.info["loss"][-1], problem.loss(kept), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer norm", "head: its input has passed through"),
        ("batch norm", "head: its input has passed through"),
        ("residual", "up: it is not one of layers one after the other|head: .*sum of branches"),
        ("by hand", "scale belongs to no layer"),
    ],
)
@pytest.mark.parametrize(
    "seeker", [PURSUIT, REFINED, ANNEALED], ids=["pursuit", "refined", "annealed"]
)
def test_exchange_refuses_what_is_no_chain_by_the_layers_name(name, message, seeker):
    search = "annealed" if seeker is ANNEALED else "exchange"
    message = f"{search} searches networks of dense layers one after the other.*{message}"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(seeker, KEY, problem_of(name), np.float32(0.3))
    if seeker is REFINED:
        mask = jax.tree.map(lambda p: np.ones(p.shape, bool), problem_of(name).params)
        with pytest.raises(ValueError, match=message):
            refine(problem_of(name), mask, KEY)
