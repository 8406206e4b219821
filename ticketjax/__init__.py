"""ticketjax: plant a lottery ticket of known sparsity, let pruners seek it, measure the truth."""

from ticketjax.audit import audit
from ticketjax.base import (
    Batch,
    Found,
    Model,
    Params,
    Planted,
    Point,
    Problem,
    Score,
    Seeker,
    Task,
)
from ticketjax.grid import Grid
from ticketjax.masks import apply_mask, layer_densities, select
from ticketjax.models import mlp
from ticketjax.objective import make_problem
from ticketjax.planting import plant
from ticketjax.seekers import SEEKERS, get_seeker
from ticketjax.store import load_records
from ticketjax.strategies import STRATEGIES, multishot, singleshot
from ticketjax.sweep import sweep
from ticketjax.tasks import TASKS, get_task
from ticketjax.trial import Instance, Record, Setting, make_instance, make_trial
from ticketjax.version import VERSION as __version__

__all__ = [
    "SEEKERS",
    "STRATEGIES",
    "TASKS",
    "Batch",
    "Found",
    "Grid",
    "Instance",
    "Model",
    "Params",
    "Planted",
    "Point",
    "Problem",
    "Record",
    "Score",
    "Seeker",
    "Setting",
    "Task",
    "__version__",
    "apply_mask",
    "audit",
    "get_seeker",
    "get_task",
    "layer_densities",
    "load_records",
    "make_instance",
    "make_problem",
    "make_trial",
    "mlp",
    "multishot",
    "plant",
    "select",
    "singleshot",
    "sweep",
]
