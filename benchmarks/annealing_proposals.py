"""Draw how the error of annealing falls with its proposals, from the records in benchmarks/results.

    python -m benchmarks.annealing_proposals --out=docs/annealing-proposals.png

Every marker is a row of docs/findings.md: the mean over the result seeds, with its 95% interval.
The line to it shows the same runs after a part of their proposals, while the temperature was still
high: of the masks looked at until then, the one with the lowest loss. On Circle, annealing lowers
another energy, so lines end a little above their markers. No search is run; it takes seconds.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from absl import flags

from ticketjax.commands.flags import FLAGS
from ticketjax.commands.launching import launch

flags.DEFINE_string("out", "annealing-proposals.png", "The figure to write.")

RESULTS = pathlib.Path(__file__).parent / "results"
CONCRETE = "batches, from Concrete Ticket Search"
BEST = "batches, from the best of 8 Concrete Ticket Searches"
SINGLE = "one after the other, from random paths"
KINDS = (CONCRETE, BEST, SINGLE)
# The horizontal lines.
EXCHANGES, TICKET = "exchanges after probabilistic masks", "bare ticket"
# By task: the kind of search, and the directory of its records.
ROWS = {
    "circle": [
        (CONCRETE, "leaderboard/concrete_ticket_search-annealed"),
        (CONCRETE, "annealing/concrete_ticket_search-annealed-long"),
        (BEST, "annealing/concrete_ticket_search-annealed-longest-circle"),
        (BEST, "annealing/concrete_ticket_search-annealed-131_million"),
    ],
    "helix": [
        (CONCRETE, "leaderboard/concrete_ticket_search-annealed"),
        (CONCRETE, "annealing/concrete_ticket_search-annealed-long"),
        (BEST, "annealing/concrete_ticket_search-annealed-longest-helix"),
        (SINGLE, "annealing/annealed-one_by_one"),
    ],
}


class Row(NamedTuple):
    """The runs of one setting on one task.

    Args:
        proposals: of the whole search.
        metric: (seeds,) before training.
        shares: (marks,) of the proposals, after which the best mask was measured.
        anytime: (seeds, marks) its metric before training.
    """

    proposals: int
    metric: np.ndarray
    shares: np.ndarray
    anytime: np.ndarray


def records_of(directory: str, task: str) -> pa.Table:
    """The records of a directory on one task."""
    import pyarrow.compute as pc

    from ticketjax.records.store import load_records

    records = load_records(RESULTS / directory)
    return records.filter(pc.equal(records["task"], task))


def row_of(directory: str, task: str) -> Row:
    """The runs of the one setting in a directory, on one task."""
    import json

    import ticketjax as tj

    config = json.loads((RESULTS / directory / "manifest.json").read_text())["configuration"]
    ((_, expression),) = config["seekers"].items()
    ((_, seeker),) = tj.make_grid(seekers=expression).seekers
    (depth,) = config["depth"]
    records = records_of(directory, task)
    rounds = np.array(records["anytime_rounds"].to_pylist()[0])
    return Row(
        seeker.steps * seeker.proposals * (depth - 1),
        records["strong_metric"].to_numpy(),
        rounds / rounds[-1],
        np.array(records["anytime_metric"].to_pylist()),
    )


def draw(axes, task: str, title: str) -> dict[str, Any]:
    """Draw the panel of one task, and print what it shows; the legend's handles by their labels."""
    from ticketjax.figures.style import COLOURS, FAINT, INK, MARKERS, tidy
    from ticketjax.records.statistics import intervals_of_means

    def error(metric):
        return 1 - metric if task == "circle" else metric

    handles: dict[str, Any] = {}
    for kind, directory in ROWS[task]:
        row = row_of(directory, task)
        last, until = error(row.metric), error(row.anytime).mean(axis=0)
        mean, (low, high) = last.mean(), intervals_of_means(last[None])[:, 0]
        n = KINDS.index(kind)
        axes.plot(row.proposals * row.shares, until, color=COLOURS[n], lw=0.9, alpha=0.55)
        bar = [[mean - low], [high - mean]]
        handles[kind] = axes.errorbar(
            row.proposals, mean, bar, fmt=MARKERS[n], color=COLOURS[n], ms=5
        )
        print(
            f"{task:6} {row.proposals:11,} proposals, {len(last)} seeds: error {mean:.3g} "
            f"[{low:.3g}, {high:.3g}]; {kind}"
        )
    exchanges = records_of("leaderboard/probabilistic-refined", task)
    lines = {
        EXCHANGES: (exchanges["strong_metric"], {"color": INK, "lw": 0.8, "linestyle": "dotted"}),
        TICKET: (exchanges["ticket_metric"], {"color": FAINT, "lw": 1, "linestyle": (0, (5, 3))}),
    }
    for name, (metric, style) in lines.items():
        height = error(metric.to_numpy()).mean()
        handles[name] = axes.axhline(height, **style)
        print(f"{task:6} {name}: error {height:.3g}")
    axes.set(xscale="log", yscale="log", xlabel="proposals", xlim=(1e4, None))
    axes.set_title(title, loc="left", color=INK)
    tidy(axes)
    return handles


def main() -> int:
    """Draw one panel for each task."""
    import matplotlib.pyplot as plt

    from ticketjax.figures.style import STYLE, save
    from ticketjax.records.titles import task_title

    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(1, len(ROWS), figsize=(9, 4), layout="constrained")
        handles: dict[str, Any] = {}
        for panel, task in zip(axes, ROWS, strict=True):
            handles |= draw(panel, task, task_title(task))
        axes[0].set_ylabel("error before training")
        labels = (*KINDS, EXCHANGES, TICKET)
        canvas.legend(
            [handles[label] for label in labels],
            labels,
            loc="outside lower center",
            ncols=2,
            frameon=False,
            fontsize=8,
        )
        save(canvas, FLAGS.out)
        plt.close(canvas)
    print(f"figure: {FLAGS.out}")
    return 0


if __name__ == "__main__":
    launch(main)
