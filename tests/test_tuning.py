"""Settings: chosen on validation data and development seeds, frozen, and held to."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import ticketjax as tj
from ticketjax.base import Batch
from ticketjax.choices import PRUNERS
from ticketjax.commands import frozen as freezing
from ticketjax.commands import paper
from ticketjax.commands.flags import FlagError
from ticketjax.seekers.registry import SEEKERS, get_seeker, seeker_text
from ticketjax.tuning.candidates import LINES, PASSES, TRIES
from ticketjax.tuning.passes import passes_of, with_passes
from ticketjax.tuning.seeds import DEVELOPMENT, FIRST_RESULT, purposes
from ticketjax.tuning.selection import Try, best, compared
from ticketjax.tuning.settings import (
    SETTINGS,
    Frozen,
    Tuning,
    read_settings,
    settings_hash,
    write_settings,
)
from ticketjax.tuning.validation import training_samples, validation_task

RELU = tj.get_task("relu")


def _poisoned(key, n, noise):
    """ReLU's samples, the held-out tenth NaN."""
    batch = RELU.sample(key, n, noise)
    return Batch(*(leaf.at[n - n // 10 :].set(jnp.nan) for leaf in batch))


def test_tuning_computes_nothing_on_held_out_data():
    task = dataclasses.replace(RELU, name="poisoned", sample=_poisoned)
    records = tj.sweep(
        task=validation_task(task, 100),
        samples=90,
        **{"depth": 3, "width": 6, "seekers": "snip", "densities": 0.5, "seeds": 2, "epochs": 0},
    )
    assert records.num_rows == 2
    for name in ("strong_metric", "strong_loss", "ticket_metric", "found_objective", "score_auc"):
        assert np.isfinite(records[name].to_numpy()).all()
    key = jax.random.key(3)
    assert np.isnan(task.sample(key, 100, 0.1).y[90:]).all()
    ours = validation_task(task, 100).sample(key, 90, 0.1)
    for own, of_run in zip(ours, RELU.sample(key, 100, 0.1), strict=True):
        np.testing.assert_array_equal(own, of_run[:90])
    # Where there is no grid of inputs, networks are compared on another draw.
    assert validation_task(RELU, 100).sample(key, 300, 0.0).x.shape == (300, 1)


def test_data_of_a_tasks_own_are_split_without_the_held_out():
    batches = (Batch(np.arange(40.0), np.arange(40)), Batch(np.full(10, -1.0), np.full(10, -1)))
    task = validation_task(dataclasses.replace(RELU, data=lambda: batches), 10_000)
    train, validation = task.data()
    assert (len(train.x), len(validation.y)) == (36, 4)
    np.testing.assert_array_equal(np.concatenate([train.y, validation.y]), np.arange(40))
    assert dict(task.source)["split"] == "validation"
    assert training_samples(10_000) == 9_000


def _records(metrics):
    """A row per value of {(task, kind, seeker): (metrics of seeds)}."""
    rows = [
        {"task": task, "kind": kind, "seeker": seeker, "seed": seed, "strong_metric": value}
        for (task, kind, seeker), values in metrics.items()
        for seed, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows)


def test_the_lowest_mean_rank_is_chosen_by_hand():
    # Ranks on the error of a: 2.5, 1, 2.5; on the accuracy of b: 1, 2, 3.
    records = _records(
        {
            ("a", "regression", "x"): (0.25, 0.5),
            ("a", "regression", "y"): (0.1, 0.1),
            ("a", "regression", "z"): (0.379, 0.379),
            ("b", "classification", "x"): (0.9, 0.7),
            ("b", "classification", "y"): (0.5, 0.9),
            ("b", "classification", "z"): (0.9, float("nan")),
        }
    )
    tries = compared(records, ["z", "x", "y"], "strong")
    assert [one.rank for one in tries] == [2.75, 1.75, 1.5]
    assert best(tries).setting == "y"
    assert tries[2].validation == pytest.approx({"a": 0.1, "b": 0.7})
    assert np.isnan(tries[0].validation["b"]) and tries[0].runs == {"a": 2, "b": 2}
    # Of equals the first, the published one.
    assert best([one._replace(rank=1.0) for one in tries]).setting == "z"


def _tuned():
    tuning = Tuning("strong", ("relu",), (0, 1), 5, 100, "ticket", 10_000, {"jax": "1"})
    tried = Try("a()", 1.0, {"relu": 0.5}, {"relu": 2}), Try("b()", 2.0, {"relu": 1.0}, {"relu": 2})
    return Frozen("a()", "a(x=1)", {"f": "12"}, "2026-01-01", True, tuning, tried)


def test_settings_come_back_from_the_file(tmp_path):
    path, tuned = tmp_path / "new" / "settings.json", _tuned()
    write_settings(path, {"s": tuned})
    assert read_settings(path) == {"s": tuned}
    diverged = dataclasses.replace(
        tuned, tried=(tuned.tried[0], tuned.tried[1]._replace(validation={"relu": float("nan")}))
    )
    write_settings(path, {"s": diverged})
    assert np.isnan(read_settings(path)["s"].tried[1].validation["relu"])
    assert settings_hash({"s": tuned}) != settings_hash({"s": diverged})


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("format",), 2, '"format": 1'),
        (("settings",), [], '"settings" by label'),
        (("settings", "s"), 3, "s must be an object, got 3"),
        (("settings", "s", "setting"), "", "'setting' must be a text, got ''"),
        (("settings", "s", "extra"), 1, "'extra' is not among setting, "),
        (("settings", "s", "tuning", "seeds"), [0, 1000], "other seeds than those of development"),
        (("settings", "s", "tuning", "seeds"), [0.5], "'seeds' must be a list of whole numbers"),
        (("settings", "s", "tuning"), None, "'tuning' and 'tried' are there together"),
        (("settings", "s", "setting"), "c()", "'c()' is not among the settings tried"),
        (("settings", "s", "tried", 0, "rank"), None, "s, tried 1: 'rank' must be a number"),
    ],
)
def test_a_broken_file_is_refused_where_it_is_broken(where, value, message, tmp_path):
    path = tmp_path / "settings.json"
    write_settings(path, {"s": _tuned()})
    content = part = json.loads(path.read_text())
    for name in where[:-1]:
        part = part[name]
    part[where[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
        read_settings(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    for path in (tmp_path / "settings.json", tmp_path / "missing.json", tmp_path):
        with pytest.raises(ValueError, match="cannot be read"):
            read_settings(path)


def test_the_librarys_own_settings_are_fair_and_what_they_were():
    settings = read_settings()
    assert set(settings) <= set(LINES), SETTINGS
    # One number of tries for all that have something to tune.
    assert len({len(one.tried) for one in settings.values() if one.tunable}) == 1
    for label, one in settings.items():
        texts = [seeker_text(get_seeker(text)) for text in LINES[label].candidates]
        assert one.setting in texts and one.tunable == (len(texts) > 1)
        assert {t.setting for t in one.tried} in (set(), set(texts))
        freezing.refuse_unfrozen({label: get_seeker(one.setting)}, {label: one})


def test_every_seeker_has_a_line_and_all_have_as_many_candidates():
    for label, line in LINES.items():
        texts = [seeker_text(get_seeker(text)) for text in line.candidates]
        assert len(set(texts)) == len(texts) and len(texts) in (1, TRIES), label
        assert len({passes_of(get_seeker(text)) for text in texts} - {0, PASSES}) <= 1, label
    used = " ".join(text for line in LINES.values() for text in line.candidates)
    assert all(name in used for name in SEEKERS)


def mine(key, problem, params, mask):
    return params


def test_only_frozen_settings_run_on_result_seeds():
    seeker = get_seeker("multishot(magnitude, rounds=2)")
    complete = seeker_text(seeker, complete=True)
    known = Frozen("multishot(magnitude, rounds=2)", complete, {}, "2026-01-01")
    freezing.refuse_unfrozen({"a": seeker}, {"b": known})
    for other in ("multishot(magnitude, rounds=3)", "magnitude"):
        with pytest.raises(FlagError, match=r"a: .* is not a frozen setting.*experiments\.tune"):
            freezing.refuse_unfrozen({"a": get_seeker(other)}, {"b": known})
    # A default that is another one now.
    changed = complete.replace("round_epochs=5", "round_epochs=6")
    assert changed != complete
    with pytest.raises(FlagError, match="defaults of .* have changed since"):
        freezing.refuse_unfrozen({"a": seeker}, {"b": dataclasses.replace(known, complete=changed)})


def test_an_edited_function_is_no_longer_frozen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.py"
    own.write_text("def mine(key, problem, params, mask):\n    return params\n")
    seeker = freezing.read_setting("mine", "own.py:mine")
    one = Frozen("own.py:mine", seeker_text(seeker), {"mine": "0" * 12}, "2026-01-01", False)
    with pytest.raises(FlagError, match="mine: mine was edited since it was frozen"):
        freezing.refuse_unfrozen({"mine": seeker}, {"mine": one})
    same = dataclasses.replace(one, functions={"mine": tj.fingerprint(seeker.score)})
    freezing.refuse_unfrozen({"mine": seeker}, {"mine": same})


def test_passes_are_counted_and_divided():
    for text, passes in [
        ("singleshot(snip)", 0),
        ("multishot(snip, rounds=4, round_epochs=3)", 12),
        ("concrete(epochs=25, restarts=4)", 100),
        ("best_of(refined(concrete(epochs=10)), restarts=3)", 30),
    ]:
        assert passes_of(get_seeker(text)) == passes
        if passes:
            assert passes_of(with_passes(get_seeker(text), 24)) == 24
    assert np.isnan(passes_of(get_seeker("path_pursuit()"))) and np.isnan(passes_of(mine))
    with pytest.raises(ValueError, match="at least 4"):
        with_passes(get_seeker("concrete(restarts=4)"), 3)


def test_the_paper_is_made_on_result_seeds_with_published_settings(monkeypatch):
    made = {}

    def small(**fields):
        place = {"task": "relu", "depth": 3, "width": 6, "densities": 0.5}
        return tj.make_grid(**fields | place)

    flags = SimpleNamespace(seeds=None, development=False, out="out")
    for module in (paper, freezing):
        monkeypatch.setattr(module, "FLAGS", flags)
    monkeypatch.setattr(paper, "running", dict)
    monkeypatch.setattr("ticketjax.commands.running.grid_of", small)
    monkeypatch.setattr("ticketjax.commands.running.run_grids", made.update)
    for number in paper.FIGURES:
        paper._make(number)
    for grid in made.values():
        assert purposes(grid.seeds) == ("results",) and grid.seeds[0] == FIRST_RESULT
    assert len(made["out/singleshot-depth3"].seeds) == 25
    options = "{0}, scope='{1}', rounds={2}, score_samples='auto', sanity='none', objective='raw'"
    published = {f"singleshot({options.format(name, 'global', 1)})" for name in PRUNERS}
    published.add(f"singleshot({options.format('synflow', 'global', 100)})")
    rounds = "round_epochs=5, batch_size=32, optimizer=None"
    published |= {
        f"multishot({options.format(name, scope, 10)}, {rounds})"
        for name, scope in [*((name, "global") for name in PRUNERS), ("grasp", "local")]
    }
    texts = {seeker_text(s, complete=True) for grid in made.values() for _, s in grid.seekers}
    searches = {text for text in texts if text.startswith("edge_popup(")}
    assert texts - searches == published
    for text in searches:
        for said in ("scope='local'", "epochs=10", "learning_rate=0.1", "objective='raw'"):
            assert said in text
    flags.development = True
    assert purposes(freezing.seeds(25)) == ("development",)
    assert len(DEVELOPMENT) == 100
