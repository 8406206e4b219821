"""Networks as pure functions of a parameter tree. The only file that names Flax."""

import functools

import flax.linen as nn
import jax.numpy as jnp

from ticketjax.base import Model, Task

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class MLP(nn.Module):
    """Fully connected ReLU network; parameters {"layer_0": {"kernel", "bias"}, ...}."""

    widths: tuple[int, ...]
    precision: str | None

    @nn.compact
    def __call__(self, x):
        """(n, inputs) -> (n, outputs); no ReLU after the last layer."""
        bias_scale = 1.0
        for i, width in enumerate(self.widths):
            # The standard deviation of layer l's biases is that of its signal, the product of
            # all weight standard deviations so far: larger biases would drown a deep ticket.
            bias_scale *= (2 / x.shape[-1]) ** 0.5
            x = nn.Dense(
                width,
                kernel_init=KERNEL_INIT,
                bias_init=nn.initializers.normal(bias_scale),
                precision=self.precision,
                name=f"layer_{i}",
            )(x)
            if i < len(self.widths) - 1:
                x = nn.relu(x)
        return x


@functools.cache
def mlp(task: Task, depth: int, width: int, precision: str | None = "highest") -> Model:
    """A dense ReLU network for a task.

    depth: layers of neurons, the input included (depth 5 has 4 kernels), at least 2.
    width: neurons of every hidden layer.
    precision: of the matrix products: "highest" (full float32; a planted ticket is exact only
        with it), "high", "default" (TF32 or bfloat16 passes on accelerators), or None for JAX's
        own setting. It makes no difference on a CPU.

    Weights are N(0, 2 / n_in), layer-l biases N(0, (prod_{k<=l} sqrt(2 / n_{k-1}))^2) (He 2015;
    Fischer 2021). The same arguments give the same object, so that nothing compiles twice.

    Raises ValueError if depth < 2 or width < 1.
    """
    if depth < 2:
        raise ValueError(f"depth must be at least 2 (an input and an output layer), got {depth}")
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    widths = (width,) * (depth - 2) + (task.outputs,)

    def init(key):
        return MLP(widths, precision).init(key, jnp.zeros((1, task.inputs)))["params"]

    def apply(params, x):
        # Widths are those of the parameters, so that a bare ticket runs in the same function.
        sizes = tuple(params[f"layer_{i}"]["bias"].size for i in range(len(params)))
        return MLP(sizes, precision).apply({"params": params}, x)

    return Model(init, apply)
