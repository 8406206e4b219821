"""The benchmarks' own logic: work is counted as by XLA, processes return their answers."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from benchmarks import (
    fresh,
    grasp_depth10,
    hlo,
    mask_variants,
    origins,
    phases,
    popup_variants,
    positive_paths,
    repeated_searches,
    targets,
    timing,
    work,
)
from ticketjax.masks import apply_mask, full_mask
from ticketjax.networks.mlp import mlp
from ticketjax.problem import make_problem
from ticketjax.runs import programs
from ticketjax.seekers.registry import SCORES
from ticketjax.selection import select
from ticketjax.tasks import get_task

SAMPLES = 16


def counted(function, *arguments) -> float:
    """FLOP of the compiled program, by XLA's own analysis."""
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


@pytest.fixture(scope="module")
def network():
    """Two inputs, because with one XLA does not count the first product."""
    task = get_task("circle")
    model = mlp(task, 5, 48)
    params = model.init(jax.random.key(0))
    return task, model, params, task.sample(jax.random.key(1), SAMPLES, 0.0)


def test_forward_flop_are_xlas_but_for_biases_and_relus(network):
    _, model, params, batch = network
    sizes = phases.sizes_of(params)
    assert sizes == (2, 48, 48, 48, 4)
    elementwise = SAMPLES * (sum(sizes[1:]) + sum(sizes[1:-1]))
    assert counted(model.apply, params, batch.x) == (
        work.forward_flop(sizes, SAMPLES) + elementwise
    )


def test_gradient_flop_are_most_of_xlas(network):
    _, model, params, batch = network
    count = work.gradient_flop(phases.sizes_of(params), SAMPLES)
    flop = counted(jax.grad(lambda p: jnp.sum(model.apply(p, batch.x) ** 2)), params)
    assert 0.9 * flop < count < flop


def test_scores_need_no_less_than_xla_counts(network):
    task, model, params, batch = network
    problem = make_problem(task, model, params, batch)
    sizes, full = phases.sizes_of(params), full_mask(params)

    def of(name):
        return counted(lambda p: SCORES[name](jax.random.key(0), problem, p, full), params)

    # XLA may or may not remove repeated parts of H g, so this is only a lower bound.
    assert work.hessian_gradient_flop(sizes, SAMPLES) < of("grasp")
    assert 0.9 * of("snip") < work.gradient_flop(sizes, SAMPLES) < of("snip")


def test_hessian_gradient_flop_by_hand():
    # One hidden neuron between one input and one output, one sample; a product is 2 FLOP.
    # Gradient: layer 1 output and kernel, layer 2 output, kernel and input: 5 products.
    assert work.gradient_flop((1, 1, 1), 1) == 10
    # H g differentiates those of layer 1 by one factor each, those of layer 2 by both: 2 + 6.
    assert work.hessian_gradient_flop((1, 1, 1), 1) == 26


def test_bytes_are_those_of_the_arrays(network):
    _, _, params, _ = network
    sizes = phases.sizes_of(params)
    floats = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    bools = sum(leaf.nbytes for leaf in jax.tree.leaves(full_mask(params)))
    assert work.selection(sizes).bytes == floats + bools
    batch = 4 * 32 * (2 + 1)
    assert work.training(sizes, 7, 32).bytes == 7 * (6 * floats + bools + batch)


def test_trainings_count_full_masks_once_and_by_the_width_they_need():
    needed = np.array([[3, 3, 8, 8, 8], [3, 4, 4, 0, 8]])
    everything = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1]], bool)
    assert phases._trainings((4, 8), needed, everything) == [(2 + 4) / 2, (2 + 1) / 2]


def test_measurements_are_taken_in_turns():
    order = []
    first, later = timing.in_turns(
        {name: lambda n=name: order.append(n) or float(len(order)) for name in "ab"}, 2
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert (first, later) == ({"a": 1.0, "b": 2.0}, {"a": [3.0, 5.0], "b": [4.0, 6.0]})
    assert timing.spread([3.0, 1.0, 2.0], 1) == "2.0 [1.0, 3.0]"


def test_a_fresh_process_answers_or_says_why_not():
    assert fresh.call("benchmarks.timing", "spread", values=[1.0], digits=0) == "1 [1, 1]"
    with pytest.raises(fresh.Failure, match="no_such_function"):
        fresh.call("benchmarks.timing", "no_such_function")


def test_the_published_error_is_a_fit_to_the_labels_of_each_batch():
    random = np.random.default_rng(0)
    outputs, y = random.normal(size=(2, 10, 3))
    outputs[:, 2] = 0.0
    expected = []
    for batch in (slice(0, 4), slice(4, 8), slice(8, 10)):
        for f, label in zip(outputs[batch].T, y[batch].T, strict=True):
            fitted, *_ = np.linalg.lstsq(f[:, None], label, rcond=None)
            expected.extend((f * fitted - label) ** 2)
    # It therefore does not detect an output a thousand times too large, of either sign.
    for factor in (1.0, 1e3, -1e3):
        error = grasp_depth10.published_error(jnp.asarray(factor * outputs), jnp.asarray(y), 4)
        assert float(error) == pytest.approx(np.mean(expected), rel=1e-5)


def test_outputs_as_large_as_dense_are_so_and_only_the_last_layer_is_scaled(network):
    task, model, params, batch = network
    problem = make_problem(task, model, params, batch)
    mask = select(params, 0.5)
    start = grasp_depth10.as_large_as_dense(problem, params, mask)
    masked, dense = (
        float(grasp_depth10.output_size(problem, p)) for p in (apply_mask(start, mask), params)
    )
    assert masked == pytest.approx(dense, rel=1e-5)
    for name in ("layer_0", "layer_1", "layer_2"):
        assert start[name] is params[name]


def test_a_programs_text_says_what_a_step_launches_and_moves():
    def train(x, stack):
        def step(carry, row):
            return jnp.sin(carry) @ carry + row[None], None

        return jax.lax.fori_loop(0, 3, lambda _, c: jax.lax.scan(step, c, stack)[0], x)

    shapes = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((64, 64), (1000, 64)))
    module = hlo.Module(jax.jit(train).lower(*shapes).compile().as_text())
    step = module.inner_step()
    # It must read and write the matrix at least once, and only one row of the stack.
    assert step.kernels >= 2
    assert 2 * 4 * 64**2 <= step.bytes < 12 * 4 * 64**2 < 4 * 1000 * 64
    assert not module.opcodes() & (hlo.COLLECTIVES | hlo.TRANSFERS)
    assert hlo.Module("").inner_step() is None


def test_devices_that_talk_to_each_other_are_noticed_and_the_engines_do_not():
    devices = tuple(jax.local_devices()[:4])

    def text(function, *shapes):
        return function.lower(*shapes).compile().as_text()

    sums = jax.pmap(lambda x: jax.lax.psum(x, "i"), axis_name="i", devices=devices)
    floats = jax.ShapeDtypeStruct((4, 2), jnp.float32)
    assert hlo.Module(text(sums, floats)).opcodes() & hlo.COLLECTIVES == {"all-reduce"}
    fields = {"task": "relu", "depth": 3, "width": 9, "samples": 64, "epochs": 1, "batch_size": 8}
    (named,) = tj.make_grid(**fields, densities=0.5, seeds=1).settings()
    program = programs.instance_program(named.setting, devices)
    seeds = jax.ShapeDtypeStruct((4, 2), jnp.uint32)
    own = text(program.function, seeds, floats, None, None)
    assert "num_partitions=4" in own
    assert not hlo.Module(own).opcodes() & (hlo.COLLECTIVES | hlo.TRANSFERS)


def test_targets_without_their_compiler_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [])
    assert targets.missing("v5e:2x2", "").startswith("v5e:2x2 has no compiler here: pip install")
    (tmp_path / "libtpu").mkdir()
    assert targets.missing("v5e:2x2", str(tmp_path)) is None
    assert "jax-cuda13-plugin" in targets.missing("h100:4", str(tmp_path))
    for name, message in (("v5e", "topology"), ("v100", "must be one of v5e, v5p, v6e, h100")):
        with pytest.raises(ValueError, match=message):
            targets.missing(name, "")


def test_own_times_leave_out_what_is_inside():
    event = origins.Event
    events = [event("b", 2, 5), event("while", 0, 10), event("c", 5, 6), event("a", 12, 13)]
    assert sorted(origins.own_times([*events, event("d", 3, 4)])) == [
        ("a", 1),
        ("b", 2),
        ("c", 1),
        ("d", 1),
        ("while", 6),
    ]


def test_products_of_a_program_are_those_of_the_networks_layers(network):
    _, model, params, batch = network
    text = jax.jit(model.apply).lower(params, batch.x).compile().as_text()
    known = origins.origins(text)
    of = {origin.function for origin in known.values() if origin.product}
    assert of == {"networks/mlp: Dense.__call__"}
    name = next(name for name, origin in known.items() if origin.product)
    threads = [[origins.Event("while.3", 0, 2e9), origins.Event(name, 0, 1.5e9)]]
    assert origins.shares(threads, known) == {
        "networks/mlp: Dense.__call__": [1.5, 1.5],
        origins.BETWEEN: [0.5, 0.0],
    }


def test_tickets_of_relu_are_all_masks_of_as_many_parameters_that_compute_it():
    rng = np.random.default_rng(1)
    kernels = [rng.normal(size=shape) for shape in ((1, 3), (3, 2), (2, 1))]
    biases = [rng.normal(size=kernel.shape[1]) for kernel in kernels]
    sizes = [array.size for pair in zip(kernels, biases, strict=True) for array in pair]
    x, found = np.linspace(-1, 1, 51)[:, None], 0
    for kept in itertools.combinations(range(sum(sizes)), 3):
        flat = np.isin(np.arange(sum(sizes)), kept)
        masks = iter(np.split(flat, np.cumsum(sizes)[:-1]))
        outputs = x
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            outputs = outputs if i == 0 else np.maximum(outputs, 0)
            outputs = outputs @ (kernel * next(masks).reshape(kernel.shape)) + bias * next(masks)
        scaled = outputs / max(abs(outputs[-1, 0]), 1e-9)
        found += np.allclose(scaled, np.maximum(x, 0))
    assert found == positive_paths.count_paths(kernels) > 0


def test_searches_of_one_network_are_compared_with_each_other_and_with_the_plant():
    def either_end(key, problem, density):
        """Keeps the first or the last weights of a layer, as the key decides."""
        start = jax.random.bernoulli(key)
        mask = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), problem.params)
        kernel = mask["layer_1"]["kernel"]
        mask["layer_1"]["kernel"] = kernel.at[0].set(start).at[-1].set(~start)
        return tj.Found(mask, problem.params, {})

    grid = tj.make_grid(task="circle", depth=5, width=60, samples=100, seekers=either_end)
    run = repeated_searches.searched(grid.settings()[0].setting, either_end, 0.1, 6)
    metrics, found, digests, between, planted = jax.device_get(run(np.uint32(3)))
    equal = [(a == b).all() for a, b in itertools.combinations(digests, 2)]
    assert 0 < sum(equal) < len(equal)
    np.testing.assert_array_equal(between, np.array(equal, float))
    assert len(set(metrics)) == 1 and not found.any()  # a constant answer: no path is left
    assert len(set(planted)) <= 2 and (planted < 0.2).all()


def test_published_variants_of_edge_popup_differ_in_what_they_say():
    task = get_task("circle")
    model = mlp(task, 3, 12)
    problem = make_problem(
        task, model, model.init(jax.random.key(0)), task.sample(jax.random.key(1), 64)
    )
    seen = []

    def spy(key, problem, density):
        seen.append(problem.apply(problem.params, problem.batch.x))
        return tj.Found(problem.select(problem.params, density), problem.params, {})

    popup_variants.with_softmax(spy)(jax.random.key(2), problem, 0.5)
    np.testing.assert_allclose(
        seen[0], jax.nn.softmax(model.apply(problem.params, problem.batch.x)), rtol=1e-6
    )
    still = tj.EdgePopup(epochs=2, start=popup_variants.with_still_biases)
    found = jax.jit(still)(jax.random.key(2), problem, 0.5)
    moving = jax.jit(dataclasses.replace(still, start=None))(jax.random.key(2), problem, 0.5)
    kept = [
        sum(int(layer["bias"].sum()) for layer in each.mask.values()) for each in (found, moving)
    ]
    assert kept[0] == 0 < kept[1]
    assert all(not layer["bias"].any() for layer in found.scores.values())


def test_an_inverted_mask_keeps_the_lowest_scores_of_every_array():
    rng = np.random.default_rng(3)
    mask = {"a": rng.random((6, 5)) < 0.3, "b": rng.random(7) < 0.5}
    scores = {name: rng.normal(size=leaf.shape).astype(np.float32) for name, leaf in mask.items()}
    opposite = mask_variants.inverted(jax.random.key(0), tj.Found(mask, scores, {}))
    for name, leaf in jax.device_get(opposite).items():
        assert leaf.shape == mask[name].shape and leaf.sum() == mask[name].sum() > 0
        assert scores[name][leaf].max() < scores[name][~leaf].min()

    # Searches score what they keep 1, and all else 0.
    scores = {name: leaf.astype(np.float32) for name, leaf in mask.items()}
    one, other = (
        mask_variants.inverted(jax.random.key(i), tj.Found(mask, scores, {})) for i in (0, 1)
    )
    assert not np.any(np.asarray(one["a"]) & mask["a"])
    assert np.any(np.asarray(one["a"]) != np.asarray(other["a"]))


@pytest.mark.long
def test_variants_of_masks_are_measured_as_in_sweeps():
    task = get_task("circle")
    setting = tj.Setting(task, mlp(task, 3, 20), samples=200, training=tj.Training(epochs=1))
    seeker = tj.get_seeker("synflow")
    seeds = np.arange(2, dtype=np.uint32)
    found = np.asarray(mask_variants.qualities(setting, seeker, seeds, 0.01))
    assert found.shape == (2, 4, 2)
    same = {
        "task": task,
        "model": setting.model,
        "seekers": seeker,
        "densities": ["ticket"],
        "seeds": 2,
        "noise": 0.01,
        "samples": 200,
        "training": setting.training,
    }
    for variant, more in ((0, {}), (3, {"reinitialise": True})):
        records = tj.sweep(**same, **more).sort_by("seed")
        for column, name in enumerate(("strong_metric", "weak_metric")):
            np.testing.assert_allclose(found[:, variant, column], records[name], rtol=1e-5)
    assert not np.allclose(found[:, 1], found[:, 0])
