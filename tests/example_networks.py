"""Networks of made-up numbers."""

import itertools

import numpy as np


def network(rng, sizes):
    """Dense layers of these widths, all numbers normal."""
    return {
        f"layer_{i}": {
            "kernel": rng.normal(size=(n_in, n_out)).astype(np.float32),
            "bias": rng.normal(size=n_out).astype(np.float32),
        }
        for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    }
