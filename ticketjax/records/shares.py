"""How many tickets were found: counts out of runs, by task and seeker."""

from collections import Counter
from typing import NamedTuple

import pyarrow as pa


class Share(NamedTuple):
    """How many runs found a ticket, of how many."""

    found: int
    of: int


def shares_found(records: pa.Table) -> dict[tuple[str, str], Share]:
    """How many runs found the ticket as a function, see equivalence.is_found().

    Args:
        records: a row per run; rows without this entry do not count.

    Returns:
        By task and label of the seeker.

    >>> rows = [("relu", "snip", True), ("relu", "snip", False), ("relu", "random", None)]
    >>> names = ("task", "seeker", "found")
    >>> shares_found(pa.Table.from_pylist([dict(zip(names, row)) for row in rows]))
    {('relu', 'snip'): Share(found=1, of=2)}
    """
    counts: Counter[tuple[str, str]] = Counter()
    runs: Counter[tuple[str, str]] = Counter()
    columns = (records[name].to_pylist() for name in ("task", "seeker", "found"))
    for task, seeker, found in zip(*columns, strict=True):
        if found is not None:
            counts[task, seeker] += found
            runs[task, seeker] += 1
    return {key: Share(counts[key], of) for key, of in runs.items()}
