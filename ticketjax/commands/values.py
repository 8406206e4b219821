"""Values that flags name: expressions, and your own path/to/file.py:name."""

import importlib.util
import inspect
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from ticketjax.base import Model, Task
from ticketjax.seekers.registry import SEEKERS, get_seeker, read_seeker, seeker_label
from ticketjax.tasks import get_task

ALLOWED = "path/to/file.py:name"
_WHOLE = re.compile(r"([^()=,]+):([A-Za-z_]\w*)")
_WITHIN = re.compile(r"[^\s,()\[\]='\":]+\.py:[A-Za-z_]\w*")
_LABELLED = re.compile(r"\s*([^=(),:]*[^=(),:\s])\s*=(.*)", re.DOTALL)

_files: dict[str, types.ModuleType] = {}


def _module(path: str) -> types.ModuleType:
    """The module of a file, which is run only once."""
    path = os.path.abspath(path)
    if path not in _files:
        name = os.path.basename(path).removesuffix(".py")
        # Dataclasses and pickle look modules up by name. A name that is taken gets a suffix.
        name = f"{name}_file" if name in sys.modules else name
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _files[path] = module
    return _files[path]


def own(text: str) -> Any:
    """The object that path/to/file.py:name names.

    Args:
        text: path/to/file.py:name.

    Returns:
        The object.

    Raises:
        ValueError: there is no such file, or it has no such name.
    """
    path, _, name = text.strip().rpartition(":")
    if not (path.endswith(".py") and os.path.isfile(path)):
        raise ValueError(f"{path} is not a Python file; use {ALLOWED}")
    module = _module(path)
    if not hasattr(module, name):
        raise ValueError(f"{path} has no {name!r}")
    return getattr(module, name)


def is_own(text: str) -> bool:
    """Whether a text is path/to/file.py:name, or meant to be."""
    return _WHOLE.fullmatch(text.strip()) is not None


def own_or_text(text: str) -> Any:
    """The object that path/to/file.py:name names; any other text unchanged."""
    return own(text) if is_own(text) else text


def _expression(text: str) -> Any:
    """The value of an expression, in which path/to/file.py:name may stand for any name."""
    names: dict[str, Any] = {}

    def placeholder(found: re.Match) -> str:
        name = found[0].rpartition(":")[2]
        while name in SEEKERS or name in names:
            name += "_"
        names[name] = own(found[0])
        return name

    return read_seeker(_WITHIN.sub(placeholder, text), names)


def split_label(text: str) -> tuple[str | None, str]:
    """The label and the rest of LABEL=expression; no label for an expression alone.

    >>> split_label("IMP=multishot(magnitude)"), split_label("concrete(epochs=3)")
    (('IMP', 'multishot(magnitude)'), (None, 'concrete(epochs=3)'))
    """
    label, expression = None, text
    if labelled := _LABELLED.fullmatch(text):
        label, expression = labelled.groups()
    return label, expression.strip()


def read_seeker_flag(text: str) -> tuple[str, Any]:
    """A seeker given on the command line, and its label in records.

    Args:
        text: a name of the registry, an expression, or path/to/file.py:name, which may also stand
            within an expression; LABEL=... before any of these.

    Returns:
        The label and the seeker. The seeker is a name, to which a command's options apply; or a
        score, a user's own function or a seeker.

    Raises:
        ValueError: the text is none of these.
    """
    label, text = split_label(text)
    if is_own(text):
        value = own(text)
        seeker = get_seeker(value)
        if isinstance(value, type):
            value = seeker
        return label or getattr(value, "__name__", None) or seeker_label(seeker), value
    if text in SEEKERS:
        return label or text, text
    value = get_seeker(_expression(text))
    return label or seeker_label(value), value


def read_seekers(texts: list[str]) -> dict[str, Any]:
    """The seekers of a flag by label, as make_grid() takes them.

    Args:
        texts: the values of the flag, each as read_seeker_flag() takes it.

    Returns:
        Seekers by label.

    Raises:
        ValueError: as read_seeker_flag(), and for two different seekers with one label.
    """
    made: dict[str, Any] = {}
    for label, value in map(read_seeker_flag, texts):
        if label in made and made[label] != value:
            raise ValueError(f"two seekers are called {label!r}; rename one with LABEL=...")
        made[label] = value
    return made


def read_task(text: str) -> Task:
    """A task by its name, or as path/to/file.py:TASK names it.

    Args:
        text: the value of the flag.

    Returns:
        The task.

    Raises:
        ValueError: there is no such task.
    """
    if not is_own(text):
        return get_task(text)
    task = own(text)
    if not isinstance(task, Task):
        raise ValueError(f"{text} is not a Task, but {task!r}")
    return task


def read_tasks(texts: list[str]) -> list[Task]:
    """Several tasks, each as read_task() reads it.

    Args:
        texts: the values of the flag.

    Returns:
        The tasks in the same order.

    Raises:
        ValueError: as read_task(), and for two tasks of one name.
    """
    tasks = {text: read_task(text) for text in texts}
    names = [task.name for task in tasks.values()]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two tasks are called {name!r}; records could not distinguish them")
    return list(tasks.values())


def _takes_one(function: Any) -> bool:
    """Whether it can be called with one argument."""
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def read_models(texts: list[str]) -> dict[str, Model | Callable[[Task], Model]] | None:
    """Networks that path/to/file.py:make names, by that name.

    Args:
        texts: the values of the flag.

    Returns:
        Networks, or functions task -> Model, by name; None if there are no values.

    Raises:
        ValueError: an object is no Model and no function, or two have one name.
    """
    models: dict[str, Any] = {}
    for text in texts:
        if not is_own(text):
            raise ValueError(f"must be {ALLOWED}, a Model or a function task -> Model")
        name, model = text.strip().rpartition(":")[2], own(text)
        if not isinstance(model, Model) and not _takes_one(model):
            raise ValueError(f"{text} is not a Model or a function task -> Model, but {model!r}")
        if name in models and models[name] is not model:
            raise ValueError(f"two models are called {name!r}")
        models[name] = model
    return models or None
