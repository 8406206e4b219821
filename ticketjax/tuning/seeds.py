"""Seeds: which ones settings are chosen on, and which ones results are made with."""

from collections.abc import Iterable

# Settings are chosen, examples made and code is tried on these.
DEVELOPMENT = range(100)
# Published results are made with this seed and the following ones, once a setting is frozen. The
# seeds between are for tests: nothing is chosen on them, and nothing is published.
FIRST_RESULT = 1000
PURPOSES = ("development", "tests", "results")


def purpose(seed: int) -> str:
    """What a seed is for, one of PURPOSES.

    >>> [purpose(seed) for seed in (0, 99, 100, 999, 1000)]
    ['development', 'development', 'tests', 'tests', 'results']
    """
    if seed >= FIRST_RESULT:
        return "results"
    return "development" if seed in DEVELOPMENT else "tests"


def purposes(seeds: Iterable[int]) -> tuple[str, ...]:
    """What a list of seeds is for: those of PURPOSES that it holds, in their order.

    Args:
        seeds: at least 0 each.

    Returns:
        From none to all of PURPOSES.

    >>> purposes([0, 1, 1000])
    ('development', 'results')
    """
    held = set(map(purpose, seeds))
    return tuple(name for name in PURPOSES if name in held)


def development_seeds(count: int) -> list[int]:
    """The first development seeds.

    Args:
        count: how many.

    Returns:
        0 to count - 1.

    Raises:
        ValueError: there are fewer.
    """
    if count > len(DEVELOPMENT):
        raise ValueError(f"there are {len(DEVELOPMENT)} development seeds, 0 to {DEVELOPMENT[-1]}")
    return list(DEVELOPMENT[:count])


def result_seeds(count: int) -> range:
    """The first result seeds: 1000 to 1000 + count - 1.

    Args:
        count: how many.
    """
    return range(FIRST_RESULT, FIRST_RESULT + count)
