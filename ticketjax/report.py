"""Tables and figures of records."""

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ticketjax.base import CLASSIFICATION
from ticketjax.masks import count_ticket_layers
from ticketjax.seekers import SEEKERS
from ticketjax.tasks import TASKS, get_task

# Okabe and Ito's palette: told apart with any colour vision, and by markers in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5D3A9B", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# How papers write the names that flags and records spell in lower case.
TITLES = {
    "relu": "ReLU",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "erk": "ERK",
    "edge_popup": "edge-popup",
    "gem_miner": "Gem-Miner",
    "iterative_hard_thresholding": "IHT",
}
INK, FAINT = "#222222", "#8a8a8a"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
QUALITIES = ("strong", "weak")
WHERE = ("task", "depth", "width", "noise")
# What tells two series of one seeker apart.
VARIANT = (
    "strategy",
    "scope",
    "rounds",
    "objective",
    "options",
    "sanity",
    "match",
    "tickets",
    "decoys",
    "perturbation",
)
COUNTED = {"rounds": "round", "tickets": "ticket", "decoys": "decoy"}
POINT = (*WHERE, "seeker", *VARIANT, "density")
RESAMPLES = 4000
ENDS = ("low", "high")
TAILS = (0.025, 0.975)
# Beyond, the numbers in the cells of a map would only be noise.
LABELLED_CELLS = 120
ANCHORED = {"ha": "right", "rotation_mode": "anchor"}
# What the bands of a figure show, and how dark they are: the inner one lies on the outer one.
BANDS = {
    "95% interval of the mean": (ENDS, 0.3),
    "range over seeds": (("min", "max"), 0.1),
}


class Panel(NamedTuple):
    """One plot of quality against density.

    quality: "strong" or "weak". where: columns and the values that records must have in them, a
    task among them. title: replaces the default one.
    """

    quality: str
    where: dict[str, Any]
    title: str | None = None


class Series(NamedTuple):
    """One line of a plot, one row of a table: a seeker and how it was used."""

    label: str
    where: dict[str, Any]


class Bound(NamedTuple):
    """A lower bound on the chance that a random network holds a task's ticket, by its width.

    task: whose ticket. initialisation: the mother network's, "uniform" or "normal".
    log10_width: (n,), rising. probability: (n,). required: log10 of the width that is enough.
    """

    task: str
    initialisation: str
    log10_width: np.ndarray
    probability: np.ndarray
    required: float


def task_title(task: str) -> str:
    """How papers write the task's name."""
    return TITLES.get(task, task.capitalize())


def seeker_title(seeker: str) -> str:
    """How papers write the seeker's name."""
    return TITLES.get(seeker, seeker.replace("_", " "))


def summarise(records: pa.Table) -> pa.Table:
    """Mean, its 95% interval, minimum and maximum over seeds of every float column, and runs.

    One row per point of the grid; columns such as weak_metric_mean, weak_metric_low and
    weak_metric_high (percentile bootstrap over seeds), weak_metric_min, weak_metric_max; runs is
    how many seeds there are. An interval is NaN where it is undefined: for a single seed, and
    where a value is not finite. The same seeds give the same interval in whatever order and
    company they come.
    """
    measures = [f.name for f in records.schema if pa.types.is_float32(f.type)]
    aggregates = [(name, how) for name in measures for how in ("mean", "min", "max", "list")]
    groups = records.sort_by("seed").group_by([*POINT, "ticket_density"], use_threads=False)
    summary = groups.aggregate([*aggregates, ("seed", "count")])
    runs = summary["seed_count"].to_numpy()
    intervals = {f"{name}_{end}": np.full(len(runs), np.nan) for name in measures for end in ENDS}
    for size in set(runs.tolist()) - {1}:
        of_size = np.flatnonzero(runs == size)
        lists = summary.take(pa.array(of_size))
        for name in measures:
            values = pc.list_flatten(lists[f"{name}_list"]).to_numpy().reshape(-1, size)
            for end, bounds in zip(ENDS, intervals_of_means(values), strict=True):
                intervals[f"{name}_{end}"][of_size] = bounds
    summary = summary.drop_columns([f"{name}_list" for name in measures])
    for name, bounds in intervals.items():
        summary = summary.append_column(name, pa.array(bounds))
    names = [{"seed_count": "runs"}.get(name, name) for name in summary.column_names]
    return summary.rename_columns(names).sort_by([(name, "ascending") for name in POINT])


@functools.lru_cache(maxsize=32)
def _draws(size: int) -> np.ndarray:
    """How often each of `size` values is drawn in every resample, (RESAMPLES, size)."""
    return np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), RESAMPLES)


def intervals_of_means(values: np.ndarray) -> np.ndarray:
    """95% percentile bootstrap of the mean of each row: (groups, n) -> (2, groups).

    NaN for rows with a value that is not finite, and if n is 1. All rows share the draws.
    """
    bounds = np.full((2, len(values)), np.nan)
    draws = _draws(values.shape[1])
    finite = np.isfinite(values).all(axis=1) & (values.shape[1] > 1)
    values = values[finite].astype(float)
    quantiles = np.quantile(values @ draws.T / draws.shape[1], TAILS, axis=1)
    # No mean of values lies outside of them, but for rounding.
    bounds[:, finite] = np.clip(quantiles, values.min(axis=1), values.max(axis=1))
    return bounds


def _series(records: pa.Table) -> list[Series]:
    """Every seeker with every variant of it, in the registry's order; names as papers write."""
    groups = records.group_by(["seeker", *VARIANT], use_threads=False).aggregate([]).to_pylist()
    known = {name: n for n, name in enumerate(SEEKERS)}
    groups.sort(key=lambda group: known.get(group["seeker"], len(known)))
    differing = {
        seeker: [
            name for name in VARIANT if len({g[name] for g in groups if g["seeker"] == seeker}) > 1
        ]
        for seeker in dict.fromkeys(g["seeker"] for g in groups)
    }

    def label(group: dict[str, Any]) -> str:
        seeker = group["seeker"]
        words = [seeker_title(seeker)]
        for name in differing[seeker]:
            value = group[name]
            if name in COUNTED:
                words.append(f"{value} {COUNTED[name]}{'' if value == 1 else 's'}")
            else:
                words.append(f"{value:g} perturbed" if name == "perturbation" else str(value))
        return " ".join(words)

    return [Series(label(group), group) for group in groups]


def _is_accuracy(task: str) -> bool:
    return task in TASKS and TASKS[task].kind == CLASSIFICATION


def format_metric(value: float, accuracy: bool) -> str:
    """An accuracy or a mean squared error as tables write it."""
    return f"{value:.3f}" if accuracy else f"{value:.1e}".replace("e-0", "e-")


def _density_label(density: float, ticket_density: float) -> str:
    return f"ticket {density:.2g}" if density == ticket_density else f"{density:g}"


def _rows(table: pa.Table, **equal: object) -> pa.Table:
    for name, value in equal.items():
        matches = pc.is_null(table[name]) if value is None else pc.equal(table[name], value)
        table = table.filter(matches)
    return table


def _cell(row: dict, column: str, accuracy: bool) -> tuple[str, str]:
    """What stands in a cell's two lines; of one seed there is only the mean."""
    mean, low, high, least, most = (
        format_metric(row[f"{column}_{how}"], accuracy) for how in ("mean", *ENDS, "min", "max")
    )
    if row["runs"] == 1:
        return mean, ""
    interval = "-" if "nan" in (low, high) else f"{low}, {high}"
    return f"{mean} [{interval}]", f"{' ' * len(mean)} ({least}, {most})"


def _table_lines(part: pa.Table, quality: str, accuracy: bool, series: list[Series]) -> list[str]:
    densities = sorted(set(part["density"].to_pylist()))
    ticket_density = part["ticket_density"][0].as_py()
    cells = [["seeker", *(_density_label(d, ticket_density) for d in densities)]]
    for label, where in series:
        lines = ([label], [""])
        for density in densities:
            rows = _rows(part, **where, density=density).to_pylist()
            cell = _cell(rows[0], f"{quality}_metric", accuracy) if rows else ("-", "")
            for line, text in zip(lines, cell, strict=True):
                line.append(text)
        cells += [line for line in lines if any(line)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _what_fits(part: pa.Table) -> list[str]:
    """A line for every scope whose budgets cannot hold the whole ticket; `part` of a summary."""
    too_small: dict[str, dict[float, str]] = {}
    for row in part.sort_by("density").to_pylist():
        share = row["feasible_recall_mean"]
        if share is not None and share < 1:
            density = _density_label(row["density"], row["ticket_density"])
            shares = too_small.setdefault(row["scope"], {})
            shares[row["density"]] = f"{share:.1%} of it at {density}"
    return [
        f"no mask of scope {scope} can hold the whole ticket: at most {', '.join(shares.values())}"
        for scope, shares in too_small.items()
    ]


def table(records: pa.Table) -> str:
    """A text table: how good each seeker is at each density, with the bare ticket's baseline.

    Two lines each: the mean with its 95% interval in brackets, then (minimum, maximum). Below, how
    much of the ticket fits where a budget is too small for all of it.
    """
    summary, series, blocks = summarise(records), _series(records), []
    for group in summary.group_by(WHERE, use_threads=False).aggregate([]).to_pylist():
        part = _rows(summary, **group)
        accuracy = _is_accuracy(group["task"])
        measure = "accuracy" if accuracy else "mean squared error"
        baseline = np.mean(_rows(records, **group)["ticket_metric"].to_numpy())
        runs = sorted(set(part["runs"].to_pylist()))
        seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
        what = f"mean [95% interval of the mean] (min, max) of {seeds} seeds"
        what = "1 seed" if runs == [1] else what
        present = [s for s in series if _rows(part, **s.where).num_rows]
        for quality in QUALITIES:
            trained = "before training" if quality == "strong" else "after training"
            title = (
                f"{task_title(group['task'])}, depth "
                f"{group['depth']}, width {group['width']}, noise {group['noise']:g}: {quality} "
                f"{measure} ({trained})"
            )
            legend = f"{what}; bare ticket {format_metric(baseline, accuracy)}"
            lines = _table_lines(part, quality, accuracy, present)
            blocks.append("\n".join([title, legend, *lines]))
        blocks += filter(None, ["\n".join(_what_fits(part))])
    return "\n\n".join(blocks)


def _draw_panel(axes: plt.Axes, records: pa.Table, panel: Panel, series: list[Series]) -> None:
    rows = _rows(records, **panel.where)
    summary = summarise(rows)
    task = panel.where["task"]
    accuracy = _is_accuracy(task)
    column = f"{panel.quality}_metric"
    for i, (label, where) in enumerate(series):
        points = _rows(summary, **where).sort_by("density")
        x = points["density"].to_numpy()
        mean = points[f"{column}_mean"].to_numpy()
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        for ends, shade in BANDS.values():
            low, high = (points[f"{column}_{end}"].to_numpy() for end in ends)
            axes.fill_between(x, low, high, color=colour, alpha=shade, linewidth=0)
        axes.plot(x, mean, color=colour, marker=marker, markersize=4.5, linewidth=1.6, label=label)
    baseline = np.mean(rows["ticket_metric"].to_numpy())
    axes.axhline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="bare ticket")
    ticket_density = rows["ticket_density"][0].as_py()
    axes.axvline(ticket_density, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.set_xscale("log")
    # Where neither the baseline nor collapsed runs are: these lie at opposite ends.
    axes.annotate(
        "ticket's\ndensity",
        (ticket_density, 0.02 if accuracy else 0.3),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=7,
        color=FAINT,
        va="bottom",
    )
    axes.set_xlabel("density")
    if accuracy:
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("accuracy")
    else:
        axes.set_yscale("log")
        axes.set_ylabel("mean squared error")
    trained = "before training (strong)" if panel.quality == "strong" else "after training (weak)"
    title = panel.title or f"{task_title(task)}, {trained}"
    axes.set_title(title, loc="left")
    tidy(axes)


def tidy(axes: plt.Axes) -> None:
    """Axes as all figures have them: two spines and a faint grid."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, which="major", color="#e8e8e8", linewidth=0.7)
    axes.set_axisbelow(True)


def figure(
    records: pa.Table,
    panels: Sequence[Panel],
    path: str | os.PathLike,
    *,
    title: str = "",
    columns: int = 2,
) -> None:
    """Draw quality against density, one panel each, into a PNG (or PDF, SVG) file.

    Per series the mean as a line, its 95% interval as a band on the lighter one of the range over
    seeds; the bare ticket dashed.
    """
    series = _series(records)
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    height = 3.1 * lines + 0.9
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, height), squeeze=False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw_panel(ax, records, panel, series)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        if records.num_rows and pc.count_distinct(records["seed"]).as_py() > 1:
            handles += [Patch(color=FAINT, alpha=2 * shade, lw=0) for _, shade in BANDS.values()]
            labels += BANDS
        canvas.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        bottom = 0.15 + 0.18 * -(-len(labels) // 4)
        canvas.tight_layout(rect=(0, bottom / height, 1, 1 - 0.1 / height))
        canvas.savefig(path, dpi=160)
        plt.close(canvas)


def _ticket_layers(task: str, depth: int, width: int, prune_bias: bool) -> list[float]:
    """Share of each layer's parameters that the planted ticket has."""
    known = get_task(task)
    counts = count_ticket_layers(known.ticket(depth=depth), prune_bias)
    sizes = itertools.pairwise((known.inputs, *[width] * (depth - 2), known.outputs))
    return [
        count / (n_in * n_out + n_out * prune_bias)
        for count, (n_in, n_out) in zip(counts, sizes, strict=True)
    ]


def _draw_rounds(axes: plt.Axes, rows: pa.Table, series: Series, ticket: list[float]) -> None:
    kept = np.array(rows["round_layer_kept"].to_pylist())  # (seeds, rounds, layers)
    kept = np.concatenate([np.ones_like(kept[:, :1]), kept], axis=1).mean(axis=0)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(ticket)))
    for layer, colour in enumerate(colours):
        # A log scale has no place for an empty layer: its line ends.
        line = np.where(kept[:, layer] > 0, kept[:, layer], np.nan)
        axes.plot(range(len(line)), line, "o-", ms=3, lw=1.5, color=colour, label=f"layer {layer}")
        axes.axhline(ticket[layer], color=colour, linestyle=(0, (5, 3)), linewidth=1)
    dead = np.array(rows["round_first_dead_layer"].to_pylist())
    collapsed = (dead >= 0).any(axis=1)
    text = f"{collapsed.sum()} of {len(dead)} collapse"
    if collapsed.any():
        text += f", the first in round {(dead >= 0).any(axis=0).argmax() + 1}"
    axes.set_title(f"{series.label}: {text}", loc="left")
    axes.set_yscale("log")
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)


def rounds(records: pa.Table, where: dict[str, Any], path: str | os.PathLike) -> None:
    """Draw every layer's density after every round of pruning, one panel per seeker.

    where: columns and the values that records must have, WHERE and a density among them. Solid is
    the mean over seeds, dashed in the same colour the layer's share of the planted ticket. A line
    ends where the layer is empty in every seed.

    Raises ValueError if no such record was made in rounds.
    """
    rows = _rows(records, **where)
    rows = rows.filter(pc.is_valid(rows["round_layer_kept"]))
    if not rows.num_rows:
        raise ValueError(f"no record of pruning in rounds has {where}")
    biases = rows["prune_bias"][0].as_py()
    ticket = _ticket_layers(where["task"], where["depth"], where["width"], biases)
    series = _series(rows)
    columns = min(3, len(series))
    lines = -(-len(series) // columns)
    height = 2.9 * lines + 0.8
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            lines, columns, figsize=(4 * columns, height), squeeze=False, sharey=True
        )
        for ax in axes.flat[len(series) :]:
            ax.set_visible(False)
        for ax, one in zip(axes.flat, series, strict=False):
            _draw_rounds(ax, _rows(rows, **one.where), one, ticket)
        for ax in axes[:, 0]:
            ax.set_ylabel("density of the layer")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        handles.append(Line2D([], [], color=FAINT, linestyle=(0, (5, 3)), linewidth=1))
        labels.append("planted ticket")
        canvas.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
        own = where["density"] == rows["ticket_density"][0].as_py()
        density = f"{'the ticket’s density' if own else 'density'} {where['density']:.2g}"
        canvas.suptitle(
            f"{task_title(where['task'])}: what each round leaves of the layers, down to {density}",
            x=0.01,
            ha="left",
            fontsize=12,
            weight="bold",
        )
        canvas.tight_layout(rect=(0, 0.28 / height, 1, 1))
        canvas.savefig(path, dpi=160)
        plt.close(canvas)


class Heat(NamedTuple):
    """How the cells of a map are coloured: a column of records, what it is called, its scale."""

    column: str
    title: str
    norm: Normalize
    colours: str
    form: Callable[[float], str]


def _short(share: float) -> str:
    """Two digits of a share, to fit into a cell: .07, 1."""
    return "1" if share >= 0.995 else f"{share:.2f}"[1:]


def _one_digit(error: float) -> str:
    """One digit and the power of ten, to fit into a cell: 2e-3."""
    return f"{error:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _heats(rows: pa.Table, accuracy: bool) -> list[Heat]:
    heats = [Heat("recall", "recall\nof the ticket", Normalize(0, 1), "viridis", _short)]
    for quality, when in zip(QUALITIES, ("before", "after"), strict=True):
        column = f"{quality}_metric"
        if accuracy:
            norm, colours, form = heats[0].norm, heats[0].colours, heats[0].form
        else:
            # One scale for both, on which the bare ticket has a place.
            names = (*(f"{each}_metric" for each in QUALITIES), "ticket_metric")
            values = np.concatenate([rows[name].to_numpy() for name in names])
            values = values[np.isfinite(values) & (values > 0)]
            low, high = (values.min(), values.max()) if values.size else (0.1, 1)
            # Dark is bad everywhere: small errors are bright.
            norm, colours = LogNorm(low, max(high, 1.01 * low)), "viridis_r"
            form = _one_digit
        measure = "accuracy" if accuracy else "mean sq. error"
        heats.append(Heat(column, f"{measure}\n{when} training", norm, colours, form))
    return heats


def _cells(
    points: list[dict], column: str, densities: list[float | str], widths: list[int]
) -> np.ndarray:
    """Values by width and density, (widths, densities); NaN where there is no record."""
    cells = np.full((len(widths), len(densities)), np.nan)
    for point in points:
        if point["column"] in densities:
            place = widths.index(point["width"]), densities.index(point["column"])
            cells[place] = point[column]
    return cells


def _draw_heat(axes: plt.Axes, cells: np.ndarray, fits: np.ndarray, heat: Heat) -> ScalarMappable:
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(cells),
        norm=heat.norm,
        cmap=heat.colours,
        edgecolors="white",
        linewidth=1.2,
    )
    axes.set_facecolor("#eeeeee")
    for (i, j), value in np.ndenumerate(cells):
        if np.isnan(value):
            continue
        red, green, blue, _ = mesh.to_rgba(value)
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55
        ink = "white" if dark else INK
        if fits[i, j] < 1:
            axes.plot([j + 0.06, j + 0.28], [i + 0.72, i + 0.94], color=ink, linewidth=1.2)
        if cells.size <= LABELLED_CELLS:
            text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "color": ink}
            axes.text(j + 0.5, i + 0.5, heat.form(value), **text)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def phase(records: pa.Table, where: dict[str, Any], path: str | os.PathLike) -> None:
    """Draw phase diagrams: a map over density and width for every seeker, into a PNG (PDF, SVG).

    Rows of maps are the recall of the ticket and the quality before and after training, means over
    seeds; bright is good. A stroke in the corner of a cell says that no mask of that density and
    scope can hold the whole ticket. The ticket's own density, which is another one at each width,
    has the first column.

    where: task, depth, noise; and what else records must have.

    Raises ValueError if there is no such record.
    """
    rows = _rows(records, **where)
    if not rows.num_rows:
        raise ValueError(f"no record has {where}")
    points = summarise(rows).to_pylist()
    for point in points:
        own = point["density"] == point["ticket_density"]
        point["column"] = "ticket" if own else point["density"]
    columns = {point["column"] for point in points}
    densities = [*({"ticket"} & columns), *sorted(columns - {"ticket"})]
    widths = sorted({point["width"] for point in points})
    series, accuracy = _series(rows), _is_accuracy(where["task"])
    heats = _heats(rows, accuracy)
    size = 0.42 * len(densities) + 0.25, 0.3 * len(widths) + 0.25
    size = max(size[0], 1.5), max(size[1], 1.25)
    width, height = size[0] * len(series) + 2.1, size[1] * len(heats) + 1.9
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            len(heats),
            len(series),
            figsize=(max(width, 6.5), height),
            squeeze=False,
            sharex=True,
            sharey=True,
            layout="constrained",
        )
        for line, heat in zip(axes, heats, strict=True):
            for ax, one in zip(line, series, strict=True):
                own = [p for p in points if all(p[name] == v for name, v in one.where.items())]
                values, fits = (
                    _cells(own, f"{column}_mean", densities, widths)
                    for column in (heat.column, "feasible_recall")
                )
                mesh = _draw_heat(ax, values, fits, heat)
            bar = canvas.colorbar(mesh, ax=line, pad=0.01, aspect=12, label=heat.title)
            bar.outline.set_visible(False)
            if heat.column != "recall":
                baseline = np.mean(rows["ticket_metric"].to_numpy())
                beside: dict[str, Any] = {
                    "transform": bar.ax.get_yaxis_transform(),
                    "clip_on": False,
                }
                bar.ax.plot(-0.35, baseline, ">", color=COLOURS[4], markersize=5, **beside)
            line[0].set_ylabel("width")
        for ax, one in zip(axes[0], series, strict=True):
            ax.set_title(one.label, weight="bold")
        for ax in axes[-1]:
            ax.set_xlabel("density")
            names = [d if d == "ticket" else f"{d:g}" for d in densities]
            ax.set_xticks(np.arange(len(densities)) + 0.5, names, rotation=45, **ANCHORED)
        axes[0, 0].set_yticks(np.arange(len(widths)) + 0.5, map(str, widths))
        seeds = pc.count_distinct(rows["seed"]).as_py()
        canvas.suptitle(
            f"{task_title(where['task'])}, depth {where['depth']}, noise {where['noise']:g}: "
            "where is the ticket found?",
            x=0.01,
            ha="left",
            fontsize=12,
            weight="bold",
        )
        canvas.supxlabel(
            f"means of {seeds} seed{'s' * (seeds > 1)}; arrow at the colour bar: the bare ticket; "
            "stroke in the corner: too small for the whole ticket",
            fontsize=8,
            color=FAINT,
        )
        canvas.savefig(path, dpi=160)
        plt.close(canvas)


class Case(NamedTuple):
    """One way of looking for the ticket by one seeker.

    measures: by name, each (seeds,): recall; and, unless the search began at the ticket, strong and
        weak (the metrics) and ratio (log10 of the loss of the found over that of the planted mask).
    """

    seeker: str
    case: str
    measures: dict[str, np.ndarray]


def _measured(values: np.ndarray, form: Callable[[float], str]) -> str:
    mean, (low, high) = np.mean(values), intervals_of_means(np.asarray(values)[None])[:, 0]
    if not np.isfinite(low):
        return form(mean)
    return f"{form(mean)} [{form(low)}, {form(high)}]"


def _times(log10: float) -> str:
    """A ratio by its decimal logarithm."""
    return f"{10**log10:.3g}" if abs(log10) < 4 else f"10^{log10:.1f}"


def _case_forms(accuracy: bool) -> dict[str, Callable[[float], str]]:
    number = functools.partial(format_metric, accuracy=accuracy)
    return {"recall": "{:.3f}".format, "strong": number, "weak": number, "ratio": _times}


def case_table(cases: Sequence[Case], verdicts: dict[str, str], accuracy: bool) -> str:
    """A text table of cases, mean [95% interval of the mean] each, with a verdict per seeker."""
    forms = _case_forms(accuracy)
    heads = {"recall": "recall", "strong": "strong", "weak": "weak", "ratio": "loss, found/planted"}
    lines = [["seeker", "case", *heads.values()]]
    for case in cases:
        shown = [
            _measured(case.measures[name], form) if name in case.measures else ""
            for name, form in forms.items()
        ]
        lines.append([seeker_title(case.seeker), case.case, *shown])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join(
        [*text, "", *(f"{seeker_title(name)}: {text}" for name, text in verdicts.items())]
    )


def diagnosis(
    cases: Sequence[Case],
    baseline: float,
    path: str | os.PathLike,
    *,
    accuracy: bool,
    title: str = "",
) -> None:
    """Draw every seeker's cases side by side: recall, quality before training, ratio of losses.

    Means with their 95% intervals. baseline: the bare ticket's metric. Right of the line at 1 in
    the last panel, the search failed; left of it, the objective prefers what was found.
    """
    seekers = list(dict.fromkeys(case.seeker for case in cases))
    names = list(dict.fromkeys(case.case for case in cases))
    quality = "accuracy" if accuracy else "mean squared error"
    panels = {
        "recall": "recall of the ticket",
        "strong": f"{quality} before training",
        "ratio": "loss of the found / of the planted mask",
    }
    # A slot for every case, and one between seekers.
    slots = {seeker: [case for case in cases if case.seeker == seeker] for seeker in seekers}
    first = np.cumsum([0, *(len(own) + 1 for own in slots.values())])
    with plt.rc_context(STYLE):
        canvas, axes = plt.subplots(
            1,
            len(panels),
            figsize=(11, 0.17 * first[-1] + 1.9),
            sharey=True,
            layout="constrained",
        )
        for ax, (name, label) in zip(axes, panels.items(), strict=True):
            for case in cases:
                if name not in case.measures:
                    continue
                place = names.index(case.case)
                y = first[seekers.index(case.seeker)] + slots[case.seeker].index(case)
                mean = np.mean(case.measures[name])
                bounds = intervals_of_means(np.asarray(case.measures[name])[None])[:, 0]
                x = np.array([mean, *bounds])
                x = 10.0**x if name == "ratio" else x
                colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
                ax.plot(x[1:], [y, y], color=colour, linewidth=2, alpha=0.6)
                ax.plot(x[0], y, marker, color=colour, markersize=5)
            for edge in first[1:-1] - 1:
                ax.axhline(edge, color="#dddddd", linewidth=0.8)
            ax.set_xlabel(label)
            tidy(ax)
            ax.grid(False, axis="y")
            ax.tick_params(axis="y", length=0)
        axes[0].set_xlim(-0.03, 1.03)
        axes[1].axvline(baseline, color=INK, linestyle=(0, (5, 3)), linewidth=1.1)
        axes[1].set_title("dashed: the bare ticket", loc="left", fontsize=8.5, color=FAINT)
        if accuracy:
            axes[1].set_xlim(-0.03, 1.03)
        else:
            axes[1].set_xscale("log")
        axes[2].set_xscale("log")
        axes[2].axvline(1, color=INK, linewidth=1.1)
        low, high = axes[2].get_xlim()
        low, high = min(low, 0.4), max(high, 2.5)
        axes[2].set_xlim(low, high)
        axes[2].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        axes[2].xaxis.set_major_formatter(lambda ratio, position: _times(np.log10(ratio)))
        axes[2].xaxis.set_minor_locator(NullLocator())
        for side, text in (("left", "< 1: objective wrong"), ("right", "> 1: search failed")):
            axes[2].set_title(text, loc=side, fontsize=8.5, color=FAINT)
        middles = (first[:-1] + first[1:]) / 2 - 1
        axes[0].set_yticks(middles, map(seeker_title, seekers))
        axes[0].set_ylim(first[-1] - 1, -1)
        marks = [
            Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], lw=2)
            for i in range(len(names))
        ]
        canvas.legend(marks, names, loc="outside lower center", ncols=4, frameon=False)
        canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        canvas.savefig(path, dpi=160)
        plt.close(canvas)


def _width_label(log10_width: float, position: float | None = None) -> str:
    del position
    return f"{10**log10_width:.0f}" if log10_width < 4 else f"$10^{{{log10_width:.0f}}}$"


def _draw_bounds(axes: plt.Axes, curves: Sequence[Bound], colour: str, delta: float) -> None:
    for curve in curves:
        dashes = "-" if curve.initialisation == "uniform" else (0, (4, 2))
        axes.plot(
            curve.log10_width, curve.probability, color=colour, linestyle=dashes, linewidth=1.6
        )
        axes.plot(curve.required, 1 - delta, "o", color=colour, markersize=4.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1])
    axes.axhline(1 - delta, color=FAINT, linestyle=":", linewidth=1, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=3, nbins=6))
    axes.xaxis.set_major_formatter(_width_label)
    axes.set_xlabel("width of the random network")
    tidy(axes)


def bounds(
    curves: Sequence[Bound],
    path: str | os.PathLike,
    *,
    delta: float,
    landmarks: dict[str, float] | None = None,
    title: str = "",
    subtitle: str = "",
) -> None:
    """Draw the chance that tickets exist against width, all tasks on one axis and each closer.

    Dots mark the widths at which it is 1 - delta, dotted lines the landmarks (log10 of widths).
    """
    tasks = {
        task: [curve for curve in curves if curve.task == task]
        for task in dict.fromkeys(curve.task for curve in curves)
    }
    widest = max(curve.log10_width[-1] for curve in curves)
    with plt.rc_context(STYLE):
        canvas = plt.figure(figsize=(max(3.1 * len(tasks), 6.2), 5.4))
        grid = canvas.add_gridspec(2, len(tasks), height_ratios=(1, 1.1))
        whole = canvas.add_subplot(grid[0, :])
        beside: dict[str, Any] = {"textcoords": "offset points", "va": "center"}
        for label, log10_width in (landmarks or {}).items():
            if log10_width <= widest:
                whole.axvline(log10_width, color=FAINT, linestyle=":", linewidth=1, zorder=0)
                place = {"xytext": (-5, 0), "ha": "right", **beside}
                whole.annotate(label, (log10_width, 0.62), fontsize=8, color=FAINT, **place)
        for i, (task, both) in enumerate(tasks.items()):
            colour = COLOURS[i % len(COLOURS)]
            name = task_title(task)
            # On the side where there is room, of the curve that is nearest to it.
            required = [curve.required for curve in both]
            left = min(required) > widest / 2
            end, side, shift = (min, "right", -8) if left else (max, "left", 8)
            place = {"xytext": (shift, 0), "ha": side, "weight": "bold", **beside}
            whole.annotate(name, (end(required), 0.25), color=colour, **place)
            closer = canvas.add_subplot(grid[1, i])
            for axes in (whole, closer):
                _draw_bounds(axes, both, colour, delta)
            closer.set_title(name, loc="left", color=colour, weight="bold")
            for curve in both:
                side, shift = ("right", -6) if curve.required == min(required) else ("left", 6)
                place = {"xytext": (shift, -9), "ha": side, **beside}
                text = _width_label(curve.required)
                closer.annotate(text, (curve.required, 1 - delta), fontsize=8, **place)
            if i == 0:
                closer.set_ylabel("chance, at least")
        whole.set_xlim(0, widest * 1.02)
        whole.set_ylabel("chance, at least")
        whole.set_title(subtitle, loc="left")
        lines = [Line2D([], [], color=INK, linestyle=style) for style in ("-", (0, (4, 2)))]
        dot = Line2D([], [], color=INK, marker="o", markersize=4.5, linestyle="")
        labels = ["uniform initialisation", "normal initialisation", f"chance {1 - delta:g}"]
        canvas.legend([*lines, dot], labels, loc="lower center", ncols=3, frameon=False)
        if title:
            canvas.suptitle(title, x=0.01, ha="left", fontsize=12, weight="bold")
        canvas.tight_layout(rect=(0, 0.05, 1, 1))
        canvas.savefig(path, dpi=160)
        plt.close(canvas)
