"""Intervals by simulated coverage and by hand; tests of a table against all of their subsets."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from ticketjax.records.statistics import (
    are_bimodal,
    holm,
    interval_of_share,
    intervals_of_means,
    paired_difference,
    paired_shares,
    quartiles,
)

GROUPS = 20_000


def normal(generator, n):
    return 0.3 + 0.1 * generator.normal(size=(GROUPS, n))


def bimodal(generator, n, share=0.5):
    """Accuracies of runs that find a ticket, or not."""
    found = generator.random((GROUPS, n)) < share
    return np.where(found, 0.95, 0.45) + 0.05 * generator.normal(size=(GROUPS, n))


@pytest.mark.parametrize("n", [10, 25])
@pytest.mark.parametrize(("draw", "mean"), [(normal, 0.3), (bimodal, 0.7)])
def test_intervals_of_means_cover_as_often_as_they_say(draw, mean, n):
    low, high = intervals_of_means(draw(np.random.default_rng(n), n))
    assert abs(np.mean((low <= mean) & (mean <= high)) - 0.95) < 0.02


def test_the_bootstrap_that_was_not_taken_covers_less_of_few_normal_values():
    values = normal(np.random.default_rng(0), 10)[:2000]
    low, high = scipy.stats.bootstrap(
        (values,), np.mean, axis=1, n_resamples=500, method="BCa", rng=1
    ).confidence_interval
    assert np.mean((low <= 0.3) & (0.3 <= high)) < 0.92


def test_intervals_are_of_finite_values_and_of_five_at_least():
    values = np.array([[1, 2, 3, 4, 5, np.nan], [1, 2, 3, 4, np.nan, np.inf], [7.0] * 6])
    low, high = intervals_of_means(values)
    half = 2.776445 * math.sqrt(2.5 / 5)  # t at 97.5% with four degrees of freedom
    np.testing.assert_allclose(low, [3 - half, np.nan, 7], rtol=1e-6)
    np.testing.assert_allclose(high, [3 + half, np.nan, 7], rtol=1e-6)
    assert intervals_of_means(values, 2, 4)[:, 0].tolist() == [2, 4]


@pytest.mark.parametrize(("count", "of"), [(7, 25), (0, 10), (25, 25), (1, 1)])
def test_interval_of_a_share_by_wilson_s_formula(count, of):
    z, share = 1.959964, count / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    expected = (middle - half, middle + half)
    assert interval_of_share(count, of) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03], [0.2, 0.012, 0.012, 0.9, 0.02]])
def test_adjusted_p_values_are_those_of_the_closed_test(values):
    # A hypothesis is rejected if Bonferroni rejects every set of hypotheses that it is in.
    sets = [
        subset
        for size in range(1, len(values) + 1)
        for subset in itertools.combinations(range(len(values)), size)
    ]
    expected = [
        max(min(1, len(s) * min(values[j] for j in s)) for s in sets if i in s)
        for i in range(len(values))
    ]
    assert holm(np.array(values)) == pytest.approx(expected)
    with_gap = holm(np.array([values[0], np.nan, *values[1:]]))
    assert np.isnan(with_gap[1]) and np.delete(with_gap, 1) == pytest.approx(expected)


def test_paired_differences_against_scipy():
    a, b = np.random.default_rng(3).normal(size=(2, 12))
    a[4], b[7] = np.nan, np.inf
    known = np.isfinite(a) & np.isfinite(b)
    expected = scipy.stats.ttest_rel(a[known], b[known])
    found = paired_difference(a, b)
    assert (found.seeds, found.p) == (10, pytest.approx(expected.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_paired_differences_without_spread_and_of_few_seeds():
    ones = np.ones(5)
    assert paired_difference(ones, ones) == (0, 0, 0, 1, 5)
    assert paired_difference(2 * ones, ones) == (1, 1, 1, 0, 5)
    mean, *rest, seeds = paired_difference(2 * ones[:4], ones[:4])
    assert (mean, seeds) == (1, 4) and np.isnan(rest).all()


@pytest.mark.parametrize("n", [10, 25])
def test_the_paired_test_rejects_equals_as_often_as_it_says(n):
    # Two equal seekers, each with errors over several orders of magnitude.
    errors = np.random.default_rng(n).lognormal(sigma=1.5, size=(2, GROUPS, n))
    low, high = intervals_of_means(errors[0] - errors[1])
    assert np.mean((low > 0) | (high < 0)) < 0.055


def pairs(both, first, second, neither):
    """Two sides of yes and no, by how often both, one alone or none says yes."""
    a = [True] * (both + first) + [False] * (second + neither)
    return np.array(a), np.array([True] * both + [False] * first + [True] * second + neither * [0])


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Examples of Newcombe 1998, and of Fagerland, Lydersen and Laake 2014.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_paired_shares_have_the_published_intervals(counts, low, high):
    difference = paired_shares(*pairs(*counts))
    _, first, second, _ = counts
    assert difference.mean == pytest.approx((first - second) / sum(counts))
    assert difference[1:3] == pytest.approx((low, high), abs=6e-4)
    assert difference.p == pytest.approx(scipy.stats.binomtest(first, first + second).pvalue)


def test_paired_shares_without_any_difference_have_an_interval():
    difference = paired_shares(*pairs(0, 0, 0, 25))
    _, high = scipy.stats.binomtest(0, 25).proportion_ci(method="wilson")
    assert difference[:4] == pytest.approx((0, -high, high, 1))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.8)])
def test_intervals_of_paired_shares_cover_as_often_as_they_say(shares):
    rng, covered = np.random.default_rng(0), 0
    for _ in range(600):
        a, b = rng.random((2, 25))
        # Half of the seeds are alike for both sides.
        b = np.where(rng.random(25) < 0.5, a, b)
        difference = paired_shares(a < shares[0], b < shares[1])
        covered += difference.low <= shares[0] - shares[1] <= difference.high
    assert 0.93 < covered / 600 < 0.99


def test_quartiles_are_of_finite_values():
    found = quartiles(np.array([[4, 1, 3, 2, 5], [1, 2, np.nan, np.inf, 3], [np.nan] * 5]))
    np.testing.assert_allclose(found[:, :2].T, [[2, 3, 4], [1.5, 2, 2.5]])
    assert np.isnan(found[:, 2]).all()


@pytest.mark.parametrize(("n", "false_alarms", "seen"), [(10, 0.02, 0.97), (25, 0.001, 0.999)])
def test_modes_are_seen_where_they_are(n, false_alarms, seen):
    generator = np.random.default_rng(n)
    assert np.mean(are_bimodal(normal(generator, n))) < false_alarms
    assert np.mean(are_bimodal(bimodal(generator, n))) > seen


def test_neither_few_nor_equal_values_nor_an_outlier_are_two_modes():
    few = [0.1] * 4 + [0.9] * 5
    rows = np.array([[*few, np.nan], [0.1] * 10, [0.1] * 9 + [0.9], [0.1] * 8 + [0.9] * 2])
    assert are_bimodal(rows).tolist() == [False, False, False, True]
