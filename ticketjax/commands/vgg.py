r"""Figure 5: plant a trained ticket of known sparsity in an image network, prune and search.

    ticketjax vgg --data_dir=DIR --out=results/vgg
    ticketjax vgg --data_dir=DIR --preset=cpu --out=results/vgg-cpu
    ticketjax vgg --data_dir=DIR --dataset=mnist --model=lenet300 --preset=cpu

SynFlow prunes a network in rounds, and the result is trained: this is the ticket. It is planted in
another random network. Pruners (left: after training) and searches among frozen parameters (right:
before training) search for it. DIR has the official files of CIFAR-10, MNIST or Fashion-MNIST.

--preset=full, the default, is the paper's setting, for an accelerator. --preset=cpu is a narrow
network, a part of the images and few epochs, for two cores. Given flags override the preset. An
interrupted command resumes with the first unfinished run.
"""

import dataclasses
from typing import Any

from absl import flags

from ticketjax.choices import MATCHES, PRUNERS
from ticketjax.commands.figure5 import NETWORKS, PRESETS, SEARCHES, runs_of, show
from ticketjax.commands.flags import FLAGS, FlagError, naming, numbers, seeds


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("data_dir", None, "Directory of the dataset's official files.")
    flags.DEFINE_enum("preset", "full", list(PRESETS), "Defaults of the flags marked (preset).")
    flags.DEFINE_enum("dataset", "cifar10", ["cifar10", "mnist", "fashion_mnist"], "Data set.")
    flags.DEFINE_enum("model", "vgg16", NETWORKS, "Network.")
    flags.DEFINE_string("out", "results/vgg", "Results directory; an unfinished one is resumed.")
    flags.DEFINE_bool("wait", False, "Wait if another process is using the directory.")
    flags.DEFINE_string("compilation_cache", None, "Directory that caches compiled programs.")
    flags.DEFINE_list("seekers", list(PRUNERS), "Pruners, used in rounds; may be empty.")
    flags.DEFINE_list("searches", SEARCHES, "Searches among frozen parameters; may be empty.")
    flags.DEFINE_list("densities", None, "Fractions of the parameters to keep (preset).")
    flags.DEFINE_float("ticket_density", 0.01, "Density of the planted ticket.")
    flags.DEFINE_enum("match", "cosine", list(MATCHES), "How it is planted, as in plant().")
    flags.DEFINE_integer("seeds", None, "Seeds 0 to N-1 (preset).", lower_bound=1)
    flags.DEFINE_list("seed_list", None, "List of seeds, instead of --seeds.")
    flags.DEFINE_integer("images", None, "Number of training images (preset).", lower_bound=1)
    flags.DEFINE_integer("test_images", None, "Number of test images (preset).", lower_bound=1)
    flags.DEFINE_float("channels", None, "Multiplier of the width of every layer (preset).")
    flags.DEFINE_integer("rounds", None, "Rounds of pruning (preset).", lower_bound=1)
    flags.DEFINE_integer("round_epochs", None, "Training epochs per round (preset).", lower_bound=0)
    flags.DEFINE_integer("epochs", None, "Epochs of the final training (preset).", lower_bound=0)
    flags.DEFINE_integer("search_epochs", None, "Epochs of a search (preset).", lower_bound=1)
    flags.DEFINE_integer("levels", 5, "Annealing steps of edge-popup.", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "Images per training step (preset).", lower_bound=1)
    flags.DEFINE_integer("score_samples", 1_000, "Images per score.", lower_bound=1)
    flags.DEFINE_bool("augment", None, "Random crops and mirroring in training (preset).")


def settings() -> dict[str, Any]:
    """The fields of ImageRuns, as flags and preset describe them."""
    for name, value in PRESETS[FLAGS.preset].items():
        if FLAGS[name].value is None:
            FLAGS[name].value = value
    with naming("densities"):
        densities = numbers("densities", float)
        if bad := [density for density in densities if not 0 < density <= 1]:
            raise ValueError(f"must be in (0, 1], got {bad[0]:g}")
    with naming("channels"):
        if not 0 < FLAGS.channels < float("inf"):
            raise ValueError("must be positive")
    with naming("ticket_density"):
        if not 0 < FLAGS.ticket_density <= 1:
            raise ValueError("must be in (0, 1]")
    with naming("levels"):
        if FLAGS.levels > FLAGS.search_epochs:
            raise ValueError(f"must be at most --search_epochs={FLAGS.search_epochs}")
    with naming("batch_size"):
        if FLAGS.batch_size > FLAGS.images:
            raise ValueError(f"must be at most --images={FLAGS.images}")
    if not FLAGS.data_dir:
        raise FlagError("--data_dir must name the directory of the dataset's files")
    if not [*FLAGS.seekers, *FLAGS.searches]:
        raise FlagError("--seekers and --searches are both empty: there is nothing to run")
    from ticketjax.commands.images import ImageRuns

    # Every field has the flag of its name.
    fields = {field.name: FLAGS[field.name].value for field in dataclasses.fields(ImageRuns)}
    return {**fields, "densities": densities, "seeds": seeds()}


def main() -> int:
    """Run what is missing, print the table, write the figure."""
    return show(runs_of(settings()), FLAGS.data_dir, FLAGS.out)
