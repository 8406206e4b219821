"""Flags follow from the fields of the library's dataclasses, and give them back."""

import dataclasses
import json

import pytest

from tests.processes import python
from ticketjax.checks import Options, option
from ticketjax.choices import Planting, Training
from ticketjax.commands import flags, values
from ticketjax.runs.grid import Grid

# Fields of Grid that are set by the flags of their own fields, or by a flag of another name.
ELSEWHERE = {"planting", "training"}
RENAMED = {"reinitialise": "sanity"}
SCRIPT = """
import json, sys
from ticketjax.commands import flags, singleshot
singleshot.define()
flags.FLAGS(sys.argv)
said = {name: flags.FLAGS[name].value for name in flags.FLAGS}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Values of a grid command's flags, in a separate process, where no other flags are defined."""
    result = python("-c", SCRIPT, "--tickets=2", directory=tmp_path_factory.mktemp("flags"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_field_has_its_flag_with_its_default(said):
    for kind in (Planting, Training):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        fields.pop("augment", None)
        assert {name: said[name] for name in fields} == {**fields, **(
            {"tickets": 2} if kind is Planting else {}
        )}  # fmt: skip
        # Each has its own text, from the docstring.
        assert all(flags.help_of(kind)[name] for name in fields)
    names = {field.name for field in dataclasses.fields(Grid)} - ELSEWHERE
    assert {RENAMED.get(name, name) for name in names} <= set(said)


def test_helps_are_read_from_docstrings():
    @dataclasses.dataclass(frozen=True)
    class Two(Options):
        """One line.

        Args:
            first, second: what both are, in more
                than one line.
            third: another.

        Raises:
            ValueError: an option of another type or range.
        """

        first: int = option(1)
        second: int = option(1)
        third: object = option(None, free=True)

    both = "What both are, in more than one line."
    assert flags.help_of(Two) == {"first": both, "second": both, "third": "Another."}
    assert [field.name for field in flags.flagged(Two)] == ["first", "second"]


def test_lists_of_expressions_split_outside_of_parentheses():
    parser = flags._Expressions()
    assert parser.parse("snip, a=multishot(magnitude, rounds=5),,x.py:f") == [
        *("snip", "a=multishot(magnitude, rounds=5)", "x.py:f"),
    ]
    assert parser.parse(["a"]) == ["a"]


@pytest.mark.parametrize(
    "text, label",
    [
        ("snip", "snip"),
        ("multishot(snip, rounds=3)", "multishot(snip, rounds=3)"),
        ("singleshot(snip)", "snip"),
        ("IMP = multishot(magnitude)", "IMP"),
        ("SynFlow 100=singleshot(synflow, rounds=100)", "SynFlow 100"),
    ],
)
def test_labels_of_seekers(text, label):
    assert values.read_seeker_flag(text)[0] == label


def test_names_of_one_s_own_may_be_the_registry_s(tmp_path):
    (tmp_path / "a.py").write_text("def snip(key, problem, params, mask):\n    return params\n")
    text = f"multishot({tmp_path}/a.py:snip, rounds=2)"
    label, seeker = values.read_seeker_flag(text)
    assert seeker.score is values.own(f"{tmp_path}/a.py:snip")
    assert label == "multishot(snip, rounds=2)"
    mixed = values.read_seeker_flag(f"best_of({text}, restarts=2)")[1]
    assert mixed.seeker == seeker
