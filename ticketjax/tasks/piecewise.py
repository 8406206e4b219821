"""Approximation of a function of one variable by one hidden layer of ReLU neurons."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

# Far denser than any ticket's knots, so that the discrete optimum is the continuous one.
_GRID_POINTS = 10_000
# Float64 least squares leaves about 1e-14; the smallest coefficient that matters is far above.
_ROUNDING = 1e-9


def fit(
    function: Callable[[np.ndarray], np.ndarray],
    knots: npt.ArrayLike,
    signs: npt.ArrayLike,
    interval: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best slope changes a and offset b of g(x) = sum_j a_j relu(p_j (x - s_j)) + b.

    Best means least squares over the interval. With the same number of neurons, this is more
    accurate than interpolation at the knots, which Fischer and Burkholz (2022, appendix A.4.3) use.
    Several functions share the neurons: only a and b have columns.

    Args:
        function: maps points (n,) to values (n,), or (n, columns) for several functions at once.
        knots: (neurons,) the s_j. Without a knot at an end of the interval the slopes may be tied.
        signs: (neurons,) the p_j, each -1 or +1.
        interval: (low, high), where g approximates the function.

    Returns:
        (neurons,) and (), or (neurons, columns) and (columns,), float64. Coefficients below
        1e-9 of their column's largest are rounding errors and set to 0.

    Raises:
        ValueError: knots and signs of different shapes, a sign that is neither -1 nor +1, or an
            interval that is not increasing.

    >>> slope_changes, offset = fit(np.abs, [-1.0, 0.0], [1, 1], (-1.0, 1.0))
    >>> slope_changes.round(6).tolist(), offset.round(6).tolist()
    ([-1.0, 2.0], 1.0)
    """
    knots = np.asarray(knots, np.float64)
    signs = np.asarray(signs, np.float64)
    if knots.ndim != 1 or knots.shape != signs.shape:
        raise ValueError(
            f"knots and signs must both have the shape (neurons,), got {knots.shape} and "
            f"{signs.shape}"
        )
    if not np.all(np.abs(signs) == 1):
        raise ValueError(f"signs must be -1 or +1, got {signs.tolist()}")
    low, high = interval
    if not low < high:
        raise ValueError(f"interval must be (low, high) with low < high, got {interval!r}")

    points = low + (high - low) * (np.arange(_GRID_POINTS) + 0.5) / _GRID_POINTS
    neurons = np.maximum(signs * (points[:, None] - knots), 0.0)
    features = np.concatenate([neurons, np.ones((_GRID_POINTS, 1))], axis=1)
    coefficients = np.linalg.lstsq(features, function(points), rcond=None)[0]
    smallest = _ROUNDING * np.abs(coefficients).max(axis=0)
    coefficients = np.where(np.abs(coefficients) < smallest, 0.0, coefficients)
    return coefficients[:-1], coefficients[-1]
