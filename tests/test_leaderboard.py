"""The order of a leaderboard by hand, and what its table and figure show."""

import numpy as np
import pytest

from ticketjax.leaderboard import Entry, leaderboard_figure, leaderboard_table, ranked

TICKETS = {"relu": 1e-4, "circle": 0.99}


def entry(title, relu, circle, weak=0.5, passes=10, seconds=0.25):
    metrics = {
        ("relu", "strong"): np.full(3, relu),
        ("relu", "weak"): np.full(3, weak),
        ("circle", "strong"): np.full(3, circle),
        ("circle", "weak"): np.full(3, weak),
    }
    return Entry(title, passes, seconds, metrics)


def test_order_is_that_of_mean_ranks_over_the_tasks():
    # Ranks on ReLU, by the lowest error: 1, 0, 2; on Circle, by the highest accuracy: 0, 1, 2.
    entries = [entry("a", 0.2, 0.9), entry("b", 0.1, 0.8), entry("c", 0.3, 0.1)]
    assert [e.title for e in ranked(entries[::-1])][-1] == "c"
    # b is better by two ranks on Circle and worse by one on ReLU.
    entries = [entry("a", 0.1, 0.1), entry("b", 0.2, 0.9), entry("c", 0.3, 0.8)]
    assert [e.title for e in ranked(entries)] == ["b", "a", "c"]


def test_equals_before_training_are_told_apart_after_it():
    metrics = entry("better", 0.2, 0.5).metrics | {("relu", "weak"): np.full(3, 0.1)}
    entries = [entry("worse", 0.2, 0.5), Entry("better", 1, 1, metrics)]
    assert [e.title for e in ranked(entries)] == ["better", "worse"]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_last(broken):
    entries = [entry("broken", broken, 0.5), entry("whole", 9.0, 0.5)]
    assert ranked(entries)[-1].title == "broken"


def test_table_has_a_row_each_and_the_bare_ticket_below():
    entries = [entry("worse", 0.2, 0.5, passes=float("nan")), entry("best", 0.1, 0.75)]
    lines = leaderboard_table(entries, TICKETS).splitlines()
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
        [entry("a", 0.1, 0.5, passes=1700, seconds=12345.6)], TICKETS
    ).splitlines()[1:2]
    assert line.split()[1:3] == ["1,700", "12,346"]


def test_a_run_that_diverged_leaves_the_others_mean():
    metrics = entry("a", 0.1, 0.75).metrics | {("relu", "strong"): np.array([0.1, np.nan, 0.1])}
    (line,) = leaderboard_table([Entry("a", 1, 1, metrics)], TICKETS).splitlines()[1:2]
    assert "1.0e-1 [1.0e-1, 1.0e-1], 1 diverged" in line


def test_figure_is_drawn(tmp_path):
    path = tmp_path / "figure.png"
    leaderboard_figure([entry("a", 0.1, 0.5), entry("b", 0.2, 0.9)], TICKETS, path, title="two")
    assert path.stat().st_size > 10_000
