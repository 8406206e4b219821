"""The tasks by name, each with its data and a sparse network known to solve it."""

import functools
from collections.abc import Callable

from ticketjax import expressions
from ticketjax.base import Task
from ticketjax.names import suggestion
from ticketjax.tasks.circle import CIRCLE
from ticketjax.tasks.helix import HELIX
from ticketjax.tasks.random_teacher import random_teacher
from ticketjax.tasks.random_variants import random_circle, random_helix
from ticketjax.tasks.relu import RELU
from ticketjax.tasks.sparse_parity import sparse_parity

__all__ = ["TASKS", "get_task"]

TASKS: dict[str, Task] = {task.name: task for task in (RELU, CIRCLE, HELIX)}
"""The tasks by name, easiest first."""

FAMILIES: dict[str, Callable[..., Task]] = {
    function.__name__: function
    for function in (random_teacher, sparse_parity, random_circle, random_helix)
}
"""Tasks whose tickets are drawn at random, by the name of the function that makes them."""


def get_task(name: str | Task) -> Task:
    """Return the task of that name.

    Args:
        name: one of TASKS, or a call of one of FAMILIES, such as "random_circle(depth=4)"; your own
            `Task` is returned unchanged.

    Returns:
        The task.

    Raises:
        ValueError: an unknown name; the message lists the names and suggests one that is close. A
            call whose arguments are refused.

    >>> get_task("circle").outputs
    4
    """
    if isinstance(name, Task):
        return name
    if isinstance(name, str) and "(" in name:
        return _read(name)
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(
            f"task must be one of {', '.join(TASKS)} or a Task, got {name!r}"
            f"{suggestion(name, [*TASKS, *FAMILIES])}"
        )
    return TASKS[name]


# Equal texts are one task, which is compiled once.
@functools.cache
def _read(text: str) -> Task:
    task = expressions.read(text, FAMILIES, "task")
    if not isinstance(task, Task):
        raise ValueError(f"task must be a call such as random_circle(depth=4), got {text!r}")
    return task
