"""Random numbers and outputs of networks that are identical on every machine, to the last bit.

The numbers come from SHAKE-256, so those that are public do not allow others to be predicted. All
computations are sums, products, quotients and roots in float64, one NumPy operation each, which
every processor rounds correctly. They use no function of a mathematical library, no matrix product,
and no compiler, which could contract two operations.
"""

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names

_LOG_2 = 0.6931471805599453
# Terms of the logarithm's series. Within a factor sqrt(2) of 1, it is exact to float64's rounding.
_TERMS = 12
# Coefficients of Wichura's PPND16, numerator and denominator, by powers of r: for the middle,
# |p - 1/2| <= 0.425, and for the tails with r = sqrt(-log p) up to 5 and above.
_MIDDLE = (
    (
        *(3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3),
        *(1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4),
        *(3.3430575583588128105e4, 2.5090809287301226727e3),
    ),
    (
        *(1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
        *(2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4),
        5.2264952788528545610e3,
    ),
)
_NEAR = (
    (
        *(1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0),
        *(3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1),
        *(2.27238449892691845833e-2, 7.74545014278341407640e-4),
    ),
    (
        *(1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
        *(1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4),
        1.05075007164441684324e-9,
    ),
)
_FAR = (
    (
        *(6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0),
        *(2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3),
        *(2.71155556874348757815e-5, 2.01033439929228813265e-7),
    ),
    (
        *(1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2),
        *(7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7),
        2.04426310338993978564e-15,
    ),
)


def uniform(key: bytes, purpose: str, shape: Sequence[int]) -> np.ndarray:
    """Random numbers, uniform in the open interval (0, 1).

    Args:
        key: secret; it determines all numbers.
        purpose: different purposes give different numbers.
        shape: of the result.

    Returns:
        float64, multiples of 2^-53.

    >>> uniform(b"key", "example", (2,)).round(3).tolist()
    [0.074, 0.694]
    """
    count = int(np.prod(shape, dtype=np.int64))
    content = hashlib.shake_256(len(key).to_bytes(8, "little") + key + purpose.encode())
    words = np.frombuffer(content.digest(8 * count), "<u8") >> np.uint64(12)
    return ((words.astype(np.float64) + 0.5) * 2.0**-52).reshape(shape)


def _ratio(coefficients: tuple[tuple[float, ...], ...], r: np.ndarray) -> np.ndarray:
    """The quotient of two polynomials."""
    values = []
    for powers in coefficients:
        value = np.full(r.shape, powers[-1])
        for coefficient in powers[-2::-1]:
            value = value * r
            value = value + coefficient
        values.append(value)
    return values[0] / values[1]


def _log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm of positive numbers, by the series of its odd powers."""
    significand, exponent = np.frexp(x)
    small = significand < 0.5**0.5
    significand = np.where(small, significand * 2, significand)
    exponent = exponent - small
    s = (significand - 1) / (significand + 1)
    square = s * s
    series = np.zeros(x.shape)
    for odd in range(2 * _TERMS - 1, 0, -2):
        series = series * square
        series = series + 1 / odd
    return exponent * _LOG_2 + series * s * 2


def normal_quantile(p: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal distribution, to about 1e-15.

    Args:
        p: float64, in (0, 1).

    Returns:
        float64, of the same shape.

    Source: Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37, 1988.

    >>> normal_quantile(np.array([0.5, 0.975])).round(6).tolist()
    [0.0, 1.959964]
    """
    q = p - 0.5
    middle = _ratio(_MIDDLE, 0.180625 - q * q) * q
    r = np.sqrt(-_log(np.minimum(p, 1 - p)))
    tail = np.where(r <= 5, _ratio(_NEAR, r - 1.6), _ratio(_FAR, r - 5))
    return np.where(np.abs(q) <= 0.425, middle, np.copysign(tail, q))


def normal(key: bytes, purpose: str, shape: Sequence[int]) -> np.ndarray:
    """Standard normal random numbers, float64; arguments as in uniform()."""
    return normal_quantile(uniform(key, purpose, shape))


def mother_network(key: bytes, sizes: Sequence[int]) -> Params:
    """A dense network, distributed as mlp() initialises it.

    Args:
        key: determines all parameters.
        sizes: neurons in every layer, including the input.

    Returns:
        {"layer_0": {"kernel", "bias"}, ...}, NumPy float32: weights N(0, 2 / n_in), the biases of
        layer l N(0, (prod_{k<=l} sqrt(2 / n_{k-1}))^2).
    """
    params: dict = {}
    bias_scale = 1.0
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        scale = float(np.sqrt(2 / n_in))
        bias_scale *= scale
        kernel = scale * normal(key, f"layer_{i}.kernel", (n_in, n_out))
        bias = bias_scale * normal(key, f"layer_{i}.bias", (n_out,))
        params[f"layer_{i}"] = {
            "kernel": kernel.astype(np.float32),
            "bias": bias.astype(np.float32),
        }
    return params


def outputs(params: Params, x: np.ndarray) -> np.ndarray:
    """Outputs of a dense ReLU network, summed in the order of the neurons.

    Args:
        params: {"layer_0": {"kernel", "bias"}, ...}.
        x: (n, inputs).

    Returns:
        (n, outputs) float64.
    """
    values = np.asarray(x, np.float64)
    for i, name in enumerate(layer_names(params)):
        kernel, bias = (np.asarray(params[name][part], np.float64) for part in ("kernel", "bias"))
        values = np.maximum(values, 0) if i else values
        total = np.zeros((len(values), kernel.shape[1])) + bias
        for source, row in zip(values.T, kernel, strict=True):
            total = total + source[:, None] * row
        values = total
    return values
