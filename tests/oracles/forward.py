"""A fully connected ReLU network in float64."""

import numpy as np


def layers(params):
    """(kernel, bias) from input to output, by the number in the layer's name, in float64."""
    names = [f"layer_{i}" for i in range(len(params))]
    assert set(names) == set(params)
    return [
        tuple(np.asarray(params[name][part], np.float64) for part in ("kernel", "bias"))
        for name in names
    ]


def forward(params, x):
    """(n, inputs) -> (n, outputs); no ReLU after the last layer."""
    hidden = np.asarray(x, np.float64)
    pairs = layers(params)
    for kernel, bias in pairs[:-1]:
        hidden = np.maximum(hidden @ kernel + bias, 0)
    kernel, bias = pairs[-1]
    return hidden @ kernel + bias


def masked(params, mask):
    """Parameters with zeros outside the mask."""
    return {
        name: {part: np.where(mask[name][part], leaf, 0) for part, leaf in layer.items()}
        for name, layer in params.items()
    }
