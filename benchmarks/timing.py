"""Repeated measurements, taken in turns and reported as median and range."""

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(function: Callable[[], object]) -> float:
    """Wall time of a call until its arrays are computed."""
    import jax

    begin = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - begin


def in_turns(
    measures: Mapping[str, Callable[[], float]], repeats: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Take every measurement once with compilation, then repeatedly in turns.

    In turns, other load on the machine affects all measurements alike.

    Args:
        measures: functions without arguments that return a value, by name.
        repeats: the number of turns after the first.

    Returns:
        The first value of each measurement, with compilation, by name; and its values in all later
        turns, by name.
    """
    first = {name: measure() for name, measure in measures.items()}
    later = {name: [] for name in measures}
    for _ in range(repeats):
        for name, measure in measures.items():
            later[name].append(measure())
    return first, later


def spread(values: list[float], digits: int = 3) -> str:
    """Median [min, max]."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
