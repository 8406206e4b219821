"""What figures show: bands, cells, cases."""

import itertools
import math

import matplotlib
import numpy as np
import pyarrow as pa
import pytest

from tests.example_records import cases, records
from ticketjax.figures import draw_diagnosis, phases, quality


@pytest.mark.parametrize(
    ("values", "bands"), [([0.5], []), ([0.25, 0.5, 1.0], list(quality.BANDS))]
)
def test_figure_shows_its_bands_and_says_what_they_are(values, bands, tmp_path, monkeypatch):
    legends = []
    legend = matplotlib.figure.Figure.legend
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "legend",
        lambda self, *args, **options: (legends.append(args[1]), legend(self, *args, **options))[1],
    )
    table = pa.concat_tables(
        [
            records(values, task=task, density=density)
            for task in ("circle", "relu")
            for density in (0.006, 0.1)
        ]
    )
    panels = [quality.Panel("weak", {"task": task}) for task in ("circle", "relu")]
    quality.draw_quality(table, panels, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert legends == [["SNIP", "bare ticket", *bands]]


@pytest.mark.parametrize("densities", [(0.0008, 0.0064), (0.01, 0.02), (0.006,), (1e-4, 0.01, 1)])
def test_densities_on_the_axis_do_not_run_into_each_other(densities, tmp_path, monkeypatch):
    shown = []

    def look(canvas, path):
        canvas.draw_without_rendering()
        for axes in canvas.axes:
            ticks = axes.xaxis.get_major_ticks() + axes.xaxis.get_minor_ticks()
            labels = [tick.label1 for tick in ticks if tick.label1.get_text()]
            low, high = axes.get_xlim()
            labels = [text for text in labels if low <= text.get_position()[0] <= high]
            shown.append(sorted(text.get_window_extent().intervalx.tolist() for text in labels))

    monkeypatch.setattr(quality, "save", look)
    table = pa.concat_tables([records([0.5], density=density) for density in densities])
    panels = [quality.Panel(name, {"task": "circle"}) for name in ("strong", "weak")]
    quality.draw_quality(table, panels, tmp_path / "figure.png")
    assert len(shown) == 2
    for labels in shown:
        assert len(labels) >= 2
        assert all(left[1] < right[0] for left, right in itertools.pairwise(labels))


def test_cells_of_a_map_by_hand():
    points = [
        {"width": 20, "column": "ticket", "recall_mean": 0.1},
        {"width": 50, "column": 0.5, "recall_mean": 0.9},
        {"width": 50, "column": 0.7, "recall_mean": 0.3},
    ]
    cells = phases._cells(points, "recall_mean", ["ticket", 0.5], [20, 50])
    np.testing.assert_array_equal(cells, [[0.1, np.nan], [np.nan, 0.9]])


@pytest.mark.parametrize("task", ["circle", "relu"])
def test_phase_has_a_map_per_seeker_and_measure(task, tmp_path, monkeypatch):
    drawn = []
    original = phases._draw_heat
    monkeypatch.setattr(
        phases, "_draw_heat", lambda *args: (drawn.append(args[1]), original(*args))[1]
    )
    parts = [
        records([0.25, 0.75], seeker=s, width=w, density=d, task=task, recall=0.1 * n)
        for n, (s, w, d) in enumerate(
            [("snip", 20, 0.006), ("snip", 50, 0.1), ("grasp", 20, 0.1), ("grasp", 50, 0.006)]
        )
    ]
    where = {"task": task, "depth": 5, "noise": 0.01}
    phases.draw_phases(pa.concat_tables(parts), where, tmp_path / "phase.png")
    assert (tmp_path / "phase.png").read_bytes()[:4] == b"\x89PNG"
    assert len(drawn) == 2 * 3
    np.testing.assert_allclose(drawn[0], [[0, np.nan], [np.nan, 0.1]], atol=1e-6)
    np.testing.assert_allclose(drawn[1], [[np.nan, 0.2], [0.3, np.nan]], atol=1e-6)
    with pytest.raises(ValueError, match="no record has"):
        phases.draw_phases(parts[0], {**where, "depth": 4}, tmp_path / "none.png")


@pytest.mark.parametrize("accuracy", [True, False])
def test_a_diagnosis_is_drawn(accuracy, tmp_path):
    draw_diagnosis(cases(), 0.9, tmp_path / "figure.png", accuracy=accuracy, title="Why?")
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("task", ["circle", "relu"])
@pytest.mark.parametrize("values", [[0.25, math.nan, 1.0], [math.nan] * 3, [math.inf] * 3])
def test_figures_are_drawn_where_runs_diverged(task, values, tmp_path):
    # Warnings are errors here, of logarithms and of axes without limits too.
    broken = records(values, task=task, ticket_metric=values[-1])
    panel = quality.Panel("weak", {"task": task})
    quality.draw_quality(broken, [panel], tmp_path / "quality.png")
    phases.draw_phases(broken, {"task": task, "depth": 5, "noise": 0.01}, tmp_path / "phase.png")
    # Nothing else, half-written.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phase.png", "quality.png"]
