"""Grids: every run once, with records that depend on nothing but the run, and refusals."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax import Point, masks, selection
from ticketjax.choices import Training
from ticketjax.networks.compaction import active_neurons, active_width, compact
from ticketjax.networks.mlp import mlp
from ticketjax.runs import engine
from ticketjax.runs.chunk import measure_chunk
from ticketjax.runs.engine import Step, Stopwatch, run
from ticketjax.runs.grid import make_grid
from ticketjax.runs.instance import make_instance
from ticketjax.runs.record import RUN, SCHEMA
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate, make_trial
from ticketjax.seekers.registry import get_seeker
from ticketjax.tasks import get_task

SMALL = {"task": "relu", "depth": 4, "width": 12, "samples": 200, "epochs": 1}
GRID = {
    **SMALL,
    "seekers": ("random", "snip"),
    "densities": ("ticket", 0.3, 1.0),
    "noise": (0.01, 0.1),
    "seeds": 5,
}
FLOATS = [f.name for f in SCHEMA if str(f.type) == "float"]


def rows(tables):
    """Records by the columns that identify a run; fails on a repeated run."""
    found = {}
    for table in tables:
        for row in table.to_pylist():
            key = tuple(row[name] for name in RUN)
            assert key not in found
            found[key] = row
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name in FLOATS:
            np.testing.assert_allclose(found[key][name], row[name], rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(found[key]["layer_kept"], row["layer_kept"], rtol=1e-6)


@pytest.fixture(scope="module")
def reference():
    return rows(run(make_grid(**GRID), devices=jax.local_devices()[:1]))


def test_grid_has_every_run_once(reference):
    density = make_grid(**GRID).settings()[0].setting.ticket_density
    expected = itertools.product(
        ["relu"], ["mlp"], [4], [12], GRID["noise"], range(5), GRID["seekers"], [density, 0.3, 1.0]
    )
    assert set(reference) == set(expected)


@pytest.mark.long
@pytest.mark.parametrize("devices", [3, 8])
def test_records_do_not_depend_on_the_devices(reference, devices):
    # Ten instances on 3 and 8 devices: shares of unequal size and devices without work.
    assert_same(rows(run(make_grid(**GRID), devices=jax.local_devices()[:devices])), reference)


def test_the_same_devices_give_the_same_bits(reference):
    assert rows(run(make_grid(**GRID), devices=jax.local_devices()[:1])) == reference


def test_runs_that_diverge_are_recorded_and_change_no_other(reference):
    # Labels of 1e30 lead to errors and gradients beyond float32.
    grid = make_grid(**{**GRID, "noise": (0.01, 1e30)})
    found = rows(run(grid, devices=jax.local_devices()[:1]))
    well = {key: row for key, row in found.items() if key[4] == 0.01}
    assert well == {key: row for key, row in reference.items() if key[4] == 0.01}
    assert len(found) == 2 * len(well)
    for key, row in found.items():
        if key[4] == 1e30:
            assert not np.isfinite(row["strong_loss"]) and not np.isfinite(row["weak_metric"])
            assert not row["functionally_recovered"] or row["target_error_root_mean_square"] < 1e30
            assert row["kept"] == reference[*key[:4], 0.01, *key[5:]]["kept"]


def test_records_do_not_depend_on_the_chunks(reference):
    # NumPy's integers are accepted as sizes.
    grid = make_grid(**GRID, chunk_size=np.int64(1))
    tables = list(run(grid, devices=jax.local_devices()[:2]))
    assert len(tables) > 1
    assert_same(rows(tables), reference)


def test_records_do_not_depend_on_the_rest_of_the_grid(reference):
    grid = make_grid(**{**GRID, "seekers": "snip", "densities": 0.3, "noise": 0.1, "seeds": [4, 2]})
    found = rows(run(grid, devices=jax.local_devices()[:1]))
    assert_same(found, {key: reference[key] for key in found})


def test_a_record_is_the_trial_of_its_seed(reference):
    task = get_task("relu")
    snip = get_seeker("snip")
    trial = jax.jit(make_trial(task, mlp(task, 4, 12), snip, samples=200, epochs=1))
    record = trial(jax.random.fold_in(jax.random.key(0), 3), Point(0.3, 0.1))
    row = reference["relu", "mlp", 4, 12, 0.1, 3, "snip", 0.3]
    for name in FLOATS:
        if name != "feasible_recall":  # it depends on the grid's scope, which a trial does not have
            np.testing.assert_allclose(getattr(record, name), row[name], rtol=2e-4, atol=1e-6)
    assert row["feasible_recall"] == 1


def test_done_instances_are_left_out(reference):
    done = {key for key in reference if key[4:6] in ((0.01, 0), (0.01, 3))}
    found = rows(run(make_grid(**GRID), done, devices=jax.local_devices()[:1]))
    assert_same(found, {key: row for key, row in reference.items() if key not in done})


def test_single_runs_that_are_missing_are_run_alone(reference):
    # One seeker lacks one density of two seeds, the other one everything of a third.
    def is_missing(key):
        noise, seed, seeker, density = key[4:]
        lacks_one = seeker == "snip" and density == 0.3 and seed in (1, 2) and noise == 0.1
        return lacks_one or (seeker == "random" and seed == 4)

    done = {key for key in reference if not is_missing(key)}
    found = rows(run(make_grid(**GRID), done, devices=jax.local_devices()[:1]))
    assert_same(found, {key: row for key, row in reference.items() if is_missing(key)})


def test_one_trace_per_static_combination():
    traces = []

    def counting(key, problem, params, mask):
        traces.append(problem.kind)
        return jax.tree.map(jnp.abs, params)

    chunked = {**GRID, "seekers": counting, "chunk_size": 1}
    # A grid also traces once to check what is returned.
    grid, other_seeds = (make_grid(**{**chunked, "seeds": s}) for s in (8, range(8, 16)))
    traces.clear()
    tables = list(run(grid, devices=jax.local_devices()[:1]))
    assert len(tables) > 1
    assert len(traces) == 1
    list(run(other_seeds, devices=jax.local_devices()[:1]))
    assert len(traces) == 1


def test_user_defined_seekers_are_named_by_their_function():
    def mine(key, problem, params, mask):
        return jax.tree.map(jnp.abs, params)

    # As many instances and seekers as in the reference, so only the searches are compiled.
    grid = make_grid(**{**GRID, "seekers": [mine, "magnitude"]})
    by_seeker = {name: [] for name in ("mine", "magnitude")}
    for row in rows(run(grid, devices=jax.local_devices()[:1])).values():
        assert row.pop("config") == f"singleshot({row['seeker']})"
        by_seeker[row.pop("seeker")].append(row)
    assert by_seeker["mine"] == by_seeker["magnitude"]


def test_full_density_keeps_everything_for_every_seeker(reference):
    for key, row in reference.items():
        if key[-1] == 1.0:
            assert row["kept"] == row["recall"] == row["effective_density"] == 1.0
            assert not row["collapsed"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("task", "squares", "task must be one of relu, circle, helix"),
        ("seekers", "snap", "did you mean 'snip'"),
        ("densities", 0.0, r"density must be in \(0, 1\]"),
        ("densities", 1e-6, "keeps none of"),
        ("densities", "half", 'densities must be numbers or "ticket"'),
        ("densities", (), "densities must not be empty"),
        ("noise", -0.1, "noise must be"),
        ("seeds", 0, "seeds must be"),
        ("seeds", [-1], "seeds must be"),
        ("depth", 1, "depth must be at least 2"),
        ("width", 0, "width must be at least 1"),
        ("chunk_size", 0, "chunk_size must be"),
        ("strategy", "twoshot", "strategy must be one of"),
        ("scope", "universal", "scope must be one of"),
        ("objective", "scaled", "objective must be one of"),
        ("epochs", -1, "epochs must be at least 0"),
        ("samples", 20, "samples=20 leaves 18 to train on"),
        ("rounds", 0, "rounds must be at least 1"),
        ("round_epochs", 3, "singleshot takes the options"),
        ("score_samples", 0, "score_samples must be"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        make_grid(**{**GRID, field: value})


def test_a_ticket_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="circle, depth 5, width 19: layer_2 is too narrow"):
        make_grid(task="circle", width=19)


width_of = jax.jit(active_width)


def hand_mask():
    """2-3-2-1: hidden neuron 0 is a path, 1 has no input, 2 no output; second layer 1 is biased."""
    return {
        "layer_0": {
            "kernel": np.array([[1, 0, 1], [0, 0, 0]], bool),
            "bias": np.zeros(3, bool),
        },
        "layer_1": {
            "kernel": np.array([[1, 0], [1, 0], [0, 0]], bool),
            "bias": np.array([0, 1], bool),
        },
        "layer_2": {"kernel": np.array([[1], [1]], bool), "bias": np.ones(1, bool)},
    }


def test_active_neurons_by_hand():
    first, second = jax.jit(active_neurons)(hand_mask())
    assert first.tolist() == [True, False, False]
    assert second.tolist() == [True, True]
    assert int(width_of(hand_mask())) == 2


def test_compact_network_computes_the_same():
    mask = hand_mask()
    params = jax.tree.map(
        lambda m: np.arange(1, m.size + 1, dtype=np.float32).reshape(m.shape), mask
    )
    narrow, narrow_mask = jax.jit(compact, static_argnums=2)(params, mask, 2)
    assert narrow["layer_0"]["kernel"].shape == (2, 2)
    assert narrow["layer_1"]["kernel"].shape == (2, 2)
    model = mlp(get_task("circle"), 4, 5)
    apply = jax.jit(lambda params, mask, x: model.apply(masks.apply_mask(params, mask), x))
    x = np.array([[0.5, -0.2], [2.0, 3.0]], np.float32)
    expected, found = apply(params, mask, x), apply(narrow, narrow_mask, x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("seeker", [pytest.param("random", marks=pytest.mark.long), "snip"])
def test_compaction_changes_no_record(seeker):
    task = get_task("circle")
    setting = Setting(task, mlp(task, 4, 40), samples=400, training=Training(epochs=2))
    key = jax.random.key(1)
    instance = jax.jit(make_instance, static_argnums=0)(setting, key, 0.01)
    problem = setting.problem(instance.planted.params, instance.train)
    mask = jax.jit(get_seeker(seeker))(key, problem, 0.05).mask
    width = int(width_of(mask))
    assert 0 < width < 40
    measure = jax.jit(evaluate, static_argnums=(0, 3))
    full, narrow = (measure(setting, instance, mask, w) for w in (None, width))
    for name, value in full.items():
        np.testing.assert_allclose(narrow[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_every_step_is_told_as_it_begins():
    grid = make_grid(**{**GRID, "noise": 0.01, "seeds": 2, "epochs": 0})
    steps = []
    chunks = [len(c) for c in run(grid, devices=jax.devices()[:1], on_step=steps.append)]
    # The first chunk has one network, so that the first records appear soon.
    assert chunks == [6, 6]
    steps = steps[: len(steps) // 2]
    assert {step[:3] for step in steps} == {("relu", 4, 12)} and isinstance(steps[0], Step)
    assert [step[3:7] for step in steps] == [
        ("planting", 1, 7, True),
        ("computing", 1, 7, False),
        ("random", 2, 7, True),
        ("computing", 2, 7, False),
        ("selection", 3, 7, True),
        ("computing", 3, 7, False),
        ("ranking", 4, 7, True),
        ("computing", 4, 7, False),
        ("description", 5, 7, True),
        ("computing", 5, 7, False),
        # The programs after the scores are already compiled.
        ("snip", 6, 7, True),
        ("computing", 6, 7, False),
        ("selection", 6, 7, False),
        ("computing", 6, 7, False),
        ("ranking", 6, 7, False),
        ("computing", 6, 7, False),
        ("description", 6, 7, False),
        ("computing", 6, 7, False),
        ("measuring", 7, 7, True),
        ("computing", 7, 7, False),
    ]


@pytest.mark.long
def test_a_watch_runs_while_compiled_programs_do_and_not_while_they_are_compiled():
    # A network that no other test has compiled.
    grid = make_grid(**{**SMALL, "width": 7}, seekers="snip", densities=0.5, seeds=2)
    watches, walls = [], []
    for _ in range(2):
        watch = Stopwatch()
        begin = time.perf_counter()
        list(run(grid, watch=watch))
        walls.append(time.perf_counter() - begin)
        watches.append(watch.seconds)
    assert 0 < watches[0] < walls[0] / 2, (watches, walls)
    assert 0 < watches[1] < walls[1]


def test_equal_masks_of_a_network_are_measured_once_whoever_found_them(monkeypatch):
    def spy(chunk, instances, found, runs):
        measured.append(sum(map(len, runs)))
        return measure_chunk(chunk, instances, found, runs)

    monkeypatch.setattr(engine, "measure_chunk", spy)
    # Everything is kept at density 1; both magnitude seekers find the same mask, random another.
    seekers = {"random": "random", "magnitude": "magnitude", "again": "singleshot(magnitude)"}
    grid = make_grid(**SMALL, seekers=seekers, densities=(0.3, 1.0), seeds=2)
    measured: list = []
    found = rows(run(grid, devices=jax.local_devices()[:1]))
    assert measured == [3, 3]
    for key, row in found.items():
        alike = [row[name] for name in FLOATS]
        label, density = key[-2:]
        if density == 1.0:
            assert row["weak_loss"] == found[(*key[:-2], "random", 1.0)]["weak_loss"]
        if label == "again":
            assert alike == [found[(*key[:-2], "magnitude", density)][name] for name in FLOATS]


@pytest.mark.parametrize(
    "sanity", [pytest.param("none", marks=pytest.mark.long), "invert", "shuffle"]
)
def test_scores_and_selection_apart_are_the_seeker(sanity):
    task = get_task("relu")
    setting = Setting(task, mlp(task, 4, 12), samples=200)
    key = jax.random.key(1)
    instance = make_instance(setting, key, 0.01)
    problem = setting.problem(instance.planted.params, instance.train)
    seeker = get_seeker(f"singleshot(random, sanity='{sanity}')")
    whole = seeker(key, problem, 0.3)
    apart = seeker.selection(key, problem, seeker.scores(key, problem), 0.3)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), whole, apart))
    scores = selection.select(problem.view(whole.scores), 0.3)
    assert (sanity != "shuffle") == jax.tree.all(
        jax.tree.map(lambda a, b: bool(jnp.all(a == b)), scores, problem.view(whole.mask))
    )
