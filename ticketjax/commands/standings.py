r"""Rank the submissions to a sealed suite, from files that score --json wrote.

    ticketjax score --instance=suite/instances --mask=masks/snip --sealed=suite/sealed \
        --label=snip --json > scores/snip.json
    ticketjax standings --scores=scores
    ticketjax standings --scores=scores --by=after --against=magnitude

The command reads all *.json of a directory, ranks them, and compares each with the best one (or
with that of --against) instance by instance, over all instances and in each group.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.instance_files import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ticketjax.records.statistics import Difference
    from ticketjax.sharing.standings import Standing
    from ticketjax.sharing.suite_scores import GroupScore

TITLES = {
    "found": "found",
    "before": "before training",
    "after": "after training",
    "recall": "recall",
}
MEANING = """difference: to {reference}, instance by instance, with its 95% interval ({method})
p: of no difference ({test}), adjusted over the table by Holm; groups are not adjusted"""
METHODS = {True: ("Newcombe", "McNemar's exact test"), False: ("t interval", "t test")}


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("scores", None, "Directory of files that score --json wrote.")
    flags.DEFINE_enum("by", "found", list(TITLES), "What is ranked and compared.")
    flags.DEFINE_string(
        "against", None, "Label of the submission that all are compared with; the best by default."
    )
    flags.DEFINE_bool("json", False, "Print JSON instead of tables.")


def _difference(difference: Difference) -> str:
    if math.isnan(difference.low):
        return f"{difference.mean:+.0%}"
    return f"{difference.mean:+.0%} [{difference.low:+.0%}, {difference.high:+.0%}]"


def _shown(score: GroupScore, measure: str) -> str:
    from ticketjax.commands.score_sealed import mean_text
    from ticketjax.records.titles import format_share

    if measure == "found":
        return format_share(score.found.hits, score.found.of)
    return mean_text(getattr(score, measure))


def _tables(ranked: Sequence[Standing], reference: str) -> str:
    from ticketjax.records.columns import aligned
    from ticketjax.records.comparison import p_text

    overall = [["rank", "submission", *TITLES.values(), "difference", "p"]]
    for one in ranked:
        compared = ["", ""]
        if one.label != reference:
            compared = [_difference(one.difference), "-" if math.isnan(one.p) else p_text(one.p)]
        shown = [_shown(one.overall, measure) for measure in TITLES]
        overall.append([str(one.rank), one.label, *shown, *compared])
    groups = [["group", "submission", TITLES[FLAGS.by], "difference"]]
    for group in ranked[0].groups:
        for i, one in enumerate(ranked):
            own = "" if one.label == reference else _difference(one.group_differences[group])
            name = "" if i else group
            groups.append([name, one.label, _shown(one.groups[group], FLAGS.by), own])
    return "\n".join([*aligned(overall), "", *aligned(groups)])


def main() -> int:
    """Read the files, rank them and print the tables."""
    if FLAGS.scores is None:
        raise FlagError("--scores: a directory must be given")
    directory = pathlib.Path(FLAGS.scores)
    if not directory.is_dir():
        raise FlagError(f"--scores={directory}: is not a directory")
    from ticketjax.commands.score_sealed import plain
    from ticketjax.sharing.standings import read_submissions, standings

    with reading("scores"):
        submissions = read_submissions(directory)
    with naming("against"):
        ranked = standings(submissions, FLAGS.by, FLAGS.against)
    reference = ranked[0].label if FLAGS.against is None else FLAGS.against
    common = submissions[0].common
    if FLAGS.json:
        said = common | {"by": FLAGS.by, "against": reference}
        print(json.dumps(plain(said | {"standings": [one._asdict() for one in ranked]})))
        return 0
    count = len(submissions[0].masks)
    print(f"{common['suite']}, {count} instances, trained for {common['epochs']} epochs\n")
    print(_tables(ranked, reference))
    method, test = METHODS[FLAGS.by == "found"]
    print("\n" + MEANING.format(reference=reference, method=method, test=test))
    return 0
