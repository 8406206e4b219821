"""Several submissions to a sealed suite in one table, from the files that scoring them wrote."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ticketjax.names import suggestion
from ticketjax.records.statistics import Difference, holm, paired_difference, paired_shares
from ticketjax.sharing.sealed import read_json
from ticketjax.sharing.suite_scores import GroupScore, Scored, by_group, score_of
from ticketjax.version import VERSION

SCORES_FORMAT = "ticketjax-scores-1"
# What submissions can be ranked by: fields of Scored. The first one is the score of a suite.
MEASURES = ("found", "before", "after", "recall")
# What all files of a table must have in common, and how messages name it.
COMMON = {
    "suite": "suite",
    "list_sha256": "list of instances (SHA-256)",
    "ticketjax": "version of ticketjax",
    "epochs": "--epochs",
}


class Submission(NamedTuple):
    """The scores of one submission.

    Args:
        label: its name.
        common: the values of COMMON.
        masks: the score of each mask, by instance.
    """

    label: str
    common: dict[str, Any]
    masks: dict[str, Scored]


class Standing(NamedTuple):
    """The place of a submission among others.

    Args:
        rank: 1 and up; equal values have the same rank.
        label: of the submission.
        overall, groups: its scores.
        difference: its values minus those of the submission that all are compared with, instance
            by instance.
        group_differences: the same for each group.
        p: of the difference, adjusted over the table by Holm; NaN if there is no test.
    """

    rank: int
    label: str
    overall: GroupScore
    groups: dict[str, GroupScore]
    difference: Difference
    group_differences: dict[str, Difference]
    p: float


def submission_json(submission: Submission) -> dict[str, Any]:
    """A submission as plain JSON values; read_submission() reads them."""
    masks = {name: mask._asdict() for name, mask in submission.masks.items()}
    return {"format": SCORES_FORMAT, "label": submission.label, **submission.common} | {
        "instances": masks
    }


def _scored(value: Any) -> Scored | None:
    """The score of one mask; None if it is not complete."""
    if not isinstance(value, dict) or value.keys() != set(Scored._fields):
        return None
    group, found, *numbers = (value[name] for name in Scored._fields)
    named = isinstance(group, str) and re.fullmatch(r"[\w-]{1,100}", group)
    shares = all(type(number) in (int, float) and 0 <= number <= 1 for number in numbers)
    return Scored(**value) if named and type(found) is bool and shares else None


def read_submission(path: pathlib.Path) -> Submission:
    """Read a file of scores, which does not have to be trusted.

    Raises:
        ValueError: the file is not such a file, or was made by another version of ticketjax; the
            error names it.
        OSError: it cannot be read.
    """
    value = read_json(path, SCORES_FORMAT)
    label, common = value.get("label"), {name: value.get(name) for name in COMMON}
    kinds = (str, str, str, int)
    whole = all(type(one) is kind for one, kind in zip(common.values(), kinds, strict=True))
    if not whole or not isinstance(label, str) or not label.isprintable() or not label.strip():
        raise ValueError(f"{path}: its label or the suite's name is missing")
    if common["ticketjax"] != VERSION:
        made_by = str(common["ticketjax"])[:20]
        raise ValueError(f"{path}: was made by ticketjax {made_by}, this is {VERSION}")
    listed = value.get("instances")
    read = {name: _scored(one) for name, one in listed.items()} if isinstance(listed, dict) else {}
    masks = {name: one for name, one in read.items() if one is not None}
    if not masks or len(masks) < len(read):
        raise ValueError(f"{path}: its list of instances is not complete")
    return Submission(label, common, masks)


def read_submissions(directory: pathlib.Path) -> list[Submission]:
    """Read all files of scores in a directory, *.json, and check that they can be compared.

    Raises:
        ValueError: there are none, one is not such a file, two have one label, or they are not of
            the same suite, instances and settings; the error names the file.
        OSError: a file cannot be read.
    """
    paths = sorted(directory.glob("*.json"))
    if not paths:
        raise ValueError(f"{directory} has no *.json, which score --json writes")
    read = {path: read_submission(path) for path in paths}
    (first, reference), *others = read.items()
    labels = {reference.label: first}
    for path, one in others:
        for name, title in COMMON.items():
            if one.common[name] != reference.common[name]:
                values = (one.common[name], reference.common[name])
                mine, its = (str(value)[:64] for value in values)
                raise ValueError(f"{path}: its {title} is {mine}, that of {first.name} {its}")
        groups, expected = (
            {name: mask.group for name, mask in masks.items()}
            for masks in (one.masks, reference.masks)
        )
        if groups != expected:
            raise ValueError(f"{path}: its instances are not those of {first.name}")
        if one.label in labels:
            raise ValueError(f"{path}: has the label of {labels[one.label].name}, {one.label!r}")
        labels[one.label] = path
    return list(read.values())


def _differences(
    ours: Mapping[str, Scored], theirs: Mapping[str, Scored], measure: str
) -> tuple[Difference, dict[str, Difference]]:
    """Over all instances, and for each group."""

    def difference(names):
        sides = (
            np.array([getattr(masks[name], measure) for name in names]) for masks in (ours, theirs)
        )
        return (paired_shares if measure == "found" else paired_difference)(*sides)

    groups = sorted({mask.group for mask in ours.values()})
    return difference(list(ours)), {
        group: difference([name for name, mask in ours.items() if mask.group == group])
        for group in groups
    }


def _value(score: GroupScore, measure: str) -> float:
    return score.found.hits if measure == "found" else getattr(score, measure).mean


def standings(
    submissions: Sequence[Submission], measure: str = "found", against: str | None = None
) -> list[Standing]:
    """Rank submissions, and compare each with one of them.

    Args:
        submissions: at least one, all of the same instances.
        measure: one of MEASURES, which ranks and is compared.
        against: the label of the submission that all are compared with; None for the best one.

    Returns:
        The standings, the best first.

    Raises:
        ValueError: no submission has the label.
    """
    scores = {one.label: score_of(list(one.masks.values())) for one in submissions}
    values = {label: _value(score, measure) for label, score in scores.items()}
    ordered = sorted(submissions, key=lambda one: (-values[one.label], one.label))
    known = {one.label: one for one in ordered}
    if against is not None and against not in known:
        hint = suggestion(against, known)
        raise ValueError(f"must be among {', '.join(known)}, got {against!r}{hint}")
    reference = known[against] if against is not None else ordered[0]
    differences = [_differences(one.masks, reference.masks, measure) for one in ordered]
    tests = [
        np.nan if one is reference else whole.p
        for one, (whole, _) in zip(ordered, differences, strict=True)
    ]
    return [
        Standing(
            rank=1 + sum(value > values[one.label] for value in values.values()),
            label=one.label,
            overall=scores[one.label],
            groups=by_group(list(one.masks.values())),
            difference=whole,
            group_differences=by,
            p=float(p),
        )
        for one, (whole, by), p in zip(ordered, differences, holm(np.array(tests)), strict=True)
    ]
