"""The phases of a sweep's runs, each as a separate program on all devices.

A sweep combines several of them in one program; separate programs can be timed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import work
from ticketjax import masks, selection
from ticketjax.base import Batch, Found, Params
from ticketjax.choices import PRUNERS
from ticketjax.networks.compaction import active_width, compact
from ticketjax.runs.batches import COMPACT_SHARES
from ticketjax.runs.grid import Grid
from ticketjax.runs.instance import Instance, make_instance
from ticketjax.runs.programs import run_key, sharded
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate, seek
from ticketjax.seekers.registry import SCORES
from ticketjax.seekers.strategies import SCORE_SAMPLES
from ticketjax.training import train

# The paper's five pruners, whatever else is in the registry.
FIVE = tuple(SCORES[name] for name in PRUNERS)


class Phase(NamedTuple):
    """A program that does one phase for `executions` instances or masks, and the work for each.

    Args:
        name: the name of the phase.
        program: runs it, () -> results.
        executions: the number of instances or masks in one call of the program.
        times: how often a sweep does it per planted network.
        work: FLOP and bytes for one instance or mask.
        besides: what the phase does in addition to matrix products.
    """

    name: str
    program: Callable[[], object]
    executions: int
    times: float
    work: work.Work
    besides: str


def sizes_of(params: Params) -> tuple[int, ...]:
    """Neurons of every layer of a network or ticket, including the input."""
    kernels = [params[name]["kernel"].shape for name in masks.layer_names(params)]
    return (kernels[0][0], *(n_out for _, n_out in kernels))


def hidden_width(sizes: tuple[int, ...], width: int) -> tuple[int, ...]:
    """The same network with hidden layers of this width."""
    return (sizes[0], *(width for _ in sizes[1:-1]), sizes[-1])


def _vectorised(function):
    return sharded(jax.vmap(function), tuple(jax.local_devices()))


def make_instances(setting: Setting, runs: int, noise: float = 0.01):
    """A program that plants `runs` networks on each device, and its seeds."""
    devices = jax.local_device_count()
    seeds = np.arange(devices * runs, dtype=np.uint32).reshape(devices, runs)
    return _vectorised(lambda seed: make_instance(setting, run_key(seed), noise)), seeds


def make_training(setting: Setting, width: int):
    """A program that trains masked networks, compacted to `width`: (instances, masks) -> params."""

    def one(instance: Instance, mask: Params) -> Params:
        params, kept = compact(instance.planted.params, mask, width)
        problem = setting.problem(params, instance.train)
        return train(problem, kept, instance.order, optimizer=setting.training.optimizer)

    return _vectorised(one)


def _make_scoring(setting: Setting):
    def one(seed, instance):
        batch = Batch(*(array[:SCORE_SAMPLES] for array in instance.train))
        problem = setting.problem(instance.planted.params, batch)
        full = masks.full_mask(problem.params)
        found = [score(run_key(seed), problem, problem.params, full) for score in FIVE]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)

    return _vectorised(one)


def _make_selection(densities: np.ndarray):
    def one(scores, density):
        mask = selection.select(scores, density)
        everything = masks.count_kept(mask) == masks.count_prunable(mask)
        return mask, active_width(mask), everything

    over_densities = jax.vmap(one, (None, 0))
    over_scores = jax.vmap(lambda scores: over_densities(scores, jnp.float32(densities)))
    return _vectorised(over_scores)


def _make_ranking(setting: Setting):
    def one(scores, instance):
        # Everything that seek() does except seeking.
        found = Found(instance.planted.mask, scores, {})
        return seek(setting, lambda *_: found, jax.random.key(0), instance, 1.0)[1]

    return _vectorised(lambda scores, instance: jax.vmap(one, (0, None))(scores, instance))


def _make_evaluation(setting: Setting, width: int):
    # Everything that evaluate() does except training.
    return _vectorised(
        lambda instance, mask: evaluate(
            setting, instance._replace(order=instance.order[:0]), mask, width
        )
    )


def _trainings(widths: tuple[int, ...], needed: np.ndarray, everything: np.ndarray) -> list[float]:
    """How many masks of a planted network a sweep measures at each width, on average.

    needed, everything: (instances, scores * densities); masks that keep everything count once.
    """
    counts, narrower = [], -1
    for width in widths:
        here = (narrower < needed) & (needed <= width)
        counts.append(np.sum(here & ~everything) + np.sum(np.any(here & everything, 1)))
        narrower = width
    return [float(count) / len(needed) for count in counts]


def of_grid(grid: Grid, runs: int) -> list[Phase]:
    """The phases of the grid's first setting, `runs` at once on each device."""
    named = grid.settings()[0]
    setting, densities = named.setting, named.resolve(grid.densities)
    sizes, ticket_sizes = sizes_of(setting.parameter_shapes), sizes_of(setting.target)
    on_cpu = jax.default_backend() == "cpu"
    # A sweep leaves out dead neurons only on a CPU.
    shares = COMPACT_SHARES if on_cpu else (1,)
    widths = tuple(sorted({named.width // share for share in shares}))

    make, seeds = make_instances(setting, runs)
    instances = make(seeds)
    score, select, rank = _make_scoring(setting), _make_selection(densities), _make_ranking(setting)
    scores = score(seeds, instances)
    found, needed, everything = select(scores)
    flat = (-1, len(FIVE) * len(densities))
    counts = _trainings(
        widths, np.reshape(needed, flat), np.reshape(jax.device_get(everything), flat)
    )

    at_once = seeds.size
    epochs, steps, batch_size = instances.order.shape[-3:]
    held_out = setting.samples - setting.training_samples
    phases = [
        Phase(
            "instance",
            lambda: make(seeds),
            at_once,
            1,
            work.instance(sizes, ticket_sizes, setting.samples, epochs * steps * batch_size),
            "random bits, a sort per epoch, the planting's search for neurons",
        ),
        Phase(
            "scoring, all five",
            lambda: score(seeds, instances),
            at_once,
            1,
            work.scores(sizes, SCORE_SAMPLES),
            f"small products of {SCORE_SAMPLES} samples, elementwise arithmetic",
        ),
        Phase(
            "ranking of scores",
            lambda: rank(scores, instances),
            at_once * len(FIVE),
            len(FIVE),
            work.ranking(sizes),
            "sorts and binary searches of every parameter",
        ),
        Phase(
            "selecting",
            lambda: select(scores),
            at_once * flat[1],
            flat[1],
            work.selection(sizes),
            "32 comparisons of every parameter, a bisection on its bits",
        ),
    ]
    # The masks of the first score at the last density; the choice affects no phase.
    chosen = jax.tree.map(lambda leaf: leaf[:, :, 0, -1], found)
    for width, count in reversed(list(zip(widths, counts, strict=True))):
        narrow = hidden_width(sizes, width)
        training, evaluation = make_training(setting, width), _make_evaluation(setting, width)
        phases += [
            Phase(
                f"training, width {width}",
                lambda f=training: f(instances, chosen),
                at_once,
                count,
                work.training(narrow, epochs * steps, batch_size),
                "elementwise Adam and ReLU between small products, one step after another",
            ),
            Phase(
                f"evaluating, width {width}",
                lambda f=evaluation: f(instances, chosen),
                at_once,
                count,
                work.evaluation(narrow, setting.training_samples, held_out),
                "the fit of the output scale, comparisons of masks",
            ),
        ]
    return phases
