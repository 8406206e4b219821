"""What a report card is made from, and its chapters: text, figures and tables."""

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
    """What a report card is made from.

    Args:
        label: of the seeker in records.
        expression: the seeker as text.
        tasks: names of the tasks, in their order.
        quality: records of the seeker and of the pruners beside it, at all densities.
        baselines: of further seekers, at the ticket's own density.
        checks: of the variants of the seeker that should do worse.
        variants: what was done to the seeker, by the variants' labels; those that are compared
            before training as well as after it come first.
        strong_variants: how many of them are compared before training.
        unasked: which checks cannot be asked of the seeker, and why; empty if all can.
        ladder: records of the levels.
        levels: of the ladder.
        seconds: of searches, as records.store.load_seconds() gives them.
        parts: the results directories by name.
        seeds, ladder_seeds: of the runs.
        settings: what is said of seeds and settings: frozen ones, or None for development seeds.
        command: makes the card again.
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
        """How the page calls the seeker."""
        return seeker_title(self.label)

    def titles(self, records: pa.Table) -> dict[str, str]:
        """Titles of the seekers in records by label, the seeker's own first, then as registered."""
        others = [series.where["seeker"] for series in series_of(records)]
        labels = dict.fromkeys([self.label, *others])
        return {label: seeker_title(label) for label in labels}


class Chapter(NamedTuple):
    """One heading of a card with what stands below it.

    Args:
        heading: the heading.
        said: paragraphs above the figures and tables.
        drawings: figures, in rows.
        tables: a caption for each, and its lines of cells, heads first.
        folded: a summary, and what it opens.
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
        "At the planted ticket's own density. Before and after training: mean over seeds with the "
        "95% interval of the mean, accuracy for classification, mean squared error for regression. "
        "Found: seeds whose mask computes the ticket's function. Others: "
        f"{', '.join(others.values())}."
    )
    lines = tables.glance_lines(beside, card.tasks, card.label, others)
    return Chapter("At a glance", [said], tables=[("", lines)])


def _quality(card: Card) -> Chapter:
    said = (
        "Strong: before training. Weak: after training the mask from its initial values. The line "
        "at the bottom of strong panels is the share of seeds that found a ticket, with Wilson's "
        "95% interval."
    )
    drawings = [
        [_quality_drawing(card.quality, card, task, quality, "density") for quality in QUALITIES]
        for task in card.tasks
    ]
    points = join(*points_table(card.quality))
    return Chapter("Quality over density", [said], drawings, folded=[("All points", points)])


def _ladder(card: Card) -> Chapter:
    said = (
        "Each level plants random sparse networks, one for each seed, in random networks; from "
        "level to level tickets have more parameters and the networks more neurons. The share of "
        f"tickets found before training, at their own density; {len(card.ladder_seeds)} tickets "
        "each, with Wilson's 95% intervals. The network is always the library's dense one."
    )
    found = by_seeker(card.ladder, card.levels)
    shares = {label: found[label] for label in card.titles(card.ladder)}
    draw = functools.partial(draw_ladder, shares, level_names(card.levels), title="")
    drawing = _drawing(draw, "share of tickets found at each level")
    lines = level_lines(shares, card.levels)
    return Chapter("Success on the ladder of random teachers", [said], [[drawing]], [("", lines)])


def _sanity(card: Card) -> Chapter:
    said = [
        "A pruner that finds more than good layer densities does worse when its mask's entries are "
        "shuffled within each layer, when it keeps the lowest scores, and when its mask is trained "
        "from other initial values. Differences are paired by seed; p values are of paired t "
        "tests, adjusted by Holm over each table; better and worse are those below "
        f"{tables.LEVEL}."
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
        "Runs whose mask leaves no path from an input to an output (-: none), and the layer where "
        "most of them end, counted from the input. Such a network is constant, before and after "
        "training."
    )
    lines = tables.density_lines(
        card.quality, card.tasks, card.titles(card.quality), tables.collapsed_cell
    )
    return Chapter("Where it collapses", [said], tables=[("", lines)])


def _recovery(card: Card) -> Chapter:
    said = [
        "Recall: the share of the planted parameters that the mask keeps. A mask at random has its "
        "density. Most that fits: the largest recall that any mask of this density and scope can "
        "have. Score AUC: the chance that a planted parameter outranks another; average precision "
        "and covering density are of the same ranking."
    ]
    own = rows_where(card.quality, seeker=card.label)
    if all(own[name].is_null().to_pylist().count(False) == 0 for name in tables.RANKING):
        said.append(f"{card.title} has no scores, so that nothing can be said of a ranking.")
    others = card.titles(card.quality)
    recall = tables.density_lines(card.quality, card.tasks, others, tables.recall_cell)
    measures = tables.recovery_lines(card.quality, card.tasks, card.label)
    shown = [("Recall, with the 95% interval of the mean.", recall), (f"{card.title}.", measures)]
    return Chapter("What it recovers", said, tables=shown)


def _beside(card: Card) -> Iterator[Chapter]:
    """Its line in the leaderboard, and what that costs."""
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
            "Of one search: passes forward and backward over the training data, floating point "
            "operations, and seconds of wall time on this machine, without compiling, planting, "
            "final training and measuring. Errors before training, at the ticket's own density."
        ],
        [[_drawing(draw, "error before training over compute")]],
        [("", tables.compute_lines(records, card.tasks, titles, card.seconds))],
    )
    standings = functools.partial(leaderboard_figure, entries, tickets, kinds)
    yield Chapter(
        "Its line in the leaderboard",
        [
            "Best first, by the mean rank over tasks before training, then after it; the pruners "
            "and the leaderboard's baselines with their frozen settings, at the ticket's own "
            "density. Searches that train stand in the leaderboard alone."
        ],
        [[_drawing(standings, "standings")]],
        [("", leaderboard_lines(entries, tickets, kinds))],
    )


def chapters_of(card: Card) -> list[Chapter]:
    """All chapters of a card, in their order."""
    makers = (_at_a_glance, _quality, _ladder, _sanity, _collapse, _recovery)
    return [*(make(card) for make in makers), *_beside(card)]
