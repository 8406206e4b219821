"""What a suite says of its masks: shares found and quality by group, and how hidden tickets are."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ticketjax.base import CLASSIFICATION, Params
from ticketjax.measure.relational import FOLDS, known_rows_auc, relational_audit
from ticketjax.records.statistics import interval_of_share, intervals_of_means

# Other tickets that an attacker who knows the distribution compares with.
TICKETS_KNOWN = 20


def quality(kind: str, metric: float, y: np.ndarray) -> float:
    """How much of what there is to tell a network tells, comparable between tasks.

    Args:
        kind: of the task.
        metric: accuracy, or mean squared error, on held-out data.
        y: their labels: (n,) classes, or (n, outputs).

    Returns:
        0 of a network that says the same whatever it is given (or worse), 1 of one that is always
        right: the share of the outputs' variance that is explained, or of the labels that are not
        of the most frequent class.

    >>> quality("classification", 0.75, np.array([0, 1, 1, 2]))
    0.5
    >>> quality("regression", 0.25, np.array([[-1.0], [1.0]]))
    0.75
    """
    if kind == CLASSIFICATION:
        most = np.bincount(y).max() / len(y)
        told = (metric - most) / (1 - most) if most < 1 else float(metric == 1)
    else:
        variance = float(np.mean(np.var(np.asarray(y, float), axis=0)))
        told = 1 - metric / variance if variance > 0 else float(metric == 0)
    # A metric that is not a number explains nothing.
    return float(np.clip(told, 0, 1)) if np.isfinite(told) else 0.0


class Scored(NamedTuple):
    """What one mask is worth.

    Args:
        group: of its instance.
        found: whether it computes the ticket's function, before any training.
        before, after: quality() before and after training.
        recall: share of the planted ticket that it has.
        kept: how many parameters, of the budget.
    """

    group: str
    found: bool
    before: float
    after: float
    recall: float
    kept: float


class Mean(NamedTuple):
    """A mean with its 95% interval, by Student's t; NaN of fewer than five values."""

    mean: float
    low: float
    high: float


class Share(NamedTuple):
    """A count out of several, with the 95% interval of its share, by Wilson."""

    hits: int
    of: int
    low: float
    high: float


class GroupScore(NamedTuple):
    """The scores of some masks; the fields are those of Scored."""

    found: Share
    before: Mean
    after: Mean
    recall: Mean
    kept: Mean


def score_of(masks: Sequence[Scored]) -> GroupScore:
    """The score of masks, with intervals.

    Args:
        masks: at least one.

    Returns:
        How many found a ticket, and means in [0, 1].
    """
    hits = sum(mask.found for mask in masks)
    names = ("before", "after", "recall", "kept")
    values = np.array([[getattr(mask, name) for mask in masks] for name in names], float)
    ends = intervals_of_means(values, 0, 1)
    means = [
        Mean(float(row.mean()), float(low), float(high))
        for row, low, high in zip(values, *ends, strict=True)
    ]
    share = Share(hits, len(masks), *interval_of_share(hits, len(masks)))
    return GroupScore(share, *means)


def by_group(masks: Sequence[Scored]) -> dict[str, GroupScore]:
    """The score of each group, in the order of their names."""
    groups: dict[str, list[Scored]] = collections.defaultdict(list)
    for mask in masks:
        groups[mask.group].append(mask)
    return {name: score_of(groups[name]) for name in sorted(groups)}


def audit_of(
    networks: Sequence[tuple[Params, Params]], targets: Sequence[Params]
) -> dict[str, Any]:
    """How well the tickets of a group are hidden from who looks at relations.

    Args:
        networks: parameters and planted mask of each.
        targets: their tickets, in the same order.

    Returns:
        "layers": AUC of each layer of a classifier that is trained on other networks of the group,
        None where nothing can be told apart; "overall" and "largest" of these; "known_rows": AUC in
        the output layer of who compares its rows with those of the group's other tickets, mean.
        Empty of fewer networks than the classifier has folds.
    """
    if len(networks) < FOLDS:
        return {}
    found = relational_audit(networks)
    others = [[*targets[:i], *targets[i + 1 :]][:TICKETS_KNOWN] for i in range(len(targets))]
    rows = [
        known_rows_auc(params, mask, known)
        for (params, mask), known in zip(networks, others, strict=True)
    ]
    return {
        "layers": [None if np.isnan(auc) else round(float(auc), 4) for auc in found.layers],
        "overall": round(found.overall, 4),
        "largest": round(found.largest, 4),
        "known_rows": round(float(np.mean(rows)), 4),
    }


def audit_lines(audits: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A table of audits: group, AUC by layer, overall, and of who knows the distribution."""
    lines = [["group", "AUC by layer", "overall", "who knows the distribution"]]
    for name, audit in audits.items():
        if audit:
            layers = " ".join("-" if auc is None else f"{auc:.2f}" for auc in audit["layers"])
            lines.append([name, layers, f"{audit['overall']:.2f}", f"{audit['known_rows']:.2f}"])
        else:
            lines.append([name, "too few networks", "", ""])
    return lines
