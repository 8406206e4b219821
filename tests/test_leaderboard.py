"""The order of a leaderboard by hand, and what its table and figure show."""

import numpy as np
import pytest
import scipy.stats

from ticketjax.figures import leaderboard
from ticketjax.figures.against_best import against_best_lines
from ticketjax.figures.leaderboard import Entry, leaderboard_figure, leaderboard_table, ranked

TICKETS = {"relu": 1e-4, "circle": 0.99}
KINDS = {"relu": "regression", "circle": "classification"}


def entry(title, relu, circle, weak=0.5, passes=10, seconds=0.25):
    metrics = {
        ("relu", "strong"): np.full(5, relu),
        ("relu", "weak"): np.full(5, weak),
        ("circle", "strong"): np.full(5, circle),
        ("circle", "weak"): np.full(5, weak),
    }
    return Entry(title, passes, seconds, metrics)


def test_order_is_that_of_mean_ranks_over_the_tasks():
    # Ranks on ReLU, by the lowest error: 1, 0, 2; on Circle, by the highest accuracy: 0, 1, 2.
    entries = [entry("a", 0.2, 0.9), entry("b", 0.1, 0.8), entry("c", 0.3, 0.1)]
    assert [e.title for e in ranked(entries[::-1], KINDS)][-1] == "c"
    # b is better by two ranks on Circle and worse by one on ReLU.
    entries = [entry("a", 0.1, 0.1), entry("b", 0.2, 0.9), entry("c", 0.3, 0.8)]
    assert [e.title for e in ranked(entries, KINDS)] == ["b", "a", "c"]


def test_equals_before_training_are_told_apart_after_it():
    metrics = entry("better", 0.2, 0.5).metrics | {("relu", "weak"): np.full(3, 0.1)}
    entries = [entry("worse", 0.2, 0.5), Entry("better", 1, 1, metrics)]
    assert [e.title for e in ranked(entries, KINDS)] == ["better", "worse"]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_last(broken):
    entries = [entry("broken", broken, 0.5), entry("whole", 9.0, 0.5)]
    assert ranked(entries, KINDS)[-1].title == "broken"


def test_table_has_a_row_each_and_the_bare_ticket_below():
    entries = [entry("worse", 0.2, 0.5, passes=float("nan")), entry("best", 0.1, 0.75)]
    lines = leaderboard_table(entries, TICKETS, KINDS).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["best", "worse", "bare"]
    assert (
        lines[1].split()[1:]
        == (
            "10 0.25 1.0e-1 [1.0e-1, 1.0e-1] 5.0e-1 [5.0e-1, 5.0e-1] "
            "0.750 [0.750, 0.750] 0.500 [0.500, 0.500]"
        ).split()
    )
    assert lines[2].split()[1] == "-"
    assert lines[3].split()[2:] == ["1.0e-4", "1.0e-4", "0.990", "0.990"]


def test_long_searches_have_whole_numbers():
    (line,) = leaderboard_table(
        [entry("a", 0.1, 0.5, passes=1700, seconds=12345.6)], TICKETS, KINDS
    ).splitlines()[1:2]
    assert line.split()[1:3] == ["1,700", "12,346"]


def test_a_run_that_diverged_leaves_the_others_mean():
    metrics = entry("a", 0.1, 0.75).metrics | {("relu", "strong"): np.array([0.1] * 5 + [np.nan])}
    (line,) = leaderboard_table([Entry("a", 1, 1, metrics)], TICKETS, KINDS).splitlines()[1:2]
    assert "1.0e-1 [1.0e-1, 1.0e-1], 1 of 6 diverged" in line


def test_shares_of_seeds_that_found_a_ticket_stand_beside_strong_metrics(tmp_path, monkeypatch):
    canvases = []
    monkeypatch.setattr(leaderboard, "save", lambda canvas, path: canvases.append(canvas))
    found = {"circle": np.arange(25) < 7, "relu": np.zeros(0, bool)}
    entries = [entry("a", 0.1, 0.75)._replace(found=found), entry("b", 0.2, 0.5)]
    head, *lines = leaderboard_table(entries, TICKETS, KINDS).splitlines()
    assert "ReLU found" not in head
    at = head.index("Circle found")
    assert head.index("Circle strong") < at < head.index("Circle weak")
    assert [line[at:].split("  ")[0] for line in lines] == ["7 of 25 [14%, 48%]", "-", ""]
    leaderboard_figure(entries, TICKETS, KINDS, tmp_path / "figure.png")
    relu, circle = ([text.get_text() for text in axes.texts] for axes in canvases[0].axes)
    assert (relu, circle) == ([], ["7 of 25 [14%, 48%]", "-", "found"])


def test_kinds_decide_what_is_better_whatever_the_task_is_called():
    entries = [entry("a", 0.1, 0.5), entry("b", 0.2, 0.5)]
    accuracies = {"relu": "classification", "circle": "classification"}
    assert [e.title for e in ranked(entries, KINDS)] == ["a", "b"]
    assert [e.title for e in ranked(entries, accuracies)] == ["b", "a"]
    head, first, *_ = leaderboard_table(entries, TICKETS, accuracies).splitlines()
    assert "ReLU strong accuracy" in head and "0.200 [0.200, 0.200]" in first


def test_figure_has_the_best_on_top_and_errors_to_the_left(tmp_path, monkeypatch):
    canvases = []
    monkeypatch.setattr(leaderboard, "save", lambda canvas, path: canvases.append(canvas))
    entries = [entry("a", 0.1, 0.5), entry("b", 0.2, 0.9)]
    leaderboard_figure(entries, TICKETS, KINDS, tmp_path / "figure.png", title="two")
    (canvas,) = canvases
    relu, circle = canvas.axes
    assert [tick.get_text() for tick in relu.get_yticklabels()] == ["a", "b"]
    assert relu.get_ylim()[0] > relu.get_ylim()[1]
    assert [axes.get_title(loc="left") for axes in canvas.axes] == ["ReLU", "Circle"]
    assert [axes.get_xlabel() for axes in canvas.axes] == ["mean squared error", "accuracy"]
    # Better is to the right: errors run backwards.
    assert relu.get_xscale() == "log" and relu.xaxis_inverted()
    assert circle.get_xscale() == "linear" and not circle.xaxis_inverted()
    assert canvas.get_suptitle() == "two"
    means = {
        (place, axes.get_title(loc="left")): [
            line.get_xdata()[0]
            for line in axes.lines
            if line.get_marker() == "o" and round(line.get_ydata()[0]) == place
        ]
        for axes in canvas.axes
        for place in (0, 1)
    }
    # Before training, and after it.
    assert means[0, "ReLU"] == pytest.approx([0.1, 0.5])
    assert means[1, "ReLU"] == pytest.approx([0.2, 0.5])
    assert means[0, "Circle"] == pytest.approx([0.5, 0.5])
    assert means[1, "Circle"] == pytest.approx([0.9, 0.5])
    bare = [line for line in relu.lines if line.get_label() == "bare ticket"]
    assert [list(line.get_xdata()) for line in bare] == [[1e-4, 1e-4]]


SHIFTS = {"low": -0.2, "high": 0.0, "near": -0.03, "broken": np.nan}


def test_differences_from_the_best_are_paired_and_adjusted_in_each_column():
    rng = np.random.default_rng(0)
    base = rng.normal(0.5, 0.1, 8)
    noisy = {name: base + shift + rng.normal(0, 0.02, 8) for name, shift in SHIFTS.items()}
    entries = [
        Entry(name, 1, 1, {("circle", "strong"): values, ("relu", "weak"): -values})
        for name, values in noisy.items()
    ]
    head, *lines = against_best_lines(entries, KINDS)
    assert head == ["", "Circle strong", "ReLU weak"]
    cells = {line[0]: line[1:] for line in lines}
    assert cells["high"] == ["best", "best"]
    p = {name: scipy.stats.ttest_rel(noisy[name], noisy["high"]).pvalue for name in ("low", "near")}
    low = scipy.stats.ttest_rel(noisy["low"], noisy["high"]).confidence_interval()
    mean = np.mean(noisy["low"] - noisy["high"])
    wanted = f"{mean:.3f} [{low.low:.3f}, {low.high:.3f}], p < 0.0001"
    assert 2 * p["low"] < 1e-4 and cells["low"][0] == wanted
    # Two are tested. The larger p value stays as it is, or becomes twice the smaller one.
    assert 2 * p["low"] < p["near"] and cells["near"][0].endswith(f"p = {p['near']:.2g}")
    assert cells["broken"] == ["-", "-"]


def test_seekers_that_are_equal_differ_by_nothing_and_few_seeds_are_not_tested():
    entries = [entry("a", 0.1, 0.9), entry("b", 0.1, 0.5)]
    _, a, b = against_best_lines(entries, KINDS)
    assert (a[1], b[1]) == ("best", "0") and b[3].startswith("-0.400 [-0.400, -0.400], p < 0.0001")
    few = [one._replace(metrics={k: v[:4] for k, v in one.metrics.items()}) for one in entries]
    assert against_best_lines(few, KINDS)[2][1:] == ["-", "-", "-", "-"]
