"""The notebooks run unchanged in small sizes, and contain their outputs of full size."""

import json
import pathlib

import matplotlib.pyplot as plt
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
NAMES = ("quickstart", "your_own_pruner")
# Replaces the cell tagged "parameters"; the same in both, so that programs are compiled once.
SMALL = {
    "TASK": "relu",
    "DEPTH": 3,
    "WIDTH": 10,
    "SAMPLES": 100,
    "EPOCHS": 1,
    "SEEDS": 2,
    "DENSITIES": ["ticket", 0.2],
}


def code_cells(name):
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_and_in_order(name):
    cells = code_cells(name)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "display_data"}
    assert {output["name"] for output in outputs if "name" in output} == {"stdout"}
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.long
def test_cells_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        own = {"__name__": name}
        for cell in code_cells(name):
            exec(compile("".join(cell["source"]), f"examples/{name}.ipynb", "exec"), own)
            if cell["metadata"].get("tags") == ["parameters"]:
                assert own.keys() >= SMALL.keys()
                own |= SMALL
        assert own["records"].num_rows == 4 * 2 * 2
        assert plt.get_fignums()
        plt.close("all")
    printed = capsys.readouterr().out
    assert "2 of 31 parameters are the ticket" in printed
    assert (tmp_path / "own_pruner.png").exists()
    assert {entry.title for entry in own["entries"]} == {
        "magnitude",
        "snip",
        "wanda",
        "shaken_snip",
    }
    assert all(entry.metrics["relu", "strong"].shape == (2,) for entry in own["entries"])
