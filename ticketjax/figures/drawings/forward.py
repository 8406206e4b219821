"""The outputs of a network's layers, in NumPy, for the drawings of constructions."""

import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names


def activations(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """The outputs of every layer of neurons, the input first and the output last.

    ReLU acts on all but the first and the last.

    Args:
        params: kernels (n_in, n_out) and biases (n_out,) by layer.
        x: (n, inputs).

    Returns:
        Arrays (n, neurons), one per layer of neurons.

    >>> from ticketjax.tasks.circle import CIRCLE
    >>> x = np.array([[0.5, -0.5]])
    >>> activations(CIRCLE.ticket(5), x)[2].tolist()
    [[0.5, 0.5]]
    """
    layers, last = [np.asarray(x)], len(params) - 1
    for i, name in enumerate(layer_names(params)):
        kernel, bias = (np.asarray(params[name][part]) for part in ("kernel", "bias"))
        sums = layers[-1] @ kernel + bias
        layers.append(sums if i == last else np.maximum(sums, 0))
    return layers
