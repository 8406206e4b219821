"""The command that makes a grid again, from the configuration in its manifest."""

import contextlib
import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterable
from typing import Any

from ticketjax.choices import Planting, Training
from ticketjax.commands.figure5 import SEARCHES
from ticketjax.commands.flags import flagged

# Flags that every command line contains, also with the default value.
ALWAYS = ("densities", "noise")
# Fields of Grid whose flags have the same name; a flag is left out if it has the default value.
OTHERS = ("objective", "samples", "precision", "chunk_size")
FILE = "path/to/file.py"
# The command that suits each kind of seeker best; the expressions describe seekers in full.
MODULES = {"singleshot": "singleshot", "multishot": "multishot", "edge_popup": "edge_popup"}


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _seeds(seeds: Any) -> str:
    if isinstance(seeds, list) and seeds == list(range(len(seeds))):
        return f"--seeds={len(seeds)}"
    return f"--seed_list={_listed(seeds)}"


def _of_images(configuration: dict[str, Any], source: dict[str, Any], directory: str) -> str:
    """The command line of pruners or searches, whose results lie below those of the whole figure.

    source: the task's source, with an entry for each flag.
    """
    augment = "--augment" if source["augment"] else "--noaugment"
    flags = [f"--{name}={value}" for name, value in source.items() if name != "augment"]
    seekers = configuration["seekers"]
    searches = [name for name in seekers if name in SEARCHES.split(",")]
    pruners = [name for name in seekers if name not in searches]
    flags += [augment, *_options_of_images(seekers.values())]
    flags += [f"--seekers={_listed(pruners)}", f"--searches={_listed(searches)}"]
    flags += [f"--densities={_listed(configuration['densities'])}"]
    flags += _options(Planting, configuration.get("planting", {}))
    flags += [_seeds(configuration["seeds"]), "--data_dir=DIR"]
    return joined("vgg", [*flags, f"--out={pathlib.Path(directory).parent}"])


def _options_of_images(texts: Iterable[str]) -> list[str]:
    """The flags for options that only the seekers of images have, not their task."""
    from ticketjax.seekers.registry import get_seeker

    options = {"score_samples": "score_samples", "epochs": "search_epochs", "levels": "levels"}
    said: dict[str, Any] = {}
    for text in texts:
        with contextlib.suppress(ValueError):  # of another version of the library
            seeker = get_seeker(text)
            said |= {o: getattr(seeker, o) for o in options if hasattr(seeker, o)}
    return [f"--{options[name]}={value}" for name, value in said.items()]


def joined(module: str, flags: list[str]) -> str:
    """A command line of several lines, to be pasted into a shell."""
    return " \\\n    ".join([f"python -m experiments.{module}", *map(shlex.quote, flags)])


def _module(seekers: dict[str, str]) -> str:
    kinds = {MODULES.get(text.partition("(")[0], "search") for text in seekers.values()}
    return kinds.pop() if len(kinds) == 1 else "search"


def _seeker(label: str, text: str, functions: list[str], names_are_scores: bool) -> str:
    """One seeker of --seekers: its expression, with a label if that is not its own.

    names_are_scores: whether the command uses a bare name as singleshot() does.
    """
    from ticketjax.seekers.registry import get_seeker, seeker_label

    short = re.fullmatch(r"singleshot\((\w+)\)", text) if names_are_scores else None
    own = [name for name in functions if re.search(rf"\b{re.escape(name)}\b", text)]
    if own:
        is_it = text == label or (short is not None and short[1] == label)
        text = label if is_it else text
        for name in own:
            text = re.sub(rf"\b{re.escape(name)}\b", f"{FILE}:{name}", text)
        return text if is_it else f"{label}={text}"
    try:
        same = seeker_label(get_seeker(text)) == label
    except ValueError:  # of another version of the library
        same = False
    if same and short:
        text = short[1]
    return text if same else f"{label}={text}"


def _options(kind: type, given: dict[str, Any]) -> list[str]:
    """The flags for values that differ from a dataclass's defaults."""
    flags = []
    for field in flagged(kind):
        value = given.get(field.name, field.default)
        if field.name == "optimizer" and str(value).startswith("custom:"):
            value = f"{FILE}:optimizer"
        if value != field.default:
            flags.append(f"--{field.name}={value}")
    return flags


def _networks(configuration: dict[str, Any]) -> list[str]:
    """The flags of the tasks and the networks."""
    from ticketjax.runs.grid import MLP
    from ticketjax.tasks import TASKS

    tasks = [name if name in TASKS else f"{FILE}:{name}" for name in configuration["task"]]
    flags = [f"--task={_listed(tasks)}"]
    models = [name for name in configuration.get("model", []) if name != MLP]
    if models:
        return [*flags, f"--model={_listed([f'{FILE}:{name}' for name in models])}"]
    return flags + [f"--{name}={_listed(configuration[name])}" for name in ("depth", "width")]


def _of_tuning(configuration: dict[str, Any], source: dict[str, Any], directory: str) -> str:
    """The command line of one seeker's candidates, whose results lie below those of all."""
    path = pathlib.Path(directory)
    first, *others = configuration["seekers"]
    # A label that is an expression is the seeker's own.
    flags = [f"--seeker={first if '(' in path.name else f'{path.name}={first}'}"]
    flags += [f"--candidate={text}" for text in others]
    flags += [*_networks(configuration), f"--density={_listed(configuration['densities'])}"]
    if "split_from" in source:
        flags.append(f"--samples={source['split_from']}")
    flags += _options(Training, configuration.get("training", {}))
    return joined("tune", [*flags, _seeds(configuration["seeds"]), f"--out={path.parent}"])


def command_of(configuration: dict[str, Any], directory: str) -> str | None:
    """The command line that makes the results again, to be pasted into a shell.

    Run with the same directory, it continues there. A user's own seeker, task, network or optimizer
    is given by its name only: the user has to fill in its file.

    Args:
        configuration: the configuration of a manifest.
        directory: where the results lie.

    Returns:
        The command line; None for a manifest of an earlier version.
    """
    from ticketjax.runs.grid import Grid

    seekers = configuration.get("seekers")
    if not isinstance(seekers, dict) or "task" not in configuration:
        return None
    for source in configuration.get("source", {}).values():
        if source.get("split") == "validation":
            return _of_tuning(configuration, source, directory)
        if "dataset" in source:
            return _of_images(configuration, source, directory)
    defaults = {field.name: field.default for field in dataclasses.fields(Grid)}
    functions = [name for name in configuration.get("functions", {}) if " " not in name]
    flags = _networks(configuration)
    module = _module(seekers)
    simple = module == "singleshot"
    texts = [_seeker(label, text, functions, simple) for label, text in seekers.items()]
    flags.append(f"--seekers={', '.join(texts)}")
    flags += [f"--{name}={_listed(configuration[name])}" for name in ALWAYS]
    flags += [
        f"--{name}={configuration[name]}"
        for name in OTHERS
        if configuration.get(name, defaults[name]) != defaults[name]
    ]
    flags += _options(Planting, configuration.get("planting", {}))
    flags += _options(Training, configuration.get("training", {}))
    flags += [
        f"--no{name}" for name in ("prune_bias", "check_budget") if configuration.get(name) is False
    ]
    if configuration.get("reinitialise"):
        flags.append("--sanity=reinitialise")
    flags += [_seeds(configuration["seeds"]), f"--out={directory}"]
    return joined(module, flags)
