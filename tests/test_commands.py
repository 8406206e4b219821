"""The commands as a user starts them: one process each."""

import html
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import ticketjax as tj
from tests.processes import python
from ticketjax.commands import NAMES
from ticketjax.commands.again import command_of
from ticketjax.records.store import load_records
from ticketjax.tuning.settings import read_settings

TINY = ["--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=1", "--seeds=2"]


def command(module, *flags, directory):
    # The tests' own, which compile fast, but for the number of devices, which is the command's.
    devices = r"--xla_force_host_platform_device_count=\d+"
    return python(
        "-m",
        f"experiments.{module}",
        *flags,
        directory=directory,
        XLA_FLAGS=re.sub(devices, "", os.environ["XLA_FLAGS"]),
        # What one command has compiled, the next ones need not.
        JAX_COMPILATION_CACHE_DIR=str(directory.parent / "compiled"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.2",
    )


# What starts as the commands do.
COMMANDS = sorted(
    path.stem
    for path in (pathlib.Path(__file__).parents[1] / "experiments").glob("*.py")
    if "\n    start(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("flag", ["--help", "--no_such_flag"])
@pytest.mark.parametrize("module", COMMANDS)
def test_help_and_wrong_flags_need_no_jax(module, flag, tmp_path):
    script = (
        f"import runpy, sys; sys.argv = ['x', '{flag}']\n"
        f"try: runpy.run_module('experiments.{module}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules)"
    )
    result = python("-c", script, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert ("flags:" if flag == "--help" else "error: ") in result.stdout + result.stderr


@pytest.mark.parametrize("flag", ["-h", "--help", "-help", "--helpfull"])
@pytest.mark.parametrize("module", ["paper", "singleshot"])
def test_help_is_no_failure(module, flag, tmp_path, forks):
    # As `make run ARGS=--help` puts it: among other flags.
    result = forks.command(module, "--out=out", flag, directory=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"python -m experiments.{module} --" in result.stdout
    assert "--chunk_size" in result.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("module", ["ticketjax", "experiments.paper"])
def test_a_reader_that_ends_first_gets_no_traceback(module, unbuffered):
    # As in `ticketjax --help | head -1`.
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        check=False,
    )
    os.close(writing)
    assert result.stderr == b""
    assert result.returncode == (1 if unbuffered else 0)


@pytest.mark.parametrize(
    ("module", "flag", "message"),
    [
        ("singleshot", "--densities=0.1,2", "--densities=0.1,2: must be numbers in (0, 1]"),
        ("singleshot", "--densities=half", "or \"ticket\", got 'half'\n"),
        ("singleshot", "--densities=tickets", "got 'tickets'; did you mean 'ticket'?"),
        ("singleshot", "--width=abc", "error: --width=abc: must be whole numbers, got 'abc'"),
        ("singleshot", "--noise=abc", "error: --noise=abc: must be numbers, got 'abc'"),
        ("singleshot", "--seekers=SNIP", "did you mean 'snip'?"),
        ("singleshot", "--seekers=mag", "did you mean 'magnitude'?"),
        (
            "singleshot",
            "--samples=10",
            "error: circle: samples=10 leaves 9 to train on, ",
        ),
        ("plant", "--task=nosuch", "relu, circle, helix or a Task, got 'nosuch'\n"),
        ("singleshot", "--seekers=snop", "--seekers=snop: seeker must be one of"),
        ("singleshot", "--task=cirle", "did you mean 'circle'"),
        ("singleshot", "--seeds=0", "--seeds"),
        ("singleshot", "--scope=all", "--scope=all"),
        ("singleshot", "--chunk_size=0", "--chunk_size=0: must be a whole number"),
        ("singleshot", "--no_such_flag=1", "no_such_flag"),
        ("singleshot", "typo", "only flags are taken, got 'typo'"),
        ("singleshot", "--width=3,twelve", "--width=3,twelve: "),
        ("multishot", "--round_epochs=-1", "round_epochs"),
        ("paper", "--figure=99", "--figure=99: must be among 1"),
        ("phase", "--decoys=-1", "decoys"),
        ("diagnose", "--match=best", "--match=best"),
        ("search", "--seekers=no/such.py:mine", "no/such.py is not a Python file"),
        ("search", "--options=restarts", "--options=restarts: must be name=value"),
        ("search", "--options=restart=2", "restart"),
        ("leaderboard", "--only=snop", "--only=snop: must be among random, "),
        ("leaderboard", "--density=half", "--density=half: "),
        ("leaderboard", "--passes=50", "random_paths: random_paths(draws=150) is not a frozen"),
        ("leaderboard", "--passes=1", "--passes=1: must be at least 10 for Multishot("),
        ("leaderboard", "--seeker=multishot(snip)", "--development runs any setting on"),
        ("leaderboard", "--settings=no.json", "--settings=no.json: no.json cannot be read: "),
        ("tune", "--seeker=snip,a=snop", "--seeker=snip,a=snop: seeker must be one of"),
        ("tune", "--seeds=3", "error: --seeker: at least one is needed"),
        ("report", "--results=nowhere", "--results=nowhere: there is no such directory"),
        ("compare_seekers", "snip", "error: takes A B and flags, got 'snip'\n"),
        ("singleshot", "--seekers=multishot(snop)", "--seekers=multishot(snop): seeker must be"),
        ("singleshot", "--seekers=snip(", "--seekers=snip(: seeker must be a name or a call"),
        ("singleshot", "--seekers=refined(no/such.py:x)", "no/such.py is not a Python file"),
        ("singleshot", "--seekers=a=snip,a=grasp", "two seekers are called 'a'; rename one with"),
        ("singleshot", "--seekers=multishot(snip, round=1)", "did you mean 'rounds'?"),
        ("phase", "--optimizer=adem(1e-3)", "--optimizer=adem(1e-3): optimizer must be one of"),
        ("singleshot", "--batch_size=0", "batch_size"),
        ("diagnose", "--task=no/such.py:TASK", "--task=no/such.py:TASK: no/such.py is not a"),
        ("singleshot", "--model=lenet", "--model=lenet: must be path/to/file.py:name"),
    ],
)
def test_bad_flags_are_refused_in_one_line(module, flag, message, tmp_path, forks):
    result = forks.command(module, flag, directory=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_one_command_lists_the_names_and_starts_each(tmp_path):
    def started(*arguments):
        script = (
            "import sys, ticketjax.commands.main\n"
            f"sys.argv = ['ticketjax', *{arguments}]\n"
            "try: status = ticketjax.commands.main.main()\n"
            "except SystemExit as ended: status = ended.code\n"
            "assert not {'jax', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules)\n"
            "sys.exit(status)"
        )
        return python("-c", script, directory=tmp_path)

    listed = started("--help")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == list(NAMES)
    assert sorted(NAMES) == COMMANDS
    shown = started("phase", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[2].startswith("    ticketjax phase --task=circle")
    assert "--round_epochs" in shown.stdout
    for arguments, message in [
        (("singelshot",), "there is no command 'singelshot'; did you mean 'singleshot'?"),
        ((), "which command?"),
        (("phase", "--no_such_flag"), "no_such_flag"),
    ]:
        refused = started(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert message in refused.stderr and len(refused.stderr.splitlines()) == 1
    module = python("-m", "ticketjax", "--version", directory=tmp_path)
    assert module.stdout == f"ticketjax {tj.__version__}\n"


@pytest.mark.parametrize(
    "platform",
    ["cpu,nonsense", *(pytest.param(name, marks=pytest.mark.long) for name in ("cuda", "tpu"))],
)
def test_a_platform_that_is_not_there_is_refused_in_one_line(platform, tmp_path):
    # None of these is here to be found, whatever the machine has.
    hidden = {"CUDA_VISIBLE_DEVICES": "", "TPU_SKIP_MDS_QUERY": "1"}
    flags = [*TINY, "--densities=0.5", "--seekers=random", "--out=out"]
    result = python(
        *("-m", "experiments.singleshot", *flags),
        directory=tmp_path,
        JAX_PLATFORMS=platform,
        **hidden,
    )
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: JAX_PLATFORMS={platform}: JAX cannot use it here (")
    assert os.listdir(tmp_path) == []


GREEDY = """import jax, jax.numpy as jnp
def device(key, problem, params, mask):
    much = jnp.sort(jax.random.uniform(key, (2**44,))).sum()
    return jax.tree.map(lambda p: p + much, params)
def host(key, problem, params, mask):
    raise MemoryError
"""


@pytest.mark.parametrize("memory", [pytest.param("device", marks=pytest.mark.long), "host"])
def test_want_of_memory_is_told_in_one_line(memory, tmp_path):
    (tmp_path / "greedy.py").write_text(GREEDY)
    flags = [*TINY, f"--seekers=greedy.py:{memory}", "--densities=0.5", "--out=out"]
    result = command("singleshot", *flags, directory=tmp_path)
    assert result.returncode == 1
    *bar, line = result.stderr.splitlines()
    # What takes the host's memory already does so while it is looked at.
    assert bool(bar) == (memory == "device") and line.startswith("error: out of memory")
    assert (
        "; try a smaller --chunk_size (now auto), then --samples (now 100); finished runs" in line
    )


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
