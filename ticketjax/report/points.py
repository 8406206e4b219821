"""The table of a page: a line for every point of a grid."""

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ticketjax.base import CLASSIFICATION
from ticketjax.records.summaries import ENDS, POINT, WHERE, series_of, summarise
from ticketjax.records.tables import budget_mark, found_text, quartiles_text
from ticketjax.records.titles import density_label, format_metric, task_title
from ticketjax.report.markup import Html, element
from ticketjax.report.notices import collapsed, count_runs, diverged
from ticketjax.runs.grid import MLP

COLUMNS = {"strong": "before training", "weak": "after training"}


def _number(value: float) -> str:
    """A number in the form that the page's script reads."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "NaN" if math.isnan(value) else repr(value)


def _cell(text: str, value: float, *below: str, wrong: bool = False) -> Html:
    small = (element("small", line) for line in below if line)
    return element("td", text, *small, data_value=_number(value), class_="wrong" if wrong else None)


def _share(value: float | None) -> Html:
    return element("td", "-", data_value="NaN") if value is None else _cell(f"{value:.3f}", value)


def _found(row: dict[str, Any]) -> Html:
    if not row["found_count"]:
        return _share(None)
    share = row["found_sum"] / row["found_count"]
    count, _, interval = found_text(row).partition(" [")
    return _cell(count, share, f"[{interval}")


def _count(count: int, wrong: bool = False) -> Html:
    return _cell(f"{count}" if count else "-", count, wrong=wrong and count > 0)


def _word(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _varying(rows: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
    """The names of WHERE in which rows differ, and the text of what they have in common."""
    differ = [name for name in WHERE if len({row[name] for row in rows}) > 1]
    common = [
        task_title(rows[0][name]) if name == "task" else f"{name} {_word(rows[0][name])}"
        for name in WHERE
        if name not in differ and (name != "model" or rows[0][name] != MLP)
    ]
    return differ, ", ".join(common)


def _line(
    row: dict[str, Any],
    label: str,
    differ: Sequence[str],
    says_found: bool,
    collapsed_runs: int,
    lost_runs: int,
) -> list[Html]:
    """The cells of a point: `row` of a summary, `differ` the columns that distinguish places."""
    accuracy = row["kind"] == CLASSIFICATION
    cells = [element("th", label, scope="row")]
    for name in differ:
        value = task_title(row[name]) if name == "task" else row[name]
        cells.append(element("td", value) if isinstance(value, str) else _cell(f"{value:g}", value))
    density = density_label(row["density"], row["ticket_density"])
    outside = row["outside_budget"] > 0
    cells.append(_cell(density, row["density"], budget_mark(row), wrong=outside))
    for quality in COLUMNS:
        mean, *ends = (row[f"{quality}_metric_{how}"] for how in ("mean", *ENDS))
        known = all(map(math.isfinite, ends))
        interval = f"[{', '.join(format_metric(end, accuracy) for end in ends)}]" if known else ""
        middle = quartiles_text(row, f"{quality}_metric", accuracy)
        wrong = not math.isfinite(mean)
        cells.append(_cell(format_metric(mean, accuracy), mean, interval, middle, wrong=wrong))
        if quality == "strong" and says_found:
            cells.append(_found(row))
    ticket = row["ticket_metric_mean"]
    return [
        *cells,
        _cell(format_metric(ticket, accuracy), ticket),
        _share(row["recall_mean"]),
        _share(row["precision_mean"]),
        _cell(f"{row['runs']}", row["runs"]),
        _count(collapsed_runs),
        _count(lost_runs, wrong=True),
    ]


def points_table(records: pa.Table) -> list[Html]:
    """What all points have in common, and a line for each; the page's heads sort the lines."""
    rows = summarise(records).to_pylist()
    series = series_of(records)
    dead, lost = count_runs(records, collapsed(records)), count_runs(records, diverged(records))
    order = {tuple(where.values()): i for i, (_, where) in enumerate(series)}
    names = tuple(series[0].where)
    labels = {key: series[i].label for key, i in order.items()}

    def key(row: dict[str, Any]) -> tuple:
        return tuple(row[name] for name in names)

    rows.sort(key=lambda row: (*(row[name] for name in WHERE), order[key(row)], row["density"]))
    differ, common = _varying(rows)
    says_found = any(row["found_count"] for row in rows)
    found = ["found"] if says_found else []
    heads = ["seeker", *differ, "density", COLUMNS["strong"], *found, COLUMNS["weak"]]
    heads += ["bare ticket", "recall", "precision", "runs", "collapsed"]
    any_lost = any(count for count, _ in lost.values())
    heads += ["not finite"] if any_lost else []
    lines = []
    for row in rows:
        point = tuple(row[name] for name in POINT)
        counts = dead[point][0], lost[point][0]
        cells = _line(row, labels[key(row)], differ, says_found, *counts)
        lines.append(element("tr", *cells[: len(heads)]))
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in heads)))
    table = element("table", head, element("tbody", *lines), class_="sortable")
    kinds = {row["kind"] == CLASSIFICATION for row in rows}
    measure = " or ".join(
        "accuracy" if accuracy else "mean squared error" for accuracy in sorted(kinds, reverse=True)
    )
    bimodal = any(row[f"{quality}_metric_bimodal"] for quality in COLUMNS for row in rows)
    modes = "; with two modes also the median and the quartiles" if bimodal else ""
    shares = "; found: how many seeds found a ticket, with the 95% interval of the share"
    shares = shares if says_found else ""
    caption = (
        f"{common}{'. ' if common else ''}Before and after training: {measure}, means over seeds "
        f"with the 95% interval of the mean{', of values that are finite' if any_lost else ''}"
        f"{modes}{shares}."
    )
    box = {"class_": "scroll", "tabindex": 0, "role": "region", "aria_label": "All points"}
    return [element("p", caption, class_="aside"), element("div", table, **box)]
