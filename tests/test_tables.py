"""Tables, word for word."""

import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.example_records import cases, records
from ticketjax.measure.diagnosis import Case
from ticketjax.records.store import load_records
from ticketjax.records.tables import case_table, table


def test_table_says_what_its_brackets_are():
    more = records([1.0, 1.0, 1.0], density=0.006, seeker="synflow", ticket_metric=0.99)
    five = records([0.25, 0.5, 1.0, 0.75, 0.5], ticket_metric=0.99)
    text = table(pa.concat_tables([five, more]))
    weak = text.split("\n\n")[1].splitlines()
    assert weak == [
        "Circle, depth 5, width 100, noise 0.01: weak accuracy (after training)",
        "mean [95% interval of the mean] (min, max) of 3-5 seeds; bare ticket 0.990",
        "seeker   ticket 0.006          0.1",
        "SNIP     -                     0.600 [0.246, 0.954]",
        "                                     (0.250, 1.000)",
        "SynFlow  1.000                 -",
        "               (1.000, 1.000)",
    ]


def test_the_kind_of_the_records_decides_what_stands_there():
    own = {"task": "my_task", "ticket_metric": 0.99, "feasible_recall": 1.0}
    strong, _ = table(records([0.25], "strong_metric", **own)).split("\n\n")
    assert strong.splitlines() == [
        "my_task, depth 5, width 100, noise 0.01: strong accuracy (before training)",
        "1 seed; bare ticket 0.990",
        "seeker  0.1",
        "SNIP    0.250",
    ]
    errors = table(records([0.25], "strong_metric", kind="regression", **own))
    assert "strong mean squared error" in errors and "2.5e-1" in errors and "9.9e-1" in errors


def test_networks_have_blocks_of_their_own_and_names_unless_they_are_the_librarys():
    both = [records([0.5], model=model, feasible_recall=1.0) for model in ("mlp", "my_net")]
    titles = [block.splitlines()[0] for block in table(pa.concat_tables(both)).split("\n\n")]
    assert titles == [
        f"Circle, {network}depth 5, width 100, noise 0.01: {quality}"
        for network in ("", "my_net, ")
        for quality in (
            "strong accuracy (before training)",
            "weak accuracy (after training)",
        )
    ]


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("circle", "classification"),
        ("helix", "regression"),
        ("mnist", "classification"),
        ("somebodys", "regression"),
    ],
)
def test_records_of_an_earlier_version_are_completed(task, kind, tmp_path):
    (tmp_path / "parts").mkdir()
    new = ["kind", "model", "config", "optimizer"]
    old = records([0.25, 0.5], task=task).drop_columns(new)
    pq.write_table(old, tmp_path / "parts" / "a.parquet")
    read = load_records(tmp_path)
    assert read.select(new[:3]).to_pylist() == [{"kind": kind, "model": "mlp", "config": None}] * 2
    measure = "accuracy" if kind == "classification" else "mean squared error"
    assert f"strong {measure}" in table(read)


def test_table_says_what_of_the_ticket_does_not_fit():
    local = {"scope": "local", "feasible_recall": 0.571}
    parts = [
        records([0.5], density=0.006, **local),
        records([0.5], density=0.02, **{**local, "feasible_recall": 0.9}),
        records([0.5], density=0.1, **{**local, "feasible_recall": 1.0}),
        records([0.5], density=0.006, feasible_recall=1.0),
    ]
    blocks = table(pa.concat_tables(parts)).split("\n\n")
    assert blocks[2:] == [
        "no mask of scope local can hold the whole ticket: at most 57.1% of it at ticket 0.006, "
        "90.0% of it at 0.02"
    ]
    assert len(table(parts[3]).split("\n\n")) == 2


def test_a_table_of_cases_by_hand():
    text = case_table(cases(), {"snip": "search failed"}, accuracy=True)
    assert text.splitlines() == [
        "seeker  case         recall                strong                weak                  "
        "loss, found/planted",
        "SNIP    all samples  0.600 [0.246, 0.954]  0.500 [0.500, 0.500]  0.750 [0.750, 0.750]  "
        "100 [100, 100]",
        "SNIP    started      0.125",
        "",
        "SNIP: search failed",
    ]


def test_table_of_one_seed_has_no_interval():
    text = table(records([0.5], strong_metric=0.25))
    assert "1 seed; bare ticket" in text and "0.250" in text and "nan" not in text
    assert "[" not in text and "(0." not in text


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_table_says_what_diverged_and_has_the_others_mean(bad):
    parts = [
        records([0.25, 0.5, 1.0]),
        records([0.25, bad, 1.0], density=0.5),
        records([bad] * 3, density=0.006),
    ]
    strong, weak, _ = table(pa.concat_tables(parts)).split("\n\n")
    assert "diverged" not in strong
    legend = "mean (min, max) of 3 seeds; fewer than 5 have no interval; bare ticket 0.500"
    assert weak.splitlines()[1:] == [
        legend,
        "seeker  ticket 0.006  0.1                   0.5",
        "SNIP    diverged      0.583                 0.625",
        "                            (0.250, 1.000)        (0.250, 1.000)",
        "diverged, excluded above: SNIP 3 of 3 at ticket 0.006, SNIP 1 of 3 at 0.5",
    ]


def test_a_table_of_cases_says_what_diverged():
    measures = {
        "recall": np.full(6, 0.5),
        "strong": np.array([0.5, math.nan]),
        "weak": np.array([math.nan, math.inf]),
    }
    line = case_table([Case("snip", "all", measures)], {}, accuracy=True).splitlines()[1]
    assert re.split("  +", line)[2:] == [
        "0.500 [0.500, 0.500]",
        "0.500, 1 of 2 diverged",
        "diverged",
    ]


def test_strong_blocks_say_who_found_a_ticket_and_modes_have_a_median():
    # 7 of 25 found one, and only they are near 1.
    values = np.repeat([0.96, 0.2], [7, 18]) + np.tile([0, 0.02, 0.04, 0.01, 0.03], 5)
    runs = [records([v], "strong_metric", found=v > 0.9, density=0.006) for v in values]
    unknown = records([0.5] * 5, density=0.1, found=None)
    strong, weak = table(pa.concat_tables([*runs, unknown])).split("\n\n")[:2]
    assert strong.splitlines()[1:] == [
        "mean [95% interval of the mean] (min, max) of 5-25 seeds; with two modes also median "
        "[quartiles]; seeds that found a ticket [95% interval of the share]; bare ticket 0.500",
        "seeker  ticket 0.006                 0.1",
        "SNIP    0.433 [0.290, 0.576]         0.500 [0.500, 0.500]",
        "              (0.200, 1.000)               (0.500, 0.500)",
        "        median 0.230 [0.210, 0.960]",
        "        found 7 of 25 [14%, 48%]",
    ]
    assert "found" not in weak and "median" not in weak
    assert "found" not in table(unknown)
