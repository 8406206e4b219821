"""The figures of Fischer and Burkholz 2022, from planting to plot.

    ticketjax paper --figure=3 --out=results/paper
    ticketjax paper --figure=5 --data_dir=DIR --preset=cpu
    ticketjax paper --figure=all

Repetitions are those of the paper, unless --seeds is given. The settings are the published ones,
which are not tuned, so the seeds are result seeds, from 1000 on. --development uses seeds from 0
on. Grids that figures share are run once, and interrupted runs resume where they stopped. Figures 1
and 2 draw tasks and tickets and need no runs. Figure 3 is 1,875 runs: 25 seeds, 5 pruners, 5
densities, 3 tasks. Figure 5 uses real images; see the command vgg.
"""

import dataclasses
import os

from absl import flags

from ticketjax.choices import PRUNERS
from ticketjax.commands.figure5 import OF_FIGURE_5, PRESETS, SEARCHES, runs_of, show
from ticketjax.commands.flags import FLAGS, FlagError, define_running, naming, refuse_empty, running
from ticketjax.commands.frozen import define_seeds, seeds

DENSITIES = ("ticket", 0.01, 0.1, 0.5, 1.0)
SEARCHED_DENSITIES = DENSITIES[:-1]
TASKS = ("circle", "relu", "helix")
NOISES = (0.0, 0.001, 0.01, 0.1)


def define() -> None:
    """Define the flags."""
    define_running(out="results/paper")
    flags.DEFINE_list("figure", ["3"], f'Which figures: {", ".join(map(str, NUMBERS))}, or "all".')
    define_seeds(None, "Seeds, by default as many as the paper's repetitions")
    flags.DEFINE_string("data_dir", None, "For figure 5: directory of the official CIFAR-10 files.")
    flags.DEFINE_enum(
        "preset", "full", list(PRESETS), "For figure 5: the paper's setting, or one for two cores."
    )


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Args:
        title: its title.
        seeds: the paper's number of repetitions.
        grids: fields of its grids by name of the directory.
        panels: quality, columns and the values that records must have, and a title or None.
    """

    title: str
    seeds: int
    grids: dict[str, dict]
    panels: tuple[tuple[str, dict, str | None], ...]


def _panels(*tasks: str) -> tuple[tuple[str, dict, None], ...]:
    return tuple((quality, {"task": t}, None) for t in tasks for quality in ("strong", "weak"))


def _singleshot(depth: int) -> dict[str, dict]:
    fields = {"task": TASKS, "depth": depth, "seekers": PRUNERS, "densities": DENSITIES}
    return {f"singleshot-depth{depth}": fields}


def _multishot_and_edge_popup() -> dict[str, dict]:
    searched = {"task": TASKS, "densities": SEARCHED_DENSITIES, "seekers": "edge_popup"}
    return {
        "multishot-depth5": {
            "task": TASKS,
            "strategy": "multishot",
            "seekers": PRUNERS,
            "densities": DENSITIES,
        },
        "edge_popup-plain": {**searched, "strategy": "plain", "scope": "local"},
        "edge_popup-annealed": {**searched, "strategy": "annealed", "scope": "local"},
    }


# Figures without runs: the functions of ticketjax.figures.drawings.
DRAWINGS = {1: "samples", 2: "construction"}
CIRCLE = {"task": "circle", "seekers": PRUNERS, "densities": DENSITIES}
FIGURES = {
    3: Figure(
        "Singleshot pruning of planted tickets, depth 5, width 100",
        25,
        _singleshot(5),
        (*_panels("circle"), *_panels("relu")[1:], *_panels("helix")[1:]),
    ),
    4: Figure(
        "Multishot pruning and edge-popup, depth 5, width 100",
        10,
        _multishot_and_edge_popup(),
        _panels(*TASKS),
    ),
    6: Figure("Singleshot pruning, depth 3, width 100", 25, _singleshot(3), _panels(*TASKS)),
    7: Figure("Singleshot pruning, depth 5, width 100", 25, _singleshot(5), _panels(*TASKS)),
    8: Figure("Singleshot pruning, depth 10, width 100", 25, _singleshot(10), _panels(*TASKS)),
    9: Figure(
        "Singleshot pruning, Circle, depth 6, width 1000",
        10,
        {"singleshot-width1000": {**CIRCLE, "depth": 6, "width": 1000}},
        _panels("circle"),
    ),
    10: Figure(
        "SynFlow in 1 and 100 rounds without training, Circle, depth 6, width 100",
        10,
        {
            f"synflow-rounds{rounds}": {
                **CIRCLE,
                "depth": 6,
                "seekers": "synflow",
                "rounds": rounds,
            }
            for rounds in (1, 100)
        },
        _panels("circle"),
    ),
    11: Figure(
        "Multishot pruning under noise, Circle, depth 6, width 100",
        10,
        {"multishot-noise": {**CIRCLE, "depth": 6, "strategy": "multishot", "noise": NOISES}},
        tuple(
            (quality, {"task": "circle", "noise": noise}, f"noise {noise:g}, {quality}")
            for noise in NOISES
            for quality in ("strong", "weak")
        ),
    ),
    12: Figure(
        "GraSP with a global and a local budget, multishot, Circle, depth 5, width 100",
        10,
        {
            f"grasp-{scope}": {
                **CIRCLE,
                "strategy": "multishot",
                "seekers": "grasp",
                "scope": scope,
            }
            for scope in ("global", "local")
        },
        _panels("circle"),
    ),
}

# Figures of real images, which need --data_dir.
OF_IMAGES = 5
NUMBERS = sorted((*DRAWINGS, *FIGURES, OF_IMAGES))


def _draw(number: int) -> None:
    from ticketjax.commands.running import is_first
    from ticketjax.figures import drawings as draw

    if not is_first():
        return
    os.makedirs(FLAGS.out, exist_ok=True)
    path = f"{FLAGS.out}/figure{number}.png"
    getattr(draw, DRAWINGS[number])(path)
    print(f"figure: {path}")


def _make_of_images() -> None:
    settings = dict(PRESETS[FLAGS.preset])
    settings["densities"] = [float(density) for density in settings["densities"]]
    settings["seeds"] = tuple(seeds(settings["seeds"]))
    settings |= {"seekers": PRUNERS, "searches": SEARCHES.split(",")}
    show(runs_of({**OF_FIGURE_5, **settings}), FLAGS.data_dir, f"{FLAGS.out}/vgg")


def _make(number: int) -> None:
    from ticketjax.commands.running import grid_of, run_grids
    from ticketjax.figures import Panel, draw_quality
    from ticketjax.records.store import write_whole
    from ticketjax.records.tables import table

    figure = FIGURES[number]
    grids = {
        f"{FLAGS.out}/{name}": grid_of(**fields, seeds=seeds(figure.seeds), **running())
        for name, fields in figure.grids.items()
    }
    records = run_grids(grids)
    if records is None:
        return
    text = table(records)
    name = f"{FLAGS.out}/figure{number}"
    content = f"{figure.title}\n\n{text}\n".encode()
    write_whole(f"{name}.txt", lambda file: file.write(content))
    panels = [Panel(*panel) for panel in figure.panels]
    draw_quality(records, panels, f"{name}.png", title=figure.title)
    print(f"{text}\n\nfigure: {name}.png\ntable: {name}.txt")
    for directory in grids:
        print(f"records: {directory}/parts")


def main() -> int:
    """Run what each figure still lacks, print its table, draw it; draw those without runs."""
    refuse_empty("figure")
    with naming("figure"):
        if FLAGS.figure != ["all"] and not {*FLAGS.figure} <= {*map(str, NUMBERS)}:
            raise ValueError(f'must be among {", ".join(map(str, NUMBERS))}, or "all"')
    chosen = NUMBERS if FLAGS.figure == ["all"] else [int(number) for number in FLAGS.figure]
    if OF_IMAGES in chosen and not FLAGS.data_dir:
        if FLAGS.figure != ["all"]:
            raise FlagError("--figure=5: --data_dir must name the directory of CIFAR-10's files")
        print("figure 5 is skipped: --data_dir does not name the directory of CIFAR-10's files")
        chosen = [number for number in chosen if number != OF_IMAGES]
    for number in chosen:
        if number == OF_IMAGES:
            _make_of_images()
        else:
            (_draw if number in DRAWINGS else _make)(number)
    return 0
