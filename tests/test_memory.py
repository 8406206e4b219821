"""Batches by the memory that the compiler reports, and fewer runs at once if it is short."""

import types

import jax
import jax.numpy as jnp
import pytest

import ticketjax as tj
from tests.test_sweep import rows
from ticketjax.runs import memory, programs
from ticketjax.runs.batches import batch_size
from ticketjax.runs.engine import SMALLER, run

GRID = {
    "task": "relu",
    "depth": 3,
    "width": 12,
    "samples": 400,
    "epochs": 1,
    "seekers": "magnitude",
    "densities": 0.5,
    "seeds": 9,  # one more than a batch
}
EXHAUSTED = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")


def forget():
    """Clear all cached programs, so that they are compiled again."""
    for made in vars(programs).values():
        if hasattr(made, "cache_clear"):
            made.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def nothing_compiled():
    forget()


@pytest.fixture(scope="module")
def without_limit(nothing_compiled):
    """The records without a limit, and the most memory of a program for eight runs at once."""
    needed = []

    def note(compiled, device):
        assert memory.limit_of(device) is None  # a CPU reports none
        needed.append(memory.needed_by(compiled.memory_analysis()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "check_memory", note)
        found = rows(run(tj.make_grid(**GRID), devices=jax.local_devices()[:1]))
    return found, max(needed)


def run_noting_steps():
    steps = []
    found = rows(run(tj.make_grid(**GRID), (), jax.local_devices()[:1], on_step=steps.append))
    return found, [step.at_once for step in steps if step.program == SMALLER]


def assert_same(found, expected):
    """The same runs, up to the rounding of programs of another size."""
    assert found.keys() == expected.keys()
    for key, row in found.items():
        for name in ("strong_metric", "weak_metric", "recall", "kept"):
            assert row[name] == pytest.approx(expected[key][name], rel=1e-4), (key, name)


def short_above(runs, monkeypatch):
    """Make programs run out of memory for more than this many runs at once."""
    compiled = programs.Program.compiled

    def smaller(self, *arguments):
        def fail(*_):
            raise EXHAUSTED

        at_once = jax.tree.leaves(arguments)[0].shape[1]
        return compiled(self, *arguments) if at_once <= runs else fail

    monkeypatch.setattr(programs.Program, "compiled", smaller)


@pytest.mark.long
def test_what_the_compiler_says_is_too_much_is_never_called(without_limit, monkeypatch):
    expected, needed = without_limit
    forget()
    limit = int(0.3 * needed)
    monkeypatch.setattr(memory, "limit_of", lambda _: limit)
    found, smaller = run_noting_steps()
    # In proportion, minus a margin; the largest program decides: at most 0.9 * 8 * 0.3.
    assert smaller == sorted(set(smaller), reverse=True) and smaller[-1] <= 2
    assert_same(found, expected)


def test_a_device_that_runs_out_gets_half_as_many(without_limit, monkeypatch, capfd):
    short_above(2, monkeypatch)
    found, smaller = run_noting_steps()
    assert smaller == [4, 2]
    assert_same(found, without_limit[0])
    tj.sweep(**GRID, progress=True, devices=jax.local_devices()[:1])
    assert "relu: short of memory, continuing with 2 runs at once\n" in capfd.readouterr().err


def test_a_single_run_that_is_too_much_is_an_error(monkeypatch):
    short_above(0, monkeypatch)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        run_noting_steps()


def test_other_errors_are_what_they_are(monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(programs.Program, "compiled", lambda *_: fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run_noting_steps()


def test_memory_is_arguments_results_and_what_lies_between():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    compiled = jax.jit(lambda x: x @ x @ x).lower(x).compile()
    # One for the intermediate product; XLA may use a little more for the products themselves.
    assert 3 * 4 * 64**2 <= memory.needed_by(compiled.memory_analysis()) < 5 * 4 * 64**2
    in_place = jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile()
    assert 4 * 64**2 <= memory.needed_by(in_place.memory_analysis()) < 1.5 * 4 * 64**2


@pytest.mark.parametrize(
    ("stats", "most", "expected"),
    [
        (None, None, 512),
        ({"bytes_limit": 2**34}, None, 512),
        ({"bytes_limit": 2**34}, 100, 100),
        # 37 parameters four times over are 592 bytes, of 0.8 * 5920.
        ({"bytes_limit": 5920}, None, 8),
        ({"bytes_limit": 1}, None, 1),
    ],
)
def test_accelerators_start_with_what_cannot_be_ruled_out(stats, most, expected):
    (named,) = tj.make_grid(**GRID).settings()
    device = types.SimpleNamespace(platform="tpu", memory_stats=lambda: stats)
    assert batch_size(named, 12, device, most) == expected
