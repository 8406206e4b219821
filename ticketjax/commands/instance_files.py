"""Instances, answers and masks that flags name: a file, or a directory of files."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ticketjax.commands.flags import FLAGS, FlagError, naming

if TYPE_CHECKING:
    from ticketjax.sharing.instances import Description
    from ticketjax.sharing.trees import Tree

# The most names that a message lists.
MOST_NAMED = 3


def is_directory(flag: str) -> bool:
    """Whether a flag names a directory."""
    given = FLAGS[flag].value
    return isinstance(given, str) and pathlib.Path(given).is_dir()


def instance_paths() -> list[pathlib.Path]:
    """The paths of the instances that --instance names, sorted.

    Raises:
        FlagError: the flag is missing, or the directory contains no instance.
    """
    from ticketjax.sharing.instances import ANSWER_SUFFIX, SUFFIX

    if FLAGS.instance is None:
        raise FlagError("--instance: a file must be given")
    path = pathlib.Path(FLAGS.instance)
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(f"*{SUFFIX}"))
    instances = [file for file in files if not file.name.endswith(ANSWER_SUFFIX)]
    if not instances:
        raise FlagError(f"--instance={path}: the directory has no *{SUFFIX}")
    return instances


def of_same_name(flag: str, paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The files with these names in the directory of a flag, which must contain exactly these.

    Raises:
        FlagError: the flag does not name a directory, or files are missing or unexpected.
    """
    directory = pathlib.Path(str(FLAGS[flag].value))
    if not directory.is_dir():
        raise FlagError(
            f"--{flag}={directory}: must be a directory, as --instance={FLAGS.instance} is one"
        )
    names = [path.name for path in paths]
    there = {path.name for path in directory.glob("*.safetensors")}
    for what, missing in (
        ("has none for", [name for name in names if name not in there]),
        ("is for no instance:", sorted(there - {*names})),
    ):
        if missing:
            raise FlagError(f"--{flag}={directory}: {what} {listed_names(missing)}")
    return [directory / name for name in names]


def listed_names(names: Sequence[str]) -> str:
    """The first few names, and the number of further ones."""
    more = f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)
    return f"{', '.join(names[:MOST_NAMED])}{more}"


@contextlib.contextmanager
def reading(flag: str) -> Iterator[None]:
    """Turn errors of reading a file into a FlagError about --flag."""
    with naming(flag):
        try:
            yield
        except OSError as error:
            raise ValueError(error) from None


def read_open(path: pathlib.Path) -> tuple[Description, Tree, int] | None:
    """Read an instance of a sealed suite for a seeker, and its budget; None for other instances.

    The file has no held-out data. A seeker does not see these, so the training data replace them.

    Raises:
        FlagError: the file cannot be read; the error names it.
    """
    from ticketjax.sharing import sealed

    if not sealed.is_open_instance(path):
        return None
    with reading("instance"):
        opened = sealed.read_open(path)
    return opened.description, opened.tree | {"held_out": opened.tree["train"]}, opened.budget


def read_known(
    path: pathlib.Path, answer: str | pathlib.Path | None
) -> tuple[Description, Tree, Tree | None]:
    """Read an instance, and its answer if there is one.

    Args:
        path: of the instance.
        answer: the file that --answer names. With None, it is the answer next to the instance, if
            there is one.

    Raises:
        FlagError: a file cannot be read; the error names the flag and the file.
    """
    from ticketjax.sharing import instances

    with reading("instance"):
        description, tree = instances.read_instance(path)
    with reading("answer" if answer else "instance"):
        there = pathlib.Path(answer or instances.answer_path(path))
        known = None
        if answer or there.exists():
            known = instances.read_answer(there, description, tree)
    return description, tree, known
