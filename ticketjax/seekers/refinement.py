"""Refinement: exchange kept parameters for better ones, the budget staying what it is."""

import functools
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Params, Problem, Seeker
from ticketjax.masks import apply_mask, count_kept
from ticketjax.objective import problem_loss
from ticketjax.seekers.exchange import Neighbourhood, search
from ticketjax.training import check_count

ROUNDS = 2000
SAMPLES = 256
# Without any, the search stops at the first mask that no single change betters.
TEMPERATURE = 0.03


def refine(
    problem: Problem,
    mask: Params,
    key: jax.Array,
    *,
    rounds: int = ROUNDS,
    samples: int = SAMPLES,
    temperature: float = TEMPERATURE,
    candidates: int = 64,
    width: int = 26,
) -> Params:
    """A mask that keeps as many parameters as the given one, and solves the task better or as well.

    Every round looks at thousands of changes that keep the budget: a pruned parameter for a kept
    one, a piece of path through an unused neuron for the kept ones that are missed least, a neuron
    for another one with all that is connected to it. All are screened with the loss's slope and
    curvature on `samples` samples, drawn anew; `candidates` of them are evaluated exactly there,
    three, the best or by the temperature others, on all training data, and the best of these is
    made if the loss falls, or, by the temperature, rises by little.

    problem: its objective is what falls, on all training data: else the mask is returned as it is.
    rounds, samples, temperature: as in exchange.search(); with a temperature the loss may rise in
        between, but the best mask met is returned. candidates, width: as in exchange.Neighbourhood;
        a mask with more than `width` active neurons in a hidden layer is not refined.

    Pure, for jit and vmap; mask and key may be traced. Of dense ReLU networks only. Related:
    Altmann et al. 2024, arXiv 2411.04658, who let a genetic algorithm do as much.

    Raises ValueError for another network, rounds < 0, samples, candidates or width < 1, and a
    negative temperature.
    """
    check_count("rounds", rounds, 0)
    for name, value in (("samples", samples), ("candidates", candidates), ("width", width)):
        check_count(name, value, 1)
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, got {temperature}")
    found, _ = search(
        problem,
        mask,
        count_kept(mask, problem.prune_bias),
        key,
        rounds=rounds,
        samples=samples,
        temperature=temperature,
        neighbourhood=Neighbourhood(width=width, candidates=candidates),
    )
    before, after = (problem_loss(problem, apply_mask(problem.params, m)) for m in (mask, found))
    return jax.tree.map(lambda new, old: jnp.where(after < before, new, old != 0), found, mask)


def refined(seeker: Seeker, **options) -> Seeker:
    """A seeker whose mask is refined; options as in refine().

    The scores become 1 for what is kept and 0 for the rest.

    >>> from ticketjax.seekers import get_seeker
    >>> seeker = refined(get_seeker("magnitude"), rounds=100)
    """

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        seek_key, refine_key = jax.random.split(key)
        found = seeker(seek_key, problem, density)
        mask = refine(problem, found.mask, refine_key, **options)
        return Found(mask, jax.tree.map(lambda m: m.astype(jnp.float32), mask), found.info)

    return seek


def ending_refined(make: Callable[..., Seeker]) -> Callable[..., Seeker]:
    """A maker of seekers with three options more, whose seekers end with refine().

    refinement, refinement_samples, refinement_temperature: its rounds, samples and temperature.

    >>> from ticketjax.seekers.probabilistic import probabilistic
    >>> seeker = ending_refined(probabilistic)(epochs=2, refinement=10)
    """

    @functools.wraps(make)
    def make_refined(
        *,
        refinement: int = ROUNDS,
        refinement_samples: int = SAMPLES,
        refinement_temperature: float = TEMPERATURE,
        **options,
    ) -> Seeker:
        return refined(
            make(**options),
            rounds=refinement,
            samples=refinement_samples,
            temperature=refinement_temperature,
        )

    own = inspect.signature(make)
    added = inspect.signature(make_refined, follow_wrapped=False).parameters.values()
    more = [option for option in added if option.kind == option.KEYWORD_ONLY]
    # As vars, since to a type checker a function has no such attribute.
    vars(make_refined)["__signature__"] = own.replace(parameters=[*own.parameters.values(), *more])
    return make_refined
