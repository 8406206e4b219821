"""The tasks by name, each with its data and a sparse network known to solve it."""

from ticketjax.base import Task
from ticketjax.names import suggestion
from ticketjax.tasks.circle import CIRCLE
from ticketjax.tasks.helix import HELIX
from ticketjax.tasks.relu import RELU

__all__ = ["TASKS", "get_task"]

TASKS: dict[str, Task] = {task.name: task for task in (RELU, CIRCLE, HELIX)}
"""The tasks by name, easiest first."""


def get_task(name: str | Task) -> Task:
    """Return the task of that name.

    Args:
        name: one of TASKS; a `Task` of one's own is returned as it is.

    Returns:
        The task.

    Raises:
        ValueError: an unknown name; the message lists the names and suggests one that is close.

    >>> get_task("circle").outputs
    4
    """
    if isinstance(name, Task):
        return name
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(
            f"task must be one of {', '.join(TASKS)} or a Task, got {name!r}"
            f"{suggestion(name, TASKS)}"
        )
    return TASKS[name]
