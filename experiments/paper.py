"""The figures of Fischer and Burkholz 2022, from planting to plot.

    python -m experiments.paper --figure=3 --out=results/paper

Figure 3: 1,875 runs (25 seeds, 5 pruners, 5 densities, 3 tasks). Repetitions are the paper's;
--seeds shortens them. Grids that figures share are run once; whatever was stopped continues.
"""

import dataclasses

from absl import flags

from experiments.flags import FLAGS, define_running, running, start

PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow")
DENSITIES = ("ticket", 0.01, 0.1, 0.5, 1.0)
TASKS = ("circle", "relu", "helix")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure: its grids by directory name, the paper's number of repetitions, its panels."""

    title: str
    seeds: int
    grids: dict[str, dict]
    panels: tuple[tuple[str, str], ...]


def _singleshot(depth: int) -> dict[str, dict]:
    fields = {"task": TASKS, "depth": depth, "seekers": PRUNERS, "densities": DENSITIES}
    return {f"singleshot-depth{depth}": fields}


def _both(*tasks: str) -> tuple[tuple[str, str], ...]:
    return tuple((task, quality) for task in tasks for quality in ("strong", "weak"))


FIGURES = {
    3: Figure(
        "Singleshot pruning of planted tickets, depth 5, width 100",
        25,
        _singleshot(5),
        (("circle", "strong"), ("circle", "weak"), ("relu", "weak"), ("helix", "weak")),
    ),
    6: Figure("Singleshot pruning, depth 3, width 100", 25, _singleshot(3), _both(*TASKS)),
    7: Figure("Singleshot pruning, depth 5, width 100", 25, _singleshot(5), _both(*TASKS)),
    8: Figure("Singleshot pruning, depth 10, width 100", 25, _singleshot(10), _both(*TASKS)),
}

define_running(out="results/paper")
flags.DEFINE_integer("figure", 3, f"Which figure: {', '.join(map(str, FIGURES))}.")
flags.DEFINE_integer("seeds", None, "Repetitions instead of the paper's.", lower_bound=1)
flags.register_validator(
    "figure",
    lambda number: number in FIGURES,
    message=f"must be one of {', '.join(map(str, FIGURES))}",
)


def main() -> int:
    """Run what the figure still lacks, print its table, draw it."""
    from experiments.running import run_grids
    from ticketjax import report

    figure = FIGURES[FLAGS.figure]
    seeds = FLAGS.seeds or figure.seeds
    grids = {
        f"{FLAGS.out}/{name}": {**fields, "seeds": seeds, **running()}
        for name, fields in figure.grids.items()
    }
    records = run_grids(grids)
    text = report.table(records, PRUNERS)
    name = f"{FLAGS.out}/figure{FLAGS.figure}"
    with open(f"{name}.txt", "w", encoding="utf-8") as file:
        file.write(f"{figure.title}\n\n{text}\n")
    panels = [report.Panel(*panel) for panel in figure.panels]
    report.figure(records, panels, f"{name}.png", title=figure.title, seekers=PRUNERS)
    print(f"{text}\n\nfigure: {name}.png\ntable: {name}.txt")
    for directory in grids:
        print(f"records: {directory}/parts")
    return 0


if __name__ == "__main__":
    start(main)
