"""Commands as a user starts them: their help, refusals and failures."""

import os
import pathlib
import subprocess
import sys

import pytest

import ticketjax as tj
from tests.processes import TINY, command, python
from ticketjax.commands import NAMES

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
