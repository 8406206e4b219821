"""The contents of a report card, and its chapters: text, figures and tables."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from ticketjax.figures import Panel, draw_quality, inline_svg
from ticketjax.figures.compute import curve_of, draw_compute
from ticketjax.figures.ladder import draw_ladder
from ticketjax.figures.leaderboard import entry_of, leaderboard_figure, leaderboard_lines
from ticketjax.records import card as tables
from ticketjax.records.levels import by_seeker, level_lines, level_names
from ticketjax.records.statistics import mean_of_finite
from ticketjax.records.summaries import QUALITIES, rows_where, series_of
from ticketjax.records.titles import seeker_title, task_title
from ticketjax.report.drawings import Draw
from ticketjax.report.markup import Html, join
from ticketjax.report.parts import Drawing, themed_drawing
from ticketjax.report.points import points_table
from ticketjax.report.results import Results
from ticketjax.tasks.ladder import Level

UNKNOWN = float("nan")


class Card(NamedTuple):
    """The contents of a report card.

    Args:
        label: of the seeker in the records.
        expression: the seeker as text.
        tasks: names of the tasks, in order.
        quality: records of the seeker and of the pruners it is compared with, at all densities.
        baselines: records of further seekers, at the ticket's own density.
        checks: records of the variants of the seeker that should do worse.
        variants: how each variant was modified, by its label. Variants that are compared both
            before and after training come first.
        strong_variants: the number of variants that are compared before training.
        unasked: which checks do not apply to the seeker, and why; empty if all apply.
        ladder: records of the levels.
        levels: of the ladder.
        seconds: of searches, as records.store.load_seconds() returns them.
        parts: the results directories by name.
        seeds, ladder_seeds: of the runs.
        settings: text about seeds and frozen settings; None for development seeds.
        command: the command that makes the card again.
    """

    label: str
    expression: str
    tasks: Sequence[str]
    quality: pa.Table
    baselines: pa.Table
    checks: pa.Table
    variants: Mapping[str, str]
    strong_variants: int
    unasked: str
    ladder: pa.Table
    levels: Sequence[Level]
    seconds: Mapping[tuple[str, str], float]
    parts: Mapping[str, Results]
    seeds: Sequence[int]
    ladder_seeds: Sequence[int]
    settings: str | None
    command: str

    @property
    def title(self) -> str:
        """The name of the seeker on the page."""
        return seeker_title(self.label)

    def titles(self, records: pa.Table) -> dict[str, str]:
        """Titles of the seekers in the records by label; the card's seeker comes first."""
        others = [series.where["seeker"] for series in series_of(records)]
        labels = dict.fromkeys([self.label, *others])
        return {label: seeker_title(label) for label in labels}


class Chapter(NamedTuple):
    """One chapter of a card.

    Args:
        heading: the heading.
        said: paragraphs above the figures and tables.
        drawings: figures, in rows.
        tables: for each, a caption and its lines of cells, heads first.
        folded: for each, a summary and the content that it opens.
    """

    heading: str
    said: Sequence[str]
    drawings: Sequence[Sequence[Drawing]] = ()
    tables: Sequence[tuple[str, list[list[str]]]] = ()
    folded: Sequence[tuple[str, Html]] = ()


def _drawing(draw: Draw, title: str) -> Drawing:
    return themed_drawing(inline_svg(draw, title, themed=True))


def _quality_drawing(records: pa.Table, card: Card, task: str, quality: str, of: str) -> Drawing:
    panel = Panel(quality, {"task": task})
    draw = functools.partial(draw_quality, records, [panel], first=card.label)
    return _drawing(draw, f"{of}, {task_title(task)}: {quality}")


def _at_a_glance(card: Card) -> Chapter:
    beside = pa.concat_tables([card.quality, card.baselines])
    others = {label: title for label, title in card.titles(beside).items() if label != card.label}
    said = (
        "All numbers are at the planted ticket's own density. Before and after training: the mean "
        "over seeds with its 95% interval, of the accuracy for classification and of the mean "
        "squared error for regression. Found: the number of seeds whose mask computes the ticket's "
        f"function. The other seekers are {', '.join(others.values())}."
    )
    lines = tables.glance_lines(beside, card.tasks, card.label, others)
    return Chapter("At a glance", [said], tables=[("", lines)])


def _quality(card: Card) -> Chapter:
    said = (
        "Strong: before training. Weak: after training the masked network from its initial values. "
        "The line at the bottom of the strong panels shows the share of seeds that found a ticket, "
        "with Wilson's 95% interval."
    )
    drawings = [
        [_quality_drawing(card.quality, card, task, quality, "density") for quality in QUALITIES]
        for task in card.tasks
    ]
    points = join(*points_table(card.quality))
    return Chapter("Quality over density", [said], drawings, folded=[("All points", points)])


def _ladder(card: Card) -> Chapter:
    said = (
        "At each level, random sparse networks, one for each seed, are planted in random networks. "
        "From level to level, the tickets have more parameters and the networks more neurons. The "
        "numbers are the shares of tickets found before training, at their own density, with "
        f"{len(card.ladder_seeds)} tickets per level and Wilson's 95% intervals. The network is "
        "always the library's dense one."
    )
    found = by_seeker(card.ladder, card.levels)
    shares = {label: found[label] for label in card.titles(card.ladder)}
    draw = functools.partial(draw_ladder, shares, level_names(card.levels), title="")
    drawing = _drawing(draw, "share of tickets found at each level")
    lines = level_lines(shares, card.levels)
    return Chapter("Success on the ladder of random teachers", [said], [[drawing]], [("", lines)])


def _sanity(card: Card) -> Chapter:
    said = [
        "A pruner that finds more than good layer densities does worse when the entries of its "
        "mask are shuffled within each layer, when it keeps the lowest scores, and when its mask "
        "is trained from other initial values. Differences are paired by seed. The p values are "
        "those of paired t tests, adjusted by Holm's method over each table. A difference counts "
        f"as better or worse if its p value is below {tables.LEVEL}."
    ]
    records = pa.concat_tables([rows_where(card.quality, seeker=card.label), card.checks])
    shown, drawings = [], []
    strong = dict(itertools.islice(card.variants.items(), card.strong_variants))
    for quality, variants in zip(QUALITIES, (strong, card.variants), strict=True):
        if not variants:
            continue
        checks = tables.checks_of(records, card.label, variants, quality)
        when = "Before training" if quality == "strong" else "After training"
        said.append(f"{when}, {card.title} is {', '.join(check.verdict() for check in checks)}.")
        shown.append((f"{when}.", tables.check_lines(checks, card.tasks, card.title)))
        labels = {card.label, *variants}
        own = records.filter(pa.array([s in labels for s in records["seeker"].to_pylist()]))
        drawings.append(
            [_quality_drawing(own, card, task, quality, "sanity checks") for task in card.tasks]
        )
    if card.unasked:
        said.append(card.unasked)
    return Chapter("Sanity checks", said, drawings, shown)


def _collapse(card: Card) -> Chapter:
    said = (
        "The number of runs whose mask leaves no path from an input to an output (-: none), and "
        "the layer where most of them end, counted from the input. Such a network is constant, "
        "before and after training."
    )
    lines = tables.density_lines(
        card.quality, card.tasks, card.titles(card.quality), tables.collapsed_cell
    )
    return Chapter("Where it collapses", [said], tables=[("", lines)])


def _recovery(card: Card) -> Chapter:
    said = [
        "Recall: the share of the planted parameters that the mask keeps. The expected recall of a "
        "random mask is its density. Most that fits: the largest recall that a mask of this "
        "density and scope can have. Score AUC: the probability that a planted parameter has a "
        "higher score than one that is not planted. Average precision and covering density "
        "measure the same ranking."
    ]
    own = rows_where(card.quality, seeker=card.label)
    if all(own[name].null_count == own.num_rows for name in tables.RANKING):
        said.append(f"{card.title} has no scores, so there is no ranking to measure.")
    others = card.titles(card.quality)
    recall = tables.density_lines(card.quality, card.tasks, others, tables.recall_cell)
    measures = tables.recovery_lines(card.quality, card.tasks, card.label)
    shown = [("Recall, with the 95% interval of the mean.", recall), (f"{card.title}.", measures)]
    return Chapter("What it recovers", said, tables=shown)


def _beside(card: Card) -> Iterator[Chapter]:
    """The chapters on compute and on the leaderboard."""
    both = [tables.at_ticket(card.quality), card.baselines]
    records = pa.concat_tables(both)
    titles = card.titles(records)
    own = {label: rows_where(records, seeker=label) for label in titles}
    kinds = dict(zip(records["task"].to_pylist(), records["kind"].to_pylist(), strict=True))
    tickets = {
        task: mean_of_finite(rows_where(records, task=task)["ticket_metric"].to_numpy())
        for task in card.tasks
    }
    entries = [entry_of(titles[label], own[label], card.tasks, UNKNOWN) for label in titles]
    curves = {
        task: [
            curve_of(titles[label], rows_where(own[label], task=task), card.seconds)
            for label in titles
        ]
        for task in card.tasks
    }
    draw = functools.partial(draw_compute, curves, tickets, kinds)
    yield Chapter(
        "Compute",
        [
            "The cost of one search: forward and backward passes over the training data, floating "
            "point operations, and seconds of wall time on this machine, without compilation, "
            "planting, final training and measuring. The errors are those before training, at the "
            "ticket's own density."
        ],
        [[_drawing(draw, "error before training over compute")]],
        [("", tables.compute_lines(records, card.tasks, titles, card.seconds))],
    )
    standings = functools.partial(leaderboard_figure, entries, tickets, kinds)
    yield Chapter(
        "Its line in the leaderboard",
        [
            "Sorted by the mean rank over tasks before training, then after it. The pruners and "
            "the leaderboard's baselines have their frozen settings, and all are at the ticket's "
            "own density. Searches that train are only in the leaderboard itself."
        ],
        [[_drawing(standings, "standings")]],
        [("", leaderboard_lines(entries, tickets, kinds))],
    )


def chapters_of(card: Card) -> list[Chapter]:
    """All chapters of a card, in order."""
    makers = (_at_a_glance, _quality, _ladder, _sanity, _collapse, _recovery)
    return [*(make(card) for make in makers), *_beside(card)]
