"""What a network's layers put out, in NumPy: what the drawings of constructions show."""

import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names


def activations(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """What every layer of neurons puts out, the input first and the output last.

    x: (n, inputs). Returns arrays (n, neurons); ReLU acts on all but the first and the last.

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
