"""Random networks drawn in NumPy, which compiles nothing."""

import itertools

import numpy as np


def he_network(generator, widths, seeds=()):
    """Weights N(0, 2 / n_in), biases as large as their layer's signal; float32."""
    params, spread = {}, 1.0
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        spread *= np.sqrt(2 / n_in)
        params[f"layer_{i}"] = {
            "kernel": generator.normal(0, np.sqrt(2 / n_in), (*seeds, n_in, n_out)),
            "bias": generator.normal(0, spread, (*seeds, n_out)),
        }
    return {
        name: {part: leaf.astype(np.float32) for part, leaf in layer.items()}
        for name, layer in params.items()
    }


def sparse_network(generator, widths, density, seeds=()):
    """Sparse weights of order 1; biases that become smaller with every layer; float32."""

    def draw(shape, spread):
        values = generator.normal(0, spread, (*seeds, *shape))
        return (values * (generator.random(values.shape) < density)).astype(np.float32)

    return {
        f"layer_{i}": {"kernel": draw((n_in, n_out), 1.0), "bias": draw((n_out,), 0.5**i)}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths))
    }
