"""Checks of the arguments that all tasks share."""

import math
import numbers

import jax

from ticketjax.networks.mlp import DEEPEST


def check_depth(task: str, depth: int, smallest: int) -> None:
    """Raise ValueError for a depth that is no integer, or outside smallest..DEEPEST."""
    if not isinstance(depth, numbers.Integral) or not smallest <= depth <= DEEPEST:
        raise ValueError(
            f"{task}: depth must be an integer >= {smallest} and at most {DEEPEST:,} (layers of "
            f"neurons, including the input), got {depth!r}"
        )


def check_sample(task: str, n: int, noise: jax.typing.ArrayLike, largest_noise: float) -> None:
    """Raise ValueError for an n below 1 or, if it is a plain number, an impossible noise."""
    if not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(f"{task}: n must be an integer >= 1, got {n!r}")
    if isinstance(noise, numbers.Real) and not (
        0 <= noise <= largest_noise and math.isfinite(noise)
    ):
        allowed = "in [0, 1]" if largest_noise == 1 else "finite and >= 0"
        raise ValueError(f"{task}: noise must be {allowed}, got {noise!r}")
