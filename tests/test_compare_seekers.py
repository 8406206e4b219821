"""Two rows of a results directory, compared seed by seed."""

import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats

from tests.example_records import records
from ticketjax.commands import compare_seekers
from ticketjax.commands.flags import FlagError
from ticketjax.records.comparison import compare, comparison_table
from ticketjax.records.summaries import series_of

RUNS = np.random.default_rng(0).uniform(0.2, 0.8, (2, 2, 8)).astype(np.float32)
DENSITIES = (0.006, 0.1)


def both(measure="strong_metric", **columns):
    """SNIP and GraSP at two densities, seeds 0 to 7; those of SNIP in the opposite order."""
    parts = [
        records(RUNS[i, j], measure, seeker=seeker, density=density, **columns)
        for i, seeker in enumerate(("snip", "grasp"))
        for j, density in enumerate(DENSITIES)
    ]
    return pa.concat_tables([parts[0].take(pa.array(range(8))[::-1]), *parts[1:]])


def compared(table, column="strong_metric"):
    return compare(table, *series_of(table), column)


def test_differences_are_by_seed_and_p_values_of_the_whole_table():
    comparisons = compared(both())
    p = []
    for comparison, density, a, b in zip(comparisons, DENSITIES, *RUNS, strict=True):
        expected = scipy.stats.ttest_rel(a.astype(float), b)
        assert comparison.point["density"] == density
        assert comparison.means == pytest.approx((a.mean(), b.mean()))
        assert comparison.difference.p == pytest.approx(expected.pvalue)
        p.append(comparison.difference.p)
    lines = comparison_table(comparisons, "A", "B", share=False, found=True).splitlines()
    assert lines[0].split() == "density A B difference [95% interval] seeds p (Holm)".split()
    shown = [line.split()[-1] for line in lines[1:]]
    least = min(1, 2 * min(p))
    assert sorted(shown) == sorted([f"{least:.2g}", f"{max(least, *p):.2g}"])
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "Circle, depth 5, width 100, noise 0.01"
    ] * 2


def test_only_common_finite_seeds_count_and_shares_are_of_the_common_ones():
    snip = records([0.5, 0.75, 0.5, 0.75, 0.5, np.nan, 0.75], "strong_metric", found=True)
    grasp = records([0.25, 0.25, 0.25, 0.25, 0.25, 0.25], "strong_metric", seeker="grasp")
    few = [records([0.5] * 3, seeker=s, density=0.5) for s in ("snip", "grasp")]
    alone = records([0.5] * 7, density=0.7)
    comparisons = compared(pa.concat_tables([snip, grasp, *few, alone]))
    text = comparison_table(comparisons, "A", "B", share=False, found=True)
    rows = [line[len("Circle, depth 5, width 100, noise 0.01") :] for line in text.splitlines()]
    assert [" | ".join(filter(None, map(str.strip, row.split("  ")))) for row in rows[1:]] == [
        "0.1 | 0.600 | 0.250 | 0.350 [0.180, 0.520] | 5, 1 diverged | 0.0046 "
        "| 6 of 6 [61%, 100%] | -",
        "0.5 | 0.500 | 0.500 | 0.000 | 3 | - | - | -",
    ]
    assert "found" not in comparison_table(comparisons, "A", "B", share=False, found=False)


def test_repeated_records_are_refused():
    table = both()
    twice = pa.concat_tables([table, table.slice(0, 1)])
    with pytest.raises(ValueError, match="two records of 'SNIP' with seed 7 at Circle, depth 5"):
        compared(twice)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory of two grids, and the flags that name it."""
    for name, table in (("one", both()), ("two", records([0.5] * 4, seeker="mine"))):
        (tmp_path / name / "parts").mkdir(parents=True)
        table = table.select([name for name in table.column_names if name != "own_metric"])
        pq.write_table(table, tmp_path / name / "parts" / "a.parquet")
    flags = types.SimpleNamespace(results=str(tmp_path), quality="strong")
    monkeypatch.setattr(compare_seekers, "FLAGS", flags)
    return flags


def test_rows_are_named_as_tables_or_as_records_name_them(directory, capsys):
    assert compare_seekers.main("SNIP", "grasp") == 0
    first = capsys.readouterr().out
    assert "SNIP against GraSP: strong, means over the seeds of both" in first
    assert "adjusted by Holm for 2 tests" in first
    assert compare_seekers.main("snip", "GraSP") == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("names", "changes", "message"),
    [
        (("snop", "grasp"), {}, "no row 'snop' in .*, only SNIP, GraSP, mine; did you mean 'snip'"),
        (("snip", "SNIP"), {}, "'snip' and 'SNIP' both name the row SNIP"),
        (
            ("snip", "mine"),
            {},
            "need at least 5 common seeds with finite values .* at most 4",
        ),
        (("snip", "grasp"), {"quality": "own"}, "--quality=own: the records do not have it"),
        (("snip", "grasp"), {"results": None}, "--results: which directory"),
    ],
)
def test_what_cannot_be_compared_is_refused(directory, names, changes, message):
    vars(directory).update(changes)
    with pytest.raises(FlagError, match=message):
        compare_seekers.main(*names)


def test_a_name_of_several_rows_is_refused(directory):
    table = pa.concat_tables([records([0.5], scope=scope) for scope in ("global", "local")])
    with pytest.raises(FlagError, match="'snip' names 2 rows: SNIP global, SNIP local"):
        compare_seekers._row("snip", series_of(table))
