"""Time and memory of a run against the number of runs, the width and the depth.

    python -m benchmarks.scaling --figure=docs/scaling.png

For each point, prints the seconds until the first chunk is finished (tracing, compilation and that
chunk's runs), then, with everything compiled, the time per run and the process's peak memory; draws
them. Every point is measured in a separate process. The setting is light, so that 10,000 runs are
fast: Circle, magnitude, five densities at which almost no neuron dies, 1,000 samples, one epoch.
Expect a constant time per run, and memory that does not depend on the number of runs. About 5
minutes on two cores.
"""

import statistics

from absl import flags

from ticketjax.commands.flags import FLAGS, naming, numbers
from ticketjax.commands.launching import launch

flags.DEFINE_list("runs", ["25", "250", "2500", "10000"], "Numbers of runs, each at width 100.")
flags.DEFINE_list("width", ["50", "100", "200", "500", "1000"], "Widths, each at depth 5.")
flags.DEFINE_list("depth", ["3", "4", "5", "6", "8", "10"], "Depths, each at width 100.")
flags.DEFINE_integer("network_runs", 50, "Runs at each width and depth.", lower_bound=5)
flags.DEFINE_integer("repeats", 3, "Turns of each point of up to 250 runs.", lower_bound=1)
flags.DEFINE_string("figure", None, "Draw the result into this file.")

LIGHT = {
    "task": "circle",
    "seekers": "magnitude",
    "densities": (0.1, 0.3, 0.5, 0.7, 0.9),
    "samples": 1000,
    "epochs": 1,
}
DEPTH, WIDTH = 5, 100
# More runs than this are an average over many chunks, so one turn is enough.
REPEATED_RUNS = 250


def measure(depth: int, width: int, runs: int, repeats: int) -> dict:
    """Measure one point, in this process: seconds and bytes."""
    import time

    import ticketjax as tj
    from benchmarks.fresh import peak_device_memory, peak_memory
    from benchmarks.machine import describe
    from benchmarks.timing import seconds
    from ticketjax.runs.engine import run

    machine, start_memory = describe(), peak_memory()
    grid = tj.make_grid(**LIGHT, depth=depth, width=width, seeds=runs // len(LIGHT["densities"]))
    begin = time.perf_counter()
    next(run(grid))
    first = time.perf_counter() - begin
    # One chunk at a time, as in the commands, so that records do not count as memory.
    turns = [
        seconds(lambda: sum(records.num_rows for records in run(grid))) for _ in range(repeats)
    ]
    return {
        "machine": machine,
        "runs": grid.runs,
        "first_chunk": first,
        "per_run": [turn / grid.runs for turn in turns],
        "start_memory": start_memory,
        "peak_memory": peak_memory(),
        "peak_device_memory": peak_device_memory(),
    }


def _points() -> list[tuple[str, int, dict]]:
    """For each point: what varies, its value, and the arguments of measure()."""
    least = len(LIGHT["densities"])
    axes = {flag: numbers(flag, int) for flag in ("runs", "width", "depth")}
    with naming("runs"):
        if any(runs < least for runs in axes["runs"]):
            raise ValueError(f"must be at least {least}, one for each density")
    points = []
    for axis, values in axes.items():
        for value in values:
            point = {"depth": DEPTH, "width": WIDTH, "runs": FLAGS.network_runs, axis: value}
            repeats = FLAGS.repeats if point["runs"] <= REPEATED_RUNS else 1
            points.append((axis, value, {**point, "repeats": repeats}))
    return points


def _row(axis: str, value: int, point: dict) -> str:
    from benchmarks.timing import spread

    milliseconds = spread([1e3 * seconds for seconds in point["per_run"]], 2)
    device = point["peak_device_memory"]
    return (
        f"{axis:7}{value:>8,}{point['runs']:>8,}{point['first_chunk']:>13.1f}{milliseconds:>26}"
        f"{point['start_memory'] / 2**20:>10.0f}{point['peak_memory'] / 2**20:>8.0f}"
        f"{'-' if device is None else f'{device / 2**20:.0f}':>10}"
    )


def draw(measured: dict[str, list[tuple[int, dict]]], path: str) -> None:
    """Time per run, and below it the peak memory, against runs, width and depth."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullLocator

    labels = {
        "runs": f"runs, at depth {DEPTH} and width {WIDTH}",
        "width": f"neurons per hidden layer, at depth {DEPTH}",
        "depth": f"layers of neurons, at width {WIDTH}",
    }
    measured = {axis: points for axis, points in measured.items() if points}
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    figure, grid = plt.subplots(
        2,
        len(measured),
        squeeze=False,
        sharex="col",
        figsize=(3.5 * len(measured), 4),
        height_ratios=(3, 1.4),
        layout="constrained",
    )
    for (above, below), (axis, points) in zip(grid.T, measured.items(), strict=True):
        x = [value for value, _ in points]
        turns = [[1e3 * seconds for seconds in point["per_run"]] for _, point in points]
        middle = [statistics.median(values) for values in turns]
        low = [m - min(values) for m, values in zip(middle, turns, strict=True)]
        high = [max(values) - m for m, values in zip(middle, turns, strict=True)]
        above.errorbar(
            x, middle, (low, high), color="#1f5fa8", marker="o", markersize=4.5, capsize=2
        )
        peaks = [point["peak_memory"] / 2**30 for _, point in points]
        below.plot(x, peaks, color="#b3541e", marker="s", markersize=4)
        if axis != "depth":
            below.set_xscale("log")
        if axis == "width":
            above.set_yscale("log")
            above.yaxis.set_major_formatter(plain)
        else:
            above.set_ylim(bottom=0, top=1.3 * max(map(max, turns)))
        below.set_ylim(bottom=0, top=1.3 * max(peaks))
        below.set_xticks(x)
        below.xaxis.set_major_formatter(plain)
        below.xaxis.set_minor_locator(NullLocator())
        below.set_xlabel(labels[axis])
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(True, which="major", color="#e8e8e8", linewidth=0.7)
    grid[0, 0].set_ylabel("ms per run")
    grid[1, 0].set_ylabel("memory, GiB")
    figure.align_ylabels(grid[:, 0])
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    """Measure every point in a separate process, print a table, draw it."""
    from benchmarks import fresh

    measured = {"runs": [], "width": [], "depth": []}
    head = True
    for axis, value, arguments in _points():
        try:
            point = fresh.call("benchmarks.scaling", "measure", **arguments)
        except fresh.Failure as failure:
            print(f"{axis:7}{value:>8,}  failed: {failure}", flush=True)
            continue
        if head:
            print(f"{point['machine']}\nrepeats: {FLAGS.repeats}; {LIGHT}\n")
            print(f"{'':23}{'first chunk,':>13}{'ms per run,':>26}{'MiB at':>10}{'MiB':>8}", end="")
            print(f"{'MiB of a':>10}")
            print(f"{'varied':7}{'value':>8}{'runs':>8}{'s':>13}{'median [min, max]':>26}", end="")
            print(f"{'start':>10}{'peak':>8}{'device':>10}")
            head = False
        print(_row(axis, value, point), flush=True)
        measured[axis].append((value, point))
    if FLAGS.figure and any(measured.values()):
        draw(measured, FLAGS.figure)
        print(f"\nfigure: {FLAGS.figure}")
    return 0


if __name__ == "__main__":
    launch(main)
