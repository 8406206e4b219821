"""ticketjax: plant a lottery ticket of known sparsity, let pruners seek it, measure the truth."""

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
from ticketjax.masks import apply_mask, layer_densities, select
from ticketjax.models import mlp
from ticketjax.objective import make_problem
from ticketjax.planting import plant
from ticketjax.seekers import SEEKERS, get_seeker
from ticketjax.strategies import STRATEGIES, multishot, singleshot
from ticketjax.tasks import TASKS, get_task
from ticketjax.trial import Instance, Record, Setting, make_instance, make_trial

__all__ = [n for n in dir() if not n.startswith("_")]
