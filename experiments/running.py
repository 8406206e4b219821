"""Run a grid into a results directory, with a progress bar, from where it was left."""

import pyarrow as pa
from tqdm import tqdm

from experiments.flags import FlagError
from ticketjax import store
from ticketjax.sweep import Sweep, run


def make_sweep(**grid) -> Sweep:
    """A grid from flags, or a FlagError that says what cannot be run."""
    try:
        return Sweep(**grid)
    except ValueError as error:
        raise FlagError(str(error)) from None


def run_into(directory: str, sweep: Sweep, label: str) -> pa.Table:
    """Run what is missing of a grid in a directory and return all records of its seeds."""
    try:
        results = store.Store(directory, sweep)
    except (ValueError, OSError) as error:
        raise FlagError(f"--out={directory}: {error}") from None
    done = results.done()
    wanted = {
        (s.setting.task.name, s.depth, s.width, *key)
        for s in sweep.settings()
        for key in sweep.instances
    }
    finished = len(wanted & done) * sweep.runs_per_instance
    with tqdm(total=sweep.runs, initial=finished, unit="run", desc=label, smoothing=0.1) as bar:
        for records in run(sweep, done):
            results.write(records)
            bar.update(records.num_rows)
    return store.load_records(directory)
