"""Networks as pure functions of a parameter tree. The only file that names Flax."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from ticketjax.base import Model, Params, Task


class Dense(nn.Module):
    """A dense layer of samples in the last axis, which CPUs multiply a quarter faster."""

    width: int
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n_in, n) -> (width, n)."""
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[0], self.width))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return jnp.matmul(kernel.T, x, precision=self.precision) + bias[:, None]


class MLP(nn.Module):
    """Fully connected ReLU network; parameters {"layer_0": {"kernel", "bias"}, ...}."""

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
        # Otherwise XLA turns the last product over, to one that takes it five times as long.
        return jax.lax.optimization_barrier(x).T


def _init(key: jax.Array, sizes: tuple[int, ...]) -> Params:
    # All numbers are drawn at once: a draw per array takes most of a small program's compilation.
    shapes = list(itertools.pairwise(sizes))
    counts = [n_in * n_out + n_out for n_in, n_out in shapes]
    normal = jax.random.normal(key, (sum(counts),))
    params, bias_scale = {}, 1.0
    layers = jnp.split(normal, list(itertools.accumulate(counts))[:-1])
    for i, ((n_in, n_out), layer) in enumerate(zip(shapes, layers, strict=True)):
        weight_scale = (2 / n_in) ** 0.5
        bias_scale *= weight_scale
        params[f"layer_{i}"] = {
            "kernel": weight_scale * layer[n_out:].reshape(n_in, n_out),
            "bias": bias_scale * layer[:n_out],
        }
    return params


def mlp(task: Task, depth: int, width: int, precision: str | None = "highest") -> Model:
    """A dense ReLU network for a task.

    depth: layers of neurons, the input included (depth 5 has 4 kernels), at least 2.
    width: neurons of every hidden layer.
    precision: of the matrix products: "highest" (full float32; a planted ticket is exact only
        with it), "high", "default" (TF32 or bfloat16 passes on accelerators), or None for JAX's
        own setting. It makes no difference on a CPU.

    Weights are N(0, 2 / n_in), layer-l biases N(0, (prod_{k<=l} sqrt(2 / n_{k-1}))^2): as large
    as the layer's signal, where larger ones would drown a deep ticket (He 2015; Fischer 2021). The
    same arguments give the same object, so that nothing compiles twice.

    Raises ValueError if depth < 2 or width < 1.

    >>> from ticketjax.tasks import get_task
    >>> shapes = jax.eval_shape(mlp(get_task("circle"), 3, 100).init, jax.random.key(0))
    >>> shapes["layer_0"]["kernel"].shape, shapes["layer_1"]["bias"].shape
    ((2, 100), (4,))
    """
    if depth < 2:
        raise ValueError(f"depth must be at least 2 (an input and an output layer), got {depth}")
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    # By position: to the cache, an argument given by its name is another one.
    return _mlp(task, depth, width, precision)


@functools.cache
def _mlp(task: Task, depth: int, width: int, precision: str | None) -> Model:
    sizes = (task.inputs, *(width,) * (depth - 2), task.outputs)

    def init(key):
        return _init(key, sizes)

    def apply(params, x):
        # Widths are those of the parameters, so that a bare ticket runs in the same function.
        widths = tuple(params[f"layer_{i}"]["bias"].size for i in range(len(params)))
        return MLP(widths, precision).apply({"params": params}, x)

    return Model(init, apply)
