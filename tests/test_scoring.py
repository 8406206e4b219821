"""Masks in numbers: instances of one shape in one program, directories, and what is refused."""

import shutil

import jax
import numpy as np
import pytest

from tests.example_networks import network
from tests.spoilt_files import spoilt
from ticketjax.records.store import load_records
from ticketjax.sharing import instances, interop, scoring, trees

SIZES = (2, 6, 4)


def made(seed):
    """Made up, in the form of an instance, with another target for every seed."""
    rng = np.random.default_rng(seed)
    params = network(rng, SIZES)

    def data(n):
        x = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        return {"x": x, "y": rng.integers(0, 4, n).astype(np.int32)}

    answer = {
        "mask": jax.tree.map(lambda leaf: leaf > 0.5, params),
        "target": network(rng, (2, 3, 4)),
        "output_scale": np.float32(1),
    }
    description = instances.Description("rings", "classification", 3, 6, seed, 0.01)
    return description, {"params": params, "train": data(32), "held_out": data(10)}, answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("suite")
    for seed in (0, 1):
        instances.save_instance(directory / f"i{seed}.safetensors", *made(seed), {"jax": "0"})
    return directory


def logits(params, x):
    hidden = np.maximum(x @ params["layer_0"]["kernel"] + params["layer_0"]["bias"], 0)
    return hidden @ params["layer_1"]["kernel"] + params["layer_1"]["bias"]


def test_instances_of_equal_shapes_compile_once_and_are_measured_by_their_own_target(folder):
    loaded = [scoring.load_instance(folder / f"i{seed}.safetensors", epochs=1) for seed in (0, 1)]
    assert loaded[0].alike == loaded[1].alike and loaded[0].setting != loaded[1].setting
    for seed, instance in enumerate(loaded):
        _, tree, answer = made(seed)
        mask = jax.tree.map(lambda leaf: leaf < 0.5, tree["params"])
        entries = scoring.evaluate(instance, mask)
        kept = jax.tree.map(np.multiply, tree["params"], mask)
        held_out = tree["held_out"]
        right = logits(kept, held_out["x"]).argmax(axis=1) == held_out["y"]
        assert entries["strong_metric"] == pytest.approx(right.mean())
        right = logits(answer["target"], held_out["x"]).argmax(axis=1) == held_out["y"]
        assert entries["ticket_metric"] == pytest.approx(right.mean())
        both = jax.tree.map(np.logical_and, mask, answer["mask"])
        shares = [sum(map(np.sum, jax.tree.leaves(m))) for m in (both, answer["mask"])]
        assert entries["recall"] == pytest.approx(shares[0] / shares[1])
    for program in (scoring._measuring, scoring._completing):
        assert program(loaded[0].alike)._cache_size() == 1


@pytest.mark.long
def test_seekers_write_masks_that_score_takes(folder, tmp_path, forks):
    flags = [f"--instance={folder}", "--seekers=magnitude", "--density=0.5", "--out=masks"]
    result = forks.command("seek", *flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    for seed in (0, 1):
        params = made(seed)[1]["params"]
        mask = interop.load_mask(tmp_path / "masks" / "magnitude" / f"i{seed}.safetensors", params)
        sizes = np.concatenate([np.abs(leaf).ravel() for leaf in jax.tree.leaves(params)])
        kept = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(mask)])
        assert kept.sum() == round(0.5 * kept.size)
        assert sizes[kept].min() >= sizes[~kept].max()

    flags = [f"--instance={folder}", "--mask=masks/magnitude", "--epochs=0", "--label=mine"]
    result = forks.command("score", *flags, "--out=results", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "found, as functions: 0 of 2 [0%, 66%]" in result.stdout
    records = load_records(tmp_path / "results").to_pylist()
    assert [(row["seed"], row["seeker"], row["density"]) for row in records] == [
        (seed, "mine", 0.5) for seed in (0, 1)
    ]
    assert all(row["recall"] is not None and row["ticket_density"] > 0 for row in records)
    again = forks.command("score", *flags, "--out=results", directory=tmp_path)
    assert again.returncode == 2
    assert "has records of mine on these instances already" in again.stderr


def without_answers(folder):
    for path in folder.glob("*.answer.safetensors"):
        path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("module", "flags", "change", "message"),
    [
        ("score", ["--mask=masks"], lambda f, m: (m / "i1.safetensors").unlink(), "has none for"),
        (
            "score",
            ["--mask=masks"],
            lambda f, m: shutil.copy(m / "i1.safetensors", m / "i2.safetensors"),
            "is for no instance: i2.safetensors",
        ),
        ("score", ["--mask=masks"], lambda f, m: cut(m / "i1.safetensors"), "i1.safetensors"),
        ("score", ["--mask=masks"], lambda f, m: cut(f / "i1.safetensors"), "--instance"),
        ("score", ["--mask=masks/i0.safetensors"], None, "must be a directory"),
        ("score", ["--mask=masks", "--answer=none"], None, "--answer"),
        ("score", ["--mask=masks", "--out=suite"], None, "contains something other than records"),
        ("score", [], None, "--mask: a file must be given"),
        ("seek", [], lambda f, m: without_answers(f), "--density=ticket: must be a number"),
        ("seek", ["--density=2"], None, "--density=2"),
        ("seek", ["--seekers=snap"], None, "did you mean 'snip'"),
        ("seek", ["--instance=masks/none"], None, "--instance"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    module, flags, change, message, folder, tmp_path, forks
):
    suite, masks = tmp_path / "suite", tmp_path / "masks"
    shutil.copytree(folder, suite)
    masks.mkdir()
    for seed in (0, 1):
        trees.save_tree(masks / f"i{seed}.safetensors", made(seed)[2]["mask"])
    if change:
        change(suite, masks)
    before = sorted(map(str, tmp_path.rglob("*")))
    result = forks.command(module, "--instance=suite", *flags, directory=tmp_path)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize("name", ["i0.safetensors", "i0.answer.safetensors", "mask.safetensors"])
def test_altered_files_are_refused_or_whole(name, folder, tmp_path):
    description, tree, answer = made(0)
    path = tmp_path / name
    if name == "mask.safetensors":
        trees.save_tree(path, answer["mask"])
    else:
        shutil.copy(folder / name, path)
    content, rng = path.read_bytes(), np.random.default_rng(0)

    def read():
        if name == "mask.safetensors":
            mask = interop.load_mask(path, tree["params"])
            return all(leaf.dtype == bool for leaf in jax.tree.leaves(mask))
        if "answer" in name:
            return instances.read_answer(path, description, tree)
        return instances.read_instance(path)

    assert read()
    refused = 0
    for i in range(150):
        path.write_bytes(spoilt(content, i, rng, head=400))
        try:
            read()
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 60
