"""The library's contract, line by line as in the documentation, in small sizes."""

import jax
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles import backprop as oracle
from ticketjax.records.store import Store

KEY = jax.random.key(5)


def test_the_contract_runs_as_written(tmp_path):
    key, density = KEY, "ticket"
    task = tj.get_task("circle")
    target = task.ticket(depth=3)
    batch = task.sample(key, 400, noise=0.01)
    model = tj.mlp(task, depth=3, width=22)
    params = model.init(key)
    planted = tj.plant(target, params)
    problem = tj.make_problem(task, model, planted.params, batch)
    seeker = tj.get_seeker("snip", strategy="multishot", scope="global", rounds=2, round_epochs=1)
    found = seeker(key, problem, density)
    mask = tj.select(found.scores, problem.ticket_density, scope="global")
    trial = tj.make_trial(task, model, seeker, samples=200, epochs=1)
    records = jax.jit(jax.vmap(trial, (0, None)))(
        jax.random.split(key, 2), tj.Point(density=0.3, noise=0.01)
    )

    assert isinstance(batch, tj.Batch)
    assert batch.x.shape == (400, 2)
    assert batch.y.shape == (400,)
    assert np.issubdtype(batch.y.dtype, np.integer)
    shapes = {name: (layer["kernel"].shape, layer["bias"].shape) for name, layer in params.items()}
    assert shapes == {"layer_0": ((2, 22), (22,)), "layer_1": ((22, 4), (4,))}
    assert jax.tree.structure(params) == jax.tree.structure(target)
    assert isinstance(planted, tj.Planted)
    bare = oracle.outputs(oracle.layers_of(target), batch.x)
    kept = jax.tree.map(lambda p, m: p * m, planted.params, planted.mask)
    np.testing.assert_allclose(
        model.apply(kept, batch.x) * planted.output_scale, bare, atol=1e-5 * np.abs(bare).max()
    )
    assert isinstance(problem, tj.Problem)
    assert isinstance(found, tj.Found)
    ticket_size = sum(int(np.count_nonzero(leaf)) for leaf in jax.tree.leaves(target))
    for chosen in (found.mask, mask):
        assert sum(int(leaf.sum()) for leaf in jax.tree.leaves(chosen)) == ticket_size
    assert isinstance(records, tj.Record)
    assert records.weak_metric.shape == (2,)
    assert records.layer_kept.shape == (2, 2)
    assert np.all((records.weak_metric > 0.2) & (records.weak_metric <= 1))
    np.testing.assert_allclose(records.kept, round(0.3 * 158) / 158, rtol=1e-6)


def own_score(key, problem, params, mask):
    return jax.tree.map(lambda p: p * p, params)


def own_seeker(key, problem, density):
    return tj.get_seeker("magnitude")(key, problem, density)


def test_a_sweep_takes_names_scores_and_seekers_and_its_records_are_read_back(tmp_path):
    fields = {
        "task": "relu",
        "depth": 3,
        "width": 6,
        "seekers": ("magnitude", own_score, own_seeker),
        "densities": ("ticket", 0.5),
        "noise": (0.0, 0.1),
        "seeds": 2,
        "samples": 100,
        "epochs": 1,
    }
    records = tj.sweep(**fields)
    assert records.num_rows == 3 * 2 * 2 * 2
    by_seeker = {name: [] for name in ("magnitude", "own_score", "own_seeker")}
    order = [(name, "ascending") for name in ("noise", "seed", "density")]
    for row in records.sort_by(order).to_pylist():
        by_seeker[row["seeker"]].append([row[name] for name in ("kept", "strong_metric", "recall")])
    np.testing.assert_allclose(by_seeker["own_score"], by_seeker["magnitude"], rtol=1e-5)
    np.testing.assert_allclose(by_seeker["own_seeker"], by_seeker["magnitude"], rtol=1e-5)

    store = Store(tmp_path / "results", tj.make_grid(**fields))
    store.write(records)
    again = tj.load_records(tmp_path / "results")
    assert again.schema == records.schema
    order = [(name, "ascending") for name in ("seeker", "noise", "seed", "density")]
    assert again.sort_by(order).equals(records.sort_by(order))


def test_the_registries_list_the_documented_names():
    assert {"relu", "circle", "helix"} <= set(tj.TASKS)
    assert {"random", "magnitude", "snip", "grasp", "synflow"} <= set(tj.SEEKERS)
    assert all(hasattr(tj, name) for name in tj.__all__)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_seeker_never_sees_the_planted_mask(kind):
    task = tj.get_task({"regression": "relu", "classification": "circle"}[kind])
    model = tj.mlp(task, depth=3, width=22)
    shown = jax.eval_shape(
        lambda key: tj.make_problem(task, model, model.init(key), task.sample(key, 10, noise=0.0)),
        KEY,
    )
    assert shown.kind == kind
    # Only the parameters and the data are traced.
    seen = jax.tree.leaves((shown.params, shown.batch))
    assert len(jax.tree.leaves(shown)) == len(seen)
    assert not any(leaf.dtype == bool for leaf in seen)
