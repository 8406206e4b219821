"""Planted networks as files, and the commands that write and score them."""

import copy
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.example_networks import network
from ticketjax.runs.grid import make_grid
from ticketjax.runs.instance import make_instance
from ticketjax.runs.programs import run_key
from ticketjax.sharing import instances, interop, scoring, trees
from ticketjax.tasks.network import network_task

SUITE = json.loads(pathlib.Path(instances.__file__).with_name("suite_v1.json").read_text())
CPU = pathlib.Path("/proc/cpuinfo")
# Whether the last bits are those of the machine on which the suite was made.
PUBLISHED_HERE = (
    SUITE["versions"]["jax"] == jax.__version__
    and CPU.exists()
    and {"avx2", "fma"} <= set(CPU.read_text().split())
)


def command(module, *flags, directory, xla_flags=""):
    """Run a command like a user, compiled as usual, because the last bits matter."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", f"experiments.{module}", *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, "XLA_FLAGS": xla_flags, "PYTHONPATH": os.getcwd()},
    )


@pytest.fixture
def made():
    """An invented instance: its description, its tree and its answer's tree."""
    rng = np.random.default_rng(0)
    params = network(rng, (2, 5, 4))

    def data(n):
        x = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        return {"x": x, "y": np.arange(n, dtype=np.int32) % 4}

    answer = {
        "mask": jax.tree.map(lambda leaf: leaf > 0, params),
        "target": network(rng, (2, 3, 4)),
        "output_scale": np.float32(2),
    }
    description = instances.Description("circle", "classification", 3, 5, 3, 0.01)
    return description, {"params": params, "train": data(18), "held_out": data(2)}, answer


@pytest.fixture
def written(made, tmp_path):
    description, instance, answer = made
    path = tmp_path / "instance.safetensors"
    instances.save_instance(path, description, instance, answer, {"jax": "0"})
    return path


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_files_give_back_what_was_written(made, written):
    description, instance, answer = made
    read, tree = instances.read_instance(written)
    assert read == description
    same(tree, instance)
    same(instances.read_answer(instances.answer_path(written), read, tree), answer)
    for name in ("a.pt", "a.answer.safetensors"):
        with pytest.raises(ValueError, match="must end with .safetensors"):
            instances.answer_path(name)


def test_trees_give_back_the_instance_of_a_sweep():
    fields = {"task": "relu", "depth": 3, "width": 8, "samples": 100, "epochs": 2, "tickets": 2}
    (named,) = make_grid(**fields, seeds=[3], seekers="random", densities="ticket").settings()
    draw = jax.jit(lambda seed: make_instance(named.setting, run_key(seed), np.float32(0.01)))
    instance = jax.device_get(draw(np.uint32(3)))
    trees = instances.instance_tree(instance), instances.answer_tree(instance, named.setting.target)
    description = instances.Description("relu", "regression", 3, 8, 3, 0.01, tickets=2)
    setting, rebuilt = scoring.rebuild(description, *trees, epochs=2)
    for name, value in instance._asdict().items():
        a, b = jax.tree.leaves(value), jax.tree.leaves(getattr(rebuilt, name))
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(y, x, rtol=0 if x.size > 1 else 1e-5, err_msg=name)
    assert setting.ticket_density == named.setting.ticket_density
    theirs = {"task": named.setting.task, "model": named.setting.model}
    assert dataclasses.replace(setting, **theirs) == named.setting


def test_content_hash_is_what_its_description_says():
    tree = {"b": {"c": np.array([[1, 2]], ">i4")}, "a": np.array([True]), "b2": np.float32(0.5)}
    lines = b"a bool 1\n\x01" + b"b.c int32 1,2\n" + bytes([1, 0, 0, 0, 2, 0, 0, 0])
    lines += b"b2 float32 \n" + b"\x00\x00\x00\x3f"
    assert instances.content_hash(tree) == hashlib.sha256(lines).hexdigest()


def test_verdicts_tell_rounding_from_another_ticket(made):
    _, instance, answer = made
    known = instances.fingerprint(instance, answer)
    assert instances.compare(instance, answer, known) == "identical"
    last_bits = jax.tree.map(
        lambda x: np.nextafter(x, np.float32(9)) if x.dtype == np.float32 else x, instance
    )
    assert instances.compare(last_bits, answer, known) == "rounding"
    moved = copy.deepcopy(answer)
    moved["mask"]["layer_0"]["bias"] = ~moved["mask"]["layer_0"]["bias"]
    assert instances.compare(instance, moved, known) == "different"
    other = copy.deepcopy(instance)
    other["params"]["layer_0"]["kernel"] = other["params"]["layer_0"]["kernel"][:, ::-1]
    assert instances.compare(other, answer, known) == "different"


def rewritten(path, tree=None, **metadata):
    """Change some content or metadata of a file, and correct its hash."""
    old, texts = trees.load_tree(path)
    tree = old if tree is None else tree(old)
    texts = texts | {"sha256": instances.content_hash(tree)} | metadata
    trees.save_tree(path, tree, {name: text for name, text in texts.items() if text})


def replaced(name, value):
    def change(tree):
        flat = trees.flatten(tree) | {name: value}
        return trees.unflatten({k: v for k, v in flat.items() if v is not None})

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "else"}, "its format is 'else', expected 'ticketjax-instance-1'"),
        ({"sha256": "0"}, "its content is not what its sha256 says"),
        ({"depth": "1000000000"}, "no instance of depth 1000000000"),
        ({"depth": "1"}, "no instance of depth 1"),
        ({"depth": "5.5"}, "depth must be int in the metadata, got '5.5'"),
        ({"depth": ""}, "the metadata have no depth"),
        ({"prune_bias": "1"}, "prune_bias must be bool"),
        ({"width": "0"}, "params.layer_0.bias must be of the width, 0"),
        ({"width": "9" * 21}, "params.layer_0.bias must be of the width, 9"),
        ({"kind": "else"}, "kind must be regression or classification"),
        ({"kind": "regression"}, "train.y is int32"),
        ({"seed": "-1"}, "seed must be in 0"),
        (
            {"tree": replaced("params.layer_1.kernel", np.ones((6, 4)))},
            r"expected float32 \(5, 4\)",
        ),
        ({"tree": replaced("train.x", None)}, "train.x is missing"),
        ({"tree": replaced("train.z", np.zeros(1))}, "has an unexpected train.z"),
        ({"tree": replaced("train.y", np.zeros(7, np.int32))}, "train.y is int32"),
    ],
)
def test_what_is_no_instance_is_refused(change, message, written):
    rewritten(written, **change)
    with pytest.raises(ValueError, match=message) as error:
        instances.read_instance(written)
    assert str(written) in str(error.value)


@pytest.mark.parametrize(
    ("part", "name", "value", "message"),
    [
        (0, "train.y", np.full(18, 4, np.int32), "train.y must be classes 0 to 3"),
        (0, "held_out.x", np.full((2, 2), np.nan, np.float32), "held_out.x has values that are"),
        (1, "target.layer_1.kernel", np.ones((2, 4)), "has 2 inputs, the layer before it"),
        (1, "target.layer_2.kernel", np.ones((4, 4)), "does not have the instance's depth"),
    ],
)
def test_values_that_make_no_instance_are_refused(part, name, value, message, made):
    description, *trees = made
    trees[part] = replaced(name, value)(trees[part])
    with pytest.raises(ValueError, match=message):
        scoring.rebuild(description, *trees)


def test_the_answer_to_another_instance_is_refused(made, written):
    description, instance, _ = made
    path = instances.answer_path(written)
    other = replaced("params.layer_0.bias", np.zeros(5, np.float32))(instance)
    with pytest.raises(ValueError, match="its instance_sha256 is"):
        instances.read_answer(path, description, other)
    rewritten(path, replaced("mask.layer_0.bias", np.zeros(5, np.float32)))
    with pytest.raises(ValueError, match=r"mask.layer_0.bias is float32 \(5,\), expected bool"):
        instances.read_answer(path, description, instance)
    rewritten(path, lambda tree: tree | {"target": np.zeros(1)})
    with pytest.raises(ValueError, match="the target is missing"):
        instances.read_answer(path, description, instance)
    with pytest.raises(ValueError, match="its format is"):
        instances.read_answer(written, description, instance)


def test_a_network_of_ones_own_is_a_task():
    target = {
        "layer_0": {"kernel": np.eye(2, dtype=np.float32), "bias": np.zeros(2, np.float32)},
        "layer_1": {"kernel": np.array([[1.0], [-1]], np.float32), "bias": np.ones(1, np.float32)},
    }
    key = jax.random.key(0)
    task = network_task(target)
    batch = task.sample(key, 2000, noise=0.0)
    x = np.asarray(batch.x)
    expected = np.maximum(x[:, :1], 0) - np.maximum(x[:, 1:], 0) + 1
    np.testing.assert_allclose(batch.y, expected, atol=1e-6)
    noisy = task.sample(key, 2000, noise=0.5)
    assert np.std(noisy.y - batch.y) == pytest.approx(0.5, rel=0.05)
    with pytest.raises(ValueError, match="depth must be the network's own, 3, got 4"):
        task.ticket(4)

    target["layer_1"]["kernel"] = np.array([[1, 0], [0, 1]], np.float32)
    target["layer_1"]["bias"] = np.zeros(2, np.float32)
    task = network_task(target, "classification")
    batch = task.sample(key, 2000, noise=0.0)
    x = np.maximum(np.asarray(batch.x), 0)
    np.testing.assert_array_equal(batch.y, np.argmax(x, axis=1))
    moved = np.mean(task.sample(key, 2000, noise=0.5).y != batch.y)
    assert moved == pytest.approx(0.25, abs=0.04)  # half of the new labels are the old ones
    with pytest.raises(ValueError, match="noise must be in"):
        task.sample(key, 1, noise=1.5)
    with pytest.raises(ValueError, match="kind must be"):
        network_task(target, "else")


def test_help_imports_no_jax(tmp_path):
    for module in ("plant", "score"):
        script = (
            "import runpy, sys; sys.argv = ['x', '--help']\n"
            f"try: runpy.run_module('experiments.{module}', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "assert 'jax' not in sys.modules"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert "safetensors" in result.stdout


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        ("plant", ["--suite=v1", "--depth=4"], "--depth: --suite=v1 says it"),
        ("plant", ["--suite=v1"], "--out: a suite needs a directory"),
        ("plant", ["--suite=v3"], "--suite=v3"),
        ("score", ["--mask=m.safetensors"], "--instance: a file must be given"),
    ],
)
def test_bad_flags_are_refused_in_one_line(module, flags, message, tmp_path):
    result = command(module, *flags, directory=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_plant_and_score(tmp_path):
    flags = ["--task=relu", "--depth=3", "--out=new/instance.safetensors"]
    result = command("plant", *flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    path = tmp_path / "new" / "instance.safetensors"
    description, instance = instances.read_instance(path)
    answer = instances.read_answer(instances.answer_path(path), description, instance)
    known = instances.Fingerprint(**SUITE["instances"]["relu-depth3-seed0"])
    here = instances.fingerprint(instance, answer)
    if PUBLISHED_HERE:
        assert instances.compare(instance, answer, known) != "different"
    # On any machine, the data are those of the suite, and the ticket is where the answer says.
    np.testing.assert_allclose(here.sums[1:], known.sums[1:], atol=1e-4)
    kept = jax.tree.map(np.multiply, instance["params"], answer["mask"])
    x = instance["train"]["x"]
    for layer in kept.values():
        y = x @ layer["kernel"] + layer["bias"]
        x = np.maximum(y, 0)
    hidden = instance["train"]["x"] @ answer["target"]["layer_0"]["kernel"]
    target = np.maximum(hidden, 0) @ answer["target"]["layer_1"]["kernel"]
    np.testing.assert_allclose(y * answer["output_scale"], target, atol=1e-5)

    mask = trees.unflatten(interop.to_state_dict(answer["mask"]))
    trees.save_tree(tmp_path / "mask.safetensors", mask)
    flags = [f"--instance={path}", "--mask=mask.safetensors", "--epochs=1", "--json"]
    fast = "--xla_backend_optimization_level=0"
    result = command("score", *flags, directory=tmp_path, xla_flags=fast)
    assert result.returncode == 0, result.stderr
    scored = json.loads(result.stdout)
    assert (scored["task"], scored["seed"], scored["epochs"]) == ("relu", 0, 1)
    assert scored["precision"] == scored["recall"] == 1
    assert scored["strong_metric"] == pytest.approx(scored["ticket_metric"], rel=1e-3)
    assert scored["functionally_recovered"] and scored["log10_paths"] == 0
    assert scored["kept"] == pytest.approx(2 / (100 + 100 + 100 + 1))


# The draws are invented: only their use is tested.
SUITE_OF_THREE = """
import dataclasses, json, pathlib, sys
from ticketjax.commands import plant
from ticketjax.sharing import instances

description, instance = instances.read_instance(sys.argv[1])
answer = instances.read_answer(instances.answer_path(sys.argv[1]), description, instance)

def drawn(grid):
    for seed in range(3):
        yield dataclasses.replace(description, seed=seed), instance, answer

plant._drawn = drawn
directory = pathlib.Path("suite")
print("status", plant.write_suite(json.loads(sys.argv[2]), directory))
# What was made here, taken as the published one.
print("status", plant.write_suite(json.loads((directory / "suite.json").read_text()), directory))
"""


def test_a_suite_is_compared_with_the_published_one(made, written, tmp_path):
    known = instances.fingerprint(*made[1:])._asdict()
    published = {
        "name": "small",
        "grid": {"task": "circle", "depth": 3, "width": 40, "seeds": 3},
        "instances": {"circle-depth3-seed0": known, "circle-depth3-seed2": known | {"answer": ""}},
    }

    result = subprocess.run(
        [sys.executable, "-c", SUITE_OF_THREE, str(written), json.dumps(published)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert result.returncode == 0, result.stderr
    first_words = [line.split()[0] for line in result.stdout.splitlines()]
    assert first_words == ["small:", "1", "1", "1", "status", "small:", "3", "0", "0", "status"]
    assert [line for line in result.stdout.splitlines() if "status" in line] == [
        "status 1",
        "status 0",
    ]
    for seed in range(3):
        path = tmp_path / "suite" / f"circle-depth3-seed{seed}.safetensors"
        description, instance = instances.read_instance(path)
        assert description == dataclasses.replace(made[0], seed=seed)
        same(instances.read_answer(instances.answer_path(path), description, instance), made[2])
    here = json.loads((tmp_path / "suite" / "suite.json").read_text())
    assert here["grid"] == published["grid"]
    assert list(here["instances"].values()) == [json.loads(json.dumps(known))] * 3
