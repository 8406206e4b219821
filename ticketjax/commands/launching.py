"""How a command starts: flags are parsed, refusals take one line, processes of a job connect.

Nothing here imports JAX before the flags are parsed, so help and refusals appear immediately.
"""

import functools
import os
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from ticketjax.commands import interruption
from ticketjax.commands.flags import FLAGS, JOB, FlagError, flag_text
from ticketjax.commands.interruption import RESUME

# Flags that affect memory, in the order in which to reduce them; a command has some of them.
MEMORY_FLAGS = ("chunk_size", "samples", "batch_size", "images", "width", "channels")


def use_all_cores() -> None:
    """Set the number of XLA's host devices to the number of cores, unless XLA_FLAGS sets it.

    This has an effect only on machines without accelerator, and only before JAX is first imported.
    """
    count = "--xla_force_host_platform_device_count"
    present = os.environ.get("XLA_FLAGS", "")
    if count not in present:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count()
        os.environ["XLA_FLAGS"] = f"{present} {count}={cores}".strip()


def _join_job() -> None:
    """Connect to the other processes of a distributed job. JAX must not be used before."""
    job: dict[str, Any] = {name: FLAGS[name].value for name in JOB}
    given = [f"--{name}" for name, value in job.items() if value is not None]
    if given and not FLAGS.distributed:
        raise FlagError(f"{given[0]} needs --distributed")
    if given and len(given) < len(JOB):
        missing = [f"--{name}" for name in JOB if f"--{name}" not in given]
        raise FlagError(f"{', '.join(given)} without {', '.join(missing)}: give all three or none")
    if given and job["process_id"] >= job["num_processes"]:
        raise FlagError(
            f"--process_id={job['process_id']}: must be below --num_processes="
            f"{job['num_processes']}"
        )
    if FLAGS.distributed:
        from ticketjax.commands.job import join

        join(**job)
        # JAX's preemption service has replaced the handler of SIGTERM.
        interruption.install()


def _parse(argv: list[str], names: Sequence[str] = ()) -> list[str]:
    try:
        rest = FLAGS(["--help" if argument == "-h" else argument for argument in argv])
    except flags.Error as error:
        sys.exit(_refuse(error))
    except SystemExit:
        # absl exits with a failure status after it has shown the help.
        sys.exit(0)
    given = rest[1:]
    if len(given) != len(names):
        wanted = f"takes {' '.join(names)} and flags" if names else "only flags are taken"
        sys.exit(_refuse(f"{wanted}, got {' '.join(map(repr, given)) or 'flags alone'}"))
    return rest


def _refuse(error: object) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 2


def _explain(error: Exception) -> int | None:
    """Print in one line what the machine lacks; the exit status, or None for other errors."""
    said = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said:
        there = [f"--{name} (now {flag_text(name)})" for name in MEMORY_FLAGS if name in FLAGS]
        advice = f"; try a smaller {', then '.join(there[:2])}" if there else ""
        print(f"error: out of memory{said and f' ({said})'}{advice}; {RESUME}", file=sys.stderr)
        return 1
    reason = _missing_platform(said)
    return _refuse(reason) if reason else None


def _missing_platform(said: str) -> str | None:
    """Why JAX cannot use the platforms in JAX_PLATFORMS; None if it can.

    said: the first line of JAX's error.
    """
    jax = sys.modules.get("jax")
    if not (jax and jax.config.jax_platforms):
        return None
    if "Unable to initialize backend" not in said:
        # If a plugin's libraries are missing, JAX fails with an assertion without a message.
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


def start(command: types.ModuleType) -> None:
    """Run a command: a module with define(), which defines its flags, and main()."""
    interruption.install()
    command.define()
    launch(command.main, getattr(command, "ARGUMENTS", ()))


def launch(main: Callable[..., int], names: Sequence[str] = ()) -> None:
    """Parse the flags and run main(); a refusal is one line, with exit status 2.

    Signals end the process at once.

    Args:
        main: the command, (*arguments) -> exit status.
        names: names of the positional arguments, all of which are required.
    """
    interruption.install()

    def run(argv):
        # JAX logs a message for every accelerator that it does not find.
        logging.set_verbosity(logging.WARNING)
        warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
        use_all_cores()
        # Figures are written to files: no command needs a display.
        os.environ.setdefault("MPLBACKEND", "Agg")
        if "compilation_cache" in FLAGS and FLAGS.compilation_cache:
            import jax

            jax.config.update("jax_compilation_cache_dir", FLAGS.compilation_cache)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        try:
            if "distributed" in FLAGS:
                _join_job()
            return main(*argv[1:])
        except FlagError as error:
            return _refuse(error)
        except OSError as error:
            if isinstance(error, BrokenPipeError) and interruption.output_is_closed():
                return 1
            # For example a full disk, or no permission: files are written whole or not at all.
            print(f"error: {error}; {RESUME}", file=sys.stderr)
            return 1
        except (AssertionError, MemoryError, RuntimeError) as error:
            status = _explain(error)
            if status is None:
                raise
            return status

    # --help shows only the main module's flags, so the commands' flags are added to them.
    for module, defined in FLAGS.flags_by_module_dict().items():
        if module.startswith(f"{__package__}."):
            for flag in defined:
                FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(run, flags_parser=functools.partial(_parse, names=names))
