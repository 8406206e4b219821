"""A ReLU network's gradient, scores and Adam by hand: NumPy, float64, no automatic derivative.

A network is a list of layers (kernel (n_in, n_out), bias (n_out,)); so are gradients and masks.
"""

import numpy as np
import scipy.optimize


def layers_of(tree):
    """The layers of {"layer_0": {"kernel", "bias"}, ...} from input to output, float64."""
    return [
        tuple(np.asarray(tree[f"layer_{i}"][part], np.float64) for part in ("kernel", "bias"))
        for i in range(len(tree))
    ]


def tree_of(layers):
    return {f"layer_{i}": {"kernel": k, "bias": b} for i, (k, b) in enumerate(layers)}


def combine(function, *networks):
    """Apply a function of arrays to the networks' arrays."""
    return [
        tuple(function(*arrays) for arrays in zip(*layer, strict=True))
        for layer in zip(*networks, strict=True)
    ]


def activations(layers, x):
    """The input of each layer, and the output of the last one."""
    values = [np.asarray(x, np.float64)]
    for i, (kernel, bias) in enumerate(layers):
        before = values[-1] @ kernel + bias
        values.append(np.maximum(before, 0) if i < len(layers) - 1 else before)
    return values


def outputs(layers, x):
    return activations(layers, x)[-1]


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def loss(kind, out, y):
    if kind == "regression":
        return np.mean((out - y) ** 2)
    return -np.mean(np.log(softmax(out)[np.arange(len(y)), y]))


def loss_slope(kind, out, y):
    """The loss's derivative with respect to the outputs."""
    if kind == "regression":
        return 2 * (out - y) / out.size
    return (softmax(out) - np.eye(out.shape[1])[y]) / len(y)


def fitted_scale(kind, out, y):
    """Least-squares factor of each output, at least 0, or the best inverse temperature."""
    if kind == "regression":
        columns = zip(out.T, np.asarray(y, np.float64).T, strict=True)
        return np.array([scipy.optimize.nnls(o[:, None], t)[0][0] for o, t in columns])
    low, high = 1e-9, 1e9
    for _ in range(200):  # the slope by the inverse temperature grows with it
        middle = np.sqrt(low * high)
        slope = np.sum(loss_slope(kind, out * middle, y) * out)
        low, high = (middle, high) if slope < 0 else (low, middle)
    return low


def followed(kind, out, y):
    """The factor that a descent applies to the outputs, and the shift that it subtracts.

    Where the best factor is 0, the output counts as 0, and its changes by the target's size.
    """
    factor = fitted_scale(kind, out, y)
    if kind != "regression":
        return factor, 0.0
    size = np.sqrt((np.asarray(y, np.float64) ** 2).sum(axis=0) / (out**2).sum(axis=0))
    return np.where(factor > 0, factor, size), np.where(factor > 0, 0, size * out)


def gradient(kind, layers, x, y, factor=1.0, shift=0.0):
    """Gradient of the loss of factor * output - shift with respect to every parameter."""
    values = activations(layers, x)
    slope = loss_slope(kind, values[-1] * factor - shift, y) * factor
    gradients = []
    for i in reversed(range(len(layers))):
        gradients.insert(0, (values[i].T @ slope, slope.sum(axis=0)))
        slope = (slope @ layers[i][0].T) * (values[i] > 0)
    return gradients


def hessian_gradient(kind, layers, mask, x, y, factor=1.0, shift=0.0, step=1e-6):
    """H g of the kept parameters: central difference of the gradient along itself."""

    def kept_gradient(at):
        return combine(lambda m, g: m * g, mask, gradient(kind, at, x, y, factor, shift))

    g = kept_gradient(layers)
    size = step / max(np.max(np.abs(array)) for layer in g for array in layer)
    after = kept_gradient(combine(lambda p, d: p + size * d, layers, g))
    before = kept_gradient(combine(lambda p, d: p - size * d, layers, g))
    return combine(lambda a, b: (a - b) / (2 * size), after, before)


def snip(kind, layers, mask, x, y, factor=1.0, shift=0.0):
    """|theta g| of the network with the mask applied."""
    kept = combine(np.multiply, layers, mask)
    return combine(lambda p, g: np.abs(p * g), kept, gradient(kind, kept, x, y, factor, shift))


def grasp(kind, layers, mask, x, y, factor=1.0, shift=0.0):
    """theta * (H g) of the network with the mask applied."""
    kept = combine(np.multiply, layers, mask)
    return combine(np.multiply, kept, hessian_gradient(kind, kept, mask, x, y, factor, shift))


def synflow(layers, mask, weights=1.0):
    """|theta| dR/d|theta|, R the weighted sum of outputs of |theta| on ones, over all paths."""
    kept = combine(lambda p, m: np.abs(p * m), layers, mask)
    reaching = [np.ones(kept[0][0].shape[0])]
    for kernel, bias in kept:
        reaching.append(reaching[-1] @ kernel + bias)
    leaving = np.ones(kept[-1][0].shape[1]) * weights
    scores = []
    for (kernel, bias), value in zip(kept[::-1], reaching[-2::-1], strict=True):
        scores.insert(0, (value[:, None] * kernel * leaving, bias * leaving))
        leaving = kernel @ leaving
    return scores


def adam(kind, layers, mask, x, y, order, learning_rate=1e-3):
    """Masked parameters after one Adam step (Kingma and Ba 2015, algorithm 1) per row of order."""
    theta = combine(np.multiply, layers, mask)
    first = combine(np.zeros_like, theta)
    second = combine(np.zeros_like, theta)
    for t, rows in enumerate(order, start=1):
        g = combine(np.multiply, gradient(kind, theta, x[rows], y[rows]), mask)
        first = combine(lambda m, g: 0.9 * m + 0.1 * g, first, g)
        second = combine(lambda v, g: 0.999 * v + 0.001 * g * g, second, g)
        theta = combine(
            lambda p, m, v, t=t: (
                p - learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            ),
            theta,
            first,
            second,
        )
    return theta
