"""The page about jaxpruner, if it is installed."""

import pathlib
import re

import jax
import pytest

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "jaxpruner.md"


# Warnings of jaxpruner are ignored.
@pytest.mark.filterwarnings("ignore")
def test_pruners_of_jaxpruner_run_in_a_sweep(monkeypatch):
    # Set by the page; put back afterwards.
    monkeypatch.setattr(jax, "tree_map", jax.tree.map, raising=False)
    pytest.importorskip("jaxpruner")
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    own = {}
    exec(compile(program, str(PAGE), "exec"), own)
    rows = own["records"].to_pylist()
    of = {
        label: [(row["density"], row["recall"]) for row in rows if row["seeker"] == label]
        for label in ("magnitude", "jaxpruner magnitude", "jaxpruner saliency")
    }
    assert of["magnitude"] == of["jaxpruner magnitude"]
    assert len(of["jaxpruner saliency"]) == 4
    assert of["jaxpruner saliency"] != of["magnitude"]
