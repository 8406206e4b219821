"""ReLU: learn max(x, 0), the simplest target that needs a hidden layer."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import REGRESSION, Batch, Params, Task
from ticketjax.tasks.checks import check_depth, check_sample
from ticketjax.tasks.parameters import parameters


def sample(key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.01) -> Batch:
    """Draw x uniform on [-1, 1] and y = max(x, 0) + N(0, noise).

    Args:
        key: typed random key.
        n: number of samples.
        noise: standard deviation; may be traced.

    Returns:
        Batch with x (n, 1) float32, y (n, 1) float32.

    Raises:
        ValueError: an n below 1 or not an integer, a noise (when it is a plain number)
            that is negative or not finite.
    """
    check_sample("relu", n, noise, largest_noise=math.inf)
    key_x, key_noise = jax.random.split(key)
    x = jax.random.uniform(key_x, (n, 1), jnp.float32, minval=-1.0, maxval=1.0)
    deviation = jax.random.normal(key_noise, (n, 1), jnp.float32)
    return Batch(x, jax.nn.relu(x) + jnp.asarray(noise, jnp.float32) * deviation)


def ticket(depth: int) -> Params:
    """Return the target: one neuron per layer, each of weight 1 and bias 0.

    At depth 2 there is no hidden layer and so no ReLU: that ticket is the identity, x -> x. It is
    the smallest planted network there is, not a solution of the task (mean squared error 1/6).

    Args:
        depth: layers of neurons, including the input; at least 2.

    Returns:
        Parameters without padding, float32; every kernel (1, 1), every bias (1,).

    Raises:
        ValueError: a depth below 2 or not an integer.

    Source: Fischer and Burkholz 2022, arXiv 2111.11153, section 2.3 and appendix A.4.1.

    >>> {name: layer["kernel"].tolist() for name, layer in ticket(3).items()}
    {'layer_0': [[1.0]], 'layer_1': [[1.0]]}
    """
    check_depth("relu", depth, smallest=2)
    return parameters([(np.ones((1, 1)), np.zeros(1))] * (depth - 1))


RELU = Task(name="relu", inputs=1, outputs=1, kind=REGRESSION, sample=sample, ticket=ticket)
