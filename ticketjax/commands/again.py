"""The command that makes a grid again, from the configuration in its manifest."""

import dataclasses
import pathlib
import shlex
from typing import Any

from experiments.figure5 import SEARCHES

# Flags that every command gets spelled out, whatever its own default is.
ALWAYS = ("task", "depth", "width", "seekers", "densities", "noise", "scope", "objective")
# Said by the name of the command, or by flags of other names.
ELSEWHERE = ("strategy", "seeds", "prune_bias", "check_budget", "options", "score_samples")


def _command(configuration: dict[str, Any]) -> tuple[str, list[str]]:
    """The module, and the flags that say the strategy."""
    strategy = str(configuration.get("strategy", "singleshot"))
    if strategy in ("singleshot", "multishot"):
        return strategy, []
    if configuration.get("seekers") == ["edge_popup"] and strategy in ("plain", "annealed"):
        return "edge_popup", ["--anneal"] if strategy == "annealed" else []
    return "search", [f"--strategy={strategy}"]


def _listed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _seeds(seeds: Any) -> str:
    if isinstance(seeds, list) and seeds == list(range(len(seeds))):
        return f"--seeds={len(seeds)}"
    return f"--seed_list={_listed(seeds)}"


def _of_images(configuration: dict[str, Any], directory: str) -> str:
    """Of one seeker at one density, whose results lie below those of the whole figure."""
    given = dict(configuration)
    seeker, density, seeds = given.pop("seeker"), given.pop("density"), given.pop("seeds")
    is_search = seeker in SEARCHES.split(",")
    augment = "--augment" if given.pop("augment") else "--noaugment"
    flags = [f"--{name}={value}" for name, value in given.items()]
    flags += [augment, f"--seekers={'' if is_search else seeker}"]
    flags += [f"--searches={seeker if is_search else ''}", f"--densities={density}"]
    flags += [_seeds(seeds), "--data_dir=DIR", f"--out={pathlib.Path(directory).parent}"]
    return " \\\n    ".join(["python -m experiments.vgg", *map(shlex.quote, flags)])


def command_of(configuration: dict[str, Any], directory: str) -> str:
    """The command line, to be pasted into a shell; into the same directory it continues.

    A seeker of one's own is named by its function only: the file has to be filled in.
    """
    from ticketjax.grid import Grid
    from ticketjax.seekers import SEEKERS

    if "dataset" in configuration:
        return _of_images(configuration, directory)
    module, flags = _command(configuration)
    defaults = {field.name: field.default for field in dataclasses.fields(Grid)}
    given = dict(configuration)
    if isinstance(given.get("seekers"), list):
        given["seekers"] = [
            name if name in SEEKERS else f"path/to/file.py:{name}" for name in given["seekers"]
        ]
    for name, value in given.items():
        if name in ELSEWHERE or value is None:
            continue
        if name in ALWAYS or value != defaults.get(name):
            flags.append(f"--{name}={_listed(value)}")
    for name in ("prune_bias", "check_budget"):
        if given.get(name) is False:
            flags.append(f"--no{name}")
    if "score_samples" in given and given["score_samples"] != defaults["score_samples"]:
        samples = given["score_samples"]
        flags.append(f"--score_samples={'all' if samples is None else samples}")
    if given.get("options"):
        flags.append("--options=" + ",".join(f"{name}={value}" for name, value in given["options"]))
    if "seeds" in given:
        flags.append(_seeds(given["seeds"]))
    flags.append(f"--out={directory}")
    return " \\\n    ".join([f"python -m experiments.{module}", *map(shlex.quote, flags)])
