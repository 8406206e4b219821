"""A ladder of difficulty: levels of random teachers in random networks, from trivial to hard."""

import dataclasses

from ticketjax.base import CLASSIFICATION, REGRESSION, Task
from ticketjax.checks import check_count
from ticketjax.choices import Planting
from ticketjax.tasks.random_teacher import random_teacher


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of difficulty: a distribution of tickets, and the network around them.

    Args:
        name: in tables and figures; the task's name in records is ladder_NAME.
        inputs, outputs, hidden, parameters, kind: of the ticket, as in random_teacher(). Every seed
            has its own.
        width: neurons of every hidden layer of the network that it is planted in.
        planting: how the ticket is planted, and what else is planted. A ticket is found if a mask
            computes its function: a perturbed one does not do so itself.

    Raises:
        ValueError: a network too narrow for all that is planted, and what random_teacher() refuses.

    >>> level = Level("5", inputs=1, outputs=1, hidden=(3,), parameters=10, width=20)
    >>> level.task.name, level.depth
    ('ladder_5', 3)
    """

    name: str
    inputs: int
    outputs: int
    hidden: tuple[int, ...]
    parameters: int
    width: int
    kind: str = REGRESSION
    planting: Planting = Planting()

    def __post_init__(self):
        copies = self.planting.tickets + self.planting.decoys
        check_count("width", self.width, copies * max(self.hidden, default=1))
        self.task  # noqa: B018  # raises for an invalid task

    @property
    def task(self) -> Task:
        """The task, with a ticket for every seed; equal levels have equal tasks."""
        return random_teacher(
            inputs=self.inputs,
            outputs=self.outputs,
            hidden=self.hidden,
            parameters=self.parameters,
            kind=self.kind,
            name=f"ladder_{self.name}",
        )

    @property
    def depth(self) -> int:
        """Layers of neurons, including the input."""
        return len(self.hidden) + 2


def _level(name: str, hidden: tuple[int, ...], parameters: int, width: int, **more) -> Level:
    inputs, outputs = more.pop("inputs", 1), more.pop("outputs", 1)
    return Level(name, inputs, outputs, hidden, parameters, width, **more)


LADDER = (
    _level("1", (1,), 4, 5),
    _level("2", (1,), 4, 20),
    _level("3", (2,), 6, 10),
    _level("4", (2,), 6, 30),
    _level("5", (3,), 14, 20, inputs=2, outputs=2, kind=CLASSIFICATION),
    _level("6", (3, 3), 16, 20),
    _level("7", (4, 4), 36, 30, inputs=2, outputs=4, kind=CLASSIFICATION),
    _level("8", (4, 2, 20), 130, 100, inputs=2, outputs=4, kind=CLASSIFICATION),
)
"""The levels, the easiest first."""

DECOY_LEVELS = tuple(
    dataclasses.replace(level, name=f"{level.name}d", planting=Planting(decoys=decoys))
    for level, decoys in ((LADDER[2], 2), (LADDER[3], 4), (LADDER[4], 2))
)
"""Levels 3 to 5 with near misses of the ticket beside it, to be compared with those without."""
