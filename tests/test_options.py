"""Options: allowed values, the canonical form of numbers, text, equality and hash."""

import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import ticketjax as tj
from ticketjax.checks import LARGEST, MOST, Options, option, written
from ticketjax.seekers import registry
from ticketjax.seekers.registry import COMBINATORS, WHOLE
from ticketjax.selection import LayerBudgets


@dataclasses.dataclass(frozen=True, repr=False)
class Example(Options):
    """One field of every kind."""

    first: object
    _: dataclasses.KW_ONLY
    count: int = option(3, least=1)
    whole: int = option(-2)
    share: float = option(0.5, above=0, most=1)
    rate: float = option(0.1, least=0)
    anything: float = option(-1.0)
    on: bool = option(False)
    word: str = option("log", choices=("log", "cubic"))
    some: int | str | None = option("auto", least=1, word="auto", none=True)
    perhaps: int | None = option(None, least=1)
    pair: tuple[float, float] = option((0.0, 1.0), least=0)
    free: object = option(None, free=True)


def accepted(**field):
    (name,) = field
    return getattr(Example(0, **field), name)


REFUSED = [
    ("count", 0, "count must be at least 1 and a whole number, got 0"),
    ("count", 2.0, "count must be .*whole number, got 2.0"),
    ("count", True, "count must be .*whole number, got True"),
    ("count", np.bool_(True), "count must be .*whole number, got"),
    ("count", "3", "count must be .*whole number, got '3'"),
    ("count", None, "count must be .*whole number, got None"),
    ("count", math.nan, "count must be .*whole number, got nan"),
    ("count", MOST + 1, f"count must be at most {MOST}"),
    ("count", np.array([1, 2]), "count must be .*whole number"),
    ("whole", 0.5, "whole must be a whole number, got 0.5"),
    ("share", 0, "share must be above 0, got 0"),
    ("share", 1.5, "share must be at most 1, got 1.5"),
    ("share", True, "share must be a number, got True"),
    ("share", "half", "share must be a finite number of float32, got 'half'"),
    ("share", None, "share must be a finite number of float32, got None"),
    ("share", 1j, "share must be a finite number"),
    ("rate", -0.1, "rate must be at least 0, got -0.1"),
    ("rate", math.nan, "rate must be a finite number of float32, got nan"),
    ("rate", math.inf, "rate must be a finite number of float32, got inf"),
    ("anything", -math.inf, "anything must be a finite number of float32, got -inf"),
    ("anything", 1e39, "anything must be a finite number of float32, got 1e[+]39"),
    ("on", 1, "on must be True or False, got 1"),
    ("on", "True", "on must be True or False, got 'True'"),
    ("on", None, "on must be True or False, got None"),
    ("word", "cubik", "word must be one of log, cubic, got 'cubik'; did you mean 'cubic'"),
    ("word", 3, "word must be one of log, cubic, got 3"),
    ("some", "all", "some must be one of auto, got 'all'"),
    ("some", 0, "some must be at least 1.*, got 0"),
    ("some", 1.5, "some must be .*whole number, got 1.5"),
    ("perhaps", 0, "perhaps must be at least 1.*, got 0"),
    ("pair", (0.0,), r"pair must be 2 numbers, got \(0.0,\)"),
    ("pair", 0.5, "pair must be 2 numbers, got 0.5"),
    ("pair", "ab", "pair must be 2 numbers, got 'ab'"),
    ("pair", (0.0, -1.0), "pair must be at least 0, got -1.0"),
    ("pair", (0.0, True), "pair must be a number, got True"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_what_a_field_may_not_be_is_refused_by_name(name, value, message):
    with pytest.raises(ValueError, match=message):
        Example(0, **{name: value})
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Example(0), **{name: value})


def test_bounds_themselves_are_allowed():
    assert accepted(count=1) == 1
    assert accepted(count=MOST) == MOST
    assert accepted(share=1) == 1.0
    assert accepted(rate=0) == 0.0
    assert accepted(anything=-LARGEST) == -LARGEST
    assert accepted(some=None) is None and accepted(some="auto") == "auto"
    assert accepted(perhaps=None) is None
    assert accepted(free=("any", [1])) == ("any", [1])


@pytest.mark.parametrize(
    ("name", "plain", "others"),
    [
        ("count", 7, [np.int8(7), np.int64(7), np.uint32(7)]),
        ("some", 7, [np.int32(7)]),
        ("share", 1.0, [1, np.int64(1), np.float32(1), np.float64(1)]),
        ("rate", 0.25, [np.float32(0.25), np.float16(0.25)]),
        ("on", True, [np.True_]),
        ("pair", (0.0, 2.0), [[0, 2], (np.float32(0), np.int32(2))]),
    ],
)
def test_equal_numbers_take_one_form(name, plain, others):
    wanted = Example(0, **{name: plain})
    for other in others:
        got = Example(0, **{name: other})
        assert type(getattr(got, name)) is type(plain)
        assert got == wanted and hash(got) == hash(wanted)
        assert repr(got) == repr(wanted)


def test_a_number_of_numpys_is_not_rounded_twice():
    # The float32 nearest to 0.1 differs from Python's 0.1.
    assert accepted(rate=np.float32(0.1)) == float(np.float32(0.1)) != 0.1


def test_fields_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example(0).count = 4


def test_only_what_differs_from_the_defaults_is_written():
    assert repr(Example(1)) == "Example(1)"
    assert repr(Example("a", count=4, share=1)) == "Example('a', count=4, share=1.0)"
    assert (
        repr(Example(None, some=None, pair=[1, 2])) == "Example(None, some=None, pair=(1.0, 2.0))"
    )
    assert repr(Example(Example(2, on=True))) == "Example(Example(2, on=True))"
    assert written(Example(Example(2)), lambda kind: kind.__name__.lower()) == "example(example(2))"
    assert written((1,)) == "(1,)" and written(("a", None, 0.5)) == "('a', None, 0.5)"


@hypothesis.given(
    count=st.integers(1, MOST),
    share=st.floats(0, 1, exclude_min=True, allow_subnormal=False),
    anything=st.floats(-LARGEST, LARGEST),
    on=st.booleans(),
    some=st.none() | st.just("auto") | st.integers(1, MOST),
    pair=st.tuples(*[st.floats(0, LARGEST)] * 2),
)
def test_equal_options_are_equal_hash_alike_and_are_read_back(**fields):
    one, other = Example(1, **fields), Example(1, **fields)
    assert one == other and hash(one) == hash(other)
    names = {"Example": Example}
    assert registry.read_seeker(repr(one), names) == one


KINDS = [*WHOLE.values(), tj.Planting, tj.Training]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_the_librarys_options_is_checked(kind):
    """No field allows a list, which cannot be hashed."""
    for field in dataclasses.fields(kind):
        assert "rule" in field.metadata, field.name
        with pytest.raises(ValueError, match=field.name):
            kind(**{field.name: [["no value"]]})


@pytest.mark.parametrize("kind", COMBINATORS.values(), ids=lambda kind: kind.__name__)
def test_every_field_of_a_combinator_is_checked(kind):
    first, *options = dataclasses.fields(kind)
    with pytest.raises(ValueError, match=first.name):
        kind([["no value"]])
    for field in options:
        with pytest.raises(ValueError, match=field.name):
            kind(tj.snip, **{field.name: [["no value"]]})
    # Options of a value are never positional.
    with pytest.raises(TypeError, match="positional"):
        kind(tj.snip, 3)


OTHER = {
    "force": {"rounds": 2},
    "phew": {"scope": "local"},
    "path_pursuit": {"exchange": True},
    "annealed": {"chains": 2},
    "iterative_hard_thresholding": {"annealed": True},
    "rewinding": {"scope": LayerBudgets((1, 2))},
    "rigl": {"interval": None},
    "sparse_evolutionary_training": {"fraction": 0.5},
    "combinatorial_brain_surgeon": {"slope": False},
    "chita": {"iterations": 3},
    "genetic": {"samples": None},
    "acdc": {"phase": 0.1},
    "random_paths": {"draws": 2},
    "random_masks": {"draws": 2},
}


def test_defaults_are_those_of_the_classes():
    for name, kind in WHOLE.items():
        assert kind() == kind() == tj.get_seeker(name)
        assert repr(kind()) == f"{kind.__name__}()"
        assert kind() != dataclasses.replace(kind(), **OTHER.get(name, {"restarts": 2}))


@pytest.mark.parametrize("kind", [tj.Probabilistic, tj.Concrete, tj.RelaxedBernoulli])
def test_fields_that_do_not_go_together_are_refused(kind):
    with pytest.raises(ValueError, match="ramp must be two fractions"):
        kind(ramp=(0.8, 0.2))
    with pytest.raises(ValueError, match="ramp must be at most 1"):
        kind(ramp=(0.8, 1.2))


def test_layer_budgets_are_whole_numbers():
    budgets = LayerBudgets((3, 4))
    assert budgets == LayerBudgets([3, np.int64(4)])
    assert hash(budgets) == hash(LayerBudgets([3, np.int64(4)]))
    assert repr(budgets) == "LayerBudgets((3, 4))"
    for counts in ((), (1.5, 2), "ab", 3, (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="counts"):
            LayerBudgets(counts)
