"""The command that makes recorded results again."""

import shlex

import pytest

from tests.pages import CONFIGURATION
from ticketjax.commands.again import command_of
from ticketjax.records.manifest import configuration
from ticketjax.runs.grid import make_grid

GRID = {
    "task": "circle",
    "width": 50,
    "seekers": "snip",
    "densities": 0.1,
    "noise": 0.01,
    "seeds": 3,
}


def mine(key, problem, params, mask):
    return params


@pytest.mark.parametrize(
    ("change", "module", "flags"),
    [
        ({}, "singleshot", ["--seeds=3", "--seekers=snip", "--width=50", "--noise=0.01"]),
        ({"seeds": [4, 7]}, "singleshot", ["--seed_list=4,7"]),
        ({"decoys": 1, "epochs": 3}, "singleshot", ["--decoys=1", "--epochs=3"]),
        (
            {"seekers": {"IMP": "multishot(magnitude, rounds=3)"}},
            "multishot",
            ["'--seekers=IMP=multishot(magnitude, rounds=3)'"],
        ),
        ({"seekers": "edge_popup(epochs=20)"}, "edge_popup", ["'--seekers=edge_popup(epochs=20)'"]),
        (
            {"seekers": "refined(concrete(), rounds=5)"},
            "search",
            ["'--seekers=refined(concrete(), rounds=5)'"],
        ),
        ({"seekers": mine}, "singleshot", ["--seekers=path/to/file.py:mine"]),
        (
            {"prune_bias": False, "check_budget": False, "reinitialise": True},
            "singleshot",
            ["--noprune_bias", "--nocheck_budget", "--sanity=reinitialise"],
        ),
    ],
)
def test_command_makes_it_again(change, module, flags):
    text = command_of(configuration(make_grid(**{**GRID, **change})), "out")
    first, *rest = text.split(" \\\n    ")
    assert first == f"python -m experiments.{module}"
    assert set(flags) <= set(rest) and rest[-1] == "--out=out"
    # Default values are left out.
    assert not any("precision" in flag or "batch_size" in flag for flag in rest)


def test_nothing_of_a_manifest_is_a_command_of_the_shell():
    there = configuration(make_grid(**GRID))
    text = command_of({**there, "task": ["$(reboot)"]}, "a b")
    words = shlex.split(text.replace(" \\\n", " "))
    assert "--task=path/to/file.py:$(reboot)" in words and "--out=a b" in words


def test_a_manifest_of_an_earlier_version_has_no_command():
    assert command_of(CONFIGURATION, "out") is None
