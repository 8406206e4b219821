"""Scores of masks on a suite: tickets found and quality by group, and how hidden tickets are."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ticketjax.base import CLASSIFICATION, Params
from ticketjax.measure.relational import FOLDS, known_rows_auc, relational_audit
from ticketjax.records.statistics import interval_of_share, intervals_of_means

# Number of other tickets with which an attacker who knows the distribution compares.
TICKETS_KNOWN = 20


def quality(kind: str, metric: float, y: np.ndarray) -> float:
    """The explained share of the held-out data, which is comparable between tasks.

    Args:
        kind: of the task.
        metric: accuracy, or mean squared error, on held-out data.
        y: labels of the held-out data: (n,) classes, or (n, outputs).

    Returns:
        The explained share of the outputs' variance, or of the labels outside the most frequent
        class. It is 0 for a network with constant output (or a worse one), and 1 for one without
        errors.

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
    # A metric that is not finite counts as 0.
    return float(np.clip(told, 0, 1)) if np.isfinite(told) else 0.0


class Scored(NamedTuple):
    """The score of one mask.

    Args:
        group: of its instance.
        found: whether the mask computes the ticket's function, before any training.
        before, after: quality() before and after training.
        recall: share of the planted ticket that the mask keeps.
        kept: share of the budget that the mask uses.
    """

    group: str
    found: bool
    before: float
    after: float
    recall: float
    kept: float


class Mean(NamedTuple):
    """A mean with its 95% interval by Student's t, which is NaN for fewer than five values."""

    mean: float
    low: float
    high: float


class Share(NamedTuple):
    """A count and its total, with Wilson's 95% interval of the share."""

    hits: int
    of: int
    low: float
    high: float


class GroupScore(NamedTuple):
    """The scores of several masks; the fields are those of Scored."""

    found: Share
    before: Mean
    after: Mean
    recall: Mean
    kept: Mean


def score_of(masks: Sequence[Scored]) -> GroupScore:
    """The joint score of masks, with intervals.

    Args:
        masks: at least one.

    Returns:
        The number of tickets found, and means in [0, 1].
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
    """The score of each group, sorted by name."""
    groups: dict[str, list[Scored]] = collections.defaultdict(list)
    for mask in masks:
        groups[mask.group].append(mask)
    return {name: score_of(groups[name]) for name in sorted(groups)}


def audit_of(
    networks: Sequence[tuple[Params, Params]], targets: Sequence[Params]
) -> dict[str, Any]:
    """How well relations between parameters hide, or reveal, the tickets of a group.

    Args:
        networks: parameters and planted mask of each.
        targets: their tickets, in the same order.

    Returns:
        "layers": for each layer, the AUC of a classifier that is trained on other networks of the
        group, or None if the layer cannot be tested; "overall" and "largest" of these;
        "known_rows": the mean AUC in the output layer of an attacker who compares its rows with
        those of the group's other tickets. Empty if there are fewer networks than folds.
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
    """A table of audits: group, AUC by layer, overall, and of the attacker."""
    lines = [["group", "AUC by layer", "overall", "attacker, output layer"]]
    for name, audit in audits.items():
        if audit:
            layers = " ".join("-" if auc is None else f"{auc:.2f}" for auc in audit["layers"])
            lines.append([name, layers, f"{audit['overall']:.2f}", f"{audit['known_rows']:.2f}"])
        else:
            lines.append([name, "too few networks", "", ""])
    return lines
