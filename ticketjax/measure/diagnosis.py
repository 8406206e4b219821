"""Why a ticket was not found: the search failed, the objective is wrong, or no mask can hold it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params, Planted, Tree
from ticketjax.masks import density
from ticketjax.measure.quality import recovery
from ticketjax.networks.layers import wires
from ticketjax.problem import Problem, Score
from ticketjax.seekers.edge_popup import EPOCHS, EdgePopup
from ticketjax.selection import exclude

# From this recall on, missing parameters may be due to ties.
RECOVERED = 0.95


class Case(NamedTuple):
    """One seeker's search in one setting, such as another scope or start.

    Args:
        seeker: its name.
        case: the name of the setting.
        measures: by name, each (seeds,): recall; and, unless the search began at the ticket, strong
            and weak (the metrics) and ratio (log10 of the loss of the found over that of the
            planted mask).
    """

    seeker: str
    case: str
    measures: dict[str, np.ndarray]


def diluted_ticket(
    key: jax.Array, problem: Problem, planted: Tree, dilution: jax.Array | float
) -> Tree:
    """The planted mask, and `dilution` times as many other prunable parameters drawn at random.

    Args:
        key: draws the others.
        problem: of the planted network.
        planted: its mask.
        dilution: others per planted parameter, at least 0; may be traced.

    Returns:
        A mask. It keeps all prunable parameters if there are too few others, and always those that
        cannot be pruned.

    Raises:
        ValueError: a negative number.
    """
    if isinstance(dilution, (int, float)) and not dilution >= 0:
        raise ValueError(f"dilution must be at least 0, got {dilution}")
    leaves, structure = jax.tree.flatten(planted)
    keys = jax.random.split(key, len(leaves))
    lots = [
        jnp.where(leaf, jnp.inf, jax.random.uniform(k, leaf.shape, jnp.float32))
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    share_of_all = jnp.minimum(1.0, (1 + dilution) * _density(problem, planted))
    return problem.select(jax.tree.unflatten(structure, lots), share_of_all)


def _density(problem: Problem, mask: Tree) -> jax.Array:
    return density(problem.view(mask), problem.prune_bias)


def _recall(problem: Problem, found: Tree, planted: Tree) -> jax.Array:
    wiring = wires(problem.known_layers)
    masks = problem.view(found), problem.view(planted)
    return recovery(*masks, problem.prune_bias, wiring).recall


def kept_from_ticket(
    key: jax.Array, score: Score, problem: Problem, planted: Planted, dilution: float = 10.0
) -> jax.Array:
    """Measure how much of the ticket a pruner keeps in one step that starts at the ticket.

    The network holds the ticket and `dilution` times as many other parameters, and is scored and
    pruned once, with one budget, to as many parameters as the ticket has. Pure.

    Args:
        key: for drawing the others, and for the score.
        score: (key, problem, params, mask) -> scores.
        problem: the problem of planted.params, which the score receives.
        planted: the network and its mask.
        dilution: other parameters per parameter of the ticket. With inf it is the singleshot search
            itself.

    Returns:
        () float32, the kept fraction of the ticket's prunable parameters. Chance keeps
        1 / (1 + dilution). 1 means that the ticket is a fixed point: a search that came so close
        would end there.
    """
    draw_key, score_key = jax.random.split(key)
    start = diluted_ticket(draw_key, problem, planted.mask, dilution)
    scores = exclude(score(score_key, problem, problem.params, start), start)
    found = problem.select(scores, _density(problem, planted.mask))
    return _recall(problem, found, planted.mask)


def lift(scores: Params, planted: Params) -> Params:
    """Scores in which the planted parameters have the largest magnitudes, all by the same amount.

    Args:
        scores: a view {"layer_0": {"kernel", "bias"}, ...}.
        planted: mask of the ticket, a tree like scores.

    Returns:
        Scores with the same signs. The largest magnitude of all is added to the magnitudes of the
        ticket's scores; all other scores are unchanged.
    """
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(scores)]))

    def one(score, marked):
        return jnp.where(marked, score + jnp.where(score < 0, -largest, largest), score)

    return jax.tree.map(one, scores, planted)


def popup_from_ticket(
    key: jax.Array, problem: Problem, planted: Planted, epochs: int = EPOCHS
) -> jax.Array:
    """Measure how much of the ticket a whole edge-popup search keeps if it starts at the ticket.

    The random scores are lifted so that the first mask is the ticket, with one budget of as many
    parameters as the ticket has. Pure.

    Args:
        key: the seeker's.
        problem: of planted.params.
        planted: the network and its mask.
        epochs: of the search.

    Returns:
        () float32, the kept fraction of the ticket's prunable parameters, as in kept_from_ticket();
        1 for a fixed point.
    """

    def from_ticket(scores):
        return lift(scores, problem.view(planted.mask))

    seek = EdgePopup(scope="global", epochs=epochs, start=from_ticket)
    found = seek(key, problem, _density(problem, planted.mask))
    return _recall(problem, found.mask, planted.mask)


class Evidence(NamedTuple):
    """What a verdict on one seeker is based on.

    Args:
        recall: mean over seeds of the found part of the ticket.
        recovered: share of the seeds in which the network found is the target as a function.
        feasible_recall: largest recall that any mask of this budget and scope can have.
        ratio: (low, high), 95% interval of the loss of the found mask over that of the planted one
            under the seeker's objective; for fewer than five seeds the lowest and highest.
        kept: mean over seeds of the kept fraction after starting at the ticket; None if unknown.
    """

    recall: float
    recovered: float
    feasible_recall: float
    ratio: tuple[float, float]
    kept: float | None = None


def verdict(evidence: Evidence) -> str:
    """Say in words why the ticket was not found.

    Args:
        evidence: on one seeker.

    Returns:
        The first of these that holds.
        found: recall of at least 0.95, or the target as a function in most of the seeds.
        not representable: no mask of this budget and scope holds the ticket.
        objective wrong: by the seeker's objective, what it found is better than the ticket.
        search failed: by the seeker's objective, the ticket is better than what it found.
        undecided: neither is better beyond chance.
    """
    if evidence.recall >= RECOVERED or evidence.recovered > 0.5:
        return "found" if evidence.recall >= RECOVERED else "found, elsewhere in the network"
    if evidence.feasible_recall < 1:
        return f"not representable: at most {evidence.feasible_recall:.0%} of the ticket fits"
    low, high = evidence.ratio
    if high < 1:
        return "objective wrong: it prefers what was found to the ticket"
    if not low > 1:
        return "undecided: the objective prefers neither what was found nor the ticket"
    text = "search failed: the objective prefers the ticket"
    if evidence.kept is None:
        return text
    stays = evidence.kept >= RECOVERED
    return f"{text}, which it would {'keep' if stays else 'lose'} if started there"


def loss_ratio(found: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """log10 of found over planted losses, (n,) float64; 0 over 0 is 1."""
    least = np.finfo(np.float32).tiny
    return np.log10(np.maximum(found, least).astype(float) / np.maximum(planted, least))
