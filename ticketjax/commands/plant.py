r"""Plant a ticket and write it to files, for seekers in any framework.

    ticketjax plant --task=circle --depth=5 --width=100 --seed=0 \
        --out=instance.safetensors

The command writes the planted network with its data to instance.safetensors, and the planted mask,
the target and the output scale, which a seeker must not read, to instance.answer.safetensors. The
network is the same as in a sweep with that seed on this machine's CPU. `ticketjax score` scores
masks. Takes seconds.

    ticketjax plant --target=network.safetensors --out=instance.safetensors

plants a sparse network of your own, ours or PyTorch's, and

    ticketjax plant --suite=v1 --out=suite

writes the 120 instances of ticketjax-suite-v1, and reports whether they are the published ones.

    ticketjax plant --suite=v2 --secret=secret.bin --out=suite

writes the 265 instances of ticketjax-suite-v2, which is sealed. suite/instances is public;
suite/sealed, with the masks and held-out data, is for the organiser, who scores. See
docs/sealed_suite.md.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib.resources
import json
import os
import pathlib
from typing import TYPE_CHECKING

from absl import flags

from ticketjax.choices import Planting
from ticketjax.commands.flags import (
    FLAGS,
    TASKS,
    FlagError,
    define_planting,
    flagged,
    naming,
    planting,
)
from ticketjax.commands.plant_sealed import plant_sealed, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ticketjax.base import Task
    from ticketjax.runs.grid import Grid
    from ticketjax.sharing.instances import Description
    from ticketjax.sharing.trees import Tree

SUITES = ("v1", "v2")
# Flags that a network of --target replaces (OF_TASKS), and flags that only it needs (OF_TARGETS).
OF_TASKS = ("task", "depth")
OF_TARGETS = ("layers", "kind")
OF_PLANTING = ("width", "noise", "prune_bias", *(field.name for field in flagged(Planting)))
OF_SEALED = ("secret", "url")
OF_DATA = ("seed", "samples")
VERDICTS = {
    "identical": "are the published ones, bit for bit",
    "rounding": "are the published ones up to rounding: scores are comparable",
    "different": "differ from the published ones: scores are comparable on average only",
}


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("task", "circle", f"Task: {TASKS}.")
    flags.DEFINE_integer("depth", 5, "Layers of neurons, including the input.", lower_bound=2)
    flags.DEFINE_integer("width", 100, "Neurons in every hidden layer.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Seed, as in a sweep.", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_float("noise", 0.01, "Noise level.", lower_bound=0)
    define_planting()
    flags.DEFINE_string("target", None, "File of a network to plant instead of a task's ticket.")
    flags.DEFINE_list(
        "layers", None, "The target's layers in order, if their names do not determine it."
    )
    flags.DEFINE_enum(
        "kind", "regression", ["regression", "classification"], "Kind of the target's task."
    )
    flags.DEFINE_enum("suite", None, SUITES, "Write all instances of this suite.")
    flags.DEFINE_string("secret", None, "File of 32 or more random bytes that determine suite v2.")
    flags.DEFINE_string(
        "url", None, "Address where suite v2 will be published, for croissant.json."
    )
    flags.DEFINE_string(
        "out", "instance.safetensors", "File of the instance, or directory of the suite."
    )


def _refuse_present(names: tuple[str, ...], reason: str) -> None:
    for name in names:
        if FLAGS[name].present:
            raise FlagError(f"--{name}: {reason}")


def _target() -> tuple[Task, int]:
    """The task that the network of --target solves, and the network's depth."""
    from ticketjax import masks
    from ticketjax.sharing import interop
    from ticketjax.tasks.network import network_task

    _refuse_present(OF_TASKS, "a network of --target has its own")
    with naming("target"):
        try:
            target = interop.load_target(FLAGS.target, FLAGS.layers)
        except OSError as error:
            raise ValueError(error) from None
        return network_task(target, FLAGS.kind), masks.depth(target)


def _grid(**fields) -> Grid:
    """A grid of instances, without seekers."""
    from ticketjax.commands.running import grid_of

    return grid_of(**fields, seekers="random", densities="ticket", epochs=0)


def _grid_of_flags() -> Grid:
    import jax

    from ticketjax.commands.values import read_task

    if FLAGS.target:
        task, depth = _target()
    else:
        _refuse_present(OF_TARGETS, "is for a network of --target")
        with naming("task"):
            task, depth = read_task(FLAGS.task), FLAGS.depth
    with naming("noise"):
        if task.data is None:
            jax.eval_shape(lambda key: task.sample(key, 1, FLAGS.noise), jax.random.key(0))
    return _grid(
        task=task,
        depth=depth,
        width=FLAGS.width,
        noise=FLAGS.noise,
        seeds=[FLAGS.seed],
        prune_bias=FLAGS.prune_bias,
        planting=planting(),
        samples=FLAGS.samples,
    )


def _drawn(grid: Grid) -> Iterator[tuple[Description, Tree, Tree]]:
    """For every instance of a grid, its description, its public part and its answer."""
    import jax
    import numpy as np

    from ticketjax.runs.instance import make_instance
    from ticketjax.runs.programs import run_key
    from ticketjax.sharing import instances

    for named in grid.settings():
        setting = named.setting

        @jax.jit
        def draw(seed, noise, target, setting=setting):
            instance = make_instance(setting, run_key(seed), noise, target)
            # Other columns of the record are not requested, so they are not computed.
            answer = instances.answer_tree(instance, setting.target if target is None else target)
            return instances.instance_tree(instance), answer

        for noise, seed in grid.instances:
            target = setting.own_target(seed)
            instance, answer = jax.device_get(draw(np.uint32(seed), np.float32(noise), target))
            description = instances.Description(
                task=setting.task.name,
                kind=setting.task.kind,
                depth=named.depth,
                width=named.width,
                seed=seed,
                noise=noise,
                prune_bias=grid.prune_bias,
                **dataclasses.asdict(grid.planting),
            )
            yield description, instance, answer


def _write(path: pathlib.Path, *contents) -> None:
    from ticketjax.sharing import instances

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        instances.save_instance(path, *contents)
    except OSError as error:
        raise FlagError(f"--out={FLAGS.out}: {error}") from None


def _plant_one() -> int:
    _refuse_present(OF_SEALED, "is for --suite=v2")
    from ticketjax.masks import count_prunable
    from ticketjax.records.manifest import manifest
    from ticketjax.sharing import instances

    path = pathlib.Path(FLAGS.out)
    with naming("out"):
        answers = instances.answer_path(path)
    grid = _grid_of_flags()
    ((description, instance, answer),) = _drawn(grid)
    _write(path, description, instance, answer, manifest(grid)["versions"])
    (named,) = grid.settings()
    size = count_prunable(instance["params"], description.prune_bias)
    print(
        f"{description.task}, depth {description.depth}, width {description.width}, noise "
        f"{description.noise:g}, seed {description.seed}: the ticket is "
        f"{named.setting.ticket_density:.4g} of {size} parameters\n"
        f"sha256: {instances.content_hash(instance)}\n"
        f"instance: {path}\n"
        f"answer: {answers}"
    )
    return 0


def _plant_suite() -> int:
    others = (*OF_TASKS, *OF_TARGETS, *OF_PLANTING, *OF_DATA, "target")
    _refuse_present(others, f"--suite={FLAGS.suite} says it")
    if not FLAGS["out"].present:
        raise FlagError("--out: a suite needs a directory")
    if FLAGS.suite == "v2":
        secret = read_secret()
        from ticketjax.sharing.suite_v2 import GROUPS

        return plant_sealed(secret, pathlib.Path(FLAGS.out), GROUPS, FLAGS.url)
    _refuse_present(OF_SEALED, "is for --suite=v2")
    resource = importlib.resources.files("ticketjax") / f"suite_{FLAGS.suite}.json"
    published = json.loads(resource.read_text(encoding="utf-8"))
    return write_suite(published, pathlib.Path(FLAGS.out))


def write_suite(published: dict, directory: pathlib.Path) -> int:
    """Write a suite's instances and compare them with the published ones.

    The suite made here is written to suite.json, in the form of `published`.

    Args:
        published: the suite's name, its grid (fields of Grid), and the fingerprints of its
            instances by name.
        directory: the directory to write to.

    Returns:
        1 if some instances differ from the published ones, otherwise 0.
    """
    from tqdm import tqdm

    from ticketjax.records.manifest import manifest
    from ticketjax.records.store import write_whole
    from ticketjax.sharing import instances

    grid = _grid(**published["grid"])
    versions = manifest(grid)["versions"]
    counts: collections.Counter[str] = collections.Counter()
    here = {}
    total = len(grid.settings()) * len(grid.instances)
    for description, instance, answer in tqdm(_drawn(grid), total=total, unit="instance"):
        name = f"{description.task}-depth{description.depth}-seed{description.seed}"
        _write(directory / f"{name}.safetensors", description, instance, answer, versions)
        here[name] = instances.fingerprint(instance, answer)._asdict()
        known = published["instances"].get(name)
        verdict = "different"
        if known:
            verdict = instances.compare(instance, answer, instances.Fingerprint(**known))
        counts[verdict] += 1
    text = json.dumps({**published, "versions": versions, "instances": here}, indent=1)
    write_whole(directory / "suite.json", lambda file: file.write(f"{text}\n".encode()))
    print(f"{published['name']}: {total} instances and their answers in {directory}")
    for verdict, meaning in VERDICTS.items():
        print(f"{counts[verdict]:4} {meaning}")
    return 1 if counts["different"] else 0


def main() -> int:
    """Write one instance, or a suite."""
    # Accelerators round differently, and the last bits determine where a ticket is planted.
    os.environ["JAX_PLATFORMS"] = "cpu"
    return _plant_suite() if FLAGS.suite else _plant_one()
