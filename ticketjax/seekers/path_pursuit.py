"""Path matching pursuit: build a sparse network path by path, with all parameters frozen."""

import jax
import jax.numpy as jnp

from ticketjax.base import Found, Problem, Seeker
from ticketjax.masks import budget, count_prunable
from ticketjax.seekers.exchange import Neighbourhood, search
from ticketjax.strategies import resolve_density
from ticketjax.training import check_count


def path_pursuit(
    *,
    exchange: bool = False,
    scope: str = "global",
    rounds: int = 200,
    samples: int = 512,
    temperature: float = 0.0,
    width: int = 40,
) -> Seeker:
    """A seeker that starts from nothing and adds what lowers the loss most per new parameter.

    Each round draws hundreds of pieces of path, with or without the biases along them, looks at
    every single parameter besides, and adds the one whose exact gain per parameter that is not
    kept yet is the largest, until the budget is used. What the rounds leave of the budget goes to
    parameters that change nothing, as far as there are such.

    exchange: with the budget used, go on by exchanging (see refinement.refine()); recommended: a
        target of one path, as ReLU's, is then found whole. Of the registry, strategy "refined".
    scope: "global" alone, one budget over all layers.
    rounds: additions and exchanges together. samples, temperature, width: as in refine().

    Weights stay frozen; only the problem's loss on training data is looked at, best with the
    objective "rescaled". Found.scores are 1 for what is kept and 0 for the rest; info has the loss
    (rounds,) and the parameters in use (rounds,).

    Source: this project; after matching pursuit (Mallat and Zhang 1993). Raises ValueError for a
    network that is not dense, another scope, rounds, samples or width < 1, and a negative
    temperature.
    """
    if scope != "global":
        raise ValueError(f"path_pursuit knows the scope global alone, got {scope!r}")
    for name, value in (("rounds", rounds), ("samples", samples), ("width", width)):
        check_count(name, value, 1)
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, got {temperature}")
    around = Neighbourhood(width=width)
    if not exchange:
        around = around._replace(removals=0, replacements=0)

    def seek(key: jax.Array, problem: Problem, density: jax.Array | float) -> Found:
        density = resolve_density(problem, density)
        size = budget(density, count_prunable(problem.params, problem.prune_bias))
        empty = {
            name: {
                "kernel": jnp.zeros(layer["kernel"].shape, bool),
                "bias": jnp.full(layer["bias"].shape, not problem.prune_bias),
            }
            for name, layer in problem.params.items()
        }
        mask, moves = search(
            problem,
            empty,
            size,
            key,
            rounds=rounds,
            samples=samples,
            temperature=temperature,
            neighbourhood=around,
        )
        scores = jax.tree.map(lambda m: m.astype(jnp.float32), mask)
        return Found(mask, scores, {"loss": moves.loss, "kept": moves.kept})

    return seek
