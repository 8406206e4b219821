"""Score masks on a sealed suite, from its public instances and its sealed folder."""

from __future__ import annotations

import json
import math
import pathlib
from typing import TYPE_CHECKING, Any

from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.instance_files import listed_names, of_same_name, reading

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ticketjax.base import Params
    from ticketjax.sharing.sealed import Entry, Unsealed
    from ticketjax.sharing.suite_scores import GroupScore, Mean, Scored

    # An instance with its sealed part, and its mask.
    Given = tuple[Unsealed, Params]

TITLES = ("group", "found", "before training", "after training", "recall", "kept", "hidden?")
MEANING = """found: the mask computes the ticket's function, before any training (Wilson's interval)
before and after training: explained share of the held-out variance, or of the labels outside the
  most frequent class (t interval); recall: of the planted ticket; kept: share of the budget
hidden?: AUC of a classifier of planted weights by their relations; 0.5 is hidden"""


def _paths(flag: str, directory: pathlib.Path, names: Sequence[str]) -> list[pathlib.Path]:
    """The files of a suite in one of its folders; none may be missing."""
    paths = [directory / f"{name}.safetensors" for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FlagError(f"--{flag}={directory}: has no {listed_names(missing)}")
    return paths


def _read_one(
    entry: Entry, public: pathlib.Path, kept: pathlib.Path, mask_path: pathlib.Path
) -> Given:
    from ticketjax.masks import count_kept
    from ticketjax.sharing import interop, sealed

    with reading("instance"):
        sealed.check_hash(public, entry.sha256)
        opened = sealed.read_open(public)
    with reading("sealed"):
        sealed.check_hash(kept, entry.sealed_sha256)
        unsealed = sealed.read_sealed(kept, opened)
    with reading("mask"):
        mask = interop.load_mask(mask_path, opened.tree["params"], FLAGS.layers)
        count = int(count_kept(mask))
        if count > opened.budget:
            raise ValueError(f"{mask_path} keeps {count} parameters, the budget is {opened.budget}")
    return unsealed, mask


def read_all(directory: pathlib.Path) -> dict[str, Given]:
    """Read the whole suite and the masks. All files are checked before any mask is scored.

    Returns:
        The instances and their masks, by name.

    Raises:
        FlagError: the sealed folder is not given, or a file is missing, altered or unexpected.
    """
    if FLAGS.sealed is None:
        raise FlagError(
            f"--sealed: the folder with the masks and held-out data of {directory} is missing; "
            "only the organiser of the suite has it, and can score"
        )
    if FLAGS.answer is not None:
        raise FlagError("--answer: the answers of a sealed suite are in --sealed")
    if FLAGS.mask is None:
        raise FlagError("--mask: a directory must be given")
    from ticketjax.sharing import sealed

    with reading("instance"):
        entries = sealed.read_list(directory)
    names = list(entries)
    kept = pathlib.Path(FLAGS.sealed)
    if not kept.is_dir():
        raise FlagError(f"--sealed={kept}: is not a directory")
    public_paths = _paths("instance", directory, names)
    kept_paths = _paths("sealed", kept, names)
    masks = of_same_name("mask", public_paths)
    files = zip(entries.values(), public_paths, kept_paths, masks, strict=True)
    return {name: _read_one(*of_one) for name, of_one in zip(names, files, strict=True)}


def _score(given: Collection[Given]) -> tuple[list[Scored], list[dict[str, Any]]]:
    import tqdm

    from ticketjax.sharing import scoring, suite_scores

    scored, records = [], []
    for known, mask in tqdm.tqdm(given, unit="mask"):
        with naming("instance"):
            instance = scoring.loaded(known.description, known.tree, known.answer, FLAGS.epochs)
        entries = scoring.evaluate(instance, mask)
        kind, y = known.description.kind, known.tree["held_out"]["y"]
        before, after = (
            suite_scores.quality(kind, entries[name], y)
            for name in ("strong_metric", "weak_metric")
        )
        kept = round(entries["kept"] * scoring.prunable(instance)) / known.budget
        scored.append(
            suite_scores.Scored(
                group=known.description.task,
                found=entries["found"],
                before=before,
                after=after,
                recall=entries["recall"],
                kept=kept,
            )
        )
        records.append(scoring.record_of(instance, mask, entries, FLAGS.label, FLAGS.epochs))
    return scored, records


def mean_text(mean: Mean) -> str:
    """A mean with its interval, if it has one, as tables write it."""
    if math.isnan(mean.low):
        return f"{mean.mean:.2f}"
    return f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def _row(name: str, score: GroupScore, hidden: str) -> list[str]:
    from ticketjax.records.titles import format_share

    means = [mean_text(mean) for mean in (score.before, score.after, score.recall, score.kept)]
    return [name, format_share(score.found.hits, score.found.of), *means, hidden]


def _audits() -> dict[str, Any]:
    """The audits in the organiser's list, if it has them."""
    from ticketjax.sharing import sealed

    with reading("sealed"):
        path = pathlib.Path(FLAGS.sealed) / sealed.SEALED_FILE
        return sealed.read_json(path, sealed.SUITE_FORMAT).get("audits", {})


def table(scores: dict[str, GroupScore], overall: GroupScore, audits: dict[str, Any]) -> str:
    """A row of every group and one of all, with how hidden the tickets are."""
    from ticketjax.records.columns import aligned

    lines: list[Sequence[str]] = [TITLES]
    for name, score in scores.items():
        audit = audits.get(name) or {}
        lines.append(_row(name, score, f"{audit['overall']:.2f}" if audit else "-"))
    lines.append(_row("all", overall, ""))
    text = aligned(lines)
    return "\n".join([*text[:-1], "", text[-1]])


def plain(value: Any) -> Any:
    """Scores for JSON, which has no NaN."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main(directory: pathlib.Path) -> int:
    """Read the files, score the masks and print the results."""
    given = read_all(directory)
    from ticketjax.commands import score
    from ticketjax.sharing import sealed, standings, suite_scores, suite_v2
    from ticketjax.version import VERSION

    audits = _audits()
    if FLAGS.out is not None:
        score.refuse_records(
            [(known.description, known.tree, known.answer, mask) for known, mask in given.values()]
        )
    masks, records = _score(given.values())
    if FLAGS.out is not None:
        score.write_records(records)
    scores, overall = suite_scores.by_group(masks), suite_scores.score_of(masks)
    if FLAGS.json:
        common = {
            "suite": suite_v2.NAME,
            "list_sha256": sealed.file_hash(directory / sealed.SUITE_FILE),
            "ticketjax": VERSION,
            "epochs": FLAGS.epochs,
        }
        by_name = dict(zip(given, masks, strict=True))
        said = standings.submission_json(standings.Submission(FLAGS.label, common, by_name))
        print(json.dumps(plain(said | {"all": overall, "groups": scores, "audits": audits})))
        return 0
    print(
        f"{suite_v2.NAME}, masks of {FLAGS.label}: {overall.found.hits} of {overall.found.of} "
        "tickets found\n"
    )
    print(table(scores, overall, audits))
    print(f"\n{MEANING}")
    if FLAGS.out is not None:
        print(f"\nrecords: {FLAGS.out}/parts")
    return 0
