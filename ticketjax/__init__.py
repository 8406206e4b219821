"""ticketjax: plant a lottery ticket of known sparsity, let pruners seek it, measure the truth."""

import importlib
from typing import TYPE_CHECKING, Any

from ticketjax.version import VERSION as __version__

if TYPE_CHECKING:
    from ticketjax.base import Batch, Found, Layer, Model, Params, Planted, Point, Task
    from ticketjax.choices import Planting, Training
    from ticketjax.fingerprints import fingerprint
    from ticketjax.masks import apply_mask, layer_densities
    from ticketjax.measure.audit import audit
    from ticketjax.measure.least import least_mask
    from ticketjax.measure.relational import known_rows_auc, relational_audit
    from ticketjax.networks.following import follow
    from ticketjax.networks.from_flax import from_linen, from_nnx
    from ticketjax.networks.images import lenet300, resnet18, vgg
    from ticketjax.networks.mlp import mlp
    from ticketjax.optimizers import fused_adam, make_optimizer
    from ticketjax.planting.plant import plant
    from ticketjax.problem import Problem, Score, Seeker, make_problem
    from ticketjax.records.store import Store, load_records
    from ticketjax.runs.grid import Grid, make_grid
    from ticketjax.runs.instance import Instance, make_instance
    from ticketjax.runs.record import Record
    from ticketjax.runs.setting import Setting
    from ticketjax.runs.trial import make_trial
    from ticketjax.seekers.annealing.annealed import Annealed
    from ticketjax.seekers.best_of import BestOf
    from ticketjax.seekers.biprop import Biprop
    from ticketjax.seekers.drawn.phew import Phew
    from ticketjax.seekers.drawn.random_masks import RandomMasks
    from ticketjax.seekers.drawn.random_paths import RandomPaths
    from ticketjax.seekers.dynamic.acdc import ACDC
    from ticketjax.seekers.dynamic.rigl import RigL
    from ticketjax.seekers.dynamic.sparse_evolutionary_training import SparseEvolutionaryTraining
    from ticketjax.seekers.edge_popup import EdgePopup
    from ticketjax.seekers.exchange.path_pursuit import PathPursuit
    from ticketjax.seekers.exchange.refined import Refined
    from ticketjax.seekers.force import Force
    from ticketjax.seekers.gates.concrete import Concrete
    from ticketjax.seekers.gates.concrete_ticket_search import ConcreteTicketSearch
    from ticketjax.seekers.gates.continuous_sparsification import ContinuousSparsification
    from ticketjax.seekers.gates.gem_miner import GemMiner
    from ticketjax.seekers.gates.probabilistic import Probabilistic
    from ticketjax.seekers.gates.relaxed_bernoulli import RelaxedBernoulli
    from ticketjax.seekers.gates.supermask import Supermask
    from ticketjax.seekers.genetic import Genetic
    from ticketjax.seekers.iterative_hard_thresholding import IterativeHardThresholding
    from ticketjax.seekers.registry import SEEKERS, get_seeker, seeker_text
    from ticketjax.seekers.rewinding import Rewinding
    from ticketjax.seekers.scores.grasp import grasp
    from ticketjax.seekers.scores.layer_densities import balanced, erk
    from ticketjax.seekers.scores.magnitude import magnitude
    from ticketjax.seekers.scores.ntk_sap import ntk_sap
    from ticketjax.seekers.scores.prospr import prospr
    from ticketjax.seekers.scores.px import px
    from ticketjax.seekers.scores.random import random as random_score
    from ticketjax.seekers.scores.snip import snip
    from ticketjax.seekers.scores.supermask_criteria import (
        magnitude_increase,
        magnitude_increase_same_sign,
        magnitude_same_sign,
        movement,
        movement_same_sign,
    )
    from ticketjax.seekers.scores.synflow import synflow, synflow_l2
    from ticketjax.seekers.second_order.chita import CHITA
    from ticketjax.seekers.second_order.combinatorial_brain_surgeon import (
        CombinatorialBrainSurgeon,
    )
    from ticketjax.seekers.strategies import Multishot, Singleshot
    from ticketjax.selection import LayerBudgets, select
    from ticketjax.sharing.scoring import LoadedInstance, evaluate, load_instance
    from ticketjax.sweeping import sweep
    from ticketjax.tasks import TASKS, get_task
    from ticketjax.tasks.ladder import LADDER, Level
    from ticketjax.tasks.network import network_task
    from ticketjax.tasks.random_teacher import random_teacher
    from ticketjax.tasks.random_variants import random_circle, random_helix
    from ticketjax.tasks.sparse_parity import sparse_parity
    from ticketjax.tasks.teacher import teacher

# The module of each public name, imported when the name is first used: a command can then show its
# help or reject a flag before JAX is imported. Type checkers read the imports above instead.
_HOMES = {
    "base": ("Batch", "Found", "Layer", "Model", "Params", "Planted", "Point", "Task"),
    "choices": ("Planting", "Training"),
    "fingerprints": ("fingerprint",),
    "masks": ("apply_mask", "layer_densities"),
    "measure.audit": ("audit",),
    "measure.least": ("least_mask",),
    "measure.relational": ("known_rows_auc", "relational_audit"),
    "networks.following": ("follow",),
    "networks.from_flax": ("from_linen", "from_nnx"),
    "networks.images": ("lenet300", "resnet18", "vgg"),
    "networks.mlp": ("mlp",),
    "optimizers": ("fused_adam", "make_optimizer"),
    "planting.plant": ("plant",),
    "problem": ("Problem", "Score", "Seeker", "make_problem"),
    "records.store": ("Store", "load_records"),
    "runs.grid": ("Grid", "make_grid"),
    "runs.record": ("Record",),
    "runs.setting": ("Setting",),
    "runs.instance": ("Instance", "make_instance"),
    "runs.trial": ("make_trial",),
    "seekers.annealing.annealed": ("Annealed",),
    "seekers.best_of": ("BestOf",),
    "seekers.drawn.phew": ("Phew",),
    "seekers.biprop": ("Biprop",),
    "seekers.drawn.random_masks": ("RandomMasks",),
    "seekers.drawn.random_paths": ("RandomPaths",),
    "seekers.dynamic.acdc": ("ACDC",),
    "seekers.dynamic.rigl": ("RigL",),
    "seekers.dynamic.sparse_evolutionary_training": ("SparseEvolutionaryTraining",),
    "seekers.edge_popup": ("EdgePopup",),
    "seekers.exchange.path_pursuit": ("PathPursuit",),
    "seekers.exchange.refined": ("Refined",),
    "seekers.force": ("Force",),
    "seekers.gates.concrete": ("Concrete",),
    "seekers.gates.concrete_ticket_search": ("ConcreteTicketSearch",),
    "seekers.gates.continuous_sparsification": ("ContinuousSparsification",),
    "seekers.gates.gem_miner": ("GemMiner",),
    "seekers.gates.probabilistic": ("Probabilistic",),
    "seekers.gates.relaxed_bernoulli": ("RelaxedBernoulli",),
    "seekers.gates.supermask": ("Supermask",),
    "seekers.genetic": ("Genetic",),
    "seekers.iterative_hard_thresholding": ("IterativeHardThresholding",),
    "seekers.registry": ("SEEKERS", "get_seeker", "seeker_text"),
    "seekers.rewinding": ("Rewinding",),
    "seekers.scores.grasp": ("grasp",),
    "seekers.scores.layer_densities": ("balanced", "erk"),
    "seekers.scores.magnitude": ("magnitude",),
    "seekers.scores.ntk_sap": ("ntk_sap",),
    "seekers.scores.prospr": ("prospr",),
    "seekers.scores.px": ("px",),
    "seekers.scores.snip": ("snip",),
    "seekers.scores.supermask_criteria": (
        "magnitude_increase",
        "magnitude_increase_same_sign",
        "magnitude_same_sign",
        "movement",
        "movement_same_sign",
    ),
    "seekers.scores.synflow": ("synflow", "synflow_l2"),
    "seekers.second_order.chita": ("CHITA",),
    "seekers.second_order.combinatorial_brain_surgeon": ("CombinatorialBrainSurgeon",),
    "seekers.strategies": ("Multishot", "Singleshot"),
    "selection": ("LayerBudgets", "select"),
    "sharing.scoring": ("LoadedInstance", "evaluate", "load_instance"),
    "sweeping": ("sweep",),
    "tasks": ("TASKS", "get_task"),
    "tasks.ladder": ("LADDER", "Level"),
    "tasks.network": ("network_task",),
    "tasks.random_teacher": ("random_teacher",),
    "tasks.random_variants": ("random_circle", "random_helix"),
    "tasks.sparse_parity": ("sparse_parity",),
    "tasks.teacher": ("teacher",),
}
_PLACES = {name: (home, name) for home, names in _HOMES.items() for name in names}
_PLACES["random_score"] = ("seekers.scores.random", "random")

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
