"""Networks of images: teachers as tasks, augmentation, records, resuming."""

import dataclasses
import functools
import itertools
import json
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

import ticketjax as tj
from tests.test_images import N, draw, write_idx
from tests.test_images import small as small
from ticketjax.commands.again import command_of
from ticketjax.commands.images import ImageRuns, image_grids
from ticketjax.commands.running import run_grids
from ticketjax.masks import count_ticket_layers, full_mask
from ticketjax.measure.quality import feasible_recall
from ticketjax.records.store import Store
from ticketjax.runs.engine import run
from ticketjax.runs.grid import make_grid
from ticketjax.runs.instance import plant_instance
from ticketjax.runs.programs import instance_program, run_key
from ticketjax.runs.record import RUN
from ticketjax.runs.trial import evaluate, ranking_entries, seek
from ticketjax.tasks.teacher import teacher
from ticketjax.training import shuffles, train

RUNS = ImageRuns(
    dataset="mnist",
    images=16,
    test_images=12,
    model="lenet300",
    channels=0.02,
    seekers=("random",),
    searches=("edge_popup",),
    densities=(0.1,),
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


def run_images(runs, data_dir, out):
    return run_grids(image_grids(runs, data_dir, str(out)))


@pytest.fixture
def data_dir(tmp_path):
    write_idx(tmp_path / "data", *draw((28, 28, 1), 0))
    return str(tmp_path / "data")


@pytest.mark.long
def test_records_hold_the_planted_ticket_and_nothing_is_run_twice(data_dir, tmp_path):
    out = tmp_path / "out"
    records = run_images(RUNS, data_dir, out).to_pylist()
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
    manifest = out / "searches" / "manifest.json"
    text = command_of(json.loads(manifest.read_text())["configuration"], str(manifest.parent))
    flags = shlex.split(text.replace("\\\n", ""))
    assert {"--searches=edge_popup", "--seekers=", "--seeds=2", f"--out={out}"} <= set(flags)
    assert {"--augment", "--model=lenet300", "--channels=0.02", "--images=16"} <= set(flags)
    assert {"--test_images=12", "--search_epochs=2", "--levels=1", "--rounds=2"} <= set(flags)
    assert {"--densities=0.1", "--ticket_density=0.05", "--data_dir=DIR"} <= set(flags)
    # Each part has one run, or one for each device.
    assert {path.parent.parent.name for path in out.glob("*/parts/*")} == {"pruning", "searches"}
    # A part is lost, like that of a killed run: only this part is made again, identically.
    parts = {path: path.stat().st_mtime_ns for path in out.glob("*/parts/*.parquet")}
    lost = sorted(parts)[0]
    lost.unlink()
    again = run_images(RUNS, data_dir, out).to_pylist()
    kept = {path for path in out.glob("*/parts/*.parquet") if path != lost}
    assert all(path.stat().st_mtime_ns == parts[path] for path in kept & set(parts))
    assert again == records


@pytest.mark.long
def test_a_ticket_of_other_runs_is_refused(data_dir, tmp_path):
    out = tmp_path / "out"
    runs = dataclasses.replace(RUNS, seeds=(0,), round_epochs=0, epochs=0, searches=())
    run_images(runs, data_dir, out)
    (ticket,) = out.glob("tickets/*")
    other = tmp_path / "other"
    (other / "tickets").mkdir(parents=True)
    ticket.rename(other / "tickets" / ticket.name)
    with pytest.raises(ValueError, match="is the ticket of a different setting"):
        run_images(dataclasses.replace(runs, epochs=1), data_dir, other)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"images": N + 1}, f"images must be in 1..{N}, what mnist has, got {N + 1}"),
        ({"densities": (1e-9,)}, "density 1e-09 keeps none of"),
        ({"ticket_density": 1e-9}, "density 1e-09 keeps none of"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    change, reason, data_dir, tmp_path
):
    with pytest.raises(ValueError, match=reason):
        run_images(dataclasses.replace(RUNS, **change), data_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def network(generator, widths):
    return {
        f"layer_{i}": {
            "kernel": generator.normal(size=(a, b)).astype(np.float32),
            "bias": generator.normal(size=b).astype(np.float32),
        }
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
    }


def sparse_network(seed, kept):
    generator = np.random.default_rng(seed)
    ticket = network(generator, (4, 5, 3))
    for layer, count in zip(ticket.values(), kept, strict=True):
        kernel = layer["kernel"]
        kernel.flat[generator.permutation(kernel.size)[count:]] = 0
    return ticket


# All have equally many parameters, in different places and layers.
TICKETS = {seed: sparse_network(seed, kept) for seed, kept in enumerate([(6, 6), (6, 6), (4, 8)])}


def digits(asked=None):
    """A task with its own data and a ticket for every seed; `asked` records the requested seeds."""
    generator = np.random.default_rng(9)
    x = generator.normal(size=(60, 4)).astype(np.float32)
    y = generator.integers(0, 3, 60).astype(np.int32)
    data = tj.Batch(x[:40], y[:40]), tj.Batch(x[40:], y[40:])

    def ticket_of(seed):
        if asked is not None:
            asked.append(seed)
        return TICKETS[seed]

    task = tj.Task("digits", 4, 3, "classification", None, lambda depth: TICKETS[0])
    return dataclasses.replace(task, data=lambda: data, ticket_of=ticket_of)


OF_DIGITS = {
    "seekers": ("snip", "random"),
    "densities": (0.2, 0.5, "ticket"),
    "noise": 0.0,
    "depth": 3,
    "width": 10,
    "seeds": 3,
    "epochs": 2,
    "batch_size": 16,
}


@pytest.mark.long
@pytest.mark.parametrize("chunk_size", ["auto", 1])
def test_records_are_those_of_every_seeds_own_ticket_planted_by_hand(chunk_size):
    task = digits()
    grid = make_grid(task=task, **OF_DIGITS, scope="local", chunk_size=chunk_size)
    records = [row for table in run(grid) for row in table.to_pylist()]
    assert len(records) == 18 and len({row["ticket_loss"] for row in records}) == 3
    (named,) = grid.settings()
    setting = named.setting
    assert (setting.samples, setting.training_samples) == (60, 40)

    @functools.partial(jax.jit, static_argnums=0)
    def by_hand(seeker, seed, density, ticket):
        key = run_key(seed)
        instance = plant_instance(setting, key, ticket, *map(jnp_batch, task.data()))
        found, ranks = seek(setting, seeker, key, instance, density)
        return ranking_entries(ranks) | evaluate(setting, instance, found.mask, target=ticket)

    for row in records:
        seed, ticket = row["seed"], TICKETS[row["seed"]]
        seeker = dict(grid.seekers)[row["seeker"]]
        expected = by_hand(seeker, seed, np.float32(row["density"]), ticket)
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
        layers = count_ticket_layers(ticket)
        assert row["ticket_density"] == sum(layers) / (4 * 10 + 10 + 10 * 3 + 3)
        feasible = feasible_recall(row["density"], setting.layer_shapes, layers, "local")
        np.testing.assert_allclose(row["feasible_recall"], feasible, rtol=1e-6)
        np.testing.assert_allclose(row["planted_loss"], row["ticket_loss"], rtol=1e-4)
    assert len({row["feasible_recall"] for row in records if row["density"] == 0.2}) == 2


def jnp_batch(batch):
    return tj.Batch(*map(jnp.asarray, batch))


def test_instances_hold_no_copy_of_a_tasks_own_data():
    task = digits()
    (named,) = make_grid(task=task, **OF_DIGITS).settings()
    devices = tuple(jax.local_devices())
    seeds = np.zeros((len(devices), 2), np.uint32)
    targets = jax.tree.map(lambda leaf: np.tile(leaf, (*seeds.shape, *[1] * leaf.ndim)), TICKETS[0])
    program = instance_program(named.setting, devices)
    arguments = seeds, seeds.astype(np.float32), targets, task.data()
    instances = program.compiled(*arguments)(*arguments)
    for batch in (instances.train, instances.held_out):
        assert batch.x.shape == (*seeds.shape, 0, 4) and batch.y.shape == (*seeds.shape, 0)
    assert instances.order.shape == (*seeds.shape, 2, 2, 16)


@pytest.mark.long
def test_a_small_chunk_is_of_one_seeker_and_what_is_finished_is_not_run_again(tmp_path):
    asked = []
    # Seekers that train: with others, chunks are not made smaller.
    seekers = {name: f"multishot({name}, rounds=1, round_epochs=1)" for name in ("random", "snip")}
    fields = {"task": digits(asked), **OF_DIGITS, "seekers": seekers, "chunk_size": 2}
    grid, out = make_grid(**fields), tmp_path / "out"
    assert not asked
    store = Store(out, grid)
    for records in itertools.islice(run(grid, devices=jax.local_devices()[:1]), 4):
        rows = records.to_pylist()
        # Two of three densities, and then the last one, for as many seeds as give two runs.
        assert len({row["seeker"] for row in rows}) == 1 and len(rows) == 2
        store.write(records)
    half = store.done()
    parts = {path: path.stat().st_mtime_ns for path in out.glob("parts/*")}
    del store
    asked.clear()
    again = tj.sweep(out=out, devices=jax.local_devices()[:1], **fields)
    new = [path for path in out.glob("parts/*") if path not in parts]
    computed = [row for path in new for row in pq.ParquetFile(path).read().select(RUN).to_pylist()]
    found = {tuple(row.values()) for row in computed}
    assert found == grid.run_names() - half and len(found) == len(computed) > 0
    assert all(path.stat().st_mtime_ns == written for path, written in parts.items())
    assert again.num_rows == 18
    # Everything is finished: no ticket is requested.
    asked.clear()
    assert tj.sweep(out=out, **fields) == again and not asked


@pytest.mark.parametrize(
    "change, reason",
    [
        (
            {"noise": 0.1},
            "digits, depth 3, width 10: the task has fixed data: noise must",
        ),
        (
            {"scope": "oracle"},
            'digits: the scope "oracle" needs a single ticket, and every seed has its',
        ),
        ({"batch_size": 41}, "leaves 40 to train on, fewer than batch_size=41"),
    ],
)
def test_what_a_task_with_data_and_tickets_of_seeds_cannot_have(change, reason):
    with pytest.raises(ValueError, match=reason):
        make_grid(**{**OF_DIGITS, "task": digits(), **change})


def test_a_ticket_of_no_seed_is_not_planted():
    task = digits()
    trial = tj.make_trial(task, tj.mlp(task, 3, 10), "snip", batch_size=16)
    with pytest.raises(ValueError, match="digits: every seed has its own ticket"):
        trial(jax.random.key(0), tj.Point("ticket", 0.0))
    one = dataclasses.replace(task, ticket_of=None)
    trial = tj.make_trial(one, tj.mlp(one, 3, 10), "snip", batch_size=16, epochs=1)
    record = jax.jit(lambda key: trial(key, tj.Point("ticket", 0.0)))(jax.random.key(0))
    assert np.isclose(record.planted_loss, record.ticket_loss, rtol=1e-4)


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
    # Each step has a different key; otherwise both epochs would shift alike.
    shifted = trained(lambda key, x: x + jax.random.normal(key), batch.x)
    assert not jnp.allclose(shifted["layer_0"]["kernel"], plain["layer_0"]["kernel"])
    problem = tj.make_problem(task, model, params, batch, augment=lambda key, x: x)
    with pytest.raises(ValueError, match="key must be given"):
        train(problem, full_mask(params), shuffles(jax.random.key(2), 1, 64))
