"""The experiments as a user starts them: what they print, record and draw."""

import html
import json
import re
import shlex

import pytest

from tests.processes import TINY, command
from ticketjax.commands.again import command_of
from ticketjax.records.store import load_records
from ticketjax.tuning.settings import read_settings


def test_singleshot_runs_and_a_second_start_has_nothing_to_do(tmp_path):
    flags = [*TINY, "--seekers=snip,magnitude", "--densities=ticket,0.5", "--out=out"]
    first = command("singleshot", *flags, directory=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "bare ticket" in first.stdout and "SNIP" in first.stdout
    assert "100%" in first.stderr and "8/8" in first.stderr
    assert "relu: compiling magnitude, 6 of 7" in first.stderr
    last = first.stderr.splitlines()[-1]
    assert re.fullmatch(r"8 runs in \S+ s, \S+ per second; \S+ s of it compiling", last)
    assert (tmp_path / "out" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    records = load_records(tmp_path / "out")
    assert records.num_rows == 2 * 2 * 2
    # A report on it tells the command; started again by that, there is nothing to do.
    report = command("report", "--results=out", directory=tmp_path)
    assert report.returncode == 0, report.stderr
    assert first.stdout.split("\n\nfigure")[0] in report.stdout
    text = html.unescape((tmp_path / "out" / "report.html").read_text())
    (again,) = re.findall(r"<pre[^>]*>python -m (experiments\.singleshot .*?)</pre>", text, re.S)
    second = command("singleshot", *shlex.split(again.replace("\\\n", ""))[1:], directory=tmp_path)
    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert load_records(tmp_path / "out") == records


@pytest.mark.long
def test_multishot_runs(tmp_path):
    flags = [*TINY, "--rounds=2", "--round_epochs=1", "--densities=0.5", "--seekers=synflow"]
    result = command("multishot", *flags, "--out=out", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert set(load_records(tmp_path / "out")["strategy"].to_pylist()) == {"multishot"}


OWN = """import jax, optax, ticketjax as tj
def mine(key, problem, params, mask):
    return problem.params
def whole(key, problem, density):
    return tj.Singleshot(mine)(key, problem, density)
VALUE = tj.Multishot(tj.snip, rounds=2, round_epochs=0)
TASK = tj.random_teacher(
    key=7, inputs=1, outputs=2, hidden=(4,), parameters=10, kind="classification"
)
SGD = optax.sgd(0.1)
def make(task):
    return tj.mlp(task, 3, 20)
"""


@pytest.mark.long
def test_seekers_are_expressions_and_everything_may_be_ones_own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    seekers = [
        *("snip", "IMP=multishot(magnitude, rounds=2, round_epochs=0)", "own.py:mine"),
        *("own.py:VALUE", "twice=best_of(own.py:whole, restarts=2)", "S = singleshot(own.py:mine)"),
    ]
    flags = [f"--seekers={', '.join(seekers)}", "--densities=0.5", "--samples=100", "--seeds=1"]
    flags += ["--task=own.py:TASK", "--model=own.py:make", "--optimizer=own.py:SGD"]
    result = command("singleshot", *flags, "--epochs=1", "--out=out", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = load_records(tmp_path / "out").to_pylist()
    assert {row["seeker"]: row["config"] for row in rows} == {
        "snip": "singleshot(snip)",
        "IMP": "multishot(magnitude, rounds=2, round_epochs=0)",
        "mine": "singleshot(mine)",
        "multishot(snip, rounds=2, round_epochs=0)": "multishot(snip, rounds=2, round_epochs=0)",
        "twice": "best_of(whole, restarts=2)",
        "S": "singleshot(mine)",
    }
    assert {(row["task"], row["kind"]) for row in rows} == {("random_teacher_7", "classification")}
    assert {(row["model"], row["width"]) for row in rows} == {("make", 20)}
    assert all(row["optimizer"].startswith("custom:") for row in rows)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    again = command_of(manifest["configuration"], "out")
    assert shlex.split(again.replace("\\\n", ""))[2:] == [
        *("experiments.search", "--task=path/to/file.py:random_teacher_7"),
        "--model=path/to/file.py:make",
        "--seekers=singleshot(snip), IMP=multishot(magnitude, rounds=2, round_epochs=0), "
        "mine=singleshot(path/to/file.py:mine), multishot(snip, rounds=2, round_epochs=0), "
        "twice=best_of(path/to/file.py:whole, restarts=2), S=singleshot(path/to/file.py:mine)",
        *("--densities=0.5", "--noise=0.01", "--samples=100", "--epochs=1"),
        *("--optimizer=path/to/file.py:optimizer", "--seeds=1", "--out=out"),
    ]


@pytest.mark.long
def test_search_takes_options_and_a_seeker_of_ones_own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    flags = [*TINY, "--densities=0.5", "--search_epochs=1", "--options=batch_size=50,restarts=2"]
    result = command("search", *flags, "--out=out", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = load_records(str(tmp_path / "out")).to_pylist()
    # The options are the search's, which the baselines stand beside.
    assert {row["seeker"]: row["config"] for row in rows} == {
        "probabilistic": "probabilistic(epochs=1, batch_size=50, restarts=2)",
        "random_paths": "random_paths()",
        "random_masks": "random_masks()",
        "magnitude": "singleshot(magnitude)",
    }
    assert len(rows) == 4 * 2
    assert {row["objective"] for row in rows if row["seeker"] != "magnitude"} == {"rescaled"}


@pytest.mark.long
def test_leaderboard_ranks_named_seekers_and_ones_own_once_it_is_frozen(tmp_path, forks):
    (tmp_path / "own.py").write_text(OWN)
    flags = ["--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=0", "--seeds=2"]
    own = [*flags, "--only=random,own-mine", "--seeker=own.py:mine"]
    # Its own directory for each: records of development seeds are no results.
    refused = forks.command("leaderboard", *own, "--out=results", directory=tmp_path)
    assert refused.returncode == 2 and not (tmp_path / "results").exists()
    assert refused.stderr.startswith("error: own-mine: singleshot(mine) is not a frozen setting")
    alone = [*own, "--only=own-mine", "--development", "--out=tried"]
    tried = command("leaderboard", *alone, directory=tmp_path)
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith("2 development seeds, ")
    assert set(load_records(tmp_path / "tried" / "own-mine")["seed"].to_pylist()) == {0, 1}

    # One setting alone needs no runs.
    settings = ["--seeker=own.py:mine", "--settings=settings.json"]
    frozen = forks.command("tune", *settings, directory=tmp_path)
    assert (frozen.returncode, frozen.stderr) == (0, "")
    flags += ["--only=random,mine", "--settings=settings.json", "--out=results"]
    result = command("leaderboard", *flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {"random", "mine"} <= {line.split()[0] for line in result.stdout.splitlines() if line}
    assert ": nothing to tune" in result.stdout
    assert set(load_records(tmp_path / "results" / "mine")["seed"].to_pylist()) == {1000, 1001}
    assert (tmp_path / "results" / "leaderboard.png").stat().st_size > 10_000
    times = json.loads((tmp_path / "results" / "seconds.json").read_text())
    assert all(seconds > 0 for chunks in times.values() for _, seconds in chunks)
    # As earlier versions had it now and then, which subtracted the compilation.
    times["random"].append([2, -1.5])
    (tmp_path / "results" / "seconds.json").write_text(json.dumps(times))
    again = command("leaderboard", *flags, directory=tmp_path)
    assert again.stdout == result.stdout and "4/4" in again.stderr


@pytest.mark.long
def test_tune_chooses_the_better_setting_and_writes_down_what_it_tried(tmp_path, forks):
    place = [*("--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=0")]
    flags = [*place, "--density=0.5", "--settings=settings.json", "--out=out"]
    worse, better = "singleshot(magnitude, sanity='invert')", "singleshot(magnitude)"
    chosen = [f"--seeker=M={worse}", "--vary=sanity=none"]
    result = command("tune", *flags, *chosen, "--seeds=3", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.endswith("chosen")]
    assert line.startswith(f"{better} ")
    frozen = read_settings(tmp_path / "settings.json")["M"]
    assert (frozen.setting, frozen.tuning.seeds) == (better, (0, 1, 2))
    assert [one.setting for one in frozen.tried] == [worse, better]
    # The mean over seeds, as the records have it.
    records = load_records(tmp_path / "out" / "M").to_pylist()
    for one in frozen.tried:
        metrics = [row["strong_metric"] for row in records if row["seeker"] == one.setting]
        assert one.validation == {"relu": pytest.approx(sum(metrics) / 3)}
        assert one.runs == {"relu": 3}
    manifest = json.loads((tmp_path / "out" / "M" / "manifest.json").read_text())
    again = shlex.split(command_of(manifest["configuration"], "out/M").replace("\\\n", ""))
    assert again[2] == "experiments.tune" and set(place) < set(again)
    second = command("tune", *again[3:], "--settings=settings.json", directory=tmp_path)
    assert second.stdout == result.stdout and "6/6" in second.stderr
    # What was tried may not be left out, and no other seeds may be.
    for others, message in [
        (["--seeker=M=magnitude"], f"of M {worse} was tried too"),
        ([*chosen, "--seed_list=5,100"], "--seed_list=5,100: settings are tuned on development"),
    ]:
        refused = forks.command("tune", *flags, *others, directory=tmp_path)
        assert refused.returncode == 2 and message in refused.stderr
    assert read_settings(tmp_path / "settings.json") == {"M": frozen}


@pytest.mark.long
def test_edge_popup_runs(tmp_path):
    flags = [*TINY, "--anneal", "--search_epochs=2", "--densities=0.5", "--noise=0,0.1"]
    flags += ["--seekers=edge_popup,magnitude"]
    result = command("edge_popup", *flags, "--out=out", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    records = load_records(tmp_path / "out")
    assert set(records["config"].to_pylist()) == {
        "edge_popup(annealed=True, epochs=2)",
        "singleshot(magnitude, scope='local')",
    }
    assert set(records["scope"].to_pylist()) == {"local"}
    assert records.num_rows == 2 * 4


@pytest.mark.long
def test_phase_draws_a_map_for_every_task(tmp_path):
    flags = [*TINY, "--seekers=magnitude", "--densities=ticket,0.5", "--epochs=0"]
    result = command("phase", *flags, "--tickets=2", "--out=out", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "phase-relu-depth3-noise0.01.png").read_bytes()[:4] == b"\x89PNG"
    records = load_records(tmp_path / "out")
    assert set(records["tickets"].to_pylist()) == {2}
    assert records.num_rows == 2 * 2


@pytest.mark.long
def test_diagnose_says_why(tmp_path):
    flags = [*TINY, "--seekers=magnitude", "--epochs=0", "--match=hidden"]
    first = command("diagnose", *flags, "--out=out", directory=tmp_path)
    assert first.returncode == 0, first.stderr
    for text in ("one budget, 40 samples", "the ticket's layer densities", "10 others for each"):
        assert text in first.stdout
    (line,) = [line for line in first.stdout.splitlines() if line.startswith("magnitude: ")]
    assert any(word in line for word in ("found", "search failed", "objective", "undecided"))
    name = "diagnosis-relu-depth3-width6-noise0.01"
    assert (tmp_path / "out" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out" / f"{name}.txt").read_text() in first.stdout
    records = load_records(tmp_path / "out" / "samples-all")
    assert set(records["match"].to_pylist()) == {"hidden"}
