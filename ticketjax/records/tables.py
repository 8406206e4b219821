"""Text tables: of records, and of the cases of a diagnosis."""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.measure.diagnosis import Case
from ticketjax.records.columns import aligned
from ticketjax.records.statistics import FEWEST, intervals_of_means, mean_of_finite
from ticketjax.records.summaries import (
    ENDS,
    MIDDLE,
    QUALITIES,
    Series,
    metric_interval,
    metric_quartiles,
    places_of,
    rows_where,
    series_of,
    shows_accuracy,
    summarise,
)
from ticketjax.records.titles import (
    density_label,
    format_metric,
    format_ratio,
    format_share,
    place_title,
    seeker_title,
)


def budget_mark(row: dict) -> str:
    """What a point of a summary has kept, if that is not its budget; else empty."""
    return f"kept {row['kept_mean']:.3g}" if row["outside_budget"] else ""


def quartiles_text(row: dict, column: str, accuracy: bool) -> str:
    """The median and quartiles of a metric at a point of a summary, if it is bimodal there."""
    if not row[f"{column}_bimodal"]:
        return ""
    low, median, high = (format_metric(row[f"{column}_{how}"], accuracy) for how in MIDDLE)
    return f"median {median} [{low}, {high}]"


def found_text(row: dict) -> str:
    """The share of runs at a summary's point that found a strong ticket; empty if unknown."""
    return format_share(row["found_sum"], row["found_count"]) if row["found_count"] else ""


def _cell(row: dict, column: str, accuracy: bool) -> list[str]:
    """A cell's lines; for one seed there is only the mean."""
    mark = f", {budget_mark(row)}" if row["outside_budget"] else ""
    if row[f"{column}_count"] == 0:
        return [f"diverged{mark}"]
    mean, low, high, least, most = (
        format_metric(row[f"{column}_{how}"], accuracy) for how in ("mean", *ENDS, "min", "max")
    )
    if row["runs"] == 1:
        return [f"{mean}{mark}"]
    interval = f" [{low}, {high}]" if row[f"{column}_count"] >= FEWEST else ""
    middle = quartiles_text(row, column, accuracy)
    range_ = f"{' ' * len(mean)} ({least}, {most})"
    return [f"{mean}{interval}{mark}", range_, *([middle] if middle else [])]


def _table_lines(part: pa.Table, quality: str, accuracy: bool, series: list[Series]) -> list[str]:
    densities = sorted(set(part["density"].to_pylist()))
    ticket_density = part["ticket_density"][0].as_py()
    cells = [["seeker", *(density_label(d, ticket_density) for d in densities)]]
    for label, where in series:
        columns = [[label]]
        for density in densities:
            rows = rows_where(part, **where, density=density).to_pylist()
            lines = _cell(rows[0], f"{quality}_metric", accuracy) if rows else ["-"]
            if rows and quality == "strong" and (found := found_text(rows[0])):
                lines.append(f"found {found}")
            columns.append(lines)
        cells += [list(line) for line in itertools.zip_longest(*columns, fillvalue="")]
    return aligned(cells)


def _legend(part: pa.Table, quality: str) -> str:
    """The meaning of a block's entries."""
    runs = sorted(set(part["runs"].to_pylist()))
    seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
    if runs == [1]:
        what = "1 seed"
    elif runs[-1] < FEWEST:
        what = f"mean (min, max) of {seeds} seeds; fewer than {FEWEST} have no interval"
    else:
        what = f"mean [95% interval of the mean] (min, max) of {seeds} seeds"
    if pc.any(part[f"{quality}_metric_bimodal"]).as_py():
        what += "; with two modes also median [quartiles]"
    if quality == "strong" and pc.sum(part["found_count"]).as_py():
        what += "; seeds that found a ticket [95% interval of the share]"
    return what


def what_fits(part: pa.Table) -> list[str]:
    """A line for every scope whose budgets cannot hold the whole ticket; `part` of a summary."""
    too_small: dict[str, dict[float, str]] = {}
    for row in part.sort_by("density").to_pylist():
        share = row["feasible_recall_mean"]
        if share is not None and share < 1:
            density = density_label(row["density"], row["ticket_density"])
            shares = too_small.setdefault(row["scope"], {})
            shares[row["density"]] = f"{share:.1%} of it at {density}"
    return [
        f"no mask of scope {scope} can hold the whole ticket: at most {', '.join(shares.values())}"
        for scope, shares in too_small.items()
    ]


def _places(part: pa.Table, series: list[Series], count: Callable[[dict], int]) -> list[str]:
    """The points for which count() is not 0, each with the count and the number of runs."""
    return [
        f"{label} {count(row)} of {row['runs']} at "
        f"{density_label(row['density'], row['ticket_density'])}"
        for label, where in series
        for row in rows_where(part, **where).sort_by("density").to_pylist()
        if count(row)
    ]


def _what_diverged(part: pa.Table, column: str, series: list[Series]) -> list[str]:
    """A line about runs without a finite number, if there are any."""
    places = _places(part, series, lambda row: row["runs"] - row[f"{column}_count"])
    return [f"diverged, excluded above: {', '.join(places)}"] if places else []


def _what_is_outside(part: pa.Table, series: list[Series]) -> list[str]:
    """A line about runs that did not keep to their budget, if there are any."""
    places = _places(part, series, lambda row: row["outside_budget"])
    return [f"kept another number than the density allows: {', '.join(places)}"] if places else []


def table(records: pa.Table) -> str:
    """A text table: how good each seeker is at each density, with the bare ticket's baseline.

    Args:
        records: a row per run.

    Returns:
        The text. Every entry has two lines: the mean with its 95% interval in brackets, then
        (minimum, maximum). Bimodal runs have a third line, the median with the quartiles in
        brackets. Before training, there is a line with the share of seeds that found a ticket, if
        records contain it. Notes below give the number of diverged runs, which are not in these
        numbers, of runs that did not keep to their budget, and how much of the ticket fits if a
        budget is too small for all of it.
    """
    summary, series, blocks = summarise(records), series_of(records), []
    for place in places_of(summary):
        part = rows_where(summary, **place)
        accuracy = shows_accuracy(part)
        measure = "accuracy" if accuracy else "mean squared error"
        baseline = mean_of_finite(rows_where(records, **place)["ticket_metric"].to_numpy())
        present = [s for s in series if rows_where(part, **s.where).num_rows]
        for quality in QUALITIES:
            trained = "before training" if quality == "strong" else "after training"
            title = f"{place_title(place)}: {quality} {measure} ({trained})"
            bare = f"bare ticket {format_metric(baseline, accuracy)}"
            legend = f"{_legend(part, quality)}; {bare}"
            lines = _table_lines(part, quality, accuracy, present)
            lines += _what_diverged(part, f"{quality}_metric", present)
            lines += _what_is_outside(part, present)
            blocks.append("\n".join([title, legend, *lines]))
        blocks += filter(None, ["\n".join(what_fits(part))])
    return "\n\n".join(blocks)


def metric_text(values: np.ndarray, accuracy: bool) -> str:
    """A metric over seeds: mean [95% interval], median [quartiles] if bimodal, and divergence.

    Args:
        values: (seeds,).
        accuracy: whether they are accuracies or shares; else they are errors.

    Returns:
        The text on one line.
    """
    form = functools.partial(format_metric, accuracy=accuracy)
    return _measured(
        values, form, metric_interval(values, accuracy), metric_quartiles(values, accuracy)
    )


def _ratio_text(log10: np.ndarray) -> str:
    return _measured(log10, format_ratio, intervals_of_means(log10[None])[:, 0].tolist())


def _measured(
    values: np.ndarray,
    form: Callable[[float], str],
    interval: Sequence[float],
    middle: Sequence[float] | None = None,
) -> str:
    diverged = np.sum(~np.isfinite(values))
    if diverged == len(values):
        return "diverged"
    text = form(mean_of_finite(values))
    if not np.isnan(interval[0]):
        text += f" [{', '.join(map(form, interval))}]"
    if middle:
        low, median, high = map(form, middle)
        text += f", median {median} [{low}, {high}]"
    return f"{text}, {diverged} of {len(values)} diverged" if diverged else text


def _case_forms(accuracy: bool) -> dict[str, Callable[[np.ndarray], str]]:
    metric = functools.partial(metric_text, accuracy=accuracy)
    share = functools.partial(metric_text, accuracy=True)
    return {"recall": share, "strong": metric, "weak": metric, "ratio": _ratio_text}


def case_table(cases: Sequence[Case], verdicts: dict[str, str], accuracy: bool) -> str:
    """A text table of cases, mean [95% interval of the mean] each, with a verdict per seeker."""
    forms = _case_forms(accuracy)
    heads = {"recall": "recall", "strong": "strong", "weak": "weak", "ratio": "loss, found/planted"}
    lines = [["seeker", "case", *heads.values()]]
    for case in cases:
        shown = [
            form(case.measures[name]) if name in case.measures else ""
            for name, form in forms.items()
        ]
        lines.append([seeker_title(case.seeker), case.case, *shown])
    return "\n".join(
        [*aligned(lines), "", *(f"{seeker_title(name)}: {text}" for name, text in verdicts.items())]
    )
