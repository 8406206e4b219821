"""The programs of docs/programs.md, each run unchanged."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import ticketjax as tj
from ticketjax.runs.programs import run_key
from ticketjax.runs.setting import Setting
from ticketjax.sharing import instances

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "programs.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def save_instance(path):
    """Write the files of the command `plant`, for a small network."""
    task = tj.get_task("relu")
    setting = Setting(task, tj.mlp(task, 3, 8), samples=200)
    instance = jax.device_get(tj.make_instance(setting, run_key(np.uint32(0)), 0.01))
    description = instances.Description("relu", task.kind, 3, 8, 0, 0.01)
    answer = instances.answer_tree(instance, setting.target)
    instances.save_instance(path, description, instances.instance_tree(instance), answer, {})


# These run in separate processes. Some train for long, which the tests' XLA flags for fast
# compilation would prolong; the last one compiles for long.
TRAIN = (
    "random_teacher",
    "def root(",
    "Net(nn.Module)",
    "momentum=0.9",
    "tj.Task(",
    "nnx.Module",
    "nn.LayerNorm",
    "def largest_gradient",
)
COMPILES = "progress=True"


def is_long(program):
    return any(text in program for text in (*TRAIN, COMPILES))


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=pytest.mark.long if is_long(program) else ())
        for number, program in enumerate(BLOCKS)
    ],
)
def test_a_program_runs_as_it_stands(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = BLOCKS[number]
    if is_long(program):
        (tmp_path / "program.py").write_text(program)
        run_alone(tmp_path / "program.py", fast=COMPILES in program)
        return
    if "load_instance" in program:
        save_instance("instance.safetensors")
    names = {"__name__": "__main__"}
    # JAX's default; the other tests forbid rank promotion.
    with jax.numpy_rank_promotion("allow"):
        exec(compile(program, f"{PAGE.name}, program {number}", "exec"), names)
    if "records" in names:
        records = names["records"].to_pylist()
        assert records and all(row["within_budget"] for row in records)
        # Every network contains the ticket, with the quality of the bare ticket.
        for row in records:
            assert row["planted_metric"] == pytest.approx(row["ticket_metric"], abs=2e-3, rel=1e-2)


def run_alone(path, fast):
    """Run a program like a user, in a separate process; compiled fast, or as usual."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    del environment["XLA_FLAGS"]
    if fast:
        environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    subprocess.run([sys.executable, path], cwd=path.parent, env=environment, check=True)
