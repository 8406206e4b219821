"""A given network as the target: its outputs are the labels of the data."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Params, Task
from ticketjax.networks.mlp import dense_apply
from ticketjax.tasks.checks import check_sample


@dataclasses.dataclass(frozen=True)
class NetworkSamples:
    """Task.sample_of(): random inputs, and a network's outputs as their labels.

    Args:
        name: of the task, for messages.
        inputs, outputs: widths of the network's first and last layer.
        kind: as in network_task().
        corners: whether inputs are drawn from {-1, 1}^inputs; if not, from [-1, 1]^inputs.
    """

    name: str
    inputs: int
    outputs: int
    kind: str
    corners: bool = False

    def __call__(
        self, key: jax.Array, n: int, noise: jax.typing.ArrayLike, ticket: Params
    ) -> Batch:
        """Draw samples; the noise and the network may be traced."""
        is_class = self.kind == CLASSIFICATION
        check_sample(self.name, n, noise, largest_noise=1.0 if is_class else math.inf)
        key_x, key_noise, key_label = jax.random.split(key, 3)
        x = self._inputs(key_x, n)
        y = dense_apply()(jax.tree.map(jnp.asarray, ticket), x)
        if not is_class:
            return Batch(x, y + noise * jax.random.normal(key_noise, y.shape, y.dtype))
        label = jnp.argmax(y, axis=1).astype(jnp.int32)
        other = jax.random.randint(key_label, (n,), 0, self.outputs, jnp.int32)
        moved = jax.random.uniform(key_noise, (n,), jnp.float32) < noise
        return Batch(x, jnp.where(moved, other, label))

    def _inputs(self, key: jax.Array, n: int) -> jax.Array:
        if self.corners:
            return jax.random.rademacher(key, (n, self.inputs), jnp.float32)
        return jax.random.uniform(key, (n, self.inputs), jnp.float32, minval=-1.0, maxval=1.0)


def network_task(
    target: Params, kind: str = REGRESSION, name: str = "network", *, corners: bool = False
) -> Task:
    """A task that a given network solves: x uniform on [-1, 1]^inputs, y the network's outputs.

    Regression adds N(0, noise^2) to each output. A classification's label, the largest output, is
    replaced by a uniform one with probability noise.

    Args:
        target: dense layers, {"layer_0": {"kernel", "bias"}, ...}, kernels (n_in, n_out), biases
            (n_out,); zeros do not count as parameters.
        kind: "regression" or "classification".
        name: the name in records.
        corners: draw x from {-1, 1}^inputs instead.

    Returns:
        A Task, whose only ticket is the target, of the target's depth.

    Raises:
        ValueError: an unknown kind, or layers that are not dense.
    """
    if kind not in (REGRESSION, CLASSIFICATION):
        raise ValueError(f"kind must be {REGRESSION} or {CLASSIFICATION}, got {kind!r}")
    kernels = [layer["kernel"] for layer in target.values()]
    if any(kernel.ndim != 2 for kernel in kernels):
        raise ValueError("only networks of dense layers can be planted into a dense network")
    inputs, outputs = kernels[0].shape[0], kernels[-1].shape[1]
    samples = NetworkSamples(name, inputs, outputs, kind, corners)

    def sample(key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.01) -> Batch:
        return samples(key, n, noise, target)

    def ticket(depth: int) -> Params:
        own = len(kernels) + 1
        if depth != own:
            raise ValueError(f"{name}: depth must be the network's own, {own}, got {depth}")
        return target

    return Task(name, inputs, outputs, kind, sample, ticket)
