"""Path matching pursuit: build a sparse network path by path, with all parameters frozen."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Found
from ticketjax.checks import Options, option
from ticketjax.masks import full_mask
from ticketjax.objective import OBJECTIVES
from ticketjax.problem import Problem, resolve_density
from ticketjax.seekers.exchange import Neighbourhood, search
from ticketjax.selection import budget


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PathPursuit(Options):
    """A seeker that starts empty and adds what lowers the loss most per new parameter.

    Each round draws hundreds of pieces of path, with or without the biases along them, and also
    evaluates every single parameter. It adds the one with the largest exact gain per new parameter,
    until the budget is used. The rest of the budget goes to parameters that change nothing, as far
    as there are any.

    Weights stay frozen, and only the loss on training data is used. Found.scores are 1 for kept
    parameters and 0 for the others; info has the loss (rounds,) and the parameters in use
    (rounds,).

    Args:
        exchange: continue with exchanges once the budget is used (see refined.refine()). This is
            recommended: a target of one path, such as ReLU's, is then found completely.
        scope: "global" alone, one budget over all layers.
        rounds: additions and exchanges together.
        samples, temperature, width: as in refined.refine().
        objective: what is minimised, "rescaled" or "raw". The problem's own overrides it.

    Raises:
        ValueError: an option of another type or range. When called, for a network other than a
            chain of dense layers with ReLU between them; the message names the layer.

    Source: this project; after matching pursuit (Mallat and Zhang 1993). For the exchanges, see
    refined.refine().

    >>> seeker = PathPursuit(exchange=True)  # (key, problem, density) -> Found
    """

    exchange: bool = option(False)
    scope: str = option("global", choices=("global",))
    rounds: int = option(200, least=1)
    samples: int = option(512, least=1)
    temperature: float = option(0.0, least=0)
    width: int = option(40, least=1)
    objective: str = option("rescaled", choices=OBJECTIVES)

    name: ClassVar[str] = "path_pursuit"

    def __call__(self, key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        """Look for a ticket; see Seeker."""
        density, problem = resolve_density(problem, density), problem.by_default(self.objective)
        around = Neighbourhood(width=self.width)
        if not self.exchange:
            around = around._replace(removals=0, replacements=0)
        empty = {
            name: {
                part: jnp.full(leaf.shape, part == "bias" and not problem.prune_bias)
                for part, leaf in layer.items()
            }
            for name, layer in problem.view(problem.params).items()
        }
        mask, moves = search(
            problem,
            problem.restore(empty, full_mask(problem.params)),
            budget(density, problem.prunable),
            key,
            rounds=self.rounds,
            samples=self.samples,
            temperature=self.temperature,
            neighbourhood=around,
        )
        scores = jax.tree.map(lambda m: m.astype(jnp.float32), mask)
        info = {"loss": moves.loss, "kept": moves.kept, **moves.checkpoints}
        return Found(mask, scores, info)
