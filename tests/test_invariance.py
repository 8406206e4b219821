"""A run's record is identical, bit for bit, however its grid is divided and whatever it contains.

Searches that train amplify rounding, so another program would give a different run.
"""

import functools

import jax
import numpy as np
import pytest

from tests.test_sweep import rows
from ticketjax.runs.engine import run
from ticketjax.runs.grid import make_grid
from ticketjax.runs.programs import pick_program

TRAINED = (
    "multishot(magnitude, rounds=2, round_epochs=1)",
    "concrete(epochs=3)",
    "path_pursuit(rounds=2)",
)
GRID = {
    "task": "relu",
    "depth": 3,
    "width": 12,
    "samples": 200,
    "epochs": 2,
    "seekers": ["snip", *TRAINED],
    "densities": (0.2, 0.6),
    "seeds": 5,
}


@functools.cache
def records(devices=1, **fields):
    grid = make_grid(**GRID | fields)
    return rows(run(grid, devices=jax.local_devices()[:devices]))


@pytest.mark.long
@pytest.mark.parametrize("chunk_size", [1, 3, 7])
def test_chunks_change_no_bit(chunk_size):
    assert records(chunk_size=chunk_size) == records()


@pytest.mark.parametrize("devices", [2, pytest.param(3, marks=pytest.mark.long)])
def test_devices_change_no_bit(devices):
    assert records(devices) == records()


def test_company_changes_no_bit():
    alone = records(seekers=TRAINED[1], densities=0.6, seeds=(3,))
    assert len(alone) == 1 and alone.items() <= records().items()
    few = records(seekers=TRAINED[:2], seeds=(4, 1, 2))
    assert len(few) == 12 and few.items() <= records().items()


def test_records_are_of_something_that_trains():
    # Masks of two seeds differ, and so do their metrics.
    for seeker in TRAINED:
        losses = {row["weak_loss"] for key, row in records().items() if seeker in key}
        assert len(losses) >= 5


def test_what_a_batch_needs_is_picked_on_every_device():
    devices = tuple(jax.local_devices()[:2])
    batches = tuple({"a": np.arange(12).reshape(2, 2, 3) + 100 * n} for n in range(3))
    index = np.array([[5, 0, 0], [3, 3, 1]], np.int32)
    picked = pick_program(devices).compiled(batches, index)(batches, index)
    joined = np.concatenate([batch["a"] for batch in batches], axis=1)
    for device in range(2):
        np.testing.assert_array_equal(picked["a"][device], joined[device][index[device]])
