"""Circle: classify four concentric rings of the plane."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import CLASSIFICATION, Batch, Params, Task
from ticketjax.tasks.checks import check_depth, check_sample
from ticketjax.tasks.parameters import parameters
from ticketjax.tasks.piecewise import fit

# Squared radii at which the class changes.
_BOUNDARIES = np.array([0.2, 0.5, 0.7])
# Knots per component without folding: 2 components * 10 knots.
_KNOTS = 10
# Non-zero weights around the knots of a folded ticket. The published ticket of depth 10 has 153
# weights, 50 of them before the knots; at depth 6 this leaves the ticket below the published 119.
_FOLDED_KNOT_WEIGHTS = 103


def sample(key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.01) -> Batch:
    """Draw x uniform on [-1, 1]^2, and y as the number of boundaries 0.2, 0.5, 0.7 below |x|^2.

    Args:
        key: typed random key.
        n: number of samples.
        noise: probability that a label moves to the other side of the boundary that is nearest in
            |x|^2; may be traced.

    Returns:
        Batch with x (n, 2) float32, y (n,) int32 from 0 to 3.

    Raises:
        ValueError: an n below 1 or not an integer, a noise (when it is a plain number)
            outside [0, 1].
    """
    check_sample("circle", n, noise, largest_noise=1.0)
    key_x, key_noise = jax.random.split(key)
    x = jax.random.uniform(key_x, (n, 2), jnp.float32, minval=-1.0, maxval=1.0)
    # One column per boundary.
    beyond = jnp.sum(x * x, axis=1, keepdims=True) - _BOUNDARIES.astype(np.float32)[None, :]
    y = jnp.sum(beyond > 0, axis=1, dtype=jnp.int32)
    nearest = jnp.argmin(jnp.abs(beyond), axis=1).astype(jnp.int32)
    # Boundary k lies between the classes k and k + 1.
    neighbour = 2 * nearest + 1 - y
    moved = jax.random.uniform(key_noise, (n,), jnp.float32) < jnp.asarray(noise, jnp.float32)
    return Batch(x, jnp.where(moved, neighbour, y))


def ticket(depth: int) -> Params:
    """Return the target: g(x) close to |x|^2, then one affine map of g per class.

    Depth 3 puts knots on both sides of 0 on each coordinate. Depth 4 first splits the coordinates
    by sign, depth 5 adds the two halves to |x1| and |x2|. Every further layer folds the plane along
    an axis that halves the sector all points lie in, so that one component takes over nearly all of
    |x|^2 and gets most of the knots.

    Args:
        depth: layers of neurons, including the input; at least 3.

    Returns:
        Parameters without padding, float32; kernels (n_in, n_out), biases (n_out,).

    Raises:
        ValueError: a depth below 3 or not an integer.

    Source: Fischer and Burkholz 2022, arXiv 2111.11153, section 2.3 and appendix A.4.2.
    Departures: the squares are least-squares fits (`piecewise.fit`) up to the last boundary, radius
        sqrt(0.7), where theirs interpolate up to 1 or sqrt(2); all knots face away from 0, where
        theirs alternate. Beyond that radius, g is smaller than |x|^2, by up to 0.08 at depth 5 and
        0.4 from depth 6 on, but the class is still the outermost. Tickets have no more weights.

    >>> [layer["kernel"].shape for layer in ticket(5).values()]
    [(2, 4), (4, 2), (2, 20), (20, 4)]
    """
    check_depth("circle", depth, smallest=3)
    return parameters(ring_layers(depth))


def ring_layers(
    depth: int,
    boundaries: np.ndarray = _BOUNDARIES,
    rotation: np.ndarray | None = None,
    order: Sequence[int] = (0, 1, 2, 3),
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The layers of ticket(), and of other tickets that classify four rings.

    Args:
        depth: as in ticket().
        boundaries: (3,), increasing, the squared radii at which the class changes.
        rotation: (2, 2) orthogonal, applied to the points first; None for none.
        order: the class of each ring, from the centre outwards.

    Returns:
        (kernel, bias) of each layer.
    """
    layers = []
    # (neurons, 2): the sums of the last layer's neurons that give the two components.
    components = np.eye(2)
    if depth >= 4:
        layers.append((np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]), np.zeros(4)))
        components = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    if depth >= 5:
        layers.append((components, np.zeros(2)))
        components = np.eye(2)
    # The angle, seen from the first component's axis, within which all points lie.
    sector = math.pi / 2
    for _ in range(depth - 5):
        sector /= 2
        parallel = np.array([math.cos(sector), math.sin(sector)])
        perpendicular = np.array([-math.sin(sector), math.cos(sector)])
        fold = np.stack([parallel, perpendicular, -perpendicular], axis=1)
        layers.append((components @ fold, np.zeros(3)))
        components = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])

    counts = (_KNOTS, _KNOTS) if depth <= 5 else _folded_knots(math.sin(sector))
    # Beyond the last boundary, g only has to be larger, which its last slopes ensure.
    radius = math.sqrt(boundaries[-1])
    ranges = (radius, radius * math.sin(sector))
    squares = [
        _square(count, limit, both_sides=depth == 3)
        for count, limit in zip(counts, ranges, strict=True)
    ]
    inputs = [
        np.outer(component, signs)
        for component, (_, signs, _, _) in zip(components.T, squares, strict=True)
    ]
    biases = [0.0 - signs * knots for knots, signs, _, _ in squares]
    layers.append((np.concatenate(inputs, axis=1), np.concatenate(biases)))

    slope_changes = np.concatenate([slope_changes for _, _, slope_changes, _ in squares])
    offset = sum(offset for _, _, _, offset in squares)
    # Logit c is 5 * 2^c g plus the constant that makes it equal its neighbours at their boundaries.
    slopes = 5.0 * 2.0 ** np.arange(4)
    steps = (slopes[1:] - slopes[:-1]) * boundaries
    equal_at_boundaries = -np.concatenate([[0.0], np.cumsum(steps)])
    # The position of each class among the rings.
    rings = np.argsort(order)
    kernel, bias = np.outer(slope_changes, slopes), slopes * offset + equal_at_boundaries
    layers.append((kernel[:, rings], bias[rings]))
    if rotation is not None:
        kernel, bias = layers[0]
        layers[0] = (rotation.T @ kernel, bias)
    return layers


def _square(
    count: int, limit: float, both_sides: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return knots, signs, slope changes and offset of the square on [0, limit] or its mirror."""
    if not both_sides:
        knots = np.arange(count) * (limit / count)
        signs = np.ones(count)
        return knots, signs, *fit(np.square, knots, signs, (0.0, limit))
    half = np.arange(count // 2) * (limit / (count // 2))
    knots = np.concatenate([half, -half])
    signs = np.repeat([1.0, -1.0], count // 2)
    return knots, signs, *fit(np.square, knots, signs, (-limit, limit))


def _folded_knots(ratio: float) -> tuple[int, int]:
    """Return the largest numbers of knots, in the proportion 1 : ratio, that the weights allow.

    A knot of the parallel component has one incoming weight. One of the perpendicular component has
    two, since this component is the sum of two neurons. Both have four weights to the classes.
    """
    parallel = _FOLDED_KNOT_WEIGHTS // 5
    while True:
        perpendicular = max(1, round(parallel * ratio))
        if 5 * parallel + 6 * perpendicular <= _FOLDED_KNOT_WEIGHTS:
            return parallel, perpendicular
        parallel -= 1


CIRCLE = Task(name="circle", inputs=2, outputs=4, kind=CLASSIFICATION, sample=sample, ticket=ticket)
