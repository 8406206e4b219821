"""The flags that the commands share, and the grid that they describe.

Nothing here imports JAX before the flags are parsed, so help and refusals appear immediately.
"""

import ast
import contextlib
import dataclasses
import inspect
import re
from collections.abc import Sequence
from typing import Any

from absl import flags

from ticketjax import expressions
from ticketjax.choices import PRUNERS, Planting, Training

FLAGS = flags.FLAGS
TASKS = (
    "relu, circle, helix; a call such as random_teacher(inputs=2, outputs=1, hidden=(6, 6), "
    "parameters=40), sparse_parity(inputs=10, bits=3), random_circle() or random_helix(), which "
    "draws a new ticket for every seed, or one with key=0; or your own path/to/file.py:TASK"
)
OWN_MODEL = "path/to/file.py:make"
JOB = ("coordinator_address", "num_processes", "process_id")


class FlagError(Exception):
    """A flag that cannot be honoured; the message names it, its value and what is allowed."""


@contextlib.contextmanager
def naming(flag: str):
    """Turn a ValueError into a FlagError about --flag and its value."""
    try:
        yield
    except ValueError as error:
        raise FlagError(f"--{flag}={flag_text(flag)}: {error}") from None


def flag_text(flag: str) -> str:
    """A flag's value, as it is given on the command line."""
    value = FLAGS[flag].value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


class _Expressions(flags.ArgumentParser):
    """Parses texts between commas; those within parentheses belong to an expression."""

    syntactic_help = "a comma separated list of expressions"

    def parse(self, argument: Any) -> list[str]:
        return list(argument) if isinstance(argument, list) else expressions.split(argument)

    def flag_type(self) -> str:
        return "comma separated list of expressions"


def define_expressions(name: str, default: str, text: str) -> None:
    """Define a flag that lists expressions, such as "snip, multishot(magnitude, rounds=5)"."""
    flags.DEFINE(_Expressions(), name, default, text, serializer=flags.ListSerializer(","))


def help_of(kind: type) -> dict[str, str]:
    """The text on each field in the section "Args" of a dataclass's docstring."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("\nArgs:\n")
    section = section.partition("\n\n")[0]
    helps: dict[str, str] = {}
    for names, text in re.findall(
        r"^    (\w+(?:, \w+)*): (.*(?:\n     .*)*)", section, flags=re.MULTILINE
    ):
        text = " ".join(text.split())
        helps |= {name: text[0].upper() + text[1:] for name in names.split(", ")}
    return helps


def flagged(kind: type) -> list[dataclasses.Field]:
    """The fields of a dataclass of options that can be flags: words, numbers, texts."""
    fields = dataclasses.fields(kind)
    return [field for field in fields if isinstance(field.default, bool | int | float | str)]


def define_options(kind: type) -> None:
    """Define a flag for every field of a dataclass of options that a flag can set.

    Args:
        kind: Planting, Training, or another subclass of checks.Options.
    """
    helps = help_of(kind)
    for field in flagged(kind):
        name, text = field.name, helps[field.name]
        default: Any = field.default
        rule = field.metadata["rule"]
        bounds = {"lower_bound": rule.least, "upper_bound": rule.most}
        if rule.choices:
            flags.DEFINE_enum(name, default, rule.choices, text)
        elif isinstance(default, bool):
            flags.DEFINE_bool(name, default, text)
        elif isinstance(default, int):
            flags.DEFINE_integer(name, default, text, **bounds)
        elif isinstance(default, float):
            flags.DEFINE_float(name, default, text, **bounds)
        else:
            flags.DEFINE_string(name, default, text)


def planting() -> Planting:
    """The Planting that the flags describe."""
    said: dict[str, Any] = {field.name: FLAGS[field.name].value for field in flagged(Planting)}
    return Planting(**said)


def training() -> Training:
    """The Training that the flags describe."""
    from ticketjax.commands.values import own_or_text

    said: dict[str, Any] = {field.name: FLAGS[field.name].value for field in flagged(Training)}
    with naming("optimizer"):
        return Training(**said | {"optimizer": own_or_text(FLAGS.optimizer)})


def define_networks(seeds: int = 25, seekers: Sequence[str] = PRUNERS, width: str = "100") -> None:
    """Define the flags of what is planted, the seekers that search for it, and the measurements."""
    define_task_and_model()
    flags.DEFINE_list("depth", ["5"], "Layers of neurons, including the input.")
    flags.DEFINE_list("width", width, "Neurons of every hidden layer.")
    define_expressions(
        "seekers",
        ",".join(seekers),
        "Seekers to compare: names, to which this command's flags apply; expressions such as "
        "multishot(magnitude, rounds=5) or refined(probabilistic(epochs=50), rounds=200), to which "
        "they do not; your own path/to/file.py:name, alone or in an expression. LABEL=... sets "
        "the label in records.",
    )
    flags.DEFINE_list("options", [], "Further options of the seekers: name=value,...")
    flags.DEFINE_enum(
        "objective",
        None,
        ["raw", "rescaled"],
        "Objective of all seekers; by default, each one's published objective.",
    )
    flags.DEFINE_list("noise", ["0.01"], "Noise levels.")
    flags.DEFINE_integer("seeds", seeds, "Seeds 0 to N-1.", lower_bound=1)
    flags.DEFINE_list("seed_list", None, "List of seeds, instead of --seeds.")
    define_options(Training)
    define_planting()
    define_budget()


def define_task_and_model(tasks: str = "circle") -> None:
    """Define the flags for the tasks, and for networks other than the library's."""
    define_expressions("task", tasks, f"Tasks: {TASKS}.")
    flags.DEFINE_list(
        "model",
        [],
        f"Your own networks instead of a dense one of --depth and --width: {OWN_MODEL}, a Model "
        "or a function task -> Model.",
    )


def define_planting() -> None:
    """Define the flags for how a ticket is planted, and for the number of samples."""
    flags.DEFINE_bool("prune_bias", True, "Whether biases can be pruned.")
    define_options(Planting)
    flags.DEFINE_integer("samples", 10_000, "Samples per run; a tenth is held out.", lower_bound=1)


def define_grid(
    seeds: int = 25,
    seekers: Sequence[str] = PRUNERS,
    scope: str = "global",
    densities: str = "ticket,0.01,0.1,0.5,1",
    width: str = "100",
) -> None:
    """Define the flags of a grid of runs, with a command's own defaults."""
    define_networks(seeds, seekers, width)
    flags.DEFINE_list(
        "densities",
        densities,
        'Fractions of the prunable parameters to keep; "ticket" is that of the planted ticket.',
    )
    flags.DEFINE_enum(
        "scope",
        scope,
        ["global", "local", "oracle"],
        "One budget, one per layer, or each layer's share of the planted ticket (a diagnostic).",
    )
    flags.DEFINE_enum(
        "sanity",
        "none",
        ["none", "invert", "shuffle", "reinitialise"],
        "Check: keep the lowest scores, shuffle the mask within layers, or redraw the parameters.",
    )
    flags.DEFINE_string(
        "score_samples",
        "auto",
        'Training samples that a score sees: a number, "all", or "auto" for 40, as published.',
    )


def define_budget() -> None:
    """Define the flag that allows masks to deviate from the budget."""
    flags.DEFINE_bool(
        "check_budget",
        True,
        "Refuse masks that keep another number of parameters than the density allows. "
        "--nocheck_budget marks their records instead.",
    )


def define_running(out: str | None) -> None:
    """Define the flags of how and where a grid is run."""
    flags.DEFINE_string("out", out, "Results directory; an unfinished one is resumed.")
    flags.DEFINE_bool("wait", False, "Wait if another process is using the directory.")
    flags.DEFINE_string("chunk_size", "auto", 'Runs per device between two writes, or "auto".')
    flags.DEFINE_enum(
        "precision",
        "highest",
        ["highest", "high", "default"],
        "Precision of products on accelerators; a planted ticket is exact only with highest.",
    )
    flags.DEFINE_string("compilation_cache", None, "Directory that caches compiled programs.")
    flags.DEFINE_bool(
        "distributed",
        False,
        "Share the work with the other processes of this job, on one or many machines, through "
        "the results directory. Slurm, Open MPI, Kubernetes and TPU pods are detected.",
    )
    flags.DEFINE_string("coordinator_address", None, "host:port of process 0, if not detected.")
    flags.DEFINE_integer(
        "num_processes", None, "Number of processes, if not detected.", lower_bound=1
    )
    flags.DEFINE_integer(
        "process_id", None, "Index of this process, if not detected.", lower_bound=0
    )


def numbers(flag: str, kind: type) -> list:
    """A list flag's values as numbers."""
    what = "whole numbers" if kind is int else "numbers"
    read = []
    with naming(flag):
        for value in FLAGS[flag].value or ():
            try:
                read.append(kind(value))
            except ValueError:
                raise ValueError(f"must be {what}, got {value!r}") from None
    return read


def density_of(text: str) -> float | str:
    """A density given on the command line: a number in (0, 1], or "ticket".

    Args:
        text: the value of the flag.

    Returns:
        The number, or "ticket".

    Raises:
        ValueError: the text is anything else.
    """
    from ticketjax.names import suggestion

    with contextlib.suppress(ValueError):
        if text == "ticket" or 0 < float(text) <= 1:
            return text if text == "ticket" else float(text)
    hint = suggestion(text, ["ticket"])
    raise ValueError(f'must be numbers in (0, 1] or "ticket", got {text!r}{hint}')


def refuse_empty(*names: str) -> None:
    """Refuse list flags that name nothing."""
    for flag in names:
        if not FLAGS[flag].value:
            raise FlagError(f"--{flag}: at least one is needed")


def seeds() -> list[int]:
    """The seeds that --seeds or --seed_list name."""
    if FLAGS.seed_list is None:
        return list(range(FLAGS.seeds))
    return numbers("seed_list", int)


def chunk_size() -> int | str:
    """--chunk_size as a number, or "auto"."""
    if FLAGS.chunk_size == "auto":
        return "auto"
    with naming("chunk_size"):
        if not FLAGS.chunk_size.isdecimal() or int(FLAGS.chunk_size) < 1:
            raise ValueError('must be a whole number of at least 1, or "auto"')
        return int(FLAGS.chunk_size)


def score_samples() -> int | str | None:
    """--score_samples as a number or "auto"; None for all."""
    if FLAGS.score_samples in ("auto", "all"):
        return None if FLAGS.score_samples == "all" else "auto"
    with naming("score_samples"):
        if not FLAGS.score_samples.isdecimal() or int(FLAGS.score_samples) < 1:
            raise ValueError('must be a whole number of at least 1, "auto" or "all"')
        return int(FLAGS.score_samples)


def options() -> dict:
    """--options as a mapping; numbers, booleans and None are converted, the rest stays text."""
    given = {}
    with naming("options"):
        for text in FLAGS.options:
            name, equals, value = text.partition("=")
            if not (name and equals):
                raise ValueError(f"must be name=value, got {text!r}")
            given[name] = value_of(value)
    return given


def value_of(text: str) -> Any:
    """The value of a number, True, False, None or a tuple; other text unchanged."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def tasks_and_models() -> dict:
    """The fields task and model of Grid."""
    refuse_empty("task")
    from ticketjax.commands.values import read_models, read_tasks

    with naming("task"):
        fields: dict[str, Any] = {"task": read_tasks(FLAGS.task)}
    with naming("model"):
        fields["model"] = read_models(FLAGS.model)
    return fields


def networks() -> dict:
    """The fields of Grid that the flags of define_networks() describe."""
    refuse_empty("task", "depth", "width", "seekers", "noise")
    said = {
        "depth": numbers("depth", int),
        "width": numbers("width", int),
        "options": options(),
        "objective": FLAGS.objective,
        "noise": numbers("noise", float),
        "seeds": seeds(),
        "prune_bias": FLAGS.prune_bias,
        "samples": FLAGS.samples,
        "check_budget": FLAGS.check_budget,
        "planting": planting(),
    }
    from ticketjax.commands.values import read_seekers

    said |= tasks_and_models()
    with naming("seekers"):
        said["seekers"] = read_seekers(FLAGS.seekers)
    return {**said, "training": training()}


def grid() -> dict:
    """The fields of Grid that the flags of define_grid() describe."""
    refuse_empty("densities")
    with naming("densities"):
        densities = [density_of(text) for text in FLAGS.densities]
    said = {
        "densities": densities,
        "scope": FLAGS.scope,
        "sanity": FLAGS.sanity,
        "score_samples": score_samples(),
    }
    return {**networks(), **said}


def running() -> dict:
    """The fields of Grid that the running flags describe."""
    return {"chunk_size": chunk_size(), "precision": FLAGS.precision}
