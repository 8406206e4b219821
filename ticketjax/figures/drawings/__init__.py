"""Drawings of tasks and tickets: samples, how Circle's layers fold the plane, networks as graphs.

Samples come from the tasks; folds, knots and graphs from the parameters of their tickets. The
drawings therefore show the networks that are run.
"""

from ticketjax.figures.drawings.comparison import Side, comparison, plane
from ticketjax.figures.drawings.constructions import construction
from ticketjax.figures.drawings.networks import arrange, ticket
from ticketjax.figures.drawings.task_samples import samples

__all__ = ["Side", "arrange", "comparison", "construction", "plane", "samples", "ticket"]
