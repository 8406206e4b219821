"""Several searches at once, of which the best one counts."""

import jax
import jax.numpy as jnp

from ticketjax.base import Problem, Seeker
from ticketjax.masks import apply_mask
from ticketjax.objective import problem_loss
from ticketjax.training import check_count


def best_of(seek: Seeker, restarts: int) -> Seeker:
    """A seeker that searches several times, vmapped over keys, and returns the best it found.

    The best has the least loss of mask * initial parameters on the training data, under the
    problem's objective; among equals it is the first, and a loss that is no number is the worst.
    With restarts=1 it is the seeker itself. The info tells all losses: restart_losses,
    (restarts,) float32.

    Raises ValueError for restarts < 1.
    """
    check_count("restarts", restarts, 1)
    if restarts == 1:
        return seek

    def search(key: jax.Array, problem: Problem, density):
        def once(restart_key):
            found = seek(restart_key, problem, density)
            loss = problem_loss(problem, apply_mask(problem.params, found.mask))
            return found, jnp.where(jnp.isnan(loss), jnp.inf, loss)

        found, losses = jax.vmap(once)(jax.random.split(key, restarts))
        best = jax.tree.map(lambda leaf: leaf[jnp.argmin(losses)], found)
        return best._replace(info={**best.info, "restart_losses": losses})

    return search
