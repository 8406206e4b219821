"""Refinement: exchange kept parameters for better ones, the budget staying what it is."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Tree
from ticketjax.checks import Options, check_count, check_number, option
from ticketjax.masks import apply_mask, count_kept
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, Seeker
from ticketjax.seekers.checkpoints import without_checkpoints
from ticketjax.seekers.exchange import Neighbourhood, search
from ticketjax.seekers.strategies import as_seeker

ROUNDS = 2000
SAMPLES = 256
# Without any, the search stops at the first mask that no single change betters.
TEMPERATURE = 0.03
CANDIDATES = 64
WIDTH = 26


def refine(
    problem: Problem,
    mask: Tree,
    key: jax.Array,
    *,
    rounds: int = ROUNDS,
    samples: int = SAMPLES,
    temperature: float = TEMPERATURE,
    candidates: int = CANDIDATES,
    width: int = WIDTH,
) -> Tree:
    """A mask that keeps as many parameters as the given one, and solves the task better or as well.

    Every round looks at thousands of changes that keep the budget: a pruned parameter for a kept
    one, a piece of path through an unused neuron for the kept ones that are missed least, a neuron
    for another one with all that is connected to it. All are screened with the loss's slope and
    curvature on `samples` samples, drawn anew; `candidates` of them are evaluated exactly there,
    three, the best or by the temperature others, on all training data, and the best of these is
    made if the loss falls, or, by the temperature, rises by little.

    Pure, for jit and vmap; mask and key may be traced.

    Args:
        problem: its objective is what falls, on all training data: else the mask is returned as it
            is. Of a network of dense layers one after the other, with ReLU between.
        mask: a tree like the problem's parameters.
        key: of the random numbers.
        rounds, samples, temperature: as in exchange.search(); with a temperature the loss may rise
            in between, but the best mask met is returned.
        candidates, width: as in exchange.Neighbourhood; a mask with more than `width` active
            neurons in a hidden layer is not refined.

    Returns:
        A bool tree like the mask.

    Raises:
        ValueError: another network (the message names the layer), rounds < 0, samples, candidates
            or width < 1, a negative temperature.

    Source: this project. Exchanges under a budget by curvature are those of the Combinatorial Brain
    Surgeon (Yu et al. 2022, arXiv 2203.04466), which swaps one pruned weight for a kept one of a
    trained network where a quadratic model of the loss falls; CHITA (Benbaki et al. 2023, arXiv
    2302.14623) chooses all of the K weights in such a model by iterative hard thresholding. Both
    move the weights that are left. Genetic search: Altmann et al. 2024, arXiv 2411.04658.
    Departures: parameters are frozen, and untrained, so that the slope counts as well; pieces of
        path and whole neurons are exchanged too; the quadratic model only screens, and the exact
        loss decides, at a temperature, so that it may rise.
    """
    mask, _ = _refine(
        problem,
        mask,
        key,
        rounds=rounds,
        samples=samples,
        temperature=temperature,
        candidates=candidates,
        width=width,
    )
    return mask


def _refine(
    problem: Problem,
    mask: Tree,
    key: jax.Array,
    *,
    rounds: int,
    samples: int,
    temperature: float,
    candidates: int,
    width: int,
) -> tuple[Tree, dict[str, Any]]:
    """The refined mask, and the best ones until some rounds, see checkpoints.as_info()."""
    check_count("rounds", rounds, 0)
    for name, value in (("samples", samples), ("candidates", candidates), ("width", width)):
        check_count(name, value, 1)
    check_number("temperature", temperature, 0)
    found, moves = search(
        problem,
        mask,
        count_kept(problem.view(mask), problem.prune_bias),
        key,
        rounds=rounds,
        samples=samples,
        temperature=temperature,
        neighbourhood=Neighbourhood(width=width, candidates=candidates),
    )
    before, after = (problem.loss(apply_mask(problem.params, m)) for m in (mask, found))
    mask = jax.tree.map(lambda new, old: jnp.where(after < before, new, old != 0), found, mask)
    return mask, moves.checkpoints


@dataclasses.dataclass(frozen=True, repr=False)
class Refined(Options):
    """A seeker whose mask is refined.

    Found.scores become 1 for kept parameters and 0 for the others. Found.info stays, without
    "params", which were trained under another mask.

    Args:
        seeker: (key, problem, density) -> Found, or a score, which makes a singleshot pruner.
        rounds, samples, temperature, candidates, width: as in refine().
        objective: of the refinement, "rescaled" or "raw"; the seeker that is refined has its own.
            The problem's own overrides both.

    Raises:
        ValueError: a seeker that cannot be called, an option of another type or range. When called,
            for a network that refine() refuses.

    Source: this project; see refine() for related work.

    >>> from ticketjax.seekers.gates.probabilistic import Probabilistic
    >>> Refined(Probabilistic(epochs=400), rounds=100).samples
    256
    """

    seeker: Seeker
    _: dataclasses.KW_ONLY
    rounds: int = option(ROUNDS, least=0)
    samples: int = option(SAMPLES, least=1)
    temperature: float = option(TEMPERATURE, least=0)
    candidates: int = option(CANDIDATES, least=1)
    width: int = option(WIDTH, least=1)
    objective: str = option("rescaled", choices=OBJECTIVES)

    name: ClassVar[str] = "refined"

    def check(self) -> None:
        """Take a score for the singleshot pruner that it makes; refuse what is no seeker."""
        object.__setattr__(self, "seeker", as_seeker(self.seeker))

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        seek_key, refine_key = jax.random.split(key)
        found = self.seeker(seek_key, problem, density)
        mask, checkpoints = _refine(
            problem.by_default(self.objective),
            found.mask,
            refine_key,
            rounds=self.rounds,
            samples=self.samples,
            temperature=self.temperature,
            candidates=self.candidates,
            width=self.width,
        )
        info = {**without_checkpoints(found.info), **checkpoints}
        info.pop("params", None)
        return Found(mask, jax.tree.map(lambda m: m.astype(jnp.float32), mask), info)
