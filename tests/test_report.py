"""Intervals against NumPy's and closed forms; what tables and figures show of them."""

import math

import matplotlib
import numpy as np
import pyarrow as pa
import pytest

from ticketjax import report
from ticketjax.sweep import SCHEMA

DEFAULTS = {
    "task": "circle",
    "depth": 5,
    "width": 100,
    "seeker": "snip",
    "strategy": "singleshot",
    "scope": "global",
    "rounds": 1,
    "objective": "raw",
    "options": "",
    "prune_bias": True,
    "sanity": "none",
    "density": 0.1,
    "ticket_density": 0.006,
    "noise": 0.01,
    "collapsed": False,
    "layer_kept": [0.1],
}
MEASURES = [f.name for f in SCHEMA if pa.types.is_float32(f.type)]


def records(values, measure="weak_metric", **columns):
    """One record per value and seed; the other measures are 0.5."""
    rows = [
        {**DEFAULTS, **dict.fromkeys(MEASURES, 0.5), **columns, "seed": seed, measure: value}
        for seed, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def interval(values, measure="weak_metric"):
    (row,) = report.summarise(records(values, measure)).to_pylist()
    return row[f"{measure}_low"], row[f"{measure}_high"]


def test_summary_of_three_seeds_by_hand():
    (row,) = report.summarise(records([0.25, 0.5, 1.0])).to_pylist()
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
    summary = report.summarise(pa.concat_tables(parts))
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
    (row,) = report.summarise(alone).to_pylist()
    assert row in report.summarise(shuffled).to_pylist()


def test_one_seed_has_no_interval():
    assert np.isnan(interval([0.5])).all()
    text = report.table(records([0.5], strong_metric=0.25))
    assert "1 seed; bare ticket" in text and "0.250" in text and "nan" not in text
    assert "[" not in text and "(0." not in text


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_stays_in_its_group_and_measure(bad):
    broken = records([0.25, bad, 1.0], density=0.5)
    both = pa.concat_tables([records([0.25, 0.5, 1.0]), broken])
    whole, part = report.summarise(both).to_pylist()
    assert (whole["weak_metric_low"], whole["weak_metric_high"]) == (0.25, 1.0)
    assert np.isnan([part["weak_metric_low"], part["weak_metric_high"]]).all()
    assert part["weak_loss_low"] == 0.5
    assert f"{bad:.3f} [-]" in report.table(both)


def test_table_says_what_its_brackets_are():
    more = records([1.0, 1.0, 1.0], density=0.006, seeker="synflow", ticket_metric=0.99)
    text = report.table(pa.concat_tables([records([0.25, 0.5, 1.0], ticket_metric=0.99), more]))
    weak = text.split("\n\n")[1].splitlines()
    assert weak == [
        "Circle, depth 5, width 100, noise 0.01: weak accuracy (after training)",
        "mean [95% interval of the mean] (min, max) of 3 seeds; bare ticket 0.990",
        "seeker   ticket 0.006          0.1",
        "SNIP     -                     0.583 [0.250, 1.000]",
        "                                     (0.250, 1.000)",
        "SynFlow  1.000 [1.000, 1.000]  -",
        "               (1.000, 1.000)",
    ]


@pytest.mark.parametrize(("values", "bands"), [([0.5], []), ([0.25, 0.5, 1.0], list(report.BANDS))])
def test_figure_shows_its_bands_and_says_what_they_are(values, bands, tmp_path, monkeypatch):
    legends = []
    legend = matplotlib.figure.Figure.legend
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "legend",
        lambda self, *args, **options: (legends.append(args[1]), legend(self, *args, **options))[1],
    )
    table = pa.concat_tables(
        [
            records(values, task=task, density=density)
            for task in ("circle", "relu")
            for density in (0.006, 0.1)
        ]
    )
    panels = [report.Panel("weak", {"task": task}) for task in ("circle", "relu")]
    report.figure(table, panels, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert legends == [["SNIP", "bare ticket", *bands]]


def test_table_says_what_of_the_ticket_does_not_fit():
    local = {"scope": "local", "feasible_recall": 0.571}
    parts = [
        records([0.5], density=0.006, **local),
        records([0.5], density=0.02, **{**local, "feasible_recall": 0.9}),
        records([0.5], density=0.1, **{**local, "feasible_recall": 1.0}),
        records([0.5], density=0.006, feasible_recall=1.0),
    ]
    blocks = report.table(pa.concat_tables(parts)).split("\n\n")
    assert blocks[2:] == [
        "no mask of scope local can hold the whole ticket: at most 57.1% of it at ticket 0.006, "
        "90.0% of it at 0.02"
    ]
    assert len(report.table(parts[3]).split("\n\n")) == 2


def test_series_are_told_apart_by_what_is_planted():
    several = [{"tickets": n, "decoys": 0, "perturbation": 0.1 * n} for n in (1, 2)]
    parts = [records([0.5], **options) for options in several]
    labels = [label for label, _ in report._series(pa.concat_tables(parts))]
    assert labels == ["SNIP 1 ticket 0.1 perturbed", "SNIP 2 tickets 0.2 perturbed"]


def test_cells_of_a_map_by_hand():
    points = [
        {"width": 20, "column": "ticket", "recall_mean": 0.1},
        {"width": 50, "column": 0.5, "recall_mean": 0.9},
        {"width": 50, "column": 0.7, "recall_mean": 0.3},
    ]
    cells = report._cells(points, "recall_mean", ["ticket", 0.5], [20, 50])
    np.testing.assert_array_equal(cells, [[0.1, np.nan], [np.nan, 0.9]])


@pytest.mark.parametrize("task", ["circle", "relu"])
def test_phase_has_a_map_per_seeker_and_measure(task, tmp_path, monkeypatch):
    drawn = []
    original = report._draw_heat
    monkeypatch.setattr(
        report, "_draw_heat", lambda *args: (drawn.append(args[1]), original(*args))[1]
    )
    parts = [
        records([0.25, 0.75], seeker=s, width=w, density=d, task=task, recall=0.1 * n)
        for n, (s, w, d) in enumerate(
            [("snip", 20, 0.006), ("snip", 50, 0.1), ("grasp", 20, 0.1), ("grasp", 50, 0.006)]
        )
    ]
    where = {"task": task, "depth": 5, "noise": 0.01}
    report.phase(pa.concat_tables(parts), where, tmp_path / "phase.png")
    assert (tmp_path / "phase.png").read_bytes()[:4] == b"\x89PNG"
    assert len(drawn) == 2 * 3
    np.testing.assert_allclose(drawn[0], [[0, np.nan], [np.nan, 0.1]], atol=1e-6)
    np.testing.assert_allclose(drawn[1], [[np.nan, 0.2], [0.3, np.nan]], atol=1e-6)
    with pytest.raises(ValueError, match="no record has"):
        report.phase(parts[0], {**where, "depth": 4}, tmp_path / "none.png")


def cases():
    measures = {
        "recall": np.array([0.25, 0.5, 1.0]),
        "strong": np.array([0.5, 0.5, 0.5]),
        "weak": np.array([0.75, 0.75, 0.75]),
        "ratio": np.array([2.0, 2.0, 2.0]),
    }
    started = {"recall": np.array([0.125])}
    return [report.Case("snip", "all samples", measures), report.Case("snip", "started", started)]


def test_a_table_of_cases_by_hand():
    text = report.case_table(cases(), {"snip": "search failed"}, accuracy=True)
    assert text.splitlines() == [
        "seeker  case         recall                strong                weak                  "
        "loss, found/planted",
        "SNIP    all samples  0.583 [0.250, 1.000]  0.500 [0.500, 0.500]  0.750 [0.750, 0.750]  "
        "100 [100, 100]",
        "SNIP    started      0.125",
        "",
        "SNIP: search failed",
    ]


@pytest.mark.parametrize("accuracy", [True, False])
def test_a_diagnosis_is_drawn(accuracy, tmp_path):
    report.diagnosis(cases(), 0.9, tmp_path / "figure.png", accuracy=accuracy, title="Why?")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
