"""Repeated measurements: taken in turns, told as median and range."""

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(function: Callable[[], object]) -> float:
    """Wall time of a call until its arrays are there."""
    import jax

    begin = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - begin


def in_turns(
    measures: Mapping[str, Callable[[], float]], repeats: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """What each measurement gives at first, with compilation, and in each of the turns after it.

    In turns, so that whatever else the machine does falls upon all alike.
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
