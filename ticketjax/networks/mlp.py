"""Dense ReLU networks as pure functions of a parameter tree."""

import functools
import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ticketjax.base import Model, Params, Task

PRECISIONS = ("highest", "high", "default", None)
# Every layer makes the program longer: more layers would take hours to compile.
DEEPEST = 1000
MOST_PARAMETERS = 2**31 - 1


class Dense(nn.Module):
    """A dense layer with samples in the last axis, which is a quarter faster on CPUs.

    Args:
        width: number of neurons.
        precision: precision of the matrix product, as in mlp().
    """

    width: int
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n_in, n) -> (width, n)."""
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[0], self.width))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return jnp.matmul(kernel.T, x, precision=self.precision) + bias[:, None]


class MLP(nn.Module):
    """Fully connected ReLU network; parameters {"layer_0": {"kernel", "bias"}, ...}.

    Args:
        widths: number of neurons of every layer, the outputs last.
        precision: precision of the matrix products, as in mlp().
    """

    widths: tuple[int, ...]
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, inputs) -> (n, outputs); no ReLU after the last layer."""
        x = x.T
        for i, width in enumerate(self.widths):
            x = Dense(width, self.precision, name=f"layer_{i}")(x)
            if i < len(self.widths) - 1:
                x = nn.relu(x)
        # Otherwise XLA transposes the last product, which then takes five times as long.
        return jax.lax.optimization_barrier(x).T


def initial_parameters(key: jax.Array, shapes: Mapping[str, Sequence[int]]) -> Params:
    """Weights N(0, 2 / n_in), layer-l biases N(0, (prod_{k<=l} sqrt(2 / n_{k-1}))^2).

    Args:
        key: determines all values.
        shapes: every layer's kernel shape by its name, in the order in which the layers compute.

    Returns:
        {name: {"kernel", "bias"}, ...}, float32.
    """
    # All numbers are drawn at once: one draw per array dominates a small program's compile time.
    counts = [math.prod(shape) + shape[-1] for shape in shapes.values()]
    normal = jax.random.normal(key, (sum(counts),), jnp.float32)
    params, bias_scale = {}, 1.0
    layers = jnp.split(normal, list(itertools.accumulate(counts))[:-1])
    for (name, shape), layer in zip(shapes.items(), layers, strict=True):
        weight_scale = (2 / math.prod(shape[:-1])) ** 0.5
        # A shortcut is as deep as the layer parallel to it.
        bias_scale *= 1 if name.endswith("shortcut") else weight_scale
        params[name] = {
            "kernel": weight_scale * layer[shape[-1] :].reshape(shape),
            "bias": bias_scale * layer[: shape[-1]],
        }
    return params


def mlp(task: Task, depth: int, width: int, precision: str | None = "highest") -> Model:
    """A dense ReLU network for a task.

    Weights are N(0, 2 / n_in), layer-l biases N(0, (prod_{k<=l} sqrt(2 / n_{k-1}))^2). The biases
    are then as large as the layer's signal; larger ones would dominate the signal of a deep ticket
    (He 2015; Fischer 2021).

    Args:
        task: gives the widths of the inputs and the outputs.
        depth: layers of neurons, including the input (depth 5 has 4 kernels), at least 2.
        width: neurons of every hidden layer.
        precision: precision of the matrix products: "highest" (full float32; a planted ticket is
            exact only with it), "high", "default" (TF32 or bfloat16 passes on accelerators), or
            None for JAX's own setting. It makes no difference on a CPU.

    Returns:
        A Model. The same arguments give the same object, so that nothing compiles twice.

    Raises:
        ValueError: depth < 2 or width < 1, a depth or a number of parameters above the limits,
            another precision.

    >>> from ticketjax.tasks import get_task
    >>> shapes = jax.eval_shape(mlp(get_task("circle"), 3, 100).init, jax.random.key(0))
    >>> shapes["layer_0"]["kernel"].shape, shapes["layer_1"]["bias"].shape
    ((2, 100), (4,))
    """
    if not isinstance(depth, numbers.Integral) or not 2 <= depth <= DEEPEST:
        raise ValueError(
            f"depth must be at least 2 (an input and an output layer), at most {DEEPEST} and a "
            f"whole number, got {depth!r}"
        )
    if not isinstance(width, numbers.Integral) or width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    largest = max(depth - 3, 1) * width * width
    if largest > MOST_PARAMETERS:
        raise ValueError(
            f"width must leave at most {MOST_PARAMETERS} parameters, which int32 can count; got "
            f"{width} at depth {depth}"
        )
    if precision not in PRECISIONS:
        named = ", ".join(filter(None, PRECISIONS))
        raise ValueError(f"precision must be one of {named} or None, got {precision!r}")
    # By position: the cache treats an argument given by name as a different one.
    return _mlp(task, depth, width, precision)


@functools.cache
def _mlp(task: Task, depth: int, width: int, precision: str | None) -> Model:
    return dense_network(task, (width,) * (depth - 2), precision)


def dense_network(task: Task, hidden: tuple[int, ...], precision: str | None) -> Model:
    """A dense ReLU network with these widths of hidden layers."""
    inputs = math.prod(task.inputs) if isinstance(task.inputs, tuple) else task.inputs
    sizes = (inputs, *hidden, task.outputs)
    shapes = {f"layer_{i}": shape for i, shape in enumerate(itertools.pairwise(sizes))}

    def init(key):
        return initial_parameters(key, shapes)

    return Model(init, dense_apply(precision), resizable=True)


@functools.cache
def dense_apply(precision: str | None = "highest") -> Callable[[Params, jax.Array], jax.Array]:
    """The forward pass of dense ReLU networks of any width, {"layer_0": {"kernel", "bias"}, ...}.

    Args:
        precision: as in mlp().

    Returns:
        (params, x) -> outputs.
    """

    def apply(params: Params, x: jax.Array) -> Any:
        # Widths are those of the parameters, so that a bare ticket runs in the same function.
        widths = tuple(params[f"layer_{i}"]["bias"].size for i in range(len(params)))
        return MLP(widths, precision).apply({"params": params}, x.reshape(x.shape[0], -1))

    return apply
