r"""Score masks from any framework on planted networks.

    ticketjax score --instance=instance.safetensors --mask=mask.safetensors
    ticketjax score --instance=suite --mask=masks --label=mine --out=results/mine

The command prints the measures of a sweep's record: quality before and after training, how much of
the planted ticket the mask contains, and its error against the target function. The names in the
mask's file determine its layout: layer_0.kernel is (n_in, n_out), layer_0.weight is PyTorch's (out,
in). A whole state_dict may be given with its masks, weight_mask next to weight or weight_orig; see
docs/other_frameworks.md. Without the answer's file, only the quality is scored. Takes seconds.

With directories, every instance is scored with the mask of the same name, and the result is a
table. --out writes records, which other commands read like those of sweeps.

    ticketjax score --instance=suite/instances --mask=masks --sealed=suite/sealed

scores a sealed suite. It needs the suite's sealed folder; see docs/sealed_suite.md.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands import score_sealed
from ticketjax.commands.flags import FLAGS, FlagError, naming
from ticketjax.commands.instance_files import (
    instance_paths,
    is_directory,
    of_same_name,
    read_known,
    reading,
)

if TYPE_CHECKING:
    from ticketjax.base import Params
    from ticketjax.sharing.instances import Description
    from ticketjax.sharing.trees import Tree

    # An instance (its description, its tree and the tree of its answer), and a mask for it.
    Given = tuple[Description, Tree, Tree | None, Params]

# Rows of the table: title, entry of the mask, entry of the bare ticket. {metric} is the task's.
ROWS = (
    ("{metric} before training", "strong_metric", "ticket_metric"),
    ("loss before training", "strong_loss", "ticket_loss"),
    ("{metric} after training", "weak_metric", None),
    ("loss after training", "weak_loss", None),
    ("precision", "precision", None),
    ("recall", "recall", None),
    ("Jaccard index", "jaccard", None),
    ("precision of neurons", "neuron_precision", None),
    ("recall of neurons", "neuron_recall", None),
    ("largest error against the target", "target_error_largest", None),
    ("mean error against the target", "target_error_mean", None),
    ("sign of the best output scale", "output_sign", None),
    ("found, as a function", "found", None),
    ("as good as the data can resolve", "functionally_recovered", None),
    ("effective density", "effective_density", None),
)


# Columns of the table of several instances: title, and entry of the mask.
COLUMNS = (
    ("kept", "kept"),
    ("before", "strong_metric"),
    ("after", "weak_metric"),
    ("recall", "recall"),
    ("found", "found"),
)


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string(
        "instance", None, "Planted network from experiments.plant, or a directory of them."
    )
    flags.DEFINE_string(
        "mask", None, "Mask: a safetensors file of 0 and 1, or bool; or a directory of them."
    )
    flags.DEFINE_string("answer", None, "Answer, if it is not next to the instance.")
    flags.DEFINE_string("sealed", None, "Sealed folder of a sealed suite.")
    flags.DEFINE_list(
        "layers", None, "The mask's layers in order, if their names do not determine it."
    )
    flags.DEFINE_integer("epochs", 10, "Epochs for which a mask is trained.", lower_bound=0)
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.")
    flags.DEFINE_string("out", None, "Directory to which records are written or added.")
    flags.DEFINE_string("label", "own", "Name of the seeker in the records.")


def _read() -> list[Given]:
    """Read all files that the flags name, before anything is scored."""
    paths = instance_paths()
    if FLAGS.mask is None:
        raise FlagError("--mask: a file must be given")
    from ticketjax.sharing import interop

    masks = of_same_name("mask", paths) if is_directory("instance") else [FLAGS.mask]
    answers: list[Any] = [FLAGS.answer] * len(paths)
    if FLAGS.answer is not None and is_directory("instance"):
        with naming("answer"):
            answers = _answers(paths)
    given = []
    for path, mask_path, answer_path in zip(paths, masks, answers, strict=True):
        description, tree, answer = read_known(path, answer_path)
        with reading("mask"):
            mask = interop.load_mask(
                mask_path, tree["params"], FLAGS.layers, description.prune_bias
            )
        given.append((description, tree, answer, mask))
    return given


def _answers(paths: list[Any]) -> list[Any]:
    """The answers in the directory of --answer, one for each instance."""
    from ticketjax.sharing.instances import answer_path

    if not is_directory("answer"):
        raise ValueError("must be a directory, as --instance is one")
    return [f"{FLAGS.answer}/{answer_path(path).name}" for path in paths]


def _score(given: list[Given]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The measured entries and the whole record of every mask, as plain values."""
    import tqdm

    from ticketjax.sharing import scoring

    scored = []
    shown = tqdm.tqdm(given, unit="mask", disable=len(given) == 1)
    for description, tree, answer, mask in shown:
        with naming("instance"):
            instance = scoring.loaded(description, tree, answer, FLAGS.epochs)
        entries = scoring.evaluate(instance, mask)
        record = scoring.record_of(instance, mask, entries, FLAGS.label, FLAGS.epochs)
        scored.append((entries, record))
    return scored


def refuse_records(given: list[Given]) -> None:
    """Refuse an --out that cannot hold the records, before anything is scored."""
    from ticketjax.masks import count_kept, count_prunable
    from ticketjax.records.store import check_records
    from ticketjax.runs.grid import MLP

    runs = set()
    for description, tree, _, mask in given:
        kept, size = (
            int(count(leaves, description.prune_bias))
            for count, leaves in ((count_kept, mask), (count_prunable, tree["params"]))
        )
        place = (description.task, MLP, description.depth, description.width)
        runs.add((*place, description.noise, description.seed, FLAGS.label, kept / size))
    with naming("out"):
        check_records(FLAGS.out, runs)


def write_records(records: list[dict[str, Any]]) -> None:
    """Add records to those of --out."""
    import pyarrow as pa

    from ticketjax.records.store import add_records
    from ticketjax.runs.record import SCHEMA

    with reading("out"):
        add_records(FLAGS.out, pa.Table.from_pylist(records, schema=SCHEMA))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}"


def _table(description: Description, entries: dict[str, Any]) -> str:
    from ticketjax.base import CLASSIFICATION
    from ticketjax.records.columns import aligned

    metric = "accuracy" if description.kind == CLASSIFICATION else "mean squared error"
    lines = [("", "mask", "bare ticket" if "ticket_metric" in entries else "")]
    for title, name, of_ticket in ROWS:
        if name in entries:
            ticket = _cell(entries[of_ticket]) if of_ticket in entries else ""
            lines.append((title.format(metric=metric).capitalize(), _cell(entries[name]), ticket))
    text = aligned(lines)
    if entries["collapsed"]:
        text.append(f"no path is left; the last one ends in layer {entries['first_dead_layer']}")
    return "\n".join(text)


def _plain(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _many(given: list[Given], entries: list[dict[str, Any]]) -> str:
    """A row for every instance, and the number of tickets found."""
    from ticketjax.records.columns import aligned
    from ticketjax.records.titles import format_share

    lines = [["task", "depth", "width", "noise", "seed", *(title for title, _ in COLUMNS)]]
    for (known, *_), own in zip(given, entries, strict=True):
        place = (known.task, known.depth, known.width, f"{known.noise:g}", known.seed)
        shown = [_cell(own[name]) if name in own else "" for _, name in COLUMNS]
        lines.append([*map(str, place), *shown])
    text = aligned(lines)
    told = [own["found"] for own in entries if "found" in own]
    if told:
        text += ["", f"found, as functions: {format_share(sum(told), len(told))}"]
    if len(told) < len(entries):
        text += ["", f"{len(entries) - len(told)} without an answer: recovery is not scored there"]
    return "\n".join(text)


def _one(description: Description, entries: dict[str, Any]) -> str:
    text = (
        f"{description.task}, depth {description.depth}, width {description.width}, noise "
        f"{description.noise:g}, seed {description.seed}: the mask keeps {entries['kept']:.4g} of "
        f"the parameters\n\n{_table(description, entries)}"
    )
    if "recall" not in entries:
        text += f"\n\nno answer next to {FLAGS.instance}: recovery is not scored"
    return text


def main() -> int:
    """Read the files, score the masks and print the results."""
    from ticketjax.sharing.sealed import is_sealed_suite

    if is_directory("instance") and is_sealed_suite(FLAGS.instance):
        return score_sealed.main(pathlib.Path(FLAGS.instance))
    if FLAGS.sealed is not None:
        raise FlagError(f"--sealed: --instance={FLAGS.instance} is not a sealed suite")
    given = _read()
    if FLAGS.out is not None:
        refuse_records(given)
    scored = _score(given)
    entries = [own for own, _ in scored]
    if FLAGS.out is not None:
        write_records([record for _, record in scored])
    if FLAGS.json:
        known = [{**vars(one[0]), "epochs": FLAGS.epochs} for one in given]
        plain = [
            {name: _plain(value) for name, value in (what | own).items()}
            for what, own in zip(known, entries, strict=True)
        ]
        print(json.dumps(plain if is_directory("instance") else plain[0]))
    elif is_directory("instance"):
        print(_many(given, entries))
    else:
        print(_one(given[0][0], entries[0]))
    if FLAGS.out is not None and not FLAGS.json:
        print(f"\nrecords: {FLAGS.out}/parts")
    return 0
