"""Helix: learn a curve in space, three outputs that share their knots."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import REGRESSION, Batch, Params, Task
from ticketjax.tasks.checks import check_depth, check_sample
from ticketjax.tasks.parameters import parameters
from ticketjax.tasks.piecewise import fit

_KNOTS = 30


def sample(key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.01) -> Batch:
    """Draw x uniform on [-1, 1] and y on the helix, each coordinate with N(0, noise) added.

    With u = 5 pi + 3 pi x the curve is (u cos u, u sin u, u) / (8 pi).

    Args:
        key: typed random key.
        n: number of samples.
        noise: standard deviation; may be traced.

    Returns:
        Batch with x (n, 1) float32, y (n, 3) float32.

    Raises:
        ValueError: an n below 1 or not an integer, a noise (when it is a plain number)
            that is negative or not finite.
    """
    check_sample("helix", n, noise, largest_noise=math.inf)
    key_x, key_noise = jax.random.split(key)
    x = jax.random.uniform(key_x, (n, 1), jnp.float32, minval=-1.0, maxval=1.0)
    u = np.pi * (5 + 3 * x)
    curve = jnp.concatenate([u * jnp.cos(u), u * jnp.sin(u), u], axis=1) / (8 * np.pi)
    deviation = jax.random.normal(key_noise, (n, 3), jnp.float32)
    return Batch(x, curve + jnp.asarray(noise, jnp.float32) * deviation)


def ticket(depth: int) -> Params:
    """Return the target: 30 equidistant knots, then the three coordinates.

    Depth 3 puts the knots on x itself, depth 4 on x + 1 in [0, 2]. From depth 5 on, the coordinates
    are hidden neurons; 1 is added to keep them positive through the identities that follow, and
    subtracted by the last layer. The third coordinate is linear in x, so it has only two knots.

    Neurons of knots right of the middle are active to their right, those of knots left of it to
    their left. Then fewer neurons are active at once, there is less cancellation in their sum, and
    float32 loses less precision.

    Args:
        depth: layers of neurons, including the input; at least 3.

    Returns:
        Parameters without padding, float32; kernels (n_in, n_out), biases (n_out,).

    Raises:
        ValueError: a depth below 3 or not an integer.

    Source: Fischer and Burkholz 2022, arXiv 2111.11153, section 2.3 and appendix A.4.3.
    Departures: least-squares fits (`piecewise.fit`) where theirs interpolate; knots from the middle
        outwards, with these signs, where theirs alternate from end to end.

    >>> [layer["kernel"].shape for layer in ticket(5).values()]
    [(1, 1), (1, 30), (30, 3), (3, 3)]
    """
    check_depth("helix", depth, smallest=3)
    # Both halves start at the middle, which thus has two neurons.
    half = np.arange(_KNOTS // 2) * (2 / _KNOTS)
    knots = np.concatenate([half, -half])
    return parameters(curve_layers(depth, _curve, knots))


def curve_layers(
    depth: int,
    curve: Callable[[np.ndarray], np.ndarray],
    knots: np.ndarray,
    least: float = -1.0,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers of ticket(), and of others that follow a curve.

    Args:
        depth: as in ticket().
        curve: points (n,) of [-1, 1] to the curve (n, 3), float64.
        knots: (30,): those right of the middle and then those left of it, both from the middle
            outwards.
        least: lower bound of all coordinates of the curve.

    Returns:
        (kernel, bias) of each layer.
    """
    signs = np.repeat([1.0, -1.0], _KNOTS // 2)
    slope_changes, offset = fit(curve, knots, signs, (-1.0, 1.0))
    if depth == 3:
        layers = [(signs[None], 0.0 - signs * knots)]
    else:
        layers = [(np.ones((1, 1)), np.ones(1)), (signs[None], 0.0 - signs * (knots + 1.0))]
    if depth <= 4:
        layers.append((slope_changes, offset))
    else:
        layers.append((slope_changes, offset - least))
        layers.extend((np.eye(3), np.zeros(3)) for _ in range(depth - 5))
        layers.append((np.eye(3), least * np.ones(3)))
    return layers


def _curve(x: np.ndarray) -> np.ndarray:
    """Return the curve (n, 3) in float64."""
    u = np.pi * (5 + 3 * x)
    return np.stack([u * np.cos(u), u * np.sin(u), u], axis=1) / (8 * np.pi)


HELIX = Task(name="helix", inputs=1, outputs=3, kind=REGRESSION, sample=sample, ticket=ticket)
