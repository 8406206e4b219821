"""Print the measurements of small runs as JSON, to compare with and without JAX_ENABLE_X64."""

import json

import jax
import jax.numpy as jnp
import numpy as np

import ticketjax as tj
from tests.test_conformance import PAIRS, problem, seeker_of

GRID = {
    "task": "circle",
    "depth": 3,
    "width": 22,
    "seekers": ("snip", "erk"),
    "densities": 0.5,
    "noise": 0.1,
    "seeds": 1,
    "samples": 100,
    "epochs": 1,
}
# One for each kind of search; for the others, tracing is enough.
RUN = (
    ("concrete", "plain"),
    ("path_pursuit", "plain"),
)


def swept():
    columns = tj.sweep(**GRID).to_pydict()
    return {name: values for name, values in columns.items() if not isinstance(values[0], str)}


def sought():
    """The parameters that seekers keep."""
    key, kept = jax.random.key(0), {}
    for name, strategy in PAIRS:
        seeker = seeker_of(name, strategy, "global")
        if jax.config.jax_enable_x64:
            shapes = jax.eval_shape(seeker, key, problem(), np.float32(0.5))
            types = {leaf.dtype for leaf in jax.tree.leaves(shapes.scores)}
            assert types == {jnp.dtype(jnp.float32)}
        if (name, strategy) in RUN:
            found = jax.jit(seeker)(key, problem(), np.float32(0.5))
            flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found.mask)])
            kept[f"{name} {strategy}"] = np.flatnonzero(flat).tolist()
    return kept


def planted():
    """The places of tickets, and the sizes of planted parameters."""
    task = tj.get_task("helix")
    params = tj.mlp(task, depth=4, width=40).init(jax.random.key(1))
    found = {}
    for match in ("cosine", "hidden"):
        planted = tj.plant(task.ticket(depth=4), params, match=match)
        leaves = jax.tree.leaves((planted.params, planted.output_scale))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}
        found[match] = [float(jnp.sum(leaf)) for leaf in leaves]
        found[f"{match} at"] = [np.flatnonzero(m).tolist() for m in jax.tree.leaves(planted.mask)]
    return found


def one_trial():
    task = tj.get_task("helix")
    trial = tj.make_trial(task, tj.mlp(task, 3, 40), "synflow", samples=100, epochs=1)
    record = jax.jit(trial)(jax.random.key(2), tj.Point(0.1, 0.01))
    return jax.tree.map(lambda value: np.asarray(value).tolist(), record._asdict())


def records():
    """Numbers by name, nested as they come."""
    return {part.__name__: part() for part in (swept, sought, planted, one_trial)}


if __name__ == "__main__":
    print(json.dumps(records()))
