"""Two seekers side by side, seed by seed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ticketjax.base import CLASSIFICATION
from ticketjax.records.columns import aligned
from ticketjax.records.statistics import FEWEST, Difference, holm, mean_of_finite, paired_difference
from ticketjax.records.summaries import WHERE, Series, rows_where
from ticketjax.records.titles import density_label, format_metric, format_share, place_title

POINT = (*WHERE, "density")


class Comparison(NamedTuple):
    """Two seekers at one point, by the seeds that both have.

    Args:
        point: task, model, depth, width, noise and density by column, kind and ticket_density.
        means: of the one and of the other, over seeds where both are finite.
        difference: of the one minus the other, seed by seed.
        diverged: seeds of both at which one is not finite.
        found: of either, how many of their seeds found a strong ticket and how many say so.
    """

    point: dict[str, Any]
    means: tuple[float, float]
    difference: Difference
    diverged: int
    found: tuple[tuple[int, int], tuple[int, int]]


def _by_seed(records: pa.Table, series: Series, column: str) -> dict[tuple, dict[int, dict]]:
    """Rows of a series by the values of POINT, then by seed."""
    names = (*POINT, "seed", "kind", "ticket_density", "found", column)
    rows: dict[tuple, dict[int, dict]] = {}
    for row in rows_where(records, **series.where).select(names).to_pylist():
        seeds = rows.setdefault(tuple(row[name] for name in POINT), {})
        if row["seed"] in seeds:
            place = f"{place_title(row)}, density {row['density']:g}"
            raise ValueError(f"two records of {series.label!r} with seed {row['seed']} at {place}")
        seeds[row["seed"]] = row
    return rows


def _found(rows: Sequence[dict]) -> tuple[int, int]:
    known = [row["found"] for row in rows if row["found"] is not None]
    return sum(known), len(known)


def compare(records: pa.Table, first: Series, second: Series, column: str) -> list[Comparison]:
    """Compare two seekers wherever both have records of the same seeds.

    Args:
        records: a row per run.
        first, second: two of series_of(records).
        column: what is compared: a float column of records, such as "strong_metric".

    Returns:
        A comparison for each task, network, depth, width, noise and density, in this order.

    Raises:
        ValueError: two records are of one seeker, point and seed.
    """
    one, other = (_by_seed(records, series, column) for series in (first, second))
    comparisons = []
    for key in sorted(one.keys() & other.keys()):
        seeds = sorted(one[key].keys() & other[key].keys())
        if not seeds:
            continue
        sides = [[rows[seed] for seed in seeds] for rows in (one[key], other[key])]
        values = np.array([[row[column] for row in rows] for rows in sides], float)
        both = np.isfinite(values).all(axis=0)
        first_mean, second_mean = (mean_of_finite(side[both]) for side in values)
        comparisons.append(
            Comparison(
                sides[0][0],
                (first_mean, second_mean),
                paired_difference(*values),
                int(np.sum(~both)),
                (_found(sides[0]), _found(sides[1])),
            )
        )
    return comparisons


def adjusted(comparisons: Sequence[Comparison]) -> list[float]:
    """The p values of comparisons, adjusted over all of them by Holm; NaN where there is none."""
    return holm(np.array([comparison.difference.p for comparison in comparisons])).tolist()


def comparison_table(
    comparisons: Sequence[Comparison], first: str, second: str, *, share: bool, found: bool
) -> str:
    """A text table of comparisons, with p values adjusted over all of it by Holm.

    Args:
        comparisons: at least one.
        first, second: labels of the seekers.
        share: whether shares are compared, whatever the task; else metrics of the task.
        found: whether to show how many seeds found a strong ticket, if any record says so.

    Returns:
        The text. Fewer than five common seeds have neither an interval nor a p value.
    """
    found = found and any(of for one in comparisons for _, of in one.found)
    heads = ["", "density", first, second, "difference [95% interval]", "seeds", "p (Holm)"]
    heads += [f"{label} found" for label in (first, second)] if found else []
    lines = [heads]
    for comparison, p in zip(comparisons, adjusted(comparisons), strict=True):
        point, difference = comparison.point, comparison.difference
        accuracy = share or point["kind"] == CLASSIFICATION
        numbers = (*comparison.means, difference.mean, difference.low, difference.high)
        one, other, mean, low, high = (format_metric(number, accuracy) for number in numbers)
        enough = difference.seeds >= FEWEST
        lost = f", {comparison.diverged} diverged" if comparison.diverged else ""
        line = [
            place_title(point),
            density_label(point["density"], point["ticket_density"]),
            *((one, other) if difference.seeds else ("-", "-")),
            f"{mean} [{low}, {high}]" if enough else mean if difference.seeds else "-",
            f"{difference.seeds}{lost}",
            p_text(p) if enough else "-",
        ]
        if found:
            line += [format_share(*counts) if counts[1] else "-" for counts in comparison.found]
        lines.append(line)
    return "\n".join(aligned(lines))


def p_text(p: float) -> str:
    """A p value as tables write it."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"
