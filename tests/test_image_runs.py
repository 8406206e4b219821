"""Networks of images: teachers as tasks, augmentation, records, what is taken up again."""

import dataclasses
import functools
import json
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.test_images import N, draw, write_idx
from tests.test_images import small as small
from ticketjax.commands.again import command_of
from ticketjax.commands.images import ImageRuns, run_images
from ticketjax.masks import full_mask
from ticketjax.tasks.teacher import teacher
from ticketjax.training import shuffles, train

RUNS = ImageRuns(
    dataset="mnist",
    images=16,
    test_images=12,
    model="lenet300",
    channels=0.02,
    seeker="random",
    density=0.1,
    ticket_density=0.05,
    rounds=2,
    round_epochs=1,
    epochs=1,
    search_epochs=2,
    levels=1,
    batch_size=8,
    score_samples=8,
    augment=True,
    seeds=(0, 1),
)
PLAN = [dataclasses.replace(RUNS, seeker=s) for s in ("random", "edge_popup")]


@pytest.fixture
def data_dir(tmp_path):
    write_idx(tmp_path / "data", *draw((28, 28, 1), 0))
    return str(tmp_path / "data")


def test_records_hold_the_planted_ticket_and_nothing_is_run_twice(data_dir, tmp_path):
    out = tmp_path / "out"
    records = run_images(PLAN, data_dir, str(out)).to_pylist()
    size = 784 * 6 + 6 + 6 * 2 + 2 + 2 * 10 + 10
    assert [(r["seeker"], r["seed"]) for r in records] == [
        (s, i) for s in ("random", "edge_popup") for i in range(2)
    ]
    for record in records:
        assert record["ticket_density"] == round(0.05 * size) / size
        assert np.isclose(record["planted_metric"], record["ticket_metric"])
        assert np.isclose(record["planted_loss"], record["ticket_loss"], rtol=1e-4)
        # A budget for every layer rounds each of them.
        assert abs(record["kept"] * size - 0.1 * size) <= 2
        assert np.isfinite(record["weak_loss"])
    (manifest,) = out.glob("annealed-edge_popup-*/manifest.json")
    text = command_of(json.loads(manifest.read_text())["configuration"], str(manifest.parent))
    flags = shlex.split(text.replace("\\\n", ""))
    assert {"--searches=edge_popup", "--seekers=", "--seeds=2", f"--out={out}"} <= set(flags)
    assert {"--augment", "--model=lenet300", "--channels=0.02", "--images=16"} <= set(flags)
    # A part is lost, as with a run that was killed: that one alone is made again, the same.
    parts = {path: path.stat().st_mtime_ns for path in out.glob("*/parts/*.parquet")}
    lost = sorted(parts)[0]
    lost.unlink()
    again = run_images(PLAN, data_dir, str(out)).to_pylist()
    kept = {path for path in out.glob("*/parts/*.parquet") if path != lost}
    assert all(path.stat().st_mtime_ns == parts[path] for path in kept & set(parts))
    assert again == records


def test_a_ticket_of_other_runs_is_refused(data_dir, tmp_path):
    out = tmp_path / "out"
    plan = [dataclasses.replace(RUNS, seeds=(0,), round_epochs=0, epochs=0)]
    run_images(plan, data_dir, str(out))
    (ticket,) = out.glob("tickets/*")
    other = tmp_path / "other"
    (other / "tickets").mkdir(parents=True)
    ticket.rename(other / "tickets" / ticket.name)
    with pytest.raises(ValueError, match="is the ticket of other runs"):
        run_images([dataclasses.replace(plan[0], epochs=1)], data_dir, str(other))


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"images": N + 1}, f"images must be in 1..{N}, what mnist has, got {N + 1}"),
        ({"density": 1e-9}, "density 1e-09 keeps none of"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    change, reason, data_dir, tmp_path
):
    with pytest.raises(ValueError, match=reason):
        run_images([dataclasses.replace(RUNS, **change)], data_dir, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def network(generator, widths):
    return {
        f"layer_{i}": {
            "kernel": generator.normal(size=(a, b)).astype(np.float32),
            "bias": generator.normal(size=b).astype(np.float32),
        }
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
    }


def test_a_trained_network_is_a_task_whose_planted_mask_is_as_good():
    generator = np.random.default_rng(0)
    target = network(generator, (4, 5, 3))
    target["layer_0"]["kernel"][generator.uniform(size=(4, 5)) < 0.5] = 0
    x = generator.normal(size=(60, 2, 2, 1)).astype(np.float32)
    task = teacher("own", target, tj.Batch(x, generator.integers(0, 3, 60).astype(np.int32)))
    assert (task.inputs, task.outputs, task.kind) == ((2, 2, 1), 3, "classification")
    trial = tj.make_trial(task, tj.mlp(task, 3, 8), "random", samples=50, epochs=1, batch_size=8)
    record = jax.jit(lambda key: trial(key, tj.Point("ticket", 0.0)))(jax.random.key(0))
    assert np.isclose(record.planted_metric, record.ticket_metric)
    assert np.isclose(record.planted_loss, record.ticket_loss, rtol=1e-4)
    with pytest.raises(ValueError, match="own: the ticket has depth 3, got 4"):
        task.ticket(4)
    with pytest.raises(ValueError, match="n must be at most the 60 samples, got 61"):
        task.sample(jax.random.key(0), 61, 0.0)


def test_samples_of_a_teacher_are_of_its_data_and_noise_changes_that_share_of_labels():
    x = np.arange(2000, dtype=np.float32)[:, None]
    y = (np.arange(2000) % 3).astype(np.int32)
    task = teacher("own", network(np.random.default_rng(0), (1, 3)), tj.Batch(x, y))
    drawn = task.sample(jax.random.key(0), 1500, 0.2)
    indices = np.asarray(drawn.x[:, 0]).astype(int)
    assert len(set(indices)) == 1500
    # 300 expected, standard deviation 15.5.
    assert abs(np.sum(np.asarray(drawn.y) != y[indices]) - 300) < 75
    floats = teacher("own", network(np.random.default_rng(0), (1, 1)), tj.Batch(x, x))
    drawn = floats.sample(jax.random.key(0), 1500, 0.5)
    assert abs(np.std(np.asarray(drawn.y - drawn.x)) - 0.5) < 0.05


@pytest.mark.parametrize(
    "target, y, reason",
    [
        ((1, 2), np.array([0, 2]), "has 2 outputs, the data need 3"),
        ((1, 3), np.zeros((2, 2)), "has 3 outputs, the data need 2"),
    ],
)
def test_teachers_that_do_not_fit_their_data_are_refused(target, y, reason):
    params = network(np.random.default_rng(0), target)
    with pytest.raises(ValueError, match=reason):
        teacher("own", params, tj.Batch(np.zeros((2, 1), np.float32), y))
    nothing = jax.tree.map(np.zeros_like, params)
    with pytest.raises(ValueError, match="has no parameter that is not 0"):
        teacher("own", nothing, tj.Batch(np.zeros((2, 1), np.float32), y))


def test_training_augments_its_batches_and_nothing_else():
    task = tj.get_task("relu")
    model = tj.mlp(task, 3, 4)
    batch = task.sample(jax.random.key(0), 64, 0.0)
    params = model.init(jax.random.key(1))

    def trained(augment, x):
        data = batch._replace(x=x)
        problem = tj.make_problem(task, model, params, data, augment=augment)
        order = shuffles(jax.random.key(2), 2, 64, 16)
        return train(problem, full_mask(params), order, key=jax.random.key(3))

    # Every step's batch is negated, or every sample was from the start.
    negated = trained(lambda key, x: -x, batch.x)
    plain = trained(None, -batch.x)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), negated, plain)
    # The key is another one in each step: else both epochs would shift alike.
    shifted = trained(lambda key, x: x + jax.random.normal(key), batch.x)
    assert not jnp.allclose(shifted["layer_0"]["kernel"], plain["layer_0"]["kernel"])
    problem = tj.make_problem(task, model, params, batch, augment=lambda key, x: x)
    with pytest.raises(ValueError, match="key must be given"):
        train(problem, full_mask(params), shuffles(jax.random.key(2), 1, 64))
