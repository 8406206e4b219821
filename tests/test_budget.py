"""What a user's seeker may return: a mask within the budget; others are refused or marked."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ticketjax as tj
from tests import example_records
from tests.processes import python
from ticketjax import selection
from ticketjax.base import CLASSIFICATION
from ticketjax.figures.leaderboard import Entry, leaderboard_table
from ticketjax.records.summaries import QUALITIES
from ticketjax.records.tables import table
from ticketjax.report import read_results, write_report
from ticketjax.report.notices import notices
from ticketjax.runs.engine import BudgetError

SMALL = {
    "task": "relu",
    "depth": 3,
    "width": 6,
    "densities": (0.5, 1.0),
    "seeds": [3],
    "samples": 100,
    "epochs": 0,
}


def of_everything(value):
    return lambda params: jax.tree.map(lambda p: jnp.full(p.shape, value), params)


KEPT, ZEROS = of_everything(True), of_everything(0.0)


def keep_all(key, problem, density):
    return tj.Found(KEPT(problem.params), ZEROS(problem.params), {})


@pytest.mark.long
def test_a_seeker_that_keeps_everything_is_refused_with_the_numbers():
    message = (
        r"keep_all kept 19 of 19 parameters, but 10 are allowed at density 0\.5 \(relu, depth 3, "
        r"width 6, noise 0\.01, seed 3\); .*check_budget=False"
    )
    with pytest.raises(BudgetError, match=message):
        tj.sweep(**SMALL, seekers=["magnitude", keep_all])


def test_what_is_let_pass_is_marked():
    rows = tj.sweep(**SMALL, seekers=["magnitude", keep_all], check_budget=False).to_pylist()
    within = {(row["seeker"], row["density"]): row["within_budget"] for row in rows}
    assert within == {
        ("magnitude", 0.5): True,
        ("magnitude", 1.0): True,
        ("keep_all", 0.5): False,
        ("keep_all", 1.0): True,
    }


@pytest.mark.parametrize("scope", ["local", "oracle"])
@pytest.mark.parametrize("prune_bias", [True, False])
def test_every_scope_of_the_library_is_within_its_budget(scope, prune_bias):
    # At 0.35, some layers' budgets are halves, and the ticket's shares do not fit.
    grid = {**SMALL, "densities": (0.35, 0.9), "scope": scope, "prune_bias": prune_bias}
    records = tj.sweep(**grid, seekers="magnitude")
    assert records["within_budget"].to_pylist() == [True, True]


def test_bounds_by_hand():
    # Layers of 12 and 7 parameters: half of each is 6 and, to even, 4 (of 3.5); of all, 10 (9.5).
    layer = {"kernel": jnp.zeros((1, 6)), "bias": jnp.zeros(6)}
    params = {"layer_0": layer, "layer_1": {"kernel": jnp.zeros((6, 1)), "bias": jnp.zeros(1)}}
    bounds = functools.partial(selection.budget_bounds, 0.5, params)
    assert bounds() == (10, 10)
    assert bounds("local") == (9, 11)
    # The whole ticket is in the second layer, which has only 7 parameters.
    assert bounds(tj.LayerBudgets((0, 2))) == (6, 10)


def bare_mask(key, problem, density):
    return KEPT(problem.params)


def bare_pair(key, problem, density):
    return KEPT(problem.params), ZEROS(problem.params)


def nothing(key, problem, density):
    return None


def soft(key, problem, density):
    return keep_all(key, problem, density)._replace(mask=ZEROS(problem.params))


def flat(key, problem, density):
    found = keep_all(key, problem, density)
    return found._replace(mask=jax.tree.map(jnp.ravel, found.mask))


def shallow(key, problem, density):
    found = keep_all(key, problem, density)
    return found._replace(scores={"layer_0": found.scores["layer_0"]})


def silent(key, problem, density):
    return keep_all(key, problem, density)._replace(info=None)


def one_score(key, problem, params, mask):
    return jnp.zeros(3)


def transposed(key, problem, params, mask):
    return jax.tree.map(jnp.transpose, params)


RETURNS = r"a seeker returns Found\(mask, scores, info\), this one returned "
WRONG = [
    (bare_mask, RETURNS + "a dict"),
    (bare_pair, RETURNS + "a tuple"),
    (nothing, RETURNS + "None"),
    (soft, r"mask\['layer_0'\]\['bias'\] must be bool \(6,\), got float32 \(6,\)"),
    (flat, r"mask\['layer_0'\]\['kernel'\] must have the shape \(1, 6\), got bool \(6,\)"),
    (shallow, r"scores must be a tree like the parameters, with .*\['layer_1'\]\['kernel'\]; got"),
    (silent, "info must be a dict of arrays, got a NoneType"),
    (one_score, "scores must be a tree like the parameters"),
    (transposed, r"scores\['layer_0'\]\['kernel'\] must have the shape \(1, 6\), got float32"),
]


@pytest.mark.parametrize(("seeker", "message"), WRONG)
def test_what_is_no_found_is_refused_before_anything_runs(seeker, message):
    with pytest.raises(ValueError, match=f"{seeker.__name__}: {message}"):
        tj.make_grid(**SMALL, seekers=seeker)
    task = tj.get_task("relu")
    trial = tj.make_trial(task, tj.mlp(task, 3, 6), seeker, samples=100, epochs=0)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(trial, jax.random.key(0), tj.Point(0.5, 0.01))


KEEP_ALL = """
import jax, jax.numpy as jnp, ticketjax as tj

def keep_all(key, problem, density):
    mask = jax.tree.map(lambda p: jnp.ones(p.shape, bool), problem.params)
    return tj.Found(mask, problem.params, {})
"""


def outside(values, **columns):
    return example_records.records(values, kept=0.9, within_budget=False, **columns)


def test_tables_mark_what_is_outside_its_budget():
    within = example_records.records([0.25] * 5, within_budget=True)
    lines = table(pa.concat_tables([within, outside([0.5] * 5, seeker="mine")])).splitlines()
    assert [line.strip() for line in lines if line.startswith(("SNIP", "mine", "kept"))][3:] == [
        "SNIP    0.250 [0.250, 0.250]",
        "mine    0.500 [0.500, 0.500], kept 0.9",
        "kept another number than the density allows: mine 5 of 5 at 0.1",
    ]
    # One seed, and one that diverged.
    assert "0.500, kept 0.9" in table(outside([0.5]))
    assert "diverged, kept 0.9" in table(outside([float("nan")]))


def test_records_that_do_not_say_so_are_within():
    records = example_records.records([0.5], kept=0.9)
    assert records["within_budget"].null_count == 1
    assert "kept" not in table(records)


def test_a_leaderboard_marks_what_is_outside_its_budget():
    columns = [("circle", quality) for quality in QUALITIES]
    entry = Entry("mine", 1, 1, dict.fromkeys(columns, np.ones(2)), kept=0.9)
    entries = [entry, entry._replace(title="other", kept=None)]
    text = leaderboard_table(entries, {"circle": 1.0}, {"circle": CLASSIFICATION})
    assert [line.split("  ")[0] for line in text.splitlines()[1:3]] == ["mine (kept 0.9)", "other"]


def test_a_page_marks_what_is_outside_its_budget(tmp_path):
    (tmp_path / "parts").mkdir()
    pq.write_table(outside([0.5, 0.5], seeker="mine"), tmp_path / "parts" / "a.parquet")
    results = read_results(tmp_path)
    report = write_report(tmp_path, [results], [None], tmp_path)
    told = [(notice.text, notice.problem) for notice in notices(results)]
    assert (
        "2 of 2 runs kept another number of parameters than their density allows; they are marked.",
        True,
    ) in told
    assert '<td data-value="0.1" class="wrong">0.1<small>kept 0.9</small></td>' in (
        report.page.read_text()
    )
    assert "2 of 2 runs violated their budget" in report.page.read_text()


@pytest.mark.parametrize("status", [2, pytest.param(0, marks=pytest.mark.long)])
def test_a_command_refuses_or_marks(status, tmp_path):
    own = "path/to/file.py:keep_all".replace("path/to", str(tmp_path))
    (tmp_path / "file.py").write_text(KEEP_ALL)
    done = python(
        "-m",
        "ticketjax",
        "singleshot",
        f"--seekers={own}",
        "--task=relu",
        "--depth=3",
        "--width=6",
        "--seeds=1",
        "--samples=100",
        "--epochs=0",
        "--densities=0.5",
        f"--out={tmp_path / 'out'}",
        *(["--nocheck_budget"] if status == 0 else []),
        directory=os.getcwd(),
    )
    assert done.returncode == status, done.stderr
    if status:
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert "keep_all kept 19 of 19 parameters, but 10 are allowed" in line
        assert line.endswith("--nocheck_budget")
        assert not list((tmp_path / "out" / "parts").iterdir())
    else:
        assert ", kept 1" in done.stdout
