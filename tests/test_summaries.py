"""Intervals against SciPy's and closed forms; what distinguishes series."""

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from tests.example_records import records
from ticketjax.records.summaries import MIDDLE, places_of, series_of, summarise


def interval(values, measure="weak_metric"):
    (row,) = summarise(records(values, measure)).to_pylist()
    return row[f"{measure}_low"], row[f"{measure}_high"]


def test_summary_of_three_seeds_by_hand():
    (row,) = summarise(records([0.25, 0.5, 1.0])).to_pylist()
    assert row["runs"] == 3
    assert row["weak_metric_mean"] == pytest.approx(7 / 12)
    assert (row["weak_metric_min"], row["weak_metric_max"]) == (0.25, 1.0)
    assert [row[f"weak_metric_{how}"] for how in MIDDLE] == [0.375, 0.5, 0.75]
    assert not row["weak_metric_bimodal"]
    # Fewer than five seeds have no interval.
    assert np.isnan([row["weak_metric_low"], row["weak_metric_high"]]).all()


@pytest.mark.parametrize("size", [5, 25])
def test_interval_is_that_of_a_t_distribution(size):
    values = np.random.default_rng(size).normal(0.5, 0.1, size).astype(np.float32)
    mean, error = values.mean(dtype=float), scipy.stats.sem(values.astype(float))
    expected = scipy.stats.t.interval(0.95, size - 1, mean, error)
    for measure in ("strong_metric", "score_auc"):
        assert interval(values, measure) == pytest.approx(expected)


def test_intervals_end_where_measures_do():
    values = [0.0] * 4 + [1.0]
    assert interval(values) == (0, pytest.approx(0.2 + 0.555, abs=1e-3))
    high = [1 - value for value in values]
    assert interval(high) == (pytest.approx(0.8 - 0.555, abs=1e-3), 1)
    # An error has no largest value.
    (row,) = summarise(records(high, kind="regression")).to_pylist()
    assert row["weak_metric_high"] == pytest.approx(0.8 + 0.555, abs=1e-3)


def test_errors_are_of_two_modes_by_their_magnitudes():
    values = [1e-6 * n for n in range(1, 7)] + [0.01 * n for n in range(1, 7)]
    bimodal = [
        summarise(records(values, kind=kind))["weak_metric_bimodal"][0].as_py()
        for kind in ("regression", "classification")
    ]
    assert bimodal == [True, False]


def test_tickets_found_are_counted_among_those_that_say_so():
    says = [records([0.5], found=found, density=0.5) for found in (True, False, None, True)]
    table = pa.concat_tables([*says, records([0.5])])
    rows = summarise(table).to_pylist()
    assert [(row["found_sum"], row["found_count"], row["runs"]) for row in rows] == [
        (0, 0, 1),
        (2, 3, 4),
    ]


def test_equal_values_have_an_interval_of_no_width():
    value = float(np.float32(0.1))
    assert interval([value] * 7) == (value, value)


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
    values = [0.25, 0.5, 0.625, 0.75, 1.0]
    broken = records([*values, bad], density=0.5)
    both = pa.concat_tables([records(values), broken])
    whole, part = summarise(both).to_pylist()
    assert (part["weak_metric_count"], part["runs"]) == (5, 6)
    for how in ("mean", "low", "high", "max", *MIDDLE):
        assert math.isfinite(part[f"weak_metric_{how}"])
        assert part[f"weak_metric_{how}"] == whole[f"weak_metric_{how}"]
    assert (part["weak_loss_low"], part["weak_loss_count"]) == (0.5, 6)


def test_a_group_without_a_finite_value_has_no_numbers():
    (row,) = summarise(records([math.nan, math.inf])).to_pylist()
    assert row["weak_metric_count"] == 0
    names = [f"weak_metric_{how}" for how in ("mean", "low", "high", "min", "max", *MIDDLE)]
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
    # The rounds distinguish them, and the expression would repeat this.
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


def test_variants_of_a_seeker_are_labelled_by_their_options():
    plain, annealed = (
        {"seeker": "edge_popup", "config": f"edge_popup{options}"}
        for options in ("()", "(annealed=True)")
    )
    assert labels(plain, annealed) == ["edge-popup", "edge-popup (annealed=True)"]
    assert labels(plain) == ["edge-popup"]


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
