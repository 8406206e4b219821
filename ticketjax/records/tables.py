"""Text tables: of records, and of the cases of a diagnosis."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ticketjax.measure.diagnosis import Case
from ticketjax.records.summaries import (
    ENDS,
    QUALITIES,
    Series,
    intervals_of_means,
    mean_of_finite,
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
    place_title,
    seeker_title,
)


def budget_mark(row: dict) -> str:
    """What a point of a summary has kept, where that is not its budget; else nothing."""
    return f"kept {row['kept_mean']:.3g}" if row["outside_budget"] else ""


def _cell(row: dict, column: str, accuracy: bool) -> tuple[str, str]:
    """A cell's two lines; of one seed there is only the mean."""
    mark = f", {budget_mark(row)}" if row["outside_budget"] else ""
    if row[f"{column}_count"] == 0:
        return f"diverged{mark}", ""
    mean, low, high, least, most = (
        format_metric(row[f"{column}_{how}"], accuracy) for how in ("mean", *ENDS, "min", "max")
    )
    if row["runs"] == 1:
        return f"{mean}{mark}", ""
    interval = "-" if "nan" in (low, high) else f"{low}, {high}"
    return f"{mean} [{interval}]{mark}", f"{' ' * len(mean)} ({least}, {most})"


def _table_lines(part: pa.Table, quality: str, accuracy: bool, series: list[Series]) -> list[str]:
    densities = sorted(set(part["density"].to_pylist()))
    ticket_density = part["ticket_density"][0].as_py()
    cells = [["seeker", *(density_label(d, ticket_density) for d in densities)]]
    for label, where in series:
        lines = ([label], [""])
        for density in densities:
            rows = rows_where(part, **where, density=density).to_pylist()
            cell = _cell(rows[0], f"{quality}_metric", accuracy) if rows else ("-", "")
            for line, text in zip(lines, cell, strict=True):
                line.append(text)
        cells += [line for line in lines if any(line)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


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
    """How many runs of which points count() finds, where there are any."""
    return [
        f"{label} {count(row)} of {row['runs']} at "
        f"{density_label(row['density'], row['ticket_density'])}"
        for label, where in series
        for row in rows_where(part, **where).sort_by("density").to_pylist()
        if count(row)
    ]


def _what_diverged(part: pa.Table, column: str, series: list[Series]) -> list[str]:
    """A line that says which runs have no finite number, if there are any."""
    places = _places(part, series, lambda row: row["runs"] - row[f"{column}_count"])
    return [f"diverged, in no number above: {', '.join(places)}"] if places else []


def _what_is_outside(part: pa.Table, series: list[Series]) -> list[str]:
    """A line that says which runs did not keep to their budget, if there are any."""
    places = _places(part, series, lambda row: row["outside_budget"])
    return [f"kept another number than the density allows: {', '.join(places)}"] if places else []


def table(records: pa.Table) -> str:
    """A text table: how good each seeker is at each density, with the bare ticket's baseline.

    Args:
        records: a row per run.

    Returns:
        The text. Every entry has two lines: the mean with its 95% interval in brackets, then
        (minimum, maximum). Notes below say how many runs diverged, which are not in these numbers,
        how many did not keep to their budget, and how much of the ticket fits where a budget is too
        small for all of it.
    """
    summary, series, blocks = summarise(records), series_of(records), []
    for place in places_of(summary):
        part = rows_where(summary, **place)
        accuracy = shows_accuracy(part)
        measure = "accuracy" if accuracy else "mean squared error"
        baseline = mean_of_finite(rows_where(records, **place)["ticket_metric"].to_numpy())
        runs = sorted(set(part["runs"].to_pylist()))
        seeds = str(runs[0]) if len(runs) == 1 else f"{runs[0]}-{runs[-1]}"
        what = f"mean [95% interval of the mean] (min, max) of {seeds} seeds"
        what = "1 seed" if runs == [1] else what
        present = [s for s in series if rows_where(part, **s.where).num_rows]
        for quality in QUALITIES:
            trained = "before training" if quality == "strong" else "after training"
            title = f"{place_title(place)}: {quality} {measure} ({trained})"
            legend = f"{what}; bare ticket {format_metric(baseline, accuracy)}"
            lines = _table_lines(part, quality, accuracy, present)
            lines += _what_diverged(part, f"{quality}_metric", present)
            lines += _what_is_outside(part, present)
            blocks.append("\n".join([title, legend, *lines]))
        blocks += filter(None, ["\n".join(what_fits(part))])
    return "\n\n".join(blocks)


def _measured(values: np.ndarray, form: Callable[[float], str]) -> str:
    mean, (low, high) = mean_of_finite(values), intervals_of_means(values[None])[:, 0]
    diverged = np.sum(~np.isfinite(values))
    if diverged == len(values):
        return "diverged"
    text = form(mean) if np.isnan(low) else f"{form(mean)} [{form(low)}, {form(high)}]"
    return f"{text}, {diverged} of {len(values)} diverged" if diverged else text


def _case_forms(accuracy: bool) -> dict[str, Callable[[float], str]]:
    number = functools.partial(format_metric, accuracy=accuracy)
    return {"recall": "{:.3f}".format, "strong": number, "weak": number, "ratio": format_ratio}


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
