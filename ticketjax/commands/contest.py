"""Common flags of leaderboard, tuning and cards: one network on several tasks, any seekers."""

from typing import Any

from absl import flags

from ticketjax.choices import Training
from ticketjax.commands.flags import (
    FLAGS,
    FlagError,
    define_budget,
    define_options,
    define_running,
    define_task_and_model,
    density_of,
    naming,
    running,
    tasks_and_models,
    training,
)


def define_contest(out: str) -> None:
    """Define the flags of a grid that all seekers share, except its seeds."""
    define_arena(out)
    flags.DEFINE_string("density", "ticket", 'A number, or "ticket", the planted density.')


def define_arena(out: str) -> None:
    """Define the same flags without the density."""
    define_running(out=out)
    define_task_and_model(tasks="relu,circle,helix")
    flags.DEFINE_integer("depth", 5, "Layers of neurons, including the input.", lower_bound=2)
    flags.DEFINE_integer("width", 100, "Neurons of every hidden layer.", lower_bound=1)
    flags.DEFINE_integer("samples", 10_000, "Samples per run; a tenth is held out.", lower_bound=1)
    define_options(Training)
    define_budget()


def density() -> str | float:
    """--density as a number, or "ticket"."""
    with naming("density"):
        return density_of(FLAGS.density)


def contest() -> dict[str, Any]:
    """The fields of Grid that the flags of define_contest() describe."""
    return {**arena(), "densities": density()}


def arena() -> dict[str, Any]:
    """The fields of Grid that the flags of define_arena() describe."""
    common = {
        **tasks_and_models(),
        "training": training(),
        "samples": FLAGS.samples,
        "depth": FLAGS.depth,
        "width": FLAGS.width,
        "check_budget": FLAGS.check_budget,
        **running(),
    }
    if len(common["model"] or ()) > 1:
        raise FlagError("--model: one network at a time")
    return common
