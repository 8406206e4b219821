"""Invalid values for every flag and argument are refused in one line, or can be run completely."""

import copy
import math
import os
import pathlib
import re
import runpy
import shutil
import sys
import warnings
from dataclasses import fields

import numpy as np
import pytest
from absl import flags
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ticketjax as tj
from ticketjax.seekers.registry import WHOLE

ROOT = pathlib.Path(__file__).parents[1]
# The commands: modules that call start().
COMMANDS = sorted(
    path.stem for path in (ROOT / "experiments").glob("*.py") if "\n    start(" in path.read_text()
)
TINY = ["--task=relu", "--depth=3", "--width=6", "--samples=100", "--epochs=0", "--seeds=1"]
NONSENSE = [
    *("", " ", ",", "-1", "0", "1", "2", "1.5", "1e400", "1e-30", "nan", "-inf", "true", "None"),
    *("99999999999999999999", "2147483648", "1_0", "0x10", "９", "²", "a=b", "restarts=x"),
    *("relu", "circel", "tickett", "snop", "no/such.py:f", "no/such", "/dev/null/x", ":", "--"),
    *("restarts=0", "learning_rate=[]", "rounds=-3", "epochs=1e9", "learning_rate=nan", "a=(1,"),
]
# Not fuzzed: flags that wait for other processes, and flags that configure JAX.
LEFT_OUT = {"distributed", "compilation_cache", "wait"}
FEW = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=60)


class Accepted(Exception):
    """Raised where the grid would be run."""


def _definitions():
    """A copy of the contents of the flags' registry."""
    copies = {dict: lambda d: {k: list(v) if isinstance(v, list) else v for k, v in d.items()}}
    return {k: copies.get(type(v), lambda v: v)(v) for k, v in vars(flags.FLAGS).items()}


@pytest.fixture
def as_command(monkeypatch, tmp_path, capfd):
    """Starts a command here: (name, flags) -> status and stderr, None if it would run."""
    import ticketjax.commands.running

    def stop(*arguments, **options):
        raise Accepted

    monkeypatch.setattr(ticketjax.commands.running, "run_into", stop)
    monkeypatch.setattr("ticketjax.theory.layer_bounds", stop)
    monkeypatch.setattr("ticketjax.runs.instance.make_instance", stop)
    for name in ("samples", "construction"):
        monkeypatch.setattr(f"ticketjax.figures.drawings.{name}", stop)
    monkeypatch.setattr("warnings.formatwarning", warnings.formatwarning)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    defined = _definitions()
    for name in list(flags.FLAGS):
        if not (flags.FLAGS.find_module_defining_flag(name) or "").startswith("absl."):
            delattr(flags.FLAGS, name)
    absls = _definitions()

    def call(command, arguments):
        vars(flags.FLAGS).update({k: copy.copy(v) for k, v in absls.items()})
        monkeypatch.setattr(sys, "argv", [command, *arguments])
        capfd.readouterr()
        try:
            runpy.run_module(f"experiments.{command}", run_name="__main__")
        except Accepted:
            return None
        except SystemExit as error:
            return error.code, capfd.readouterr().err
        raise AssertionError("neither refused nor run")

    yield call
    vars(flags.FLAGS).update(defined)


def own_flags(as_command, command):
    """The flags that a command defines, by name."""
    as_command(command, ["--no_such_flag"])
    names = [
        name
        for name in flags.FLAGS
        if not (flags.FLAGS.find_module_defining_flag(name) or "").startswith("absl.")
    ]
    return sorted(set(names) - LEFT_OUT)


def fuzz(as_command, command, names, data):
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    single = st.sampled_from(NONSENSE)
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
    values = single | single | single | st.lists(single, max_size=3).map(",".join) | text
    tiny = [flag for flag in TINY if flag[2:].partition("=")[0] in names]
    given_flags = [f"--{name}={data.draw(values)}" for name in chosen]
    out = [] if "out" in chosen else ["--out=out"]
    told = as_command(command, [*tiny, *out, *given_flags])
    if told is not None:
        status, said = told
        assert status == 2, said
        assert re.fullmatch(r"error: [^\n]+\n", said), said
        assert "Error(" not in said
        assert os.listdir() == [], given_flags
    for path in os.listdir():
        shutil.rmtree(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_nonsense_is_refused_in_one_line(command, as_command):
    names = own_flags(as_command, command)
    number = MANY if command == "singleshot" else FEW

    @number
    @given(st.data())
    def run(data):
        fuzz(as_command, command, names, data)

    run()


def test_all_commands_are_found():
    assert {"singleshot", "multishot", "paper", "theory", "leaderboard"} <= set(COMMANDS)


# Arguments of a library call: of the wrong kind, out of range, of the wrong shape.
VALUES = [
    *(None, True, -1, 0, 2, 1.5, 2**31, 10**20, 10**400, 1j, math.nan, math.inf, -math.inf),
    *("", "x", "ticket", "highest", "local", b"x", (), (None,), ("snip", 3), [], [[]], {}),
    *({"a": [1]}, {"restarts": 0}, object, np.float32(0.3), np.array([0.5, 0.1]), np.eye(1)),
]
SMALL = {
    **{"task": "relu", "depth": 3, "width": 6, "seekers": "snip", "densities": 0.5},
    **{"seeds": 1, "samples": 100, "epochs": 0},
}
TASK = tj.get_task("relu")
MODEL = tj.mlp(TASK, 3, 6)
# The seeker that a search starts from is no option: get_seeker("annealed(snip)").
OPTIONS = {
    name: [f.name for f in fields(kind) if f.name != "seeker"] for name, kind in WHOLE.items()
}
CALLS = [
    *(
        ("Grid", f.name, lambda v, n=f.name: tj.make_grid(**{**SMALL, n: v}))
        for f in fields(tj.Grid)
    ),
    *(
        (kind.__name__, f.name, lambda v, k=kind, n=f.name: k(**{n: v}))
        for kind in (tj.Planting, tj.Training)
        for f in fields(kind)
    ),
    *(
        (kind.__name__, f.name, lambda v, k=kind, n=f.name: k(tj.snip, **{n: v}))
        for kind in (tj.Singleshot, tj.Multishot, tj.Refined, tj.BestOf)
        for f in fields(kind)[1:]
    ),
    *(
        ("Setting", f.name, lambda v, n=f.name: tj.Setting(TASK, MODEL, **{n: v}))
        for f in fields(tj.Setting)[2:]
    ),
    *(
        (name, option, lambda v, n=name, o=option: tj.get_seeker(n, **{o: v}))
        for name, options in OPTIONS.items()
        for option in options
    ),
    ("get_seeker", "seeker", tj.get_seeker),
    ("Annealed", "seeker", tj.Annealed),
    ("get_seeker", "strategy", lambda v: tj.get_seeker("snip", v)),
    ("get_task", "name", tj.get_task),
    ("mlp", "depth", lambda v: tj.mlp(TASK, v, 6)),
    ("mlp", "width", lambda v: tj.mlp(TASK, 3, v)),
    ("mlp", "precision", lambda v: tj.mlp(TASK, 3, 6, v)),
    ("select", "density", lambda v: tj.select(TASK.ticket(3), v)),
    ("select", "scope", lambda v: tj.select(TASK.ticket(3), 0.5, v)),
    ("ticket", "depth", TASK.ticket),
]


@settings(MANY, max_examples=300)
@given(st.sampled_from(CALLS), st.sampled_from(VALUES))
def test_nonsense_in_a_call_is_a_value_error(call, value):
    function, argument, make = call
    # Values without an error must be usable; other tests check this.
    try:
        make(value)
    except ValueError as error:
        assert "\n" not in str(error), (function, argument)


@pytest.mark.parametrize("path", ["no/such", "/dev/null", "", "\0"])
def test_records_that_are_not_there(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError):
        tj.load_records(path)
