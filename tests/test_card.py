"""Report cards: their tables by hand, their page read back, the command that makes them."""

import math
import os
import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import ticketjax as tj
from tests.example_records import DEFAULTS, records
from tests.pages import HOSTILE, Page, directory
from tests.processes import python
from ticketjax.commands import card as command
from ticketjax.records import card as tables
from ticketjax.records.store import load_records
from ticketjax.report import read_results
from ticketjax.report.card import write_card
from ticketjax.report.chapters import Card
from ticketjax.tuning.settings import read_settings

OWN = DEFAULTS["ticket_density"]
FOUND = {"density": OWN, "found": False, "first_dead_layer": -1}


def test_a_glance_is_at_the_tickets_density_and_names_the_best_other():
    regression = {"task": "relu", "kind": "regression"}
    table = pa.concat_tables(
        [
            records([0.6, 0.8], "strong_metric", seeker="mine", **{**FOUND, "found": True}),
            records([0.1, 0.1], "strong_metric", seeker="mine"),
            records([0.9, 0.5], "strong_metric", seeker="snip", **FOUND),
            records([math.nan, 0.5], "strong_metric", seeker="grasp", **FOUND),
            records([2e-4, 4e-4], "strong_metric", seeker="mine", **regression, **FOUND),
            records([5e-4, 5e-4], "strong_metric", seeker="snip", **regression, **FOUND),
            records([1e-4, 1e-4], "strong_metric", seeker="grasp", **regression, **FOUND),
        ]
    )
    others = {"snip": "SNIP", "grasp": "GraSP"}
    heads, relu, circle = tables.glance_lines(table, ["relu", "circle"], "mine", others)
    assert dict(zip(heads, circle, strict=True)) == {
        "task": "Circle",
        "density": "0.006",
        "before training": "0.700",
        "found": "2 of 2 [34%, 100%]",
        "best other before": "SNIP 0.700",
        "after training": "0.500",
        "best other after": "SNIP 0.500",
        "bare ticket": "0.500",
        "recall": "0.500",
        "collapsed": "-",
    }
    # The least error, where it is an error.
    assert relu[:5] == ["ReLU", "0.006", "3.0e-4", "0 of 2 [0%, 66%]", "GraSP 1.0e-4"]


def test_a_line_for_every_task_and_seeker_has_a_column_for_every_density():
    dead = {"collapsed": True, "first_dead_layer": 1}
    table = pa.concat_tables(
        [
            records([0.5], density=OWN, **dead),
            records([0.5], density=OWN, **{**dead, "first_dead_layer": 3}),
            records([0.5], density=OWN, **dead),
            records([0.5], density=OWN),
            records([0.5], density=1.0),
            records([0.5], task="relu", kind="regression", density=0.1),
        ]
    )
    lines = tables.density_lines(table, ["circle", "relu"], {"snip": "SNIP"}, tables.collapsed_cell)
    assert lines == [
        ["task", "seeker", "ticket", "0.1", "1"],
        ["Circle", "SNIP", "3 of 4, layer 2", "", "-"],
        ["ReLU", "SNIP", "", "-", ""],
    ]
    assert tables.recall_cell(records([0.25, 0.75], "recall")) == "0.500"


def test_checks_tell_where_a_variant_is_worse():
    values = [0.9, 0.8, 0.85, 0.95, 0.9]
    errors = [9e-3, 8e-3, 7e-3, 9e-3, 8e-3]
    regression = {"task": "relu", "kind": "regression"}
    table = pa.concat_tables(
        [
            records(values, seeker="mine"),
            records([v - 0.3 for v in values], seeker="mine, shuffled"),
            records(values, seeker="mine, inverted"),
            records(errors, seeker="mine", **regression),
            records([v / 10 for v in errors], seeker="mine, shuffled", **regression),
            records(errors, seeker="mine, inverted", **regression),
        ]
    )
    variants = {"mine, shuffled": "shuffled", "mine, inverted": "inverted"}
    shuffled, inverted = tables.checks_of(table, "mine", variants, "weak")
    # A larger error is worse, a larger accuracy better.
    assert shuffled.verdict() == "better than shuffled at 1 of 2 points (worse at 1)"
    assert inverted.verdict() == "better than inverted at 0 of 2 points (worse at 0)"
    heads, relu, circle = tables.check_lines([shuffled, inverted], ["relu", "circle"], "mine")
    assert heads == ["task", "density", "mine", "minus shuffled", "minus inverted"]
    assert circle == [
        *("Circle", "0.1", "0.880"),
        *("0.300 [0.300, 0.300], p < 0.0001", "0.000 [0.000, 0.000], p 1"),
    ]
    assert relu[2].startswith("8.2e-3") and relu[3].startswith("7.4e-3 [")
    # Fewer seeds than an interval needs have none.
    few = tables.checks_of(table.filter(pc.less(table["seed"], 3)), "mine", variants, "weak")
    assert tables.check_lines(few, ["circle", "relu"], "mine")[1][3] == "0.300"
    assert few[0].verdict().endswith("at 0 of 2 points (worse at 0)")


def test_compute_and_recovery_say_what_is_unknown():
    table = records([0.5], seeker="mine", density=OWN, passes=100.0, flops=2e9, score_auc=None)
    seconds = {("circle", "mine"): 0.25}
    assert tables.compute_lines(table, ["circle"], {"mine": "mine", "snip": "SNIP"}, seconds) == [
        ["seeker", "passes", "FLOPs", "s, Circle"],
        ["mine", "100", "2.0e+09", "0.25"],
        ["SNIP", "-", "-", "-"],
    ]
    heads, line = tables.recovery_lines(table, ["circle"], "mine")
    shown = dict(zip(heads, line, strict=True))
    assert (shown["density"], shown["recall"], shown["score AUC"]) == ("ticket 0.006", "0.500", "-")


LEVELS = tj.LADDER[:2]


def card(path, label, **changes):
    """A card of invented records: of a seeker, SNIP next to it, and two variants of the seeker."""
    beside = {"strategy": "own", "config": label, "feasible_recall": 1.0}
    seekers = {label: beside, "snip": {"feasible_recall": 1.0}}
    points = [
        records([0.4, 0.5, 0.6, 0.5, 0.4], seeker=seeker, **{**FOUND, "density": d}, **columns)
        for seeker, columns in seekers.items()
        for d in (OWN, 0.1)
    ]
    variants = {f"{label}, shuffled": "shuffled", f"{label}, re-initialised": "re-initialised"}
    checks = [
        records([0.3] * 5, seeker=variant, **{**FOUND, "density": d}, **beside)
        for variant in variants
        for d in (OWN, 0.1)
    ]
    ladder = [
        records([0.5] * 2, seeker=seeker, task=level.task.name, found=True)
        for seeker in seekers
        for level in LEVELS
    ]
    quality = pa.concat_tables(points)
    configuration = {
        **{"task": ["circle"], "depth": [5], "width": [100], "noise": [0.01], "seeds": [*range(5)]},
        **{"seekers": [label, "snip"], "densities": ["ticket", 0.1]},
    }
    found = directory(path / "quality", quality, configuration, versions={"jax": "0.10.2"})
    fields = {
        "label": label,
        "expression": f"singleshot({label})",
        "tasks": ["circle"],
        "quality": quality,
        "baselines": records([0.2] * 5, "strong_metric", seeker="random_masks", **FOUND),
        "checks": pa.concat_tables(checks),
        "variants": variants,
        "strong_variants": 1,
        "unasked": "",
        "ladder": pa.concat_tables(ladder),
        "levels": LEVELS,
        "seconds": {},
        "parts": {"quality": read_results(found)},
        "seeds": [*range(5)],
        "ladder_seeds": [0, 1],
        "settings": None,
        "command": "python -m experiments.card --seeker=mine.py:mine",
    }
    return Card(**{**fields, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("card")
    files = write_card(card(out, "mine"), out)
    return files, Page(files.page.read_text())


def test_a_card_asks_everything_on_one_page_that_loads_nothing(written):
    files, page = written
    assert page.texts["h1"] == ["Report card: mine"]
    assert page.texts["h2"] == [
        *("At a glance", "Quality over density", "Success on the ladder of random teachers"),
        *("Sanity checks", "Where it collapses", "What it recovers", "Compute"),
        *("Its line in the leaderboard", "How this card was made"),
    ]
    ids = {section["id"] for section in page.all("section")}
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert labels == [
        *("density, Circle: strong", "density, Circle: weak"),
        "share of tickets found at each level",
        *("sanity checks, Circle: strong", "sanity checks, Circle: weak"),
        *("error before training over compute", "standings"),
    ]
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert all(value.startswith("#") for value in references) and page.all("link") == []
    # The seeker of the card comes first, before those that the registry has an order for.
    words = page.texts["text"]
    assert words.index("mine") < words.index("SNIP")
    # No two figures share an id; otherwise a browser applies the clipping of one to the other.
    own = re.findall(r' id="([^"]+)"', files.page.read_text())
    assert len(own) == len(set(own))
    # Figures have the page's colours, even those too wide for a phone.
    assert not any("print" in box.get("class", "") for box in page.all("figure"))


def test_a_card_says_that_development_seeds_are_no_results(written, without_scores):
    files, page = written
    assert any("development seeds" in text for text in page.texts["li"])
    text = files.table.read_text()
    assert "the numbers on this page are not results" in text
    assert "singleshot(mine) · Circle · depth 5, width 100, noise 0.01 · seeds 0-4" in text
    assert "Before training, mine is better than shuffled at 0 of 2 points (worse at 0).\n" in text
    assert "better than re-initialised at 2 of 2 points (worse at 0).\n" in text
    assert files.glance in text and "0.10.2" in page.texts["dd"]
    frozen, _, _ = without_scores
    assert "settings abc: none tuned" in frozen and "development" not in frozen


@pytest.fixture(scope="module")
def without_scores(tmp_path_factory):
    """The text, the page and the card of a seeker with a bad name that returns only a mask."""
    out = tmp_path_factory.mktemp("whole")
    variant = f"{HOSTILE}, re-initialised"
    whole = card(
        out,
        HOSTILE,
        expression=HOSTILE,
        command=HOSTILE,
        checks=records([0.3] * 5, seeker=variant, **FOUND),
        variants={variant: "re-initialised"},
        strong_variants=0,
        unasked="The checks shuffled and inverted do not apply: it returns a mask of its own.",
        settings="settings abc: none tuned",
    )
    quality = whole.quality
    for name in tables.RANKING:
        column = quality.schema.get_field_index(name)
        quality = quality.set_column(column, name, pa.nulls(quality.num_rows, pa.float32()))
    files = write_card(whole._replace(quality=quality), out)
    return files.table.read_text(), Page(files.page.read_text()), whole


def test_a_card_of_a_seeker_without_scores_says_what_cannot_be_asked(without_scores):
    _, page, whole = without_scores
    assert whole.unasked in page.texts["p"]
    assert any("has no scores, so there is no ranking" in text for text in page.texts["p"])
    sanity = [svg["aria-label"] for svg in page.all("svg") if "sanity" in svg["aria-label"]]
    assert sanity == ["sanity checks, Circle: weak"]


def test_nothing_of_a_seeker_becomes_markup(without_scores):
    _, page, _ = without_scores
    assert page.all("script") == [{}]
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]


FILE = """import ticketjax as tj
def root(key, problem, params, mask):
    return problem.params
def snip(key, problem, params, mask):
    return problem.params
def whole(key, problem, density):
    return tj.Probabilistic(epochs=1)(key, problem, density)
"""


def test_a_seeker_with_the_name_of_a_frozen_one_is_compared_with_it():
    settings = read_settings()
    frozen = tj.get_seeker(settings["snip"].setting)
    others = command._others(("snip", "grasp"), "snip", tj.get_seeker("grasp"), settings)
    assert list(others) == ["grasp", "snip, frozen"] and others["snip, frozen"] == frozen
    assert list(command._others(("snip", "grasp"), "snip", frozen, settings)) == ["grasp"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: --seeker: must be given, such as --seeker=path/to/file.py:function"),
        (["--seeker=snop"], "--seeker=snop: seeker must be one of"),
        (["--seeker=no/such.py:x"], "--seeker=no/such.py:x: no/such.py is not a Python file"),
        (["--seeker=snip, grasp"], "--seeker=snip, grasp: seeker must be"),
        (["--seeker=snip", "--levels=9"], "--levels=9: must be among 1, 2"),
        (["--seeker=snip", "--densities=2"], "--densities=2: must be numbers in (0, 1]"),
        (["--seeker=snip", "--seeds=101"], "--seeds=101: there are 100 development seeds"),
        (["--seeker=snip", "--ladder_seeds=101"], "--ladder_seeds=101: there are 100"),
        (["--seeker=own.py:root", "--nodevelopment"], "root: singleshot(root) is not a frozen"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(flags, message, tmp_path, forks):
    (tmp_path / "own.py").write_text(FILE)
    result = forks.command("card", *flags, directory=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == ["own.py"]


TINY = ["--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=1", "--seeds=2"]
TINY += ["--densities=0.5", "--levels=1", "--ladder_seeds=2", "--out=out"]


def made(seeker, path):
    (path / "own.py").write_text(FILE)
    command = ("-m", "experiments.card", f"--seeker={seeker}", *TINY)
    result = python(*command, directory=path, JAX_COMPILATION_CACHE_DIR=str(path / "compiled"))
    assert result.returncode == 0, result.stderr
    return result, Page((path / "out" / "card.html").read_text())


@pytest.mark.long
def test_a_card_is_made_of_grids_and_resumes(tmp_path):
    first, page = made("mine=own.py:root", tmp_path)
    assert first.stdout.startswith("task  density")
    parts = ["baselines", "level-1", "quality", "re-initialised", "sanity"]
    assert [p.name for p in sorted((tmp_path / "out").iterdir()) if p.is_dir()] == parts
    checks = load_records(tmp_path / "out" / "sanity")
    assert set(zip(checks["seeker"].to_pylist(), checks["sanity"].to_pylist(), strict=True)) == {
        ("mine, shuffled", "shuffle"),
        ("mine, inverted", "invert"),
    }
    anew = load_records(tmp_path / "out" / "re-initialised")
    assert set(anew["sanity"].to_pylist()) == {"reinitialise"}
    assert set(load_records(tmp_path / "out" / "quality")["density"].to_pylist()) > {0.5}
    assert any("--seeker=mine=own.py:root" in text for text in page.texts["pre"])
    again, same = made("mine=own.py:root", tmp_path)
    assert (again.stdout, same.texts) == (first.stdout, page.texts)


@pytest.mark.long
def test_a_seeker_without_scores_has_a_card(tmp_path):
    _, page = made("own.py:whole", tmp_path)
    assert not (tmp_path / "out" / "sanity").exists()
    assert any("and inverted do not apply to whole" in t for t in page.texts["p"])
