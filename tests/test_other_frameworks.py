"""The page for users of other frameworks, with all its steps carried out."""

import os
import pathlib
import re
import shutil

import numpy as np
import pytest

from tests import processes
from tests.test_sealed_suite import GROUPS, SECRET
from ticketjax import mlp
from ticketjax.commands.plant_sealed import plant_sealed
from ticketjax.sharing import interop, sealed, trees
from ticketjax.tasks.network import network_task

torch = pytest.importorskip("torch")

SUITE_PAGE = pathlib.Path(__file__).parents[1] / "docs" / "sealed_suite.md"
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "other_frameworks.md"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page=PAGE):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_the_page_runs_as_it_stands(tmp_path):
    # One session, because later lines of Python use results of earlier ones.
    python = {}
    printed = []
    for language, text in blocks():
        if language == "sh":
            for line in text.splitlines():
                command = line.split()
                assert command[0] == "python"
                level = "--xla_backend_optimization_level=0"
                result = processes.python(*command[1:], directory=tmp_path, XLA_FLAGS=level)
                assert result.returncode == 0, result.stderr
                printed.append(result.stdout)
            if len(printed) == 1:
                # The directory of instances that the page goes on with has this one.
                (tmp_path / "suite").mkdir()
                for path in tmp_path.glob("instance*.safetensors"):
                    shutil.copy(path, tmp_path / "suite")
        elif language == "python":
            here = os.getcwd()
            os.chdir(tmp_path)
            try:
                exec(compile(text, str(PAGE), "exec"), python)
            finally:
                os.chdir(here)
        elif language == "text":
            assert text in printed[-1]
    # Plant, score; seek and score a directory; plant a user's own network.
    assert len(printed) == 5

    own, _ = trees.load_tree(tmp_path / "own.safetensors")
    answer, _ = trees.load_tree(tmp_path / "own.answer.safetensors")
    x = torch.from_numpy(own["train"]["x"])
    y = x
    for i, name in enumerate(("layer_0", "layer_1", "layer_2")):
        layer, mask = own["params"][name], answer["mask"][name]
        kernel, bias = (torch.from_numpy(layer[part] * mask[part]) for part in ("kernel", "bias"))
        y = (torch.relu(y) if i else y) @ kernel + bias
    expected = python["target"](x).detach().numpy()
    np.testing.assert_allclose(y.numpy() * answer["output_scale"], expected, atol=1e-5)
    np.testing.assert_allclose(own["train"]["y"], expected, atol=0.06)  # six deviations


def test_a_state_dict_in_memory_is_the_same_function_and_goes_back():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2, bias=False)
    )
    params = interop.from_state_dict(network.state_dict())
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    expected = network(torch.from_numpy(x)).detach().numpy()
    task = network_task(params)
    ours = mlp(task, depth=3, width=5).apply(params, x)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    back = interop.to_state_dict(params, ["0", "2"])
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(back[name], tensor.numpy())
    half = interop.from_state_dict(network.to(torch.bfloat16).state_dict())
    np.testing.assert_allclose(half["layer_0"]["kernel"], params["layer_0"]["kernel"], rtol=0.01)


def test_a_sealed_suite_goes_through_prune_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plant_sealed(SECRET, tmp_path / "suite", GROUPS) == 0
    (program,) = (text for language, text in blocks(SUITE_PAGE) if language == "python")
    exec(compile(program, str(SUITE_PAGE), "exec"), {})
    for path in sorted((tmp_path / "suite" / "instances").glob("*.safetensors")):
        opened = sealed.read_open(path)
        params = opened.tree["params"]
        mask = interop.load_mask(tmp_path / "masks" / path.name, params)
        sizes, kept = (
            np.concatenate(
                [np.abs(tree[name][part]).ravel() for name in params for part in params[name]]
            )
            for tree in (params, mask)
        )
        assert kept.sum() == opened.budget
        assert sizes[kept].min() >= sizes[~kept].max()
        # The file is a whole state_dict: kept values are those of the network.
        state, _ = trees.load_tree(tmp_path / "masks" / path.name)
        pruned = interop.from_state_dict(trees.flatten(state))
        for name, layer in params.items():
            for part, leaf in layer.items():
                np.testing.assert_array_equal(pruned[name][part], leaf * mask[name][part])
