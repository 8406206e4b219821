"""Pages of results directories (complete, incomplete, damaged, hostile), read with a parser."""

import base64
import hashlib
import math
import re

import pyarrow as pa
import pytest

from tests import example_records
from tests.pages import CONFIGURATION, HOSTILE, Page, directory
from ticketjax.figures import draw_quality, inline_svg
from ticketjax.figures.quality import Panel
from ticketjax.report import find_results, read_results, write_report
from ticketjax.report.drawings import figures_of
from ticketjax.report.notices import notices
from ticketjax.report.page import Section, page

OWN = example_records.DEFAULTS["ticket_density"]


def records(*values, **columns):
    return example_records.records(*values, **{"feasible_recall": 1.0, **columns})


def written(path, command="python -m experiments.singleshot", out=None):
    results = [read_results(found) for found in find_results(path)]
    report = write_report(path, results, [command] * len(results), out or path)
    return report, Page(report.page.read_text())


def said(path):
    return [(notice.text, notice.details) for notice in notices(read_results(path))]


def test_page_holds_all_and_loads_nothing(tmp_path):
    found = directory(
        tmp_path / "grid",
        records([0.25, 0.5, 1.0, 0.75, 0.5], found=True),
        {**CONFIGURATION, "seeds": list(range(5))},
        devices=["cpu:0"],
        machine="Linux",
        versions={"jax": "0.10.2"},
    )
    report, read = written(found)
    assert {path.suffix for path in found.iterdir()} == {"", ".json", ".png", ".txt", ".html"}
    assert "0.600 [0.246, 0.954]" in report.table.read_text()
    # Nothing is loaded: references are to the page itself, data are within it.
    references = [
        value
        for _, attributes in read.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data")
    ]
    assert all(value.startswith(("#", "data:")) for value in references)
    assert read.all("link") == [] and "@import" not in report.page.read_text()
    # The policy allows only this script.
    (script,) = read.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [m["content"] for m in read.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'") and f"script-src 'sha256-{digest}'" in policy
    # Both figures, the table, configuration and environment.
    labels = [svg["aria-label"] for svg in read.all("svg")]
    assert labels == [f"Circle, depth 5, width 100, noise 0.01: {q}" for q in ("strong", "weak")]
    assert {"SNIP"} == {text for text in read.texts["th"] if text == "SNIP"}
    values = [cell["data-value"] for cell in read.all("td")]
    assert [float(value) for value in values[1:4]] == pytest.approx([0.5, 1, 0.6])
    assert "5 of 5" in read.texts["td"] and "[57%, 100%]" in read.texts["small"]
    assert {"0.10.2", "cpu:0", "Linux", "0-4"} <= set(read.texts["dd"])
    assert "python -m experiments.singleshot" in read.texts["pre"]
    assert "All runs of the grid are present, and all losses are finite." in read.texts["li"]


def test_nothing_from_files_becomes_markup(tmp_path):
    names = ("seeker", "config", "model", "strategy")
    hostile = directory(
        tmp_path / "<b>grids" / "<i>one",
        records([0.5, 0.6], task="../../<u>", **dict.fromkeys(names, HOSTILE)),
        {**CONFIGURATION, "task": ["../../<u>"], "strategy": HOSTILE, HOSTILE: HOSTILE},
        machine=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )
    (hostile.parent / "<s>.txt").write_text(HOSTILE)
    (hostile.parent / "a'onerror='.png").write_bytes(b"\x89PNG\r\n\x1a\n" + HOSTILE.encode())
    out = tmp_path / "x" / "y" / "z"
    report, read = written(hostile.parent, HOSTILE, out)
    assert read.all("script") == [{}]
    assert {tag for tag, _ in read.elements} & {"b", "i", "u", "s", "iframe"} == set()
    assert not [a for _, attributes in read.elements for a in attributes if a.startswith("on")]
    assert [image["alt"] for image in read.all("img")] == ["a'onerror='.png"]
    # Names of tasks cannot lead out of the directory.
    assert {path.parent for path in report.figures} == {out}
    assert all(path.exists() for path in report.figures) and len(report.figures) == 1


def test_what_is_missing_twice_or_damaged_is_named(tmp_path):
    table = records([0.25, 0.5, 1.0])
    found = directory(
        tmp_path / "grid",
        pa.concat_tables([table.slice(0, 2), table.slice(1, 1)]),
        {**CONFIGURATION, "seeds": [0, 1, 2, 3, 4, 5, 9], "task": ["circle", "relu"]},
    )
    (found / "parts" / "b.parquet").write_bytes(b"PAR1 no")
    (damaged, _), missing, twice = said(found)
    assert "b.parquet is damaged" in damaged
    assert missing == (
        "12 of 14 runs are missing; the command below computes them.",
        [
            "Circle, depth 5, width 100, noise 0.01: seeds 2-5, 9",
            "ReLU, depth 5, width 100, noise 0.01: seeds 0-5, 9",
        ],
    )
    assert twice[0] == "Repeated records: 1. Means count them more than once."


def test_runs_that_diverged_or_collapsed_are_counted(tmp_path):
    parts = [
        records([0.5, math.nan, 0.5], density=OWN),
        records([0.5, math.inf, 0.5], "weak_loss", collapsed=True),
    ]
    configuration = {**CONFIGURATION, "densities": ["ticket", 0.1]}
    found = directory(tmp_path / "grid", pa.concat_tables(parts), configuration)
    assert said(found) == [
        (
            "2 of 6 runs have a loss or metric that is not finite.",
            ["SNIP: 1 of 3 at the ticket's own density, 1 of 3 at 0.1"],
        ),
        (
            "3 of 6 runs collapsed: no path leads from the input to the output.",
            ["SNIP: 3 of 3 at 0.1"],
        ),
    ]
    section = Section("grid", read_results(found), [], [], None, "")
    cells = [cell["data-value"] for cell in Page(page("grid", [section])).all("td")]
    heads = ["density", "strong", "weak", "ticket", "recall", "precision", "runs", "dead", "lost"]
    own, other = (dict(zip(heads, line, strict=True)) for line in (cells[:9], cells[9:]))
    assert own == {
        **{"density": "0.006", "strong": "0.5", "weak": "0.5", "ticket": "0.5"},
        **{"recall": "0.5", "precision": "0.5", "runs": "3", "dead": "0", "lost": "1"},
    }
    assert (other["weak"], other["dead"], other["lost"]) == ("0.5", "3", "1")


def test_a_mean_of_no_finite_value_is_none(tmp_path):
    found = directory(tmp_path / "grid", records([math.nan, math.inf]), CONFIGURATION)
    section = Section("grid", read_results(found), [], [], None, "")
    cells = Page(page("grid", [section])).all("td")
    assert [cells[i]["data-value"] for i in (1, 2, 6, 8)] == ["0.5", "NaN", "2", "2"]
    assert [cells[i].get("class") for i in (1, 2)] == [None, "wrong"]


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "There is no manifest.json"),
        ("{", "manifest.json cannot be read"),
        ("[]", "manifest.json cannot be read"),
        ('{"configuration": {"task": 3}}', "does not state the requested runs"),
    ],
)
def test_without_a_manifest_records_are_shown_all_the_same(manifest, message, tmp_path):
    found = directory(tmp_path / "grid", records([0.5, 0.6, 0.7]), None)
    if manifest is not None:
        (found / "manifest.json").write_text(manifest)
    ((text, _),) = said(found)
    assert message in text


def test_what_has_only_begun_has_a_page_and_what_is_nothing_is_refused(tmp_path):
    begun = directory(tmp_path / "grid")
    report, read = written(begun)
    assert report.figures == [] and read.all("table") == []
    assert any("There are no records yet." in text for text in read.texts["li"])
    assert "3 of 3 runs are missing" in report.page.read_text()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="contains no results: neither manifest.json nor parts/"):
        find_results(tmp_path / "empty")


def test_several_grids_are_one_page_with_what_lay_beside_them(tmp_path):
    for name in ("second", "first"):
        directory(tmp_path / name)
    (tmp_path / "figure3.txt").write_text("a table")
    (tmp_path / "report.txt").write_text("what a report wrote before")
    _, read = written(tmp_path)
    assert read.texts["a"] == ["first", "second"]
    assert [a["href"] for a in read.all("a")] == [f"#{s['id']}" for s in read.all("section")]
    assert read.texts["span"] == ["0 of 3 runs, warnings: 2"] * 2
    assert read.texts["summary"].count("figure3.txt") == 1 and "a table" in read.texts["pre"]
    assert "report.txt" not in read.texts["summary"]


def test_maps_are_drawn_where_widths_differ_and_layers_where_pruning_went_in_rounds():
    widths = [records([0.5], width=width) for width in (50, 100)]
    rounds = {"rounds": 2, "round_layer_kept": [[0.5] * 4, [0.25] * 4]}
    in_rounds = records([0.5], depth=6, round_first_dead_layer=[-1, 3], **rounds)
    names = [figure.name for figure in figures_of(pa.concat_tables([*widths, in_rounds]))]
    assert names == [
        "quality-circle-depth5-width50-noise0.01",
        "quality-circle-depth5-width100-noise0.01",
        "quality-circle-depth6-width100-noise0.01",
        "phase-circle-depth5-noise0.01",
        "rounds-circle-depth6-width100-noise0.01",
    ]


def test_colours_of_a_themed_figure_are_the_pages_to_change():
    panel = Panel("weak", {"task": "circle"})

    def draw(file):
        # At one density only: its axis must be long enough for separate ticks.
        draw_quality(records([0.25, 0.5], density=OWN), [panel], file)

    svg = inline_svg(draw, "a < b", themed=True)
    # The same twice: the date and the process have no influence.
    assert inline_svg(draw, "a < b", themed=True) == svg
    assert svg.startswith("<svg viewBox=") and 'aria-label="a &lt; b"' in svg
    assert "var(--series-0, #0072B2)" in svg and "var(--ink, #222222)" in svg
    assert "<metadata" not in svg and ">SNIP</text>" in svg
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids)) and {*re.findall(r"(?:url\(|href=\")#([\w-]+)", svg)} == {*ids}
    # For a light background, colours are unchanged; by hand.
    drawn = b'<?xml?><svg id="a" viewBox="0 0 9 9"><path id="b" style="fill: #222222"/></svg>'
    assert inline_svg(lambda file: file.write(drawn), "b", themed=False) == (
        '<svg viewBox="0 0 9 9" role="img" aria-label="b"><path style="fill: #222222"/></svg>'
    )


@pytest.mark.long
def test_runs_of_networks_of_somebodys_own_are_counted(tmp_path):
    # They have their own depth and width, not those of the grid.
    new = {"model": ["mlp", "my_net"], "seekers": {"snip": "singleshot(snip)"}}
    configuration = {**CONFIGURATION, **new, "width": [50, 100]}
    mine = {"model": "my_net", "depth": 9, "width": 7}
    table = pa.concat_tables([records([0.5] * 3, width=50), records([0.5] * 2, **mine)])
    found = directory(tmp_path / "grid", table, configuration)
    assert said(found) == [
        (
            "4 of 9 runs are missing; the command below computes them.",
            [
                "Circle, depth 5, width 100, noise 0.01: seeds 0-2",
                "Circle, my_net, noise 0.01: seeds 2",
            ],
        )
    ]
    report, read = written(found)
    assert (
        "singleshot · Circle · my_net · depth 5, 9 · width 7, 50 · 5 of 9 runs" in read.texts["p"]
    )
    assert [path.name for path in report.figures] == [
        "report-quality-circle-depth5-width50-noise0.01.png",
        "report-quality-circle-my_net-depth9-width7-noise0.01.png",
    ]
    # If there are several networks, there is a column for them.
    assert read.texts["td"].count("my_net") == 1 and read.texts["td"].count("mlp") == 1


def test_a_page_of_one_network_says_its_size_and_not_the_grids(tmp_path):
    own = {"model": "my_net", "depth": 9, "width": 7, "task": "my_task"}
    configuration = {**CONFIGURATION, "model": ["my_net"], "task": ["my_task"]}
    found = directory(tmp_path / "grid", records([0.25, 0.5, 1.0], **own), configuration)
    _, read = written(found)
    assert "my_task · my_net · depth 9 · width 7 · 3 of 3 runs" in " ".join(read.texts["p"])
    assert not {"depth", "width"} & set(read.texts["dt"])
    assert read.texts["p"][1].startswith(
        "my_task, model my_net, depth 9, width 7, noise 0.01. Before and after training: accuracy"
    )
    # An accuracy, for a task that is not the library's.
    assert "0.583" in read.texts["td"] and "5.8e-1" not in read.texts["td"]
    svgs = [svg["aria-label"] for svg in read.all("svg")]
    place = "my_task, my_net, depth 9, width 7, noise 0.01"
    assert svgs == [f"{place}: strong", f"{place}: weak"]


def test_expressions_of_seekers_stand_beside_their_labels(tmp_path):
    seekers = {
        "IMP": "multishot(magnitude, rounds=3)",
        "best_of(concrete())": "best_of(concrete())",
    }
    found = directory(tmp_path / "grid", None, {**CONFIGURATION, "seekers": seekers})
    _, read = written(found)
    assert "IMP: multishot(magnitude, rounds=3); best_of(concrete())" in read.texts["dd"]
    assert any("6 of 6 runs are missing" in text for text in read.texts["summary"])


@pytest.mark.long
def test_a_wide_figure_of_one_panel_does_not_fill_the_page(tmp_path):
    kept = {"rounds": 2, "round_layer_kept": [[0.5], [0.25]], "round_first_dead_layer": [-1, -1]}
    kept |= {"layer_kept": [0.25], "layer_precision": [0.2], "layer_recall": [0.5]}
    for name, seekers in (("one", ["snip"]), ("two", ["snip", "grasp"])):
        table = pa.concat_tables([records([0.5], seeker=seeker, **kept) for seeker in seekers])
        _, read = written(directory(tmp_path / name, table))
        *_, layers = read.all("figure")
        assert layers == (
            {"class": "print"} if name == "one" else {"class": "wide print", "tabindex": "0"}
        )
