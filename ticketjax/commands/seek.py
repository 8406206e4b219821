r"""Run ticketjax's seekers on instance files and write the masks that they find.

    ticketjax seek --instance=instance.safetensors --seekers=snip,synflow --out=masks
    ticketjax seek --instance=suite --seekers="refined(probabilistic())" --density=0.01

The command reads a file that plant writes, or a directory of them. For each instance NAME it writes
OUT/SEEKER/NAME.safetensors, a mask of 0 and 1 that score reads. The masks are the same as in a
sweep with the instance's seed. The density "ticket" needs the answers, which seekers never read, or
instances of a sealed suite, which contain their budget.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from absl import flags

from ticketjax.commands.flags import (
    FLAGS,
    FlagError,
    define_expressions,
    density_of,
    naming,
    refuse_empty,
)
from ticketjax.commands.instance_files import instance_paths, read_known, read_open, reading
from ticketjax.names import file_name

if TYPE_CHECKING:
    from ticketjax.sharing.scoring import LoadedInstance


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string(
        "instance", None, "Planted network from experiments.plant, or a directory of them."
    )
    flags.DEFINE_string("answer", None, "Answer of a single instance, if it is not next to it.")
    define_expressions(
        "seekers",
        "snip",
        "Seekers: names, expressions such as refined(probabilistic()), or path/to/file.py:name for "
        "your own. LABEL=... sets the name of the directory.",
    )
    flags.DEFINE_string("density", "ticket", 'A number, or "ticket", the planted density.')
    flags.DEFINE_string("out", "masks", "Directory of the masks.")


def _seekers() -> dict[str, Any]:
    """The seekers by the names of their directories."""
    from ticketjax.commands.values import read_seekers
    from ticketjax.seekers.registry import get_seeker

    refuse_empty("seekers")
    with naming("seekers"):
        found = {}
        for label, value in read_seekers(FLAGS.seekers).items():
            name = file_name(label)
            if not name or name in found:
                raise ValueError(f"{label!r} needs a label of its own: LABEL=...")
            found[name] = get_seeker(value)
    return found


def _density(instance: LoadedInstance, path: pathlib.Path, budget: int | None) -> float:
    density = density_of(FLAGS.density)
    if not isinstance(density, str):
        return density
    if budget is not None:
        from ticketjax.sharing.scoring import prunable

        return budget / prunable(instance)
    if not instance.has_answer:
        raise ValueError(f"must be a number, because there is no answer for {path}")
    return instance.setting.ticket_density


def main() -> int:
    """Read all instances, then run every seeker on each and write its masks."""
    paths, seekers = instance_paths(), _seekers()
    import jax
    import jax.numpy as jnp
    import tqdm

    from ticketjax.runs.programs import run_key
    from ticketjax.runs.trial import seek
    from ticketjax.seekers.registry import seeker_text
    from ticketjax.selection import check_density
    from ticketjax.sharing import scoring
    from ticketjax.sharing.trees import save_tree

    if FLAGS.answer is not None and len(paths) > 1:
        raise FlagError(
            "--answer: is for one instance; the answers of several must be next to them"
        )
    instances, densities = [], []
    for path in paths:
        opened = None if FLAGS.answer else read_open(path)
        known = (*opened[:2], None) if opened else read_known(path, FLAGS.answer)
        with naming("instance"):
            instances.append(scoring.loaded(*known, epochs=0))
        with naming("density"):
            densities.append(_density(instances[-1], path, opened and opened[2]))
            check_density(densities[-1], scoring.prunable(instances[-1]))

    compiled: dict[Any, Any] = {}
    with tqdm.tqdm(total=len(paths) * len(seekers), unit="mask") as shown:
        for name, seeker in seekers.items():
            for path, instance, density in zip(paths, instances, densities, strict=True):
                setting = instance.alike

                def look(key, arrays, density, setting=setting, seeker=seeker):
                    return seek(setting, seeker, key, arrays, density)[0].mask

                program = compiled.setdefault((name, setting), jax.jit(look))
                seed = jnp.uint32(instance.description.seed)
                with naming("seekers"):
                    mask = program(run_key(seed), instance.arrays, jnp.float32(density))
                target = pathlib.Path(FLAGS.out) / name / path.name
                with reading("out"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    said = {"seeker": seeker_text(seeker), "density": repr(float(density))}
                    save_tree(target, jax.device_get(mask), said)
                shown.update()
    for name in seekers:
        print(f"masks: {FLAGS.out}/{name}")
    return 0
