"""The theory command, started like by a user, and its figure."""

import os

import numpy as np
import pytest

from tests.processes import python
from ticketjax import theory
from ticketjax.figures import Bound, draw_bounds
from ticketjax.tasks import get_task


def command(*flags, directory):
    return python("-W", "error", "-m", "experiments.theory", *flags, directory=directory)


@pytest.mark.long
def test_output_holds_what_the_library_computes(tmp_path):
    flags = ["--task=relu,circle", "--width=100,1e30", "--eps=0.2", "--delta=0.05", "--out=out"]
    result = command(*flags, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    relu, circle = result.stdout.split("\n\n")[:2]
    for text, task in ((relu, "relu"), (circle, "circle")):
        target, factor = theory.normalise(get_task(task).ticket(5))
        eps = 0.2 / factor
        chance = theory.existence_probability(target, 100, eps)
        assert f"chance, at least: {chance:.3g} at 100" in text
        required = theory.required_width(target, eps, 0.05)
        digits = str(required.width) if task == "relu" else f"10^{required.log10_width:.1f}"
        rows = {line.split()[0]: line.split() for line in text.splitlines()}
        assert rows["spectral"][1] == digits
        for bound in theory.layer_bounds(target, 100, eps, 0.05):
            row = rows[str(bound.layer)]
            assert row[1:4] == [str(n) for n in (bound.neurons, bound.in_degree, bound.parameters)]
            assert float(row[5]) == pytest.approx(bound.tolerance, rel=0.05)
    assert circle.count("this form fails") == 2 and "this form fails" not in relu
    assert (tmp_path / "out" / "theory.txt").read_text().strip() in result.stdout
    assert (tmp_path / "out" / "theory.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--eps=0", "--eps=0.0: must be from 1e-50 to 1000"),
        ("--eps=nan", "--eps=nan: must be from 1e-50"),
        ("--delta=1", "--delta=1.0: must be between 0 and 1"),
        ("--width=10,1e1001", "--width=10,1e1001: widths must be whole numbers from 1 to 1E+1000"),
        ("--width=nan", "--width=nan: widths must be"),
        ("--width=1.5", "--width=1.5: widths must be"),
        ("--width=", "--width: at least one is needed"),
        ("--norm=max", "--norm=max"),
        ("--task=cirle", "did you mean 'circle'"),
        ("--depth=2", "--depth=2: "),
    ],
)
def test_bad_flags_are_refused_in_one_line(flag, message, tmp_path, forks):
    result = forks.command("theory", flag, directory=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_figure_of_one_task_and_of_widths_near_one(tmp_path):
    widths = np.linspace(0, 2, 5)
    curves = [
        Bound("relu", start, widths, np.array([0, 0, 0.5, 1, 1]), required)
        for start, required in (("uniform", 0.0), ("normal", 1.3))
    ]
    draw_bounds(curves, tmp_path / "bounds.png", delta=0.1, landmarks={"far": 80, "near": 1})
    assert (tmp_path / "bounds.png").read_bytes()[:4] == b"\x89PNG"
