"""Intervals against NumPy's and closed forms; what is one series and what are two."""

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.example_records import records
from ticketjax.records.summaries import places_of, series_of, summarise


def interval(values, measure="weak_metric"):
    (row,) = summarise(records(values, measure)).to_pylist()
    return row[f"{measure}_low"], row[f"{measure}_high"]


def test_summary_of_three_seeds_by_hand():
    (row,) = summarise(records([0.25, 0.5, 1.0])).to_pylist()
    assert row["runs"] == 3
    assert row["weak_metric_mean"] == pytest.approx(7 / 12)
    assert (row["weak_metric_min"], row["weak_metric_max"]) == (0.25, 1.0)
    # All three draws are the least of the values with chance 1 / 27, more than 2.5%.
    assert (row["weak_metric_low"], row["weak_metric_high"]) == (0.25, 1.0)


@pytest.mark.parametrize("measure", ["strong_metric", "weak_loss", "score_auc"])
@pytest.mark.parametrize("size", [10, 25, 400])
def test_interval_is_that_of_a_bootstrap_written_out(measure, size):
    values = np.random.default_rng(size).lognormal(size=size).astype(np.float32)
    generator = np.random.default_rng(99)
    means = [generator.choice(values, size).mean() for _ in range(4000)]
    expected = np.quantile(means, [0.025, 0.975])
    tolerance = 0.15 * float(np.std(values)) / math.sqrt(size)  # both bootstraps are random
    assert interval(values, measure) == pytest.approx(expected, abs=tolerance)


def test_interval_of_two_values_is_binomial():
    # 40 zeros and 60 ones: the mean of a resample is Binomial(100, 0.6) / 100, whose quantiles
    # at 2.5% and 97.5% are 0.50 and 0.69 or 0.70.
    low, high = interval([0.0] * 40 + [1.0] * 60)
    assert low == pytest.approx(0.5, abs=0.011)
    assert high == pytest.approx(0.695, abs=0.011)


def test_equal_values_have_an_interval_of_no_width():
    value = float(np.float32(0.1))
    assert interval([value] * 7) == (value, value)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(4)
    parts = [records(generator.normal(0.3, 0.1, 25), density=d) for d in np.arange(1, 201) / 400]
    summary = summarise(pa.concat_tables(parts))
    low, high = (summary[f"weak_metric_{end}"].to_numpy() for end in ("low", "high"))
    # A percentile bootstrap of 25 normal values covers about 93%.
    assert 0.88 < np.mean((low <= 0.3) & (0.3 <= high)) < 0.98
    # 3.92 deviations, one of which sqrt(24 / 25) makes a little smaller.
    assert np.mean(high - low) == pytest.approx(3.84 * 0.1 / math.sqrt(25), rel=0.05)


def test_interval_depends_on_neither_order_nor_company():
    values = np.random.default_rng(5).random(12)
    alone = records(values)
    others = [records(values[:3] + 1, density=0.5), records(values * 2, seeker="grasp")]
    shuffled = pa.concat_tables([*others, alone]).take(
        pa.array(np.random.default_rng(6).permutation(27))
    )
    (row,) = summarise(alone).to_pylist()
    assert row in summarise(shuffled).to_pylist()


def test_one_seed_has_no_interval():
    assert np.isnan(interval([0.5])).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stays_in_its_group_and_measure(bad):
    broken = records([0.25, bad, 1.0], density=0.5)
    both = pa.concat_tables([records([0.25, 0.5, 1.0]), broken])
    whole, part = summarise(both).to_pylist()
    assert (whole["weak_metric_low"], whole["weak_metric_high"]) == (0.25, 1.0)
    assert (part["weak_metric_count"], part["runs"]) == (2, 3)
    assert (part["weak_metric_mean"], part["weak_metric_max"]) == (0.625, 1.0)
    # Of two values, either is drawn twice with chance 1 / 4.
    assert (part["weak_metric_low"], part["weak_metric_high"]) == (0.25, 1.0)
    assert (part["weak_loss_low"], part["weak_loss_count"]) == (0.5, 3)


def test_a_group_without_a_finite_value_has_no_numbers():
    (row,) = summarise(records([math.nan, math.inf])).to_pylist()
    assert row["weak_metric_count"] == 0
    names = [f"weak_metric_{how}" for how in ("mean", "low", "high", "min", "max")]
    assert np.isnan([row[name] for name in names]).all()


def test_series_are_told_apart_by_what_is_planted():
    several = [{"tickets": n, "decoys": 0, "perturbation": 0.1 * n} for n in (1, 2)]
    parts = [records([0.5], **options) for options in several]
    labels = [label for label, _ in series_of(pa.concat_tables(parts))]
    assert labels == ["SNIP 1 ticket 0.1 perturbed", "SNIP 2 tickets 0.2 perturbed"]


def labels(*options):
    return [
        label for label, _ in series_of(pa.concat_tables([records([0.5], **o) for o in options]))
    ]


def test_labels_of_ones_own_stay_as_they_are_and_names_are_written_as_in_papers():
    own = ["IMP", "my_seeker", "multishot(path_pursuit, rounds=3)"]
    assert labels(*({"seeker": name, "config": name} for name in own)) == own
    assert labels({"seeker": "gem_miner"}, {"seeker": "path_pursuit"}) == [
        "Gem-Miner",
        "path pursuit",
    ]


def test_series_are_told_apart_by_their_expressions_where_nothing_else_differs():
    five, seven = ({"seeker": "mine", "config": f"concrete(epochs={n})"} for n in (5, 7))
    assert labels(five, seven) == ["mine: concrete(epochs=5)", "mine: concrete(epochs=7)"]
    # The rounds say it, and the expression would say it again.
    assert labels({**five, "rounds": 2}, {**seven, "rounds": 3}) == [
        "mine 2 rounds",
        "mine 3 rounds",
    ]
    # Of three, two have the same scope.
    wide = {"seeker": "mine", "config": "other()", "scope": "local"}
    assert labels(five, seven, wide) == [
        "mine global: concrete(epochs=5)",
        "mine global: concrete(epochs=7)",
        "mine local",
    ]
    assert labels(five, {**five, "config": None}) == [
        "mine: concrete(epochs=5)",
        "mine: an earlier version",
    ]


def test_two_seekers_with_one_title_are_told_apart():
    assert labels({"seeker": "snip"}, {"seeker": "SNIP", "config": "mine"}) == [
        "SNIP: singleshot(snip)",
        "SNIP: mine",
    ]


def test_networks_are_places_of_their_own_and_the_kind_stays_with_them():
    both = [records([0.5], model=model, kind=kind) for model, kind in (("b", "x"), ("a", "y"))]
    table = pa.concat_tables(both)
    assert [place["model"] for place in places_of(table)] == ["a", "b"]
    assert [(row["model"], row["kind"]) for row in summarise(table).to_pylist()] == [
        ("a", "y"),
        ("b", "x"),
    ]


def test_other_optimizers_are_not_averaged():
    sgd = {"optimizer": "sgd(learning_rate=0.1)"}
    assert labels({}, sgd) == ["SNIP adam(learning_rate=0.001)", "SNIP sgd(learning_rate=0.1)"]
