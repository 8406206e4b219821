"""The prunable parameters of a problem as one vector, and their selection."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ticketjax.base import Found, Params, Tree
from ticketjax.masks import full_mask
from ticketjax.problem import Problem
from ticketjax.selection import Scope, select


class Prunable:
    """The prunable parameters of a problem as one vector, and their selection.

    Args:
        problem: whose parameters.
        scope: of the selection, as in problem.select().
    """

    def __init__(self, problem: Problem, scope: Scope):
        self._problem, self._scope = problem, scope
        self._seen = problem.view(problem.params)
        part = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), self._part(self._seen))
        self.parameters, self._unravel = ravel_pytree(part)

    def _part(self, seen: Params) -> Params:
        if self._problem.prune_bias:
            return seen
        return {name: {"kernel": layer["kernel"]} for name, layer in seen.items()}

    def layers(self, vector: jax.Array) -> Params:
        """A vector by layers, {"layer_0": {"kernel", "bias"}, ...}: what is prunable of them."""
        return self._unravel(vector)

    def vector(self, layers: Params) -> jax.Array:
        """The vector whose layers these are."""
        return ravel_pytree(layers)[0]

    def flattened(self, tree: Tree) -> jax.Array:
        """The vector of a tree like the problem's params."""
        return self.vector(self._part(self._problem.view(tree)))

    def _view(self, vector: jax.Array, rest: Params) -> Params:
        """A view of the vector, with the rest's entry for what is not prunable."""
        part = self.layers(vector)
        return {name: {**rest[name], **part[name]} for name in part}

    def network(self, vector: jax.Array) -> Tree:
        """The network's parameters with the vector's in place of the prunable ones."""
        seen = self._view(vector, self._seen)
        cast = jax.tree.map(lambda new, old: new.astype(old.dtype), seen, self._seen)
        return self._problem.restore(cast)

    def select(self, values: jax.Array, density: jax.Array | float) -> tuple[Params, Params]:
        """The view of the mask that keeps the largest values, and the view of all values."""
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), self._seen)
        scores = self._view(values, zeros)
        return select(scores, density, self._scope, prune_bias=self._problem.prune_bias), scores

    def keep(self, values: jax.Array, density: jax.Array | float) -> jax.Array:
        """The same mask as a vector."""
        return self.vector(self._part(self.select(values, density)[0]))

    def found(self, values: jax.Array, density: jax.Array | float) -> Found:
        """The mask and the scores as trees like the parameters."""
        params, restore = self._problem.params, self._problem.restore
        mask, scores = self.select(values, density)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
        return Found(restore(mask, full_mask(params)), restore(scores, zeros), {})
