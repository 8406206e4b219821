"""The origins of a profile's operations in ticketjax's functions, and their own times."""

import collections
import glob
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BETWEEN = "between operations"
ELSEWHERE = "no function of ticketjax"
# Loops, calls and the executor's own events contain operations.
_CONTAINERS = re.compile(r"(while|call|conditional)[.\d]*$|Thunk|Execut|Pjit|Pool")
_OWN_FILE = re.compile(r".*/(ticketjax/.*)\.py$")
_TABLES = {
    "FileNames": re.compile(r'(\d+) "(.*)"'),
    "FunctionNames": re.compile(r'(\d+) "(.*)"'),
    "FileLocations": re.compile(r"(\d+) \{file_name_id=(\d+) function_name_id=(\d+)"),
    "StackFrames": re.compile(r"(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?"),
}


class Event(NamedTuple):
    """An event of a thread, from its start to its end in nanoseconds."""

    name: str
    start: float
    end: float


class Origin(NamedTuple):
    """The origin of an operation.

    Args:
        function: the innermost function of ticketjax that it came from, as "file: name".
        product: whether it is, or contains, a matrix product.
    """

    function: str
    product: bool


def own_times(events: Iterable[Event]) -> Iterator[tuple[str, float]]:
    """Each event's name and its duration without inner events.

    Args:
        events: of one thread; any two are disjoint, or one lies inside the other.

    Yields:
        (name, nanoseconds).
    """
    open_events: list[list] = []  # [event, time of inner events]

    def close() -> tuple[str, float]:
        event, inside = open_events.pop()
        duration = event.end - event.start
        if open_events:
            open_events[-1][1] += duration
        return event.name, duration - inside

    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        while open_events and open_events[-1][0].end <= event.start:
            yield close()
        open_events.append([event, 0.0])
    while open_events:
        yield close()


def _tables(text: str) -> dict[str, dict[str, tuple]]:
    """The tables of files, functions and stack frames before the computations."""
    tables: dict[str, dict[str, tuple]] = {name: {} for name in _TABLES}
    current = None
    for line in text.splitlines():
        if line in _TABLES:
            current = line
        elif current and (match := _TABLES[current].match(line)):
            number, *values = match.groups()
            tables[current][number] = tuple(values)
        elif line.strip():
            current = None
    return tables


def origins(text: str) -> dict[str, Origin]:
    """The origin of each operation of a compiled program.

    Args:
        text: the program, from `compiled.as_text()`.

    Returns:
        The origins, by the operations' names.
    """
    tables = _tables(text)

    def function_of(frame: str | None) -> str:
        while frame in tables["StackFrames"]:
            location, parent = tables["StackFrames"][frame]
            file, function = tables["FileLocations"][location]
            own = _OWN_FILE.match(tables["FileNames"][file][0])
            if own:
                name = tables["FunctionNames"][function][0].replace(".<locals>", "")
                return f"{own[1].removeprefix('ticketjax/')}: {name}"
            # The outermost frame is its own parent.
            frame = None if parent == frame else parent
        return ELSEWHERE

    found: dict[str, Origin] = {}
    with_products, called, computation = set(), {}, ""
    for line in text.splitlines():
        if match := re.match(r"(?:ENTRY )?%?([\w.\-<>]+) \(.*\{", line):
            computation = match[1]
        match = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\(", line)
        if not match:
            continue
        product = match[2] in ("dot", "convolution")
        if product:
            with_products.add(computation)
        frame = re.search(r"stack_frame_id=(\d+)", line)
        found[match[1]] = Origin(function_of(frame and frame[1]), product)
        if match[2] in ("fusion", "custom-call") and (
            calls := re.search(r"calls=%?([\w.\-]+)", line)
        ):
            called[match[1]] = calls[1]
    return {
        name: origin._replace(product=origin.product or called.get(name) in with_products)
        for name, origin in found.items()
    }


def thread_events(directory: str) -> Iterator[list[Event]]:
    """The events of each thread in a directory that jax.profiler.trace() wrote."""
    from jax.profiler import ProfileData

    (path,) = glob.glob(f"{directory}/**/*.xplane.pb", recursive=True)
    for plane in ProfileData.from_file(path).planes:
        for line in plane.lines:
            if line.name == "python":
                continue
            yield [
                Event(e.name, e.start_ns, e.start_ns + e.duration_ns)
                for e in line.events
                if not e.name.startswith("end: ")
            ]


def shares(threads: Iterable[list[Event]], known: dict[str, Origin]) -> dict[str, list[float]]:
    """Seconds of each function, and the seconds of its products.

    Args:
        threads: the events of each thread.
        known: origins of the program's operations.

    Returns:
        [seconds, seconds of products] by function, the longest first.
    """
    totals: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0])
    for events in threads:
        for name, nanoseconds in own_times(events):
            if name in known and not _CONTAINERS.match(name):
                origin = known[name]
                totals[origin.function][0] += nanoseconds / 1e9
                totals[origin.function][1] += origin.product * nanoseconds / 1e9
            elif _CONTAINERS.match(name) and "wait" not in name:
                totals[BETWEEN][0] += nanoseconds / 1e9
    return dict(sorted(totals.items(), key=lambda item: -item[1][0]))
