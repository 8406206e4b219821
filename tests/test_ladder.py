"""The ladder of difficulty: its levels, the shares that it counts, what its figure shows."""

import dataclasses

import jax
import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

import ticketjax as tj
from tests.example_records import records
from ticketjax.figures import ladder as figure
from ticketjax.records.levels import by_seeker, level_lines, level_names
from ticketjax.records.shares import Share
from ticketjax.tasks.ladder import DECOY_LEVELS


@pytest.mark.parametrize("level", tj.LADDER, ids=lambda level: level.name)
def test_levels_draw_tickets_that_fit_their_networks(level):
    ticket = level.task.ticket_of(3)
    leaves = jax.tree.leaves(ticket)
    assert sum(map(np.count_nonzero, leaves)) == level.parameters
    widths = [layer["bias"].size for layer in ticket.values()]
    assert widths == [*level.hidden, level.outputs]
    assert max(level.hidden) <= level.width
    assert len(ticket) == level.depth - 1
    # Equal levels are one task, and so one compilation.
    assert level.task == dataclasses.replace(level).task


def test_levels_are_told_apart_and_grow():
    assert len({level.task.name for level in tj.LADDER}) == len(tj.LADDER)
    counts = [level.parameters for level in tj.LADDER]
    assert counts == sorted(counts)
    with pytest.raises(ValueError, match="width must be at least 3"):
        tj.Level("narrow", 1, 1, (3,), 9, 2)
    with pytest.raises(ValueError, match="parameters must be in"):
        tj.Level("poor", 1, 1, (3,), 2, 9)


@pytest.mark.parametrize("level", DECOY_LEVELS, ids=lambda level: level.name)
def test_levels_with_decoys_are_other_levels_with_nothing_else_changed(level):
    names = {one.name: one for one in tj.LADDER}
    base = names[level.name.removesuffix("d")]
    assert level.planting.decoys > 0 and level.name not in names
    assert dataclasses.replace(level, name=base.name, planting=base.planting) == base
    assert jax.tree.all(
        jax.tree.map(np.array_equal, level.task.ticket_of(5), base.task.ticket_of(5))
    )


def test_a_level_has_room_for_its_decoys_and_says_what_it_has():
    planting = tj.Planting(decoys=2)
    with pytest.raises(ValueError, match="width must be at least 9"):
        tj.Level("narrow", 1, 1, (3,), 9, 8, planting=planting)
    hidden = tj.Level("own", 1, 1, (3,), 9, 9, planting=tj.Planting("hidden", perturbation=0.5))
    lines = level_lines({}, [tj.LADDER[2], *DECOY_LEVELS[:1], hidden])
    told = ["width 10", "width 10, 2 decoys", "width 9, hidden, perturbed by 0.5"]
    assert [line[2] for line in lines[1:]] == told
    assert level_names(DECOY_LEVELS[:1]) == ["3d\n6 in 10\n2 decoys"]


def test_shares_are_counted_by_level_and_seeker():
    levels = list(tj.LADDER[:2])
    found = {("1", "snip"): [1, 0, 1, 1], ("2", "snip"): [0, 0, 0], ("1", "grasp"): [0, 1]}
    table = pa.concat_tables(
        [
            records([0.5], task=f"ladder_{name}", seeker=seeker, found=bool(one))
            for (name, seeker), runs in found.items()
            for one in runs
        ]
    )
    assert by_seeker(table, levels) == {
        "snip": [Share(3, 4), Share(0, 3)],
        "grasp": [Share(1, 2), None],
    }


def test_the_figure_shows_shares_with_wilson_intervals(monkeypatch):
    drawn = []
    monkeypatch.setattr(figure, "save", lambda canvas, path: drawn.append(canvas))
    shares = {"snip": [Share(20, 25), Share(5, 25)], "own": [Share(0, 25), None]}
    figure.draw_ladder(shares, ["1", "2"], "ladder.png")
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert lines == {"SNIP": [0.8, 0.2], "own": [0.0]}
    ends = [
        np.array(segments)[:, :, 1] for segments in (c.get_segments() for c in axes.collections)
    ]
    expected = [scipy.stats.binomtest(k, 25).proportion_ci(method="wilson") for k in (20, 5)]
    np.testing.assert_allclose(ends[0], expected)
    places = [line.get_xdata()[0] for line in axes.lines]
    assert len(set(places)) == 2 and max(map(abs, places)) < 0.2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--levels=1,nine", "--levels=1,nine: must be among 1, 2"),
        ("--seekers=snap", "did you mean 'snip'"),
        ("--seeds=200", None),
    ],
)
def test_bad_flags_are_refused(flag, message, tmp_path, forks):
    flags = ["--development", flag] if message is None else [flag]
    result = forks.command("ladder", *flags, directory=tmp_path)
    assert result.returncode == 2
    assert (message or "--seeds=200") in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
