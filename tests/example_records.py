"""Records and cases written by hand, for the tests of tables, figures and pages."""

import numpy as np
import pyarrow as pa

from ticketjax.measure.diagnosis import Case
from ticketjax.runs.record import SCHEMA

DEFAULTS = {
    "task": "circle",
    "kind": "classification",
    "model": "mlp",
    "depth": 5,
    "width": 100,
    "seeker": "snip",
    "strategy": "singleshot",
    "scope": "global",
    "rounds": 1,
    "objective": "raw",
    "config": "singleshot(snip)",
    "optimizer": "adam(learning_rate=0.001)",
    "prune_bias": True,
    "sanity": "none",
    "density": 0.1,
    "ticket_density": 0.006,
    "noise": 0.01,
    "collapsed": False,
    "layer_kept": [0.1],
}
MEASURES = [f.name for f in SCHEMA if pa.types.is_float32(f.type)]


def records(values, measure="weak_metric", **columns):
    """One record per value and seed; the other measures are 0.5."""
    rows = [
        {**DEFAULTS, **dict.fromkeys(MEASURES, 0.5), **columns, "seed": seed, measure: value}
        for seed, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def cases():
    measures = {
        "recall": np.array([0.25, 0.5, 1.0, 0.75, 0.5]),
        "strong": np.full(5, 0.5),
        "weak": np.full(5, 0.75),
        "ratio": np.full(5, 2.0),
    }
    started = {"recall": np.array([0.125])}
    return [Case("snip", "all samples", measures), Case("snip", "started", started)]
