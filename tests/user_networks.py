"""Networks as users write them: linen, nnx, and functions on a tree of one's own."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import ticketjax as tj
from ticketjax.networks.layers import leaf_paths

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


def counted(problem, mask, prune_bias):
    """Kept and all prunable parameters of every layer."""
    kept, there = leaves_by_path(mask), leaves_by_path(problem.params)
    counts = []
    for layer in problem.layers:
        parts = [layer.kernel or "kernel", layer.bias if prune_bias else None]
        paths = [f"{layer.path}/{part}" for part in parts if part is not None]
        counts.append((sum(kept[p].sum() for p in paths), sum(there[p].size for p in paths)))
    return np.array(counts)
