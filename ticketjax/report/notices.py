"""Notices on records: missing and repeated runs, divergence, collapse."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticketjax.records.summaries import (
    POINT,
    WHERE,
    outside_budget,
    places_of,
    rows_where,
    series_of,
    summarise,
)
from ticketjax.records.tables import what_fits
from ticketjax.records.titles import place_title
from ticketjax.report.results import Results
from ticketjax.runs.grid import MLP
from ticketjax.runs.record import IDENTITY

MEASURED = tuple(
    f"{network}_{measure}"
    for network in ("strong", "weak", "ticket")
    for measure in ("metric", "loss")
)
# Lists of a configuration, with the types of their items; the runs are their product.
AXES: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("task", str),
    ("model", str),
    ("depth", int),
    ("width", int),
    ("noise", (int, float)),
    ("seeds", int),
    ("seekers", str),
    ("densities", (int, float, str)),
)
# For a user's own network, only the records contain these.
SIZES = ("depth", "width")


class Notice(NamedTuple):
    """A notice, with its details.

    Args:
        text: the notice.
        details: more about it, one text each.
        problem: whether something is wrong with the records, not only with what was found.
    """

    text: str
    details: list[str]
    problem: bool


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in rising order, with three or more neighbours written as a range.

    Args:
        numbers: the numbers, in any order.

    Returns:
        The numbers and ranges, separated by commas.

    >>> ranges([0, 1, 2, 3, 7, 9, 10])
    '0-3, 7, 9, 10'
    """
    texts: list[str] = []
    # Consecutive numbers have the same distance to their index in the list.
    for _, pairs in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in pairs]
        texts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
    return ", ".join(texts)


def count_runs(records: pa.Table, flags: np.ndarray) -> dict[tuple, tuple[int, int]]:
    """How many of every point's runs are flagged, and all of them, by the values of POINT."""
    flagged = records.append_column("flagged", pa.array(flags.astype(np.int64)))
    groups = flagged.group_by(POINT, use_threads=False)
    counted = groups.aggregate([("flagged", "sum"), ("flagged", "count")])
    *names, flagged, runs = (
        counted[name].to_pylist() for name in (*POINT, "flagged_sum", "flagged_count")
    )
    return dict(zip(zip(*names, strict=True), zip(flagged, runs, strict=True), strict=True))


def collapsed(records: pa.Table) -> np.ndarray:
    """Which runs left no path from the input to the output, (runs,) bool."""
    return pc.fill_null(records["collapsed"], False).to_numpy()


def diverged(records: pa.Table) -> np.ndarray:
    """Which runs have a loss or metric that is not finite, (runs,) bool."""
    columns = [pc.fill_null(records[name], np.nan).to_numpy() for name in MEASURED]
    return ~np.isfinite(np.stack(columns)).all(axis=0)


def expected_runs(configuration: dict[str, Any]) -> int | None:
    """The number of runs of the configuration; None if it is unknown."""
    if not all(
        isinstance(axis, list | dict) and all(isinstance(value, kind) for value in axis)
        for axis, kind in ((_axis(configuration, name), kind) for name, kind in AXES)
    ):
        return None
    each = (len(_axis(configuration, name)) for name in ("seeds", "seekers", "densities"))
    return math.prod(each) * sum(1 for _ in _places(configuration))


def _axis(configuration: dict[str, Any], name: str) -> Any:
    # Records of earlier versions have no names of networks, because there was only one.
    return configuration.get(name, [MLP] if name == "model" else None)


def _places(configuration: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All places of a grid; depth and width are left out for networks that set their own."""
    for model in _axis(configuration, "model"):
        names = [name for name in WHERE if model == MLP or name not in SIZES]
        axes = ([model] if name == "model" else configuration[name] for name in names)
        for place in itertools.product(*axes):
            yield dict(zip(names, place, strict=True))


def _missing(configuration: dict[str, Any], records: pa.Table) -> Iterator[tuple[dict, dict]]:
    """Places, and the numbers of missing runs by seed."""
    there: Counter[tuple] = Counter()
    counted = records.group_by(IDENTITY, use_threads=False).aggregate([("seeker", "count")])
    for row in counted.to_pylist():
        names = [name for name in WHERE if row["model"] == MLP or name not in SIZES]
        there[*(row[name] for name in names), row["seed"]] += row["seeker_count"]
    each = len(configuration["seekers"]) * len(configuration["densities"])
    for place in _places(configuration):
        short = {seed: each - there[*place.values(), seed] for seed in configuration["seeds"]}
        short = {seed: runs for seed, runs in short.items() if runs > 0}
        if short:
            yield place, short


def _missing_runs(results: Results) -> Iterator[Notice]:
    configuration, records = results.configuration, results.records
    expected = expected_runs(configuration)
    if expected is None:
        if results.manifest:
            yield Notice("The manifest does not state the requested runs.", [], True)
        return
    missing = list(_missing(configuration, records))
    if missing:
        count = sum(sum(short.values()) for _, short in missing)
        text = f"{count:,} of {expected:,} runs are missing; the command below computes them."
        lines = [f"{place_title(place)}: seeds {ranges(short)}" for place, short in missing]
        yield Notice(text, lines, True)


def _twice(records: pa.Table) -> Iterator[Notice]:
    groups = records.group_by([*POINT, "seed"], use_threads=False).aggregate([])
    more = records.num_rows - groups.num_rows
    if more:
        yield Notice(f"Repeated records: {more:,}. Means count them more than once.", [], True)


def _by_series(records: pa.Table, flags: np.ndarray) -> list[str]:
    """Flagged runs of every series, all places together, density by density."""
    lines = []
    flagged = records.append_column("flagged", pa.array(flags.astype(np.int64)))
    own = pc.equal(records["density"], records["ticket_density"])
    flagged = flagged.append_column("own", own)
    for label, where in series_of(records):
        rows, parts = rows_where(flagged, **where), []
        for name, part in (
            ("the ticket's own density", rows.filter(rows["own"])),
            *_densities(rows),
        ):
            count = pc.sum(part["flagged"]).as_py()
            if count:
                parts.append(f"{count:,} of {part.num_rows:,} at {name}")
        if parts:
            lines.append(f"{label}: {', '.join(parts)}")
    return lines


def _densities(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    others = rows.filter(pc.invert(rows["own"]))
    for density in sorted(set(others["density"].to_pylist())):
        yield f"{density:g}", rows_where(others, density=density)


def _flagged(records: pa.Table, flags: np.ndarray, text: str, problem: bool) -> Iterator[Notice]:
    if flags.any():
        counted = f"{flags.sum():,} of {len(flags):,} runs {text}"
        yield Notice(counted, _by_series(records, flags), problem)


def _too_small(records: pa.Table) -> Iterator[Notice]:
    lines = []
    summary = summarise(records)
    for place in places_of(summary):
        own = what_fits(rows_where(summary, **place))
        lines += [f"{place_title(place)}: {line}" for line in own]
    if lines:
        yield Notice("Some budgets are too small for the whole ticket.", lines, False)


def notices(results: Results) -> list[Notice]:
    """All notices on a results directory, the problems first."""
    records = results.records
    found = [Notice(text, [], True) for text in results.damages]
    found += _missing_runs(results)
    if not records.num_rows:
        return [*found, Notice("There are no records yet.", [], True)]
    found += _twice(records)
    found += _flagged(
        records, diverged(records), "have a loss or metric that is not finite.", problem=True
    )
    found += _flagged(
        records,
        outside_budget(records),
        "kept another number of parameters than their density allows; they are marked.",
        problem=True,
    )
    found += _flagged(
        records,
        collapsed(records),
        "collapsed: no path leads from the input to the output.",
        problem=False,
    )
    found += _too_small(records)
    return found
