r"""Score a mask that anyone made, in any framework, on a planted network.

    ticketjax score --instance=instance.safetensors --mask=mask.safetensors

Prints what a record of a sweep says of a mask: quality before and after training, how much of the
planted ticket it holds, and how far it is from the target as a function. The names in the mask's
file say its layout: layer_0.kernel is (n_in, n_out), layer_0.weight is PyTorch's (out, in); see
docs/other_frameworks.md. Without the answer's file, only the quality is scored. Takes seconds.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands.flags import FLAGS, FlagError, naming

if TYPE_CHECKING:
    from ticketjax.base import Params
    from ticketjax.sharing.instances import Description
    from ticketjax.sharing.interop import Tree


# Rows of the table: what, the mask's entry, and the bare ticket's; {metric} is the task's.
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
    ("as good as the noise lets tell", "functionally_recovered", None),
    ("effective density", "effective_density", None),
)


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("instance", None, "The planted network, as experiments.plant writes it.")
    flags.DEFINE_string("mask", None, "The mask: a safetensors file of 0 and 1, or bool.")
    flags.DEFINE_string("answer", None, "The answer, if it is not next to the instance.")
    flags.DEFINE_list("layers", None, "The mask's layers in order, if their names do not say it.")
    flags.DEFINE_integer("epochs", 10, "Epochs of the training.", lower_bound=0)
    flags.DEFINE_bool("json", False, "Print JSON instead of the table.")


def _read() -> tuple[Description, Tree, Tree | None, Params]:
    """The instance, its answer if there is one, and the mask."""
    for name in ("instance", "mask"):
        if FLAGS[name].value is None:
            raise FlagError(f"--{name}: a file must be given")
    from ticketjax.sharing import instances, interop

    answer = None
    with naming("instance"):
        try:
            description, instance = instances.read_instance(FLAGS.instance)
        except OSError as error:
            raise ValueError(error) from None
    with naming("answer" if FLAGS.answer else "instance"):
        path = FLAGS.answer or instances.answer_path(FLAGS.instance)
        if FLAGS.answer or pathlib.Path(path).exists():
            try:
                answer = instances.read_answer(path, description, instance)
            except OSError as error:
                raise ValueError(error) from None
    with naming("mask"):
        try:
            mask = interop.load_mask(
                FLAGS.mask, instance["params"], FLAGS.layers, description.prune_bias
            )
        except OSError as error:
            raise ValueError(error) from None
    return description, instance, answer, mask


def _score(
    description: Description, instance: Tree, answer: Tree | None, mask: Params
) -> dict[str, Any]:
    """The entries of a record, as plain values."""
    from ticketjax.sharing import instances

    with naming("instance"):
        setting, arrays = instances.rebuild(description, instance, answer, FLAGS.epochs)
    loaded = instances.LoadedInstance(description, setting, arrays, answer is not None)
    return instances.evaluate(loaded, mask)


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


def main() -> int:
    """Read, score, print."""
    description, instance, answer, mask = _read()
    entries = _score(description, instance, answer, mask)
    if FLAGS.json:
        known = {**vars(description), "epochs": FLAGS.epochs}
        print(json.dumps({name: _plain(value) for name, value in (known | entries).items()}))
        return 0
    print(
        f"{description.task}, depth {description.depth}, width {description.width}, noise "
        f"{description.noise:g}, seed {description.seed}: the mask keeps {entries['kept']:.4g} of "
        f"the parameters\n\n{_table(description, entries)}"
    )
    if answer is None:
        print(f"\nno answer next to {FLAGS.instance}: recovery is not scored")
    return 0
