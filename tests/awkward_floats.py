"""Values for which comparisons, arithmetic or flushed denormals fail most easily."""

import numpy as np

INFINITY = float("inf")
AWKWARD = np.array(
    [0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, np.nan, -np.nan]
    + [1e-45, -1e-45, 3e-45, 1e-40, -1e-40, 1.1754944e-38, -1.1754944e-38]
    + [3.4028235e38, -3.4028235e38, 1.0000001, 0.99999994],
    np.float32,
)
