"""Several searches at once, of which the best one counts."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Found
from ticketjax.checks import Options, option
from ticketjax.masks import apply_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, Seeker
from ticketjax.seekers.checkpoints import without_checkpoints
from ticketjax.seekers.strategies import as_seeker, objective_of


def _divided(problem: Problem, judged: Problem, share: float) -> tuple[Problem, Problem]:
    """The first problem with the first samples, and the second with the last share of them."""
    samples = len(problem.batch.x)
    count = round(share * samples)
    if not 0 < count < samples:
        raise ValueError(f"validation={share:g} of {samples} training samples is {count} samples")
    seen, unseen = problem.batch.split(samples - count)
    return dataclasses.replace(problem, batch=seen), dataclasses.replace(judged, batch=unseen)


@dataclasses.dataclass(frozen=True, repr=False)
class BestOf(Options):
    """A seeker that searches several times and returns the best mask that it found.

    The searches differ in their keys and run at once (vmap). The best has the lowest loss of mask *
    initial parameters under the objective, on the training data or on a part of them that the
    searches do not see. Among equals it is the first, and NaN is the worst. Found.info gains
    restart_losses, (restarts,) float32.

    Args:
        seeker: (key, problem, density) -> Found, or a score, which makes a singleshot pruner.
        restarts: number of searches. With 1 it is the seeker itself, with its key, all training
            data and its info.
        validation: the last share of the training data, in 0..0.9, is kept from the searches and
            decides alone which one is best. With 0, all training data do both.
        objective: decides which one is best, "raw" or "rescaled"; None for the seeker's own. The
            problem's own overrides it.

    Raises:
        ValueError: a seeker that cannot be called, restarts < 1, validation out of range. When
            called, training data of which the share is no sample.

    Source: none, random restarts.

    >>> from ticketjax.seekers.gates.concrete import Concrete
    >>> BestOf(Concrete(epochs=3), restarts=2).restarts
    2
    """

    seeker: Seeker
    _: dataclasses.KW_ONLY
    restarts: int = option(4, least=1)
    validation: float = option(0.0, least=0, most=0.9)
    objective: str | None = option(None, choices=OBJECTIVES, none=True)

    name: ClassVar[str] = "best_of"

    def check(self) -> None:
        """Take a score for the singleshot pruner that it makes; refuse what is no seeker."""
        object.__setattr__(self, "seeker", as_seeker(self.seeker))

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        if self.restarts == 1:
            return self.seeker(key, problem, density)

        judged = problem.by_default(self.objective or objective_of(self.seeker))
        if self.validation:
            problem, judged = _divided(problem, judged, self.validation)

        def once(restart_key: jax.Array) -> tuple[Found, jax.Array]:
            found = self.seeker(restart_key, problem, density)
            loss = judged.loss(apply_mask(problem.params, found.mask))
            return found, jnp.where(jnp.isnan(loss), jnp.inf, loss)

        found, losses = jax.vmap(once)(jax.random.split(key, self.restarts))
        best = jax.tree.map(lambda leaf: leaf[jnp.argmin(losses)], found)
        return best._replace(info={**without_checkpoints(best.info), "restart_losses": losses})
