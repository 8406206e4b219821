"""What figures show: bands, cells, cases."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from tests.example_records import cases, records
from ticketjax.figures import compute, diagnosis, phases, quality, rounds, style


@pytest.fixture
def canvases(monkeypatch):
    """The figures that were drawn, instead of their files."""
    drawn = []
    for module in (compute, diagnosis, phases, quality, rounds):
        monkeypatch.setattr(module, "save", lambda canvas, path: drawn.append(canvas))
    return drawn


def texts(artists):
    return [artist.get_text() for artist in artists]


def curves_of(axes):
    """The curves of one plot by their label, as (x, y)."""
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
        if not line.get_label().startswith("_") and line.get_label() != "bare ticket"
    }


@pytest.mark.parametrize(
    ("values", "bands"),
    [([0.5], 0), ([0.25, 0.5, 1.0], 1), ([0.25, 0.5, 1.0, 0.75, 0.5], 2)],
)
def test_figure_shows_its_bands_and_says_what_they_are(values, bands, canvases):
    table = pa.concat_tables(
        [
            records(values, task=task, density=density)
            for task in ("circle", "relu")
            for density in (0.006, 0.1)
        ]
    )
    panels = [quality.Panel("weak", {"task": task}) for task in ("circle", "relu")]
    quality.draw_quality(table, panels, "figure.png")
    (canvas,) = canvases
    shown = list(quality.BANDS)[2 - bands :]
    assert texts(canvas.legends[0].get_texts()) == ["SNIP", "bare ticket", *shown]
    mean = pytest.approx(np.mean(values))
    for axes, task in zip(canvas.axes, ("Circle", "ReLU"), strict=True):
        assert axes.get_title(loc="left") == f"{task}, after training (weak)"
        assert curves_of(axes) == {"SNIP": ([0.006, 0.1], [mean, mean])}
        heights = [band.get_datalim(axes.transData).intervaly for band in axes.collections]
        assert len(heights) == 2
        assert heights[1].tolist() == [min(values), max(values)]
        # Fewer than five values have no interval.
        expected = [0.246, 0.954] if bands == 2 else [math.inf, -math.inf]
        assert heights[0].tolist() == pytest.approx(expected, abs=1e-3)


def test_shares_of_seeds_that_found_a_ticket_stand_below_strong_panels(canvases):
    table = pa.concat_tables(
        [records([0.5] * 3, density=0.1), records([0.5] * 7, density=0.006, found=True)]
        + [records([0.5] * 18, density=0.006, found=False)]
    )
    panels = [quality.Panel(name, {"task": "circle"}) for name in ("strong", "weak")]
    quality.draw_quality(table, panels, "figure.png")
    *plots, strip = canvases[0].axes
    assert [axes.get_title(loc="left")[8:] for axes in plots] == [
        "before training (strong)",
        "after training (weak)",
    ]
    (points,) = strip.lines
    # If records do not contain it, there is no point.
    np.testing.assert_allclose(points.get_xydata(), [[0.006, 7 / 25]])
    (segments,) = (bars.get_segments() for bars in strip.collections)
    np.testing.assert_allclose(segments[0][:, 1], [0.1428, 0.4758], atol=1e-4)
    assert strip.get_ylabel() == "found" and strip.get_xlabel() == "density"


@pytest.mark.parametrize(
    ("kind", "label", "scale"),
    [("classification", "accuracy", "linear"), ("regression", "mean squared error", "log")],
)
def test_the_kind_of_the_records_decides_what_the_axes_show(kind, label, scale, canvases):
    table = records([0.25, 0.75], task="my_task", kind=kind, model="my_net", ticket_metric=0.9)
    where = {"task": "my_task", "model": "my_net"}
    quality.draw_quality(table, [quality.Panel("weak", where)], "figure.png")
    phases.draw_phases(table, {**where, "depth": 5, "noise": 0.01}, "phase.png")
    curves, maps = canvases
    (axes,) = curves.axes
    assert (axes.get_ylabel(), axes.get_yscale()) == (label, scale)
    assert axes.get_title(loc="left") == "my_task, my_net, after training (weak)"
    (bare,) = [line for line in axes.lines if line.get_label() == "bare ticket"]
    assert bare.get_ydata() == pytest.approx([0.9, 0.9])
    assert maps.get_suptitle() == "my_task, my_net, depth 5, noise 0.01: where is the ticket found?"
    measure = "accuracy" if kind == "classification" else "mean sq. error"
    bars = [axes.get_ylabel() for axes in maps.axes if "training" in axes.get_ylabel()]
    assert bars == [f"{measure}\n{when} training" for when in ("before", "after")]


def test_networks_have_panels_of_their_own():
    places = [
        {"task": "circle", "model": model, "depth": 5, "width": 100, "noise": 0.01}
        for model in ("mlp", "my_net")
    ]
    assert [panel.title for panel in quality.panels_of(places)] == [
        "Circle, depth 5, width 100, noise 0.01: strong",
        "Circle, depth 5, width 100, noise 0.01: weak",
        "Circle, my_net, depth 5, width 100, noise 0.01: strong",
        "Circle, my_net, depth 5, width 100, noise 0.01: weak",
    ]
    assert [panel.title for panel in quality.panels_of(places[1:])] == [None, None]


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
def test_phase_has_a_map_per_seeker_and_measure(task, canvases, monkeypatch):
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
    phases.draw_phases(pa.concat_tables(parts), where, "phase.png")
    (canvas,) = canvases
    assert [axes.get_title() for axes in canvas.axes[:2]] == ["SNIP", "GraSP"]
    assert len(drawn) == 2 * 3
    np.testing.assert_allclose(drawn[0], [[0, np.nan], [np.nan, 0.1]], atol=1e-6)
    np.testing.assert_allclose(drawn[1], [[np.nan, 0.2], [0.3, np.nan]], atol=1e-6)
    with pytest.raises(ValueError, match="no record has"):
        phases.draw_phases(parts[0], {**where, "depth": 4}, "none.png")


@pytest.mark.parametrize("accuracy", [True, False])
def test_a_diagnosis_has_a_mark_per_case_and_measure(accuracy, canvases):
    diagnosis.draw_diagnosis(cases(), 0.9, "figure.png", accuracy=accuracy, title="Why?")
    (canvas,) = canvases
    recall, strong, ratio = canvas.axes
    marks = [
        [
            (float(line.get_xdata()[0]), int(line.get_ydata()[0]))
            for line in axes.lines
            if line.get_marker() not in ("None", None)
        ]
        for axes in canvas.axes
    ]
    assert marks[0] == [(pytest.approx(0.6), 0), (0.125, 1)]
    assert marks[1] == [(0.5, 0)]
    # Stored as the decimal logarithm of the ratio.
    assert marks[2] == [(pytest.approx(100), 0)]
    assert texts(recall.get_yticklabels()) == ["SNIP"]
    measure = "accuracy" if accuracy else "mean squared error"
    assert strong.get_xlabel() == f"{measure} before training"
    assert strong.get_xscale() == ("linear" if accuracy else "log")
    assert ratio.get_xscale() == "log"
    assert texts(canvas.legends[0].get_texts()) == ["all samples", "started"]
    assert canvas.get_suptitle() == "Why?"


def in_rounds(**columns):
    """Records of two layers that are pruned in two rounds; the ticket has 0.1 and 0.2 of them."""
    kept = {"layer_kept": [0.25, 0.5], "layer_precision": [0.2, 0.4], "layer_recall": [0.5, 1.0]}
    two = {"rounds": 2, "round_layer_kept": [[0.5, 0.8], [0.25, 0.0]], **kept, **columns}
    # Nothing planted is kept, so this record does not show how much there is.
    nothing = {**two, "density": 0.5, "layer_precision": [0.0, 0.0], "layer_recall": [0.0, 0.0]}
    dead = {"round_first_dead_layer": [-1, 1]}
    return pa.concat_tables([records([0.5], **dead, **two), records([0.5], **dead, **nothing)])


def test_layers_over_the_rounds_by_hand(canvases):
    table = in_rounds(task="my_task", model="my_net")
    (where,) = rounds.lowest_in_rounds(table)
    assert where == {
        **{"task": "my_task", "model": "my_net", "depth": 5, "width": 100, "noise": 0.01},
        "density": 0.1,
    }
    rounds.draw_rounds(table, where, "rounds.png")
    (canvas,) = canvases
    (axes,) = canvas.axes
    assert axes.get_title(loc="left") == "SNIP\n1 of 1 collapse, the first in round 2"
    lines = [line for line in axes.lines if line.get_label() in ("layer 0", "layer 1")]
    first, second = (line.get_ydata().tolist() for line in lines)
    assert first == pytest.approx([1, 0.5, 0.25])
    # An empty layer ends its line.
    assert second[:2] == pytest.approx([1, 0.8]) and math.isnan(second[2])
    ticket = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert ticket == pytest.approx([0.1, 0.2])
    assert texts(canvas.legends[0].get_texts()) == ["layer 0", "layer 1", "planted ticket"]
    assert canvas.get_suptitle().replace("\n", " ") == (
        "my_task, my_net: layer densities over the rounds, down to density 0.1"
    )


def test_what_nothing_is_known_of_the_ticket_is_not_drawn(canvases):
    table = in_rounds(layer_precision=[0.0, 0.0], layer_recall=[0.0, 0.0])
    rounds.draw_rounds(table, *rounds.lowest_in_rounds(table), "rounds.png")
    assert texts(canvases[0].legends[0].get_texts()) == ["layer 0", "layer 1"]
    with pytest.raises(ValueError, match="no record of pruning in rounds"):
        rounds.draw_rounds(table, {"task": "relu"}, "rounds.png")


def test_titles_fit_their_panels(canvases):
    long = "refined(multishot(snip, rounds=3, round_epochs=5), rounds=2000, samples=100)"
    table = pa.concat_tables(
        [records([0.5], seeker=name, width=w) for name in (long, long + "2") for w in (20, 50)]
    )
    phases.draw_phases(table, {"task": "circle", "depth": 5, "noise": 0.01}, "phase.png")
    (canvas,) = canvases
    canvas.draw_without_rendering()
    left, right = (axes.title.get_window_extent() for axes in canvas.axes[:2])
    assert left.x1 < right.x0
    assert 0 <= left.x0 and right.x1 <= canvas.bbox.width


@pytest.mark.parametrize("task", ["circle", "relu"])
@pytest.mark.parametrize("values", [[0.25, math.nan, 1.0], [math.nan] * 3, [math.inf] * 3])
def test_figures_say_which_runs_diverged(task, values, canvases):
    # Warnings are errors here, including those about logarithms and axes without limits.
    kind = "classification" if task == "circle" else "regression"
    broken = records(values, task=task, kind=kind, ticket_metric=values[-1])
    panel = quality.Panel("weak", {"task": task})
    quality.draw_quality(broken, [panel], "quality.png")
    phases.draw_phases(broken, {"task": task, "depth": 5, "noise": 0.01}, "phase.png")
    curves, maps = canvases
    (axes,) = curves.axes
    lost = sum(not math.isfinite(value) for value in values)
    assert texts(axes.texts)[0] == f"{lost} of 3 runs diverged, not drawn"
    ((_, (mean,)),) = curves_of(axes).values()
    assert mean == 0.625 if lost == 1 else math.isnan(mean)
    # A cell without a number has no text.
    recall, _, weak = (texts(one.texts) for one in maps.axes[:3])
    assert recall == [".50"]
    assert weak == ([".62" if task == "circle" else "6e-1"] if lost == 1 else [])


def test_a_figure_is_a_whole_file_or_none(tmp_path):
    canvas = style.plt.figure(figsize=(1, 1))
    for name in ("figure.png", "figure.svg"):
        style.save(canvas, tmp_path / name)
    with pytest.raises(ValueError, match="not supported"):
        style.save(canvas, tmp_path / "figure.xyz")
    style.plt.close(canvas)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    pixels = style.plt.imread(tmp_path / "figure.png")
    assert pixels.shape == (160, 160, 4) and (pixels == 1).all()
    assert "</svg>" in (tmp_path / "figure.svg").read_text()


def curve(title, flops, metric, seconds=1.0):
    return compute.Curve(title, flops, seconds, np.array(metric), np.array([]), np.zeros((0, 0)))


def test_ahead_are_the_seekers_that_no_cheaper_one_comes_near():
    curves = [
        curve("dear and bad", 9.0, [0.5, 0.7]),
        curve("cheap", 1.0, [0.5, 0.3]),
        curve("as cheap and worse", 1.0, [0.41]),
        curve("near", 2.0, [0.37]),  # more than 0.9 times 0.4
        curve("ahead", 3.0, [0.36]),
        curve("cost unknown", math.nan, [0.01]),
        curve("error unknown", 4.0, [math.nan]),
        curve("best", 5.0, [0.1]),
    ]
    assert compute.ahead(curves, "flops", "regression") == ["cheap", "ahead", "best"]
    # All cost one second: only the best is left. Accuracies have the other order.
    assert compute.ahead(curves, "seconds", "regression") == ["cost unknown"]
    assert compute.ahead(curves, "seconds", "classification") == ["dear and bad"]


@pytest.mark.parametrize("count", [compute.MOST_NUMBERED, compute.MOST_NUMBERED + 1])
def test_of_many_seekers_those_ahead_have_numbers_and_the_others_are_dots(count, canvases):
    of_task = [curve(f"seeker {n}", n, [0.5]) for n in range(1, count)]
    of_task.append(curve("best", 100.0, [0.1], seconds=2.0))
    compute.draw_compute({"relu": of_task}, {"relu": 1e-4}, {"relu": "regression"}, "figure.png")
    (canvas,) = canvases
    named = texts(canvas.legends[0].get_texts())
    markers = [[line.get_marker() for line in axes.lines] for axes in canvas.axes]
    if count == compute.MOST_NUMBERED:
        assert named == [each.title for each in of_task]
        assert all("o" not in shown for shown in markers)
    else:
        assert named == ["seeker 1", "best", "11 others, which a cheaper one comes near"]
        assert [shown.count("o") for shown in markers] == [11, 11]
        assert all({"$1$", "$2$"} <= set(shown) for shown in markers)
