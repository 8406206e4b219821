"""The width that a random network needs to hold a ticket by chance: Lemma 1 and Theorem 2.

Plain NumPy in float64: this is the analysis of one small ticket on the host. Its terms go down to
1e-400, so probabilities are kept as logarithms. L counts weight matrices, that is depth - 1.

Lemma 1 is printed twice, and neither form follows from its proof. `tolerances` has both, and one
that does:

- "entry_main", section 2.1: eps / (L sqrt(n_l k_max,l) (1 + sup ||x_l||_1) prod_k (w_k + eps / L));
- "entry", appendix A.1:     eps / (L sqrt(m_l) (1 + sup ||x_{l-1}||_1) prod_k (w_k + eps / L));
- "spectral":                as "entry", w_k the largest singular value and not the largest |entry|.

The products run over k > l. x_l is the output of layer l, m_l <= n_l k_max,l the number of its
non-zero parameters. Both forms print W_l in the product, which must be a misprint: errors made in
layer l grow in the layers after it. W_k is used here.

Source: Fischer and Burkholz, Plant 'n' Seek, ICLR 2022, arXiv 2111.11153v2, Lemma 1, Theorem 2.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ticketjax.base import Params

# The chance that one random parameter falls within eps of a target parameter is at least this
# share of eps, while |target| + eps stays within the reach: the support of U[-1, 1], or where the
# density of N(0, 1) has fallen to 1/4.
_SHARE = {"uniform": 1.0, "normal": 0.5}
_REACH = {"uniform": 1.0, "normal": math.sqrt(2 * math.log(4 / math.sqrt(2 * math.pi)))}
# s_l^2 * n_in of He's initialisation: bound of the uniform, deviation of the normal.
_HE = {"uniform": 6.0, "normal": 2.0}
NORMS = ("spectral", "entry", "entry_main")
"""The forms of Lemma 1: the one that holds, the appendix's, and the main text's."""

# (L,) floats, and either these or one float for all layers.
Vector = Sequence[float] | np.ndarray
Numbers = float | Vector


class LayerBound(NamedTuple):
    """The theorem's result for one layer.

    Args:
        layer: its number, from 0.
        neurons: number of neurons with a non-zero parameter; the others need no match.
        in_degree: largest k_i: non-zero incoming weights, plus one for a non-zero bias.
        parameters: m_l, the number of non-zero weights and biases.
        largest: largest absolute parameter.
        tolerance: eps_l.
        in_reach: whether the theorem covers these parameters: largest + tolerance is at most 1
            (uniform) or 0.966 (normal). `normalise` brings any target into this range.
        log10_matches: log10 of the expected number of mother neurons that match the hardest target
            neuron.
        log10_failure: log10 of the sum over neurons of the probability that none matches; vacuous
            from 0 on.
        log10_width: log10 of the width at which the layer fails with probability at most delta / L.
    """

    layer: int
    neurons: int
    in_degree: int
    parameters: int
    largest: float
    tolerance: float
    in_reach: bool
    log10_matches: float
    log10_failure: float
    log10_width: float


class RequiredWidth(NamedTuple):
    """A width of the mother network.

    Args:
        width: exact below 2**53 and to 15 digits above.
        log10_width: its decimal logarithm.
    """

    width: int
    log10_width: float


def activation_norms(target: Params, cells: int = 4096, outputs: bool = False) -> np.ndarray:
    """Certified upper bounds on sup ||x||_1 of each layer's input, over inputs in [-1, 1]^n0.

    Interval arithmetic on every one of about `cells` equal sub-boxes of [-1, 1]^n0. The bounds are
    tight for few inputs; from 13 inputs on they are the plain interval bounds. Exact up to
    rounding.

    Args:
        target: layers {"layer_0": {"kernel", "bias"}, ...}, kernels (n_in, n_out), biases (n_out,).
        cells: number of sub-boxes, at least 1.
        outputs: bound each layer's output instead; the last one has no ReLU.

    Returns:
        (L,) float64.

    Raises:
        ValueError: a bad target, cells below 1.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells}")
    layers = _layers(target)
    inputs = layers[0][0].shape[0]
    per_axis = max(1, math.floor(cells ** (1 / inputs) + 1e-9))
    corner = np.arange(per_axis**inputs)[:, None] // per_axis ** np.arange(inputs) % per_axis
    low, high = -1 + 2 * corner / per_axis, -1 + 2 * (corner + 1) / per_axis
    norms = [np.maximum(-low, high).sum(axis=1).max()]
    for index, (kernel, bias) in enumerate(layers):
        rising, falling = np.maximum(kernel, 0), np.minimum(kernel, 0)
        low, high = low @ rising + high @ falling + bias, high @ rising + low @ falling + bias
        if index < len(layers) - 1:
            low, high = np.maximum(low, 0), np.maximum(high, 0)
        norms.append(np.maximum(-low, high).sum(axis=1).max())
    return np.array(norms[1:] if outputs else norms[:-1])


def tolerances(
    target: Params, eps: float, norm: str = "spectral", input_norms: Vector | None = None
) -> np.ndarray:
    """Lemma 1: the deviation of each layer's non-zero parameters allowed for an output error eps.

    Args:
        target: layers as in `activation_norms`.
        eps: the output error, positive and finite.
        norm: "spectral" takes the largest singular value for the paper's ||W||_inf and keeps
            sqrt(m_l) eps_l <= eps / L, as the proof requires; the lemma then always holds. "entry"
            and "entry_main" take the largest |entry|, as the paper's appendix and its main text do
            (see the module). This does not bound the growth of errors where many neurons are
            summed: with 100 hidden neurons of weight 1 and eps = 0.5 the output error can be 1
            under "entry", and Circle's own ticket exceeds the bound of either (`error_reached`).
        input_norms: (L,) known bounds on sup ||x||_1 of each layer's input ("entry_main": of its
            output), instead of `activation_norms`.

    Returns:
        (L,) float64, eps_l.

    Raises:
        ValueError: a bad target, eps, norm or input_norms.
    """
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be positive and finite, got {eps}")
    _check_norm(norm)
    layers = _layers(target)
    count = len(layers)
    main_text = norm == "entry_main"
    if input_norms is None:
        norms = activation_norms(target, outputs=main_text)
    else:
        norms = np.asarray(input_norms, float)
    if norms.shape != (count,) or not (norms >= 0).all():
        raise ValueError(f"input_norms must be {count} numbers of at least 0, got {input_norms}")
    allowed, growth = np.empty(count), np.float64(1.0)
    for index in reversed(range(count)):
        kernel = layers[index][0]
        degrees = _in_degrees(*layers[index])
        parameters = max(1, degrees.size * degrees.max() if main_text else degrees.sum())
        amplification = (1 + norms[index]) * growth
        if norm == "spectral":
            amplification = np.maximum(1.0, amplification)
        allowed[index] = eps / (count * math.sqrt(parameters) * amplification)
        size = np.linalg.norm(kernel, 2) if norm == "spectral" else np.abs(kernel).max()
        growth *= size + eps / count
    return allowed


def error_reached(target: Params, allowed: Vector, samples: int = 1000) -> float:
    """Find an output error, in the 2-norm, that parameters within tolerances can cause.

    The result is a lower bound on the worst case, which `tolerances` should keep below eps. For
    each random input, every non-zero parameter is moved by its layer's whole tolerance in the
    direction in which one of the outputs increases there, or decreases.

    Args:
        target: layers as in `activation_norms`.
        allowed: (L,) tolerances.
        samples: number of random inputs.

    Returns:
        The largest error found.

    Raises:
        ValueError: a bad target or tolerances.

    >>> half = {"layer_0": {"kernel": np.array([[0.5]]), "bias": np.array([0.25])}}
    >>> error_reached(half, [0.05])  # |x| eps_0 + eps_0
    0.1
    """
    layers, largest = _layers(target), _tolerances_given(target, allowed)
    signals = [np.random.default_rng(0).uniform(-1, 1, (samples, len(layers[0][0])))]
    for index, (kernel, bias) in enumerate(layers):
        sums = signals[-1] @ kernel + bias
        signals.append(np.maximum(sums, 0) if index < len(layers) - 1 else sums)
    worst = 0.0
    for output in range(signals[-1].shape[1]):
        slopes = [np.zeros_like(signals[-1])]
        slopes[0][:, output] = 1
        for (kernel, _), signal in zip(layers[:0:-1], signals[-2:0:-1], strict=True):
            slopes.insert(0, (slopes[0] @ kernel.T) * (signal > 0))
        for direction in (1, -1):
            moved = signals[0]
            for index, (kernel, bias) in enumerate(layers):
                # A weight's step has the sign of its signal times that of the slope after it.
                reach = (moved * _sign(signals[index])) @ (kernel != 0) + (bias != 0)
                steps = direction * largest[index] * _sign(slopes[index]) * reach
                moved = moved @ kernel + bias + steps
                if index < len(layers) - 1:
                    moved = np.maximum(moved, 0)
            worst = max(worst, float(np.linalg.norm(moved - signals[-1], axis=1).max()))
    return worst


def log10_failure(
    target: Params,
    widths: int | Sequence[int],
    eps: Numbers,
    initialisation: str = "uniform",
    norm: str = "spectral",
) -> np.ndarray:
    """Theorem 2's failure terms, log10 of sum_i (1 - p_l^k_i)^n_l for each layer.

    p_l = eps_l for initialisation "uniform", U[-1, 1], and eps_l / 2 for "normal", N(0, 1): the
    mother network after division by its s_l (`theorem_scale`). Every layer has n_l candidates, the
    output layer too, as in the theorem; `plant` keeps the outputs in place instead. The theorem
    does not require that two target neurons find different matches. A layer narrower than the
    target's counts as certain failure.

    Args:
        target: layers as in `activation_norms`.
        widths: n_l, one for all layers or (L,).
        eps: the output error, from which `tolerances` are computed in this norm, or (L,)
            tolerances.
        initialisation: "uniform" or "normal".
        norm: as in `tolerances`.

    Returns:
        (L,) float64; vacuous from 0 on.

    Raises:
        ValueError: a bad target, widths, eps, initialisation or norm.
    """
    chances = _log_chances(target, _per_layer(target, eps, norm), initialisation)
    each = list(widths) if isinstance(widths, (Sequence, np.ndarray)) else [widths] * len(chances)
    if len(each) != len(chances) or min(each) < 1:
        raise ValueError(f"widths must be one or {len(chances)} numbers >= 1, got {widths}")
    pairs = zip(chances, each, strict=True)
    return np.array([_log_failure(chance, width) for chance, width in pairs]) / math.log(10)


def existence_probability(
    target: Params,
    widths: int | Sequence[int],
    eps: Numbers,
    initialisation: str = "uniform",
    norm: str = "spectral",
) -> float:
    """Theorem 2: lower bound on the probability that a mother network contains the target.

    The bound is prod_l (1 - sum_i (1 - p_l^k_i)^n_l), for targets within reach (see `LayerBound`,
    `normalise`).

    Args:
        target, widths, eps, initialisation, norm: as in `log10_failure`.

    Returns:
        The bound in 0..1; 0 if it is vacuous.

    Raises:
        ValueError: as in `log10_failure`.
    """
    failures = log10_failure(target, widths, eps, initialisation, norm) * math.log(10)
    return math.exp(_log_existence(failures))


def required_width(
    target: Params,
    eps: Numbers,
    delta: float,
    initialisation: str = "uniform",
    norm: str = "spectral",
) -> RequiredWidth:
    """Find the smallest equal width at which `existence_probability` is at least 1 - delta.

    Args:
        target, eps, initialisation, norm: as in `log10_failure`.
        delta: probability of failure, between 0 and 1.

    Returns:
        The width and its decimal logarithm.

    Raises:
        ValueError: delta is not between 0 and 1, or as in `log10_failure`.

    >>> half = {"layer_0": {"kernel": np.array([[0.5]]), "bias": np.zeros(1)}}
    >>> required_width(half, 0.2, delta=0.05).width  # eps_0 = 0.2 / (1 + 1), 0.9^29 < 0.05
    29
    """
    return _smallest_width(
        _log_chances(target, _per_layer(target, eps, norm), initialisation), _fraction(delta)
    )


def sufficient_width(
    target: Params,
    eps: Numbers,
    delta: float,
    initialisation: str = "uniform",
    norm: str = "spectral",
) -> float:
    """Closed form: log10 of C log(L n / delta) max_l p_l^-k_max, never below `required_width`.

    C = 1 is enough if n is the number of neurons in the target's widest layer (a width is at least
    n, too).

    Args:
        target, eps, delta, initialisation, norm: as in `required_width`.

    Returns:
        The decimal logarithm of the width.

    Raises:
        ValueError: as in `required_width`.
    """
    chances = _log_chances(target, _per_layer(target, eps, norm), initialisation)
    return _log_sufficient(chances, _fraction(delta)) / math.log(10)


def layer_bounds(
    target: Params,
    widths: int | Sequence[int],
    eps: Numbers,
    delta: float = 0.1,
    initialisation: str = "uniform",
    norm: str = "spectral",
) -> list[LayerBound]:
    """All results of the theorem, layer by layer.

    Args:
        target, widths, eps, initialisation, norm: as in `log10_failure`.
        delta: as in `required_width`.

    Returns:
        A LayerBound for each layer.

    Raises:
        ValueError: as in `log10_failure` and `required_width`.
    """
    delta = _fraction(delta)
    allowed = _per_layer(target, eps, norm)
    chances = _log_chances(target, allowed, initialisation)
    failures = log10_failure(target, widths, allowed, initialisation)
    bounds = []
    for index, (kernel, bias) in enumerate(_layers(target)):
        degrees, chance = _in_degrees(kernel, bias), chances[index]
        largest = float(max(np.abs(kernel).max(), np.abs(bias).max()))
        width = widths[index] if isinstance(widths, (Sequence, np.ndarray)) else widths
        bounds.append(
            LayerBound(
                layer=index,
                neurons=chance.size,
                in_degree=int(degrees.max()),
                parameters=int(degrees.sum()),
                largest=largest,
                tolerance=float(allowed[index]),
                in_reach=largest + float(allowed[index]) <= _REACH[initialisation],
                log10_matches=math.log10(width) + float(chance.min(initial=0)) / math.log(10),
                log10_failure=float(failures[index]),
                log10_width=_smallest_width([chance], delta / len(chances)).log10_width,
            )
        )
    return bounds


def normalise(target: Params, largest: float = 0.9) -> tuple[Params, float]:
    """Rescale every layer so that its largest |parameter| is `largest`.

    ReLU is positively homogeneous: target(x) = factor * normalised(x), so an error eps of the
    target is eps / factor of the normalised one. Tickets have parameters beyond 1, outside the
    range of U[-1, 1]; 0.9 leaves room for tolerances up to 0.06 under either initialisation.

    Args:
        target: layers as in `activation_norms`.
        largest: positive.

    Returns:
        (normalised, factor), the first a tree like target.

    Raises:
        ValueError: a bad target, or largest is not positive.
    """
    if not largest > 0:
        raise ValueError(f"largest must be positive, got {largest}")
    normalised: dict[str, Any] = {}
    factor = 1.0
    for index, (kernel, bias) in enumerate(_layers(target)):
        scale = float(max(np.abs(kernel).max(), np.abs(bias).max() / factor)) / largest or 1.0
        factor *= scale
        normalised[f"layer_{index}"] = {"kernel": kernel / scale, "bias": bias / factor}
    return normalised, factor


def theorem_scale(fan_ins: Sequence[int], initialisation: str = "uniform") -> float:
    """Theorem 2's output factor lambda = prod_l 1 / s_l for He's s_l.

    s_l is sqrt(6 / n_in) ("uniform") or sqrt(2 / n_in) ("normal"), biases have prod_{k<=l} s_k.

    Args:
        fan_ins: (L,) n_in of the layers, each at least 1.
        initialisation: "uniform" or "normal".

    Returns:
        lambda.

    Raises:
        ValueError: another initialisation, a fan-in below 1.
    """
    _check_initialisation(initialisation)
    if min(fan_ins) < 1:
        raise ValueError(f"fan_ins must be at least 1, got {fan_ins}")
    return math.prod(math.sqrt(fan_in / _HE[initialisation]) for fan_in in fan_ins)


def _layers(target: Params) -> list[tuple[np.ndarray, np.ndarray]]:
    names = [f"layer_{index}" for index in range(len(target))]
    if not names or set(names) != set(target):
        raise ValueError(f"target must have layer_0, layer_1, ..., got {sorted(target)}")
    layers = [
        (np.asarray(target[name]["kernel"], float), np.asarray(target[name]["bias"], float))
        for name in names
    ]
    fan_in = len(layers[0][0])
    for name, (kernel, bias) in zip(names, layers, strict=True):
        if bias.ndim != 1 or kernel.shape != (fan_in, bias.size) or kernel.size == 0:
            shapes = f"{kernel.shape} and {bias.shape}"
            raise ValueError(f"target {name} must be ({fan_in}, n) and (n,), got {shapes}")
        fan_in = bias.size
    return layers


def _in_degrees(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.count_nonzero(kernel, axis=0) + (bias != 0)


def _sign(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, -1.0, 1.0)


def _per_layer(target: Params, eps: Numbers, norm: str) -> np.ndarray:
    _check_norm(norm)
    given = np.asarray(eps, float)
    if given.ndim == 0:
        return tolerances(target, float(given), norm)
    return _tolerances_given(target, given)


def _tolerances_given(target: Params, eps: Vector) -> np.ndarray:
    allowed = np.asarray(eps, float)
    if allowed.shape != (len(target),) or not (allowed > 0).all():
        raise ValueError(f"eps must be one or {len(target)} positive numbers, got {eps}")
    return allowed


def _check_initialisation(initialisation: str) -> None:
    if initialisation not in _SHARE:
        allowed = " or ".join(map(repr, _SHARE))
        raise ValueError(f"initialisation must be {allowed}, got {initialisation!r}")


def _check_norm(norm: str) -> None:
    if norm not in NORMS:
        raise ValueError(f"norm must be {' or '.join(map(repr, NORMS))}, got {norm!r}")


def _fraction(delta: float) -> float:
    if not 0 < delta < 1:
        raise ValueError(f"delta must be between 0 and 1, got {delta}")
    return delta


def _log_chances(target: Params, allowed: np.ndarray, initialisation: str) -> list[np.ndarray]:
    """Per layer, log p_l^k_i of the neurons that need a match."""
    _check_initialisation(initialisation)
    log_p = np.log(np.minimum(1.0, _SHARE[initialisation] * allowed))
    degrees = [_in_degrees(*layer) for layer in _layers(target)]
    return [degree[degree > 0] * p for degree, p in zip(degrees, log_p, strict=True)]


def _log_failure(log_chance: np.ndarray, width: int) -> float:
    if width < log_chance.size:
        return 0.0
    chance = np.exp(np.maximum(log_chance, -40.0))  # below that, -log1p(-p) / p is 1
    with np.errstate(divide="ignore", over="ignore"):
        log_rate = log_chance + np.log(-np.log1p(-chance) / chance)
        none_matches = -np.exp(math.log(width) + log_rate)
    return float(np.logaddexp.reduce(none_matches, initial=-np.inf))


def _log_existence(log_failures: Vector) -> float:
    if max(log_failures) >= 0:
        return -math.inf
    # log(1 - e^f), in the form that loses no digits.
    return sum(
        math.log(-math.expm1(failure)) if failure > -0.7 else math.log1p(-math.exp(failure))
        for failure in log_failures
    )


def _log_sufficient(chances: list[np.ndarray], delta: float) -> float:
    neurons = max(1, *[chance.size for chance in chances])
    hardest = min(chance.min(initial=0.0) for chance in chances)
    return math.log(math.log(len(chances) * neurons / delta)) - float(hardest)


def _smallest_width(chances: list[np.ndarray], delta: float) -> RequiredWidth:
    # Integers of any size, so that one bisection serves 7 and 10^60.
    digits = math.ceil(_log_sufficient(chances, delta) / math.log(10))
    low, high = 0, max(10 ** max(1, digits + 1), *[chance.size for chance in chances])
    wanted = math.log1p(-delta)
    while high - low > max(1, high >> 53):
        width = (low + high) // 2
        log_probability = _log_existence([_log_failure(chance, width) for chance in chances])
        low, high = (low, width) if log_probability >= wanted else (width, high)
    return RequiredWidth(high, math.log10(high))
