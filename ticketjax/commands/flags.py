"""The flags that the commands share, and the grid that they describe.

Nothing here imports JAX before the flags are parsed: help and refusals come at once.
"""

import ast
import contextlib
import importlib.util
import os
import sys
import warnings
from typing import Any

from absl import app, flags, logging

from experiments import interruption
from experiments.interruption import RESUME

FLAGS = flags.FLAGS
PRUNERS = "random,magnitude,snip,grasp,synflow"
# What takes memory, the first to try first; of a command's own flags.
MEMORY_FLAGS = ("chunk_size", "batch_size", "samples", "images", "width", "channels")


class FlagError(Exception):
    """A flag that cannot be honoured; the message names it, its value and what is allowed."""


@contextlib.contextmanager
def naming(flag: str):
    """Turn a ValueError into a FlagError about --flag and its value."""
    try:
        yield
    except ValueError as error:
        raise FlagError(f"--{flag}={_text(flag)}: {error}") from None


def _text(flag: str) -> str:
    """A flag's value, as it is given on the command line."""
    value = FLAGS[flag].value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def define_networks(seeds: int = 25, seekers: str = PRUNERS, width: str = "100") -> None:
    """Define the flags that say what is planted, by whom it is sought, and what is measured."""
    flags.DEFINE_list("task", ["circle"], "Tasks: relu, circle, helix.")
    flags.DEFINE_list("depth", ["5"], "Layers of neurons, the input included.")
    flags.DEFINE_list("width", width, "Neurons of every hidden layer.")
    flags.DEFINE_list(
        "seekers", seekers, "Algorithms to compare: names, or path/to/file.py:function of your own."
    )
    flags.DEFINE_list("options", [], "Further options of the seekers: name=value,...")
    flags.DEFINE_enum("objective", "raw", ["raw", "rescaled"], "What seekers optimise.")
    flags.DEFINE_list("noise", ["0.01"], "Noise levels.")
    flags.DEFINE_integer("seeds", seeds, "Seeds 0 to N-1.", lower_bound=1)
    flags.DEFINE_list("seed_list", None, "These seeds, instead of --seeds.")
    flags.DEFINE_integer("epochs", 10, "Epochs of the final training.", lower_bound=0)
    define_planting()
    define_budget()


def define_planting() -> None:
    """Define the flags that say how a ticket is planted, and on how many samples it is sought."""
    flags.DEFINE_bool("prune_bias", True, "Whether biases may be pruned.")
    flags.DEFINE_enum(
        "match",
        "cosine",
        ["cosine", "hidden"],
        "Plant as published, or so that simple statistics do not give the ticket away.",
    )
    flags.DEFINE_integer(
        "tickets", 1, "Tickets in each network, in disjoint hidden neurons.", lower_bound=1
    )
    flags.DEFINE_integer(
        "decoys", 0, "Near misses in each network: tickets off by 30%.", lower_bound=0
    )
    flags.DEFINE_float(
        "perturbation", 0, "Relative deviation of the ticket's own parameters.", lower_bound=0
    )
    flags.DEFINE_integer("samples", 10_000, "Samples per run, a tenth held out.", lower_bound=1)


def define_grid(
    seeds: int = 25,
    seekers: str = PRUNERS,
    scope: str = "global",
    densities: str = "ticket,0.01,0.1,0.5,1",
    width: str = "100",
) -> None:
    """Define the flags of a grid of runs, with a command's own defaults."""
    define_networks(seeds, seekers, width)
    flags.DEFINE_list(
        "densities",
        densities,
        'Fractions of the prunable parameters to keep; "ticket" is the planted ticket\'s own.',
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
        "Keep the lowest scores; shuffle the mask within layers; train from other values.",
    )
    flags.DEFINE_string(
        "score_samples",
        "auto",
        'Training samples that a score sees: a number, "all", or "auto" for the published ten '
        "per output of the network.",
    )


def define_budget() -> None:
    """Define the flag that lets masks pass which keep another number than they may."""
    flags.DEFINE_bool(
        "check_budget",
        True,
        "Refuse masks that keep another number of parameters than the density allows; otherwise "
        "their records are marked.",
    )


def define_running(out: str | None) -> None:
    """Define the flags of how and where a grid is run."""
    flags.DEFINE_string("out", out, "Results directory; an unfinished one is continued.")
    flags.DEFINE_bool("wait", False, "Wait for another process that has the directory in use.")
    flags.DEFINE_string("chunk_size", "auto", 'Runs at once per device, or "auto".')
    flags.DEFINE_enum(
        "precision",
        "highest",
        ["highest", "high", "default"],
        "Of matrix products on accelerators; a planted ticket is exact only with the highest.",
    )
    flags.DEFINE_string("compilation_cache", None, "Directory that keeps compiled programs.")
    flags.DEFINE_bool(
        "distributed",
        False,
        "Share the work with the other processes of this job, on one or many machines, through "
        "the results directory. Slurm, Open MPI, Kubernetes and TPU pods are detected.",
    )
    flags.DEFINE_string("coordinator_address", None, "host:port of process 0, if not detected.")
    flags.DEFINE_integer("num_processes", None, "Of the job, if not detected.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "Of this process, if not detected.", lower_bound=0)


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
    """A density that a flag says: a number in (0, 1], or "ticket".

    Raises:
        ValueError: anything else.
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


def named_or_own(seeker: str):
    """A seeker's name, checked, or the function that path/to/file.py:function names.

    Raises ValueError for what is neither.
    """
    from ticketjax import get_seeker

    path, colon, name = seeker.rpartition(":")
    if not colon:
        get_seeker(seeker)
        return seeker
    spec = importlib.util.spec_from_file_location(os.path.basename(path).removesuffix(".py"), path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise ValueError(f"{path} is not a Python file; allowed is path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{path} has no function {name!r}")
    function = getattr(module, name)
    get_seeker(function)
    return function


def options() -> dict:
    """--options as a mapping; numbers, booleans and None as what they are, all else as text."""
    given = {}
    with naming("options"):
        for text in FLAGS.options:
            name, equals, value = text.partition("=")
            if not (name and equals):
                raise ValueError(f"must be name=value, got {text!r}")
            try:
                given[name] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                given[name] = value
    return given


def networks() -> dict:
    """The fields of Grid that the flags of define_networks() describe."""
    refuse_empty("task", "depth", "width", "seekers", "noise")
    from ticketjax import get_task

    with naming("task"):
        for task in FLAGS.task:
            get_task(task)
    with naming("seekers"):
        seekers = [named_or_own(seeker) for seeker in FLAGS.seekers]
    return {
        "task": FLAGS.task,
        "depth": numbers("depth", int),
        "width": numbers("width", int),
        "seekers": seekers,
        "options": options(),
        "objective": FLAGS.objective,
        "noise": numbers("noise", float),
        "seeds": seeds(),
        "prune_bias": FLAGS.prune_bias,
        "match": FLAGS.match,
        "tickets": FLAGS.tickets,
        "decoys": FLAGS.decoys,
        "perturbation": FLAGS.perturbation,
        "epochs": FLAGS.epochs,
        "samples": FLAGS.samples,
        "check_budget": FLAGS.check_budget,
    }


def grid() -> dict:
    """The fields of Grid that the flags of define_grid() describe."""
    refuse_empty("densities")
    fields = networks()
    with naming("densities"):
        densities = [density_of(text) for text in FLAGS.densities]
    return {
        **fields,
        "densities": densities,
        "scope": FLAGS.scope,
        "sanity": FLAGS.sanity,
        "score_samples": score_samples(),
    }


def running() -> dict:
    """The fields of Grid that the running flags describe."""
    return {"chunk_size": chunk_size(), "precision": FLAGS.precision}


def use_all_cores() -> None:
    """Ask XLA for as many host devices as there are cores, unless XLA_FLAGS says how many.

    Matters on machines without accelerator only, and only before JAX is first imported.
    """
    count = "--xla_force_host_platform_device_count"
    present = os.environ.get("XLA_FLAGS", "")
    if count not in present:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count()
        os.environ["XLA_FLAGS"] = f"{present} {count}={cores}".strip()


JOB = ("coordinator_address", "num_processes", "process_id")


def _join_job() -> None:
    """Find the other processes of a distributed job; the first thing that JAX has to do."""
    job: dict[str, Any] = {name: FLAGS[name].value for name in JOB}
    given = [f"--{name}" for name, value in job.items() if value is not None]
    if given and not FLAGS.distributed:
        raise FlagError(f"{given[0]} means something with --distributed only")
    if given and len(given) < len(JOB):
        missing = [f"--{name}" for name in JOB if f"--{name}" not in given]
        raise FlagError(f"{', '.join(given)} without {', '.join(missing)}: give all three or none")
    if given and job["process_id"] >= job["num_processes"]:
        raise FlagError(
            f"--process_id={job['process_id']}: must be below --num_processes="
            f"{job['num_processes']}"
        )
    if FLAGS.distributed:
        from experiments.job import join

        join(**job)
        # JAX's preemption service has taken SIGTERM.
        interruption.install()


def _parse(argv: list[str]) -> list[str]:
    try:
        rest = FLAGS(["--help" if argument == "-h" else argument for argument in argv])
    except flags.Error as error:
        sys.exit(_refuse(error))
    except SystemExit:
        # absl has shown the help, and thinks of that as a failure.
        sys.exit(0)
    if len(rest) > 1:
        sys.exit(_refuse(f"only flags are taken, got {' '.join(map(repr, rest[1:]))}"))
    return rest


def _refuse(error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _explain(error: Exception) -> int | None:
    """Say in one line what the machine lacks; the exit status, or None if it lacks nothing."""
    said = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said:
        there = [f"--{name} (now {_text(name)})" for name in MEMORY_FLAGS if name in FLAGS]
        advice = f"; try a smaller {', then '.join(there[:2])}" if there else ""
        print(f"error: out of memory{said and f' ({said})'}{advice}; {RESUME}", file=sys.stderr)
        return 1
    reason = _missing_platform(said)
    return _refuse(reason) if reason else None


def _missing_platform(said: str) -> str | None:
    """What is wrong with the platforms that JAX was told to compute on, by the error that it made.

    None if nothing is.
    """
    jax = sys.modules.get("jax")
    if not (jax and jax.config.jax_platforms):
        return None
    if "Unable to initialize backend" not in said:
        # Where a plugin lacks its libraries, JAX fails with an assertion that says nothing.
        try:
            jax.devices()
        except Exception as error:
            said = next(iter(str(error).splitlines()), "")
        else:
            return None
    reason = said.partition(" (set JAX_PLATFORMS")[0] or "no such device, or no driver or plugin"
    return (
        f"JAX_PLATFORMS={jax.config.jax_platforms}: JAX cannot use it here ({reason}); unset it to "
        "compute on what there is; BUILD.md says how to install JAX for CUDA and TPU"
    )


def start(main) -> None:
    """Run a command's main(): refusals as one line and exit status 2; signals end it at once."""
    interruption.install()

    def run(argv):
        del argv
        # JAX tells, as information, of every accelerator that it does not find.
        logging.set_verbosity(logging.WARNING)
        warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
        use_all_cores()
        # Figures go to files: no command needs, or waits for, a display.
        os.environ.setdefault("MPLBACKEND", "Agg")
        if "compilation_cache" in FLAGS and FLAGS.compilation_cache:
            import jax

            jax.config.update("jax_compilation_cache_dir", FLAGS.compilation_cache)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        try:
            if "distributed" in FLAGS:
                _join_job()
            return main()
        except FlagError as error:
            return _refuse(error)
        except OSError as error:
            # A full disk, a directory that is not ours: files are written whole or not at all.
            print(f"error: {error}; {RESUME}", file=sys.stderr)
            return 1
        except (AssertionError, MemoryError, RuntimeError) as error:
            status = _explain(error)
            if status is None:
                raise
            return status

    # --help of a command shows the flags of its own module: these are as much its own.
    for flag in FLAGS.flags_by_module_dict().get(__name__, ()):
        FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(run, flags_parser=_parse)
