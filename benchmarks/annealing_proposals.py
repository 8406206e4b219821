"""Draw how the error of annealing falls with its proposals, from the records in benchmarks/results.

    python -m benchmarks.annealing_proposals --out=docs/annealing-proposals.png

Every marker is a row of docs/findings.md: the mean over the result seeds, with its 95% interval.
The line to it shows the same runs after a part of their proposals, while the temperature was still
high: of the masks looked at until then, the one with the lowest loss. On Circle, annealing lowers
another energy, so lines end a little above their markers. No search is run; it takes seconds.
"""

import pathlib
from typing import Any

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
# By task and width: the kind of search, and the directory of its records.
ROWS = {
    ("circle", 100): [
        (CONCRETE, "leaderboard/concrete_ticket_search-annealed"),
        (CONCRETE, "annealing/concrete_ticket_search-annealed-long"),
        (BEST, "annealing/concrete_ticket_search-annealed-longest-circle"),
        (BEST, "annealing/concrete_ticket_search-annealed-131_million"),
    ],
    ("helix", 100): [
        (CONCRETE, "leaderboard/concrete_ticket_search-annealed"),
        (CONCRETE, "annealing/concrete_ticket_search-annealed-long"),
        (BEST, "annealing/concrete_ticket_search-annealed-longest-helix"),
        (SINGLE, "annealing/annealed-one_by_one-8_million"),
        (SINGLE, "annealing/annealed-one_by_one-33_million"),
        (SINGLE, "annealing/annealed-one_by_one"),
    ],
    ("helix", 1000): [
        (SINGLE, "annealing/annealed-one_by_one-8_million-width_1000"),
        (SINGLE, "annealing/annealed-one_by_one-33_million-width_1000"),
        (SINGLE, "annealing/annealed-one_by_one-width_1000"),
    ],
}
# Exchanges, at width 100.
REFINED = "leaderboard/probabilistic-refined"


def records_of(directory: str, task: str) -> pa.Table:
    """The records of a directory on one task."""
    from ticketjax.records.store import load_records
    from ticketjax.records.summaries import rows_where

    return rows_where(load_records(RESULTS / directory), task=task)


def proposals_of(directory: str) -> int:
    """How many proposals one search of the one setting in a directory makes."""
    import json

    import ticketjax as tj

    config = json.loads((RESULTS / directory / "manifest.json").read_text())["configuration"]
    ((_, expression),) = config["seekers"].items()
    ((_, seeker),) = tj.make_grid(seekers=expression).seekers
    (depth,) = config["depth"]
    return seeker.steps * seeker.proposals * (depth - 1)


def draw(axes, task: str, width: int) -> dict[str, Any]:
    """Draw one panel, and print what it shows; the legend's handles by their labels."""
    from ticketjax.figures.compute import curve_of, error_of
    from ticketjax.figures.style import COLOURS, FAINT, INK, MARKERS, tidy
    from ticketjax.records.summaries import metric_interval, shows_accuracy
    from ticketjax.records.titles import task_title

    title = f"{task_title(task)}, width {width:,}"
    handles: dict[str, Any] = {}
    for label, directory in ROWS[task, width]:
        records = records_of(directory, task)
        kind, accuracy = records["kind"][0].as_py(), shows_accuracy(records)
        proposals, curve = proposals_of(directory), curve_of(label, records, {})
        last, until = error_of(curve.metric, kind), error_of(curve.anytime, kind).mean(axis=0)
        mean, (low, high) = last.mean(), metric_interval(last, accuracy)
        n = KINDS.index(label)
        reached = proposals * curve.rounds / curve.rounds[-1]
        axes.plot(reached, until, color=COLOURS[n], lw=0.9, alpha=0.55)
        bar = [[mean - low], [high - mean]]
        handles[label] = axes.errorbar(proposals, mean, bar, fmt=MARKERS[n], color=COLOURS[n], ms=5)
        print(
            f"{title:18} {proposals:11,} proposals, {len(last)} seeds: error {mean:.3g} "
            f"[{low:.3g}, {high:.3g}]; {label}"
        )
    lines = {
        TICKET: (records["ticket_metric"], {"color": FAINT, "lw": 1, "linestyle": (0, (5, 3))})
    }
    if width == 100:
        refined = records_of(REFINED, task)["strong_metric"]
        lines[EXCHANGES] = (refined, {"color": INK, "lw": 0.8, "linestyle": "dotted"})
    for name, (metric, style) in lines.items():
        height = error_of(metric.to_numpy(), kind).mean()
        handles[name] = axes.axhline(height, **style)
        print(f"{title:18} {name}: error {height:.3g}")
    axes.set(xscale="log", yscale="log", xlabel="proposals", xlim=(1e4, None))
    axes.set_title(title, loc="left", color=INK)
    tidy(axes)
    return handles


def main() -> int:
    """Draw one panel for each task and width."""
    import matplotlib.pyplot as plt

    from ticketjax.figures.style import STYLE, save

    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(1, len(ROWS), figsize=(12, 4), layout="constrained")
        axes[2].sharey(axes[1])  # Helix at both widths
        handles: dict[str, Any] = {}
        for panel, (task, width) in zip(axes, ROWS, strict=True):
            handles |= draw(panel, task, width)
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
