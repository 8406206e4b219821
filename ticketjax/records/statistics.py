"""Statistics over seeds: intervals of means and shares, paired differences, quartiles, two modes.

Every interval has 95% confidence. The methods were chosen by simulated coverage, which
`tests/test_statistics.py` repeats: for 10 normal values, Student's t covers 95%, the bootstrap BCa
89%.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy

LEVEL = 0.95
# Fewer values have no interval, which would depend on the assumption of normality alone.
FEWEST = 5
# Fewer values do not show whether there are one or two modes.
FEWEST_OF_TWO_MODES = 10
# The share of the variance that two modes explain. The best split of a normal sample explains 0.64
# in the limit. With ten values, 1.5% of normal samples and 6% of uniform samples exceed this share.
EXPLAINED = 0.9
QUARTILES = (0.25, 0.5, 0.75)


def _by_count(values: np.ndarray, fewest: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Groups of rows with equally many finite values, at least `fewest`: (indices, (rows, n))."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    for count in np.unique(counts[counts >= fewest]):
        rows = np.flatnonzero(counts == count)
        yield rows, values[rows][finite[rows]].reshape(-1, count)


def mean_of_finite(values: np.ndarray) -> float:
    """Mean of the values that are finite, NaN if none is."""
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if finite.size else math.nan


def intervals_of_means(
    values: np.ndarray, least: float = -math.inf, most: float = math.inf
) -> np.ndarray:
    """95% interval of the mean of each row, by Student's t.

    Args:
        values: (groups, n); only the finite ones count.
        least, most: bounds of all possible values. Intervals are cut off there, which does not
            reduce their coverage.

    Returns:
        (2, groups), low and high; NaN where there are not at least five finite values.

    Source:
        Student, The probable error of a mean, Biometrika 6, 1908. The coverage is lower for skewed
        groups: 84% for 10 lognormal values (sigma 1), 87% for 25; the bootstrap BCa has no more.

    >>> intervals_of_means(np.array([[1.0, 2, 3, 4, 5], [1, 2, 3, 4, np.nan]])).round(3).tolist()
    [[1.037, nan], [4.963, nan]]
    """
    bounds = np.full((2, len(values)), np.nan)
    for rows, known in _by_count(values, FEWEST):
        count = known.shape[1]
        quantile = scipy.special.stdtrit(count - 1, (1 + LEVEL) / 2)
        half = quantile * known.std(axis=1, ddof=1) / math.sqrt(count)
        # The mean of equal values may differ from them by rounding, so that `half` is not quite 0.
        half = np.where(known.min(axis=1) == known.max(axis=1), 0, half)
        mean = np.clip(known.mean(axis=1), known.min(axis=1), known.max(axis=1))
        bounds[:, rows] = np.clip([mean - half, mean + half], least, most)
    return bounds


@functools.lru_cache(maxsize=4096)
def interval_of_share(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, from a count.

    Args:
        count: number of successes.
        of: number of trials, at least 1.

    Returns:
        Low and high, in [0, 1]. It is valid for any number of trials, even 1.

    Source:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    >>> low, high = interval_of_share(7, 25)
    >>> round(low, 3), round(high, 3)
    (0.143, 0.476)
    """
    interval = scipy.stats.binomtest(count, of).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


class Difference(NamedTuple):
    """A mean difference over seeds that both sides have.

    Args:
        mean: of the differences.
        low, high: its 95% interval; NaN for fewer than five seeds.
        p: of the hypothesis that the mean is 0; NaN for fewer than five seeds.
        seeds: number of seeds.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int


def paired_difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """The mean of a - b, its interval and its test, both by Student's t of the differences.

    The test and the interval agree: p is below 0.05 exactly if the interval excludes 0. If two
    seekers are equal, their differences are symmetric about 0, and the test keeps its level even if
    the values themselves are skewed. Tests by signs or ranks cannot reach p < 0.06 with five
    seeds.

    Args:
        a, b: (seeds,), for the same seeds. Seeds where one value is not finite do not count.

    Returns:
        The difference.

    >>> difference = paired_difference(np.array([1.0, 2, 3, 4, 6]), np.arange(5.0))
    >>> difference.mean, round(difference.p, 4)
    (1.2, 0.0039)
    """
    known = np.isfinite(a) & np.isfinite(b)
    differences = np.asarray(a, float)[known] - np.asarray(b, float)[known]
    seeds, mean = len(differences), mean_of_finite(differences)
    low, high = (float(end) for end in intervals_of_means(differences[None])[:, 0])
    if seeds < FEWEST:
        p = math.nan
    elif low == high:
        # The test would divide by a deviation of 0.
        p = 1.0 if mean == 0 else 0.0
    else:
        p = float(scipy.stats.ttest_1samp(differences, 0).pvalue)
    return Difference(mean, low, high, p, seeds)


def paired_shares(a: np.ndarray, b: np.ndarray) -> Difference:
    """The difference of two shares over the same seeds, its interval and its test.

    Differences of single seeds are -1, 0 or 1, and often all 0: Student's t would then give no
    width at all. The interval adds the squared lengths of the two Wilson intervals, less what the
    correlation takes away (Newcombe's method 10). Like Wilson's, it needs no least number.

    Args:
        a, b: (seeds,) bool, by the same seeds; at least one.

    Returns:
        The difference, a's share minus b's. p is of McNemar's exact test.

    Source:
        Newcombe, Improved confidence intervals for the difference between binomial proportions
        based on paired data, Statist. Med. 17, 1998.

    >>> difference = paired_shares(np.array([True] * 8 + [False] * 2), np.zeros(10, bool))
    >>> [round(value, 2) for value in difference[:4]]
    [0.8, 0.38, 0.94, 0.01]
    """
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    both, first, second, neither = (
        int(np.sum(one & other)) for one in (a, ~a) for other in (b, ~b)
    )
    seeds = len(a)
    shares = (both + first) / seeds, (both + second) / seeds
    ends = interval_of_share(both + first, seeds), interval_of_share(both + second, seeds)
    (below, above), (below_other, above_other) = (
        (share - low, high - share) for share, (low, high) in zip(shares, ends, strict=True)
    )
    product = both * neither - first * second
    # Corrected for continuity where it is positive.
    corrected = max(product - seeds / 2, 0) if product > 0 else product
    spread = (both + first) * (second + neither) * (both + second) * (first + neither)
    correlation = corrected / math.sqrt(spread) if spread else 0.0

    def length(mine, its):
        return math.sqrt(max(mine**2 - 2 * correlation * mine * its + its**2, 0))

    mean = shares[0] - shares[1]
    apart = first + second
    p = float(scipy.stats.binomtest(first, apart).pvalue) if apart else 1.0
    low, high = mean - length(below, above_other), mean + length(above, below_other)
    return Difference(mean, low, high, p, seeds)


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p values; if those below 0.05 are rejected, any is wrong with at most 5% chance.

    Args:
        p: (tests,); NaN where there was no test.

    Returns:
        (tests,), at least as large; NaN where p is.

    Source:
        Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested])]
    left = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(left * p[order]))
    return adjusted


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value, from 1 for the least; equal values share the mean of their ranks.

    Args:
        values: (n,), none of them NaN.

    Returns:
        (n,).

    >>> ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    return scipy.stats.rankdata(values)


def quartiles(values: np.ndarray) -> np.ndarray:
    """Lower quartile, median and upper quartile of each row.

    Args:
        values: (groups, n); only the finite ones count.

    Returns:
        (3, groups), with linear interpolation between values; NaN where none is finite.
    """
    found = np.full((len(QUARTILES), len(values)), np.nan)
    for rows, known in _by_count(values, 1):
        found[:, rows] = np.quantile(known, QUARTILES, axis=1)
    return found


def are_bimodal(values: np.ndarray) -> np.ndarray:
    """Which rows fall into two groups, so that their mean is a value that few of them have.

    A row of at least ten finite values is bimodal if some split of the sorted values into two
    parts, each of at least two values and a tenth of them, explains more than 0.9 of the variance.

    Args:
        values: (groups, n); only the finite ones count. Errors should be given by their logarithm.

    Returns:
        (groups,) bool.

    >>> are_bimodal(np.array([[0.5] * 6 + [0.9] * 4, [*range(10)]])).tolist()
    [True, False]
    """
    found = np.zeros(len(values), bool)
    for rows, known in _by_count(values, FEWEST_OF_TWO_MODES):
        count = known.shape[1]
        centred = np.sort(known - known.mean(axis=1, keepdims=True), axis=1)
        differ = centred[:, 0] < centred[:, -1]
        fewest = max(2, math.ceil(count / 10))
        lower = np.arange(fewest, count - fewest + 1)
        # The mean is 0, so the sums of the parts are opposite.
        sums = np.cumsum(centred, axis=1)[:, lower - 1]
        between = sums**2 / (lower * (count - lower))
        found[rows] = differ & (between.max(axis=1) > EXPLAINED * centred.var(axis=1))
    return found
