"""ticketjax: plant a lottery ticket of known sparsity, let pruners seek it, measure the truth."""

import importlib
from typing import TYPE_CHECKING, Any

from ticketjax.version import VERSION as __version__

if TYPE_CHECKING:
    from ticketjax.auditing import audit
    from ticketjax.base import Batch, Found, Layer, Model, Params, Planted, Point, Task
    from ticketjax.choices import Planting, Training
    from ticketjax.fingerprints import fingerprint
    from ticketjax.grid import Grid, make_grid
    from ticketjax.instances import LoadedInstance, evaluate, load_instance
    from ticketjax.masks import LayerBudgets, apply_mask, layer_densities, select
    from ticketjax.models import lenet300, mlp, resnet18, vgg
    from ticketjax.networks.following import follow
    from ticketjax.networks.from_flax import from_linen, from_nnx
    from ticketjax.optimizers import fused_adam, make_optimizer
    from ticketjax.planting import plant
    from ticketjax.problem import Problem, Score, Seeker, make_problem
    from ticketjax.record import Record
    from ticketjax.seekers import SEEKERS, get_seeker, seeker_text
    from ticketjax.seekers.best_of import BestOf
    from ticketjax.seekers.concrete import Concrete
    from ticketjax.seekers.continuous_sparsification import ContinuousSparsification
    from ticketjax.seekers.edge_popup import EdgePopup
    from ticketjax.seekers.gem_miner import GemMiner
    from ticketjax.seekers.grasp import grasp
    from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
    from ticketjax.seekers.layer_densities import balanced, erk
    from ticketjax.seekers.magnitude import magnitude
    from ticketjax.seekers.path_pursuit import PathPursuit
    from ticketjax.seekers.probabilistic import Probabilistic
    from ticketjax.seekers.random import random as random_score
    from ticketjax.seekers.refined import Refined
    from ticketjax.seekers.relaxed_bernoulli import RelaxedBernoulli
    from ticketjax.seekers.rewinding import Rewinding
    from ticketjax.seekers.snip import snip
    from ticketjax.seekers.synflow import synflow
    from ticketjax.setting import Setting
    from ticketjax.store import Store, load_records
    from ticketjax.strategies import Multishot, Singleshot
    from ticketjax.sweeping import sweep
    from ticketjax.tasks import TASKS, get_task
    from ticketjax.tasks.network import network_task
    from ticketjax.tasks.random_teacher import random_teacher
    from ticketjax.tasks.teacher import teacher
    from ticketjax.trial import Instance, make_instance, make_trial

# Where the public names are: imported when they are first used, so that a command can show its help
# or refuse a flag before JAX is there. The same list as above, which type checkers read.
_HOMES = {
    "auditing": ("audit",),
    "choices": ("Planting", "Training"),
    "base": ("Batch", "Found", "Layer", "Model", "Params", "Planted", "Point", "Task"),
    "fingerprints": ("fingerprint",),
    "grid": ("Grid", "make_grid"),
    "instances": ("LoadedInstance", "evaluate", "load_instance"),
    "masks": ("LayerBudgets", "apply_mask", "layer_densities", "select"),
    "models": ("lenet300", "mlp", "resnet18", "vgg"),
    "networks.following": ("follow",),
    "networks.from_flax": ("from_linen", "from_nnx"),
    "optimizers": ("fused_adam", "make_optimizer"),
    "planting": ("plant",),
    "problem": ("Problem", "Score", "Seeker", "make_problem"),
    "record": ("Record",),
    "seekers": ("SEEKERS", "get_seeker", "seeker_text"),
    "seekers.best_of": ("BestOf",),
    "seekers.concrete": ("Concrete",),
    "seekers.continuous_sparsification": ("ContinuousSparsification",),
    "seekers.edge_popup": ("EdgePopup",),
    "seekers.gem_miner": ("GemMiner",),
    "seekers.grasp": ("grasp",),
    "seekers.iterative_hard_thresholding": ("IterativeHardThresholding",),
    "seekers.layer_densities": ("balanced", "erk"),
    "seekers.magnitude": ("magnitude",),
    "seekers.path_pursuit": ("PathPursuit",),
    "seekers.probabilistic": ("Probabilistic",),
    "seekers.refined": ("Refined",),
    "seekers.relaxed_bernoulli": ("RelaxedBernoulli",),
    "seekers.rewinding": ("Rewinding",),
    "seekers.snip": ("snip",),
    "seekers.synflow": ("synflow",),
    "setting": ("Setting",),
    "store": ("Store", "load_records"),
    "strategies": ("Multishot", "Singleshot"),
    "sweeping": ("sweep",),
    "tasks": ("TASKS", "get_task"),
    "tasks.network": ("network_task",),
    "tasks.random_teacher": ("random_teacher",),
    "tasks.teacher": ("teacher",),
    "trial": ("Instance", "make_instance", "make_trial"),
}
_PLACES = {name: (home, name) for home, names in _HOMES.items() for name in names}
_PLACES["random_score"] = ("seekers.random", "random")

__all__ = sorted(_PLACES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ticketjax' has no attribute {name!r}")
    home, own = _PLACES[name]
    value = getattr(importlib.import_module(f"ticketjax.{home}"), own)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
