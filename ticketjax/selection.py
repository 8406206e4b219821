"""Selection: scores to a mask that keeps an exact number of parameters, and these numbers."""

import dataclasses
from collections.abc import Sequence
from types import ModuleType
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.checks import Options, check_choice, check_count
from ticketjax.masks import layer_names, prunable_leaves

SCOPES = ("global", "local", "oracle")


def _rounded(product: jax.Array | float, xp: ModuleType) -> jax.Array | np.number:
    # Float32 stores a density such as 0.3 to one part in 2^24, so a traced product may deviate from
    # a half by as much. A product that close to a half is taken as the half, so that a number and
    # a traced array give the same result.
    half = xp.floor(product) + 0.5
    tolerance = xp.minimum(product * 2.0**-23, 0.1)
    return xp.round(xp.where(xp.abs(product - half) <= tolerance, half, product))


def _is_number(density: jax.Array | float) -> bool:
    """Whether this is a number, not an array; ValueError for text or a number outside (0, 1]."""
    if isinstance(density, (jax.Array, np.ndarray)):
        return False
    if not isinstance(density, (int, float, np.number)):
        raise ValueError(f"density must be a number here, got {density!r}")
    if not 0 < density <= 1:
        raise ValueError(f"density must be in (0, 1], got {density}")
    return True


def check_density(density: jax.Array | float, size: int) -> None:
    """Refuse a value that is no density for `size` parameters; an array is not checked.

    Args:
        density: fraction of the parameters to keep.
        size: number of parameters.

    Raises:
        ValueError: density is a word, or a Python or NumPy number that is outside (0, 1] or so
            small that no parameter is kept.
    """
    if _is_number(density) and budget(density, size) == 0:
        raise ValueError(
            f"density {density} keeps none of {size} parameters; it must be above {0.5 / size:.3g}"
        )


def budget(density: jax.Array | float, size: int) -> jax.Array | int:
    """How many of `size` parameters a density keeps: round(density * size), halves to even.

    Args:
        density: fraction to keep; a number, or an array, which may be traced.
        size: number of parameters. A small layer may keep none.

    Returns:
        An int for a number; int32 for an array, clipped to 0..size.

    Raises:
        ValueError: density is a word, or a number outside (0, 1].
    """
    if _is_number(density):
        return int(_rounded(density * size, np))
    return jnp.clip(_rounded(density * size, jnp), 0, size).astype(jnp.int32)


def _kth_largest(keys: jax.Array, k: jax.Array | int, bits: int) -> jax.Array:
    """Largest uint32 t of `bits` bits with at least k keys >= t, found bit by bit.

    A traced k forbids top_k, and a full sort costs more than `bits` passes of comparisons.
    """

    def refine(i, threshold):
        candidate = threshold | (jnp.uint32(1) << jnp.uint32(bits - 1 - i))
        return jnp.where(jnp.sum(keys >= candidate) >= k, candidate, threshold)

    return jax.lax.fori_loop(0, bits, refine, jnp.uint32(0))


def ordered_bits(x: jax.Array) -> jax.Array:
    """uint32 keys in the order of the floats; NaN counts as -inf, -0 as 0."""
    # Only integers: a comparison of floats treats denormals as 0 on some platforms.
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    sign, infinity = jnp.uint32(1 << 31), jnp.uint32(0x7F800000)
    magnitude = bits & ~sign
    bits = jnp.where(magnitude > infinity, sign | infinity, jnp.where(magnitude == 0, 0, bits))
    return jnp.where(bits >= sign, ~bits, bits | sign)


# Compiled here, because a loop that runs outside of jit is compiled again at every call.
@jax.jit
def top_k_mask(x: jax.Array, k: jax.Array | int) -> jax.Array:
    """Bool vector that marks exactly the k largest entries; among equals, the first ones.

    Args:
        x: (n,) float.
        k: int, may be traced, 0 <= k <= n.

    Returns:
        (n,) bool.
    """
    keys = ordered_bits(x)
    threshold = _kth_largest(keys, k, bits=32)
    above, equal = keys > threshold, keys == threshold
    # Ranks run from n down to 1, so that the first of the equal entries has the largest.
    ranks = jnp.where(equal, jnp.arange(x.size, 0, -1, dtype=jnp.uint32), 0)
    lowest = _kth_largest(ranks, k - jnp.sum(above), bits=x.size.bit_length())
    # With k = 0 the threshold is above every key, so that nothing equals it.
    return above | (equal & (ranks >= lowest))


def _select_together(leaves: list[jax.Array], kept: jax.Array | int) -> list[jax.Array]:
    flat = jnp.concatenate([leaf.ravel() for leaf in leaves])
    mask = top_k_mask(flat, kept)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    return [m.reshape(leaf.shape) for m, leaf in zip(jnp.split(mask, ends), leaves, strict=True)]


@dataclasses.dataclass(frozen=True, repr=False)
class LayerBudgets(Options):
    """A scope: every layer's budget in proportion to given counts.

    Args:
        counts: parameters per layer, as count_ticket_layers() returns them for a target. At the
            density of their sum each layer keeps exactly its count. At other densities each budget
            is rounded, and a layer that is full keeps all its parameters, so that the total may be
            too small.

    Raises:
        ValueError: counts are not whole numbers, are negative, or are all 0.
    """

    counts: tuple[int, ...]

    name: ClassVar[str] = "layer_budgets"

    def check(self) -> None:
        """Refuse counts that define no proportions, and convert them to a tuple of ints."""
        if not isinstance(self.counts, tuple | list):
            raise ValueError(f"counts must be numbers, one per layer, got {self.counts!r}")
        for count in self.counts:
            check_count("counts", count, 0)
        if not any(self.counts):
            raise ValueError(f"counts must have one above 0, got {self.counts!r}")
        object.__setattr__(self, "counts", tuple(map(int, self.counts)))

    def of(self, density: jax.Array | float, sizes: Sequence[int]) -> list[jax.Array]:
        """How many parameters each of these layers keeps.

        Args:
            density: fraction of all prunable parameters to keep, may be traced.
            sizes: prunable parameters of each layer.

        Returns:
            () int32 for each layer.

        Raises:
            ValueError: the number of layers differs from that of the counts.
        """
        if len(self.counts) != len(sizes):
            raise ValueError(f"scope has budgets for {len(self.counts)} layers, not {len(sizes)}")
        scale = sum(sizes) / sum(self.counts)
        density = jnp.asarray(density, jnp.float32)
        return [
            jnp.clip(_rounded(density * (count * scale), jnp), 0, size).astype(jnp.int32)
            for count, size in zip(self.counts, sizes, strict=True)
        ]


Scope = str | LayerBudgets


def check_scope(scope: Scope) -> None:
    """Raise ValueError for an unknown scope."""
    if not isinstance(scope, LayerBudgets):
        check_choice("scope", scope, SCOPES)


def budget_bounds(
    density: float, params: Params, scope: Scope = "global", *, prune_bias: bool = True
) -> tuple[int, int]:
    """Fewest and most prunable parameters that a mask of this density and scope may keep.

    For scope "global", both are the budget. For the other scopes, the layers' budgets are rounded
    one by one. All numbers are allowed between the sum of these budgets, half a parameter per layer
    either way, and the budget of the whole network.

    Args:
        density: fraction of the prunable parameters to keep.
        params: any tree of the network's shapes.
        scope: as in select().
        prune_bias: False leaves biases out of the count.

    Returns:
        (fewest, most).

    >>> params = {"layer_0": {"kernel": jnp.zeros((1, 2)), "bias": jnp.zeros(2)}}
    >>> budget_bounds(0.5, params)
    (2, 2)
    """
    layers = prunable_leaves(params, prune_bias)
    sizes = [sum(leaf.size for leaf in layer) for layer in layers]
    whole = int(budget(density, sum(sizes)))
    if scope == "global":
        return whole, whole
    if isinstance(scope, LayerBudgets):
        kept = sum(map(int, scope.of(density, sizes)))
    else:
        kept = sum(int(budget(density, size)) for size in sizes)
    rounding = len(sizes) // 2
    return max(min(whole, kept - rounding), 0), max(whole, kept + rounding)


def budgets_of(
    density: jax.Array | float, sizes: Sequence[int], scope: Scope
) -> Sequence[jax.Array | int]:
    """How many parameters are kept: in all layers together for "global", otherwise in each.

    Args:
        density: fraction of all prunable parameters to keep, may be traced.
        sizes: prunable parameters of each layer.
        scope: as in select().

    Returns:
        One number for "global", one per layer for the other scopes; () int32 if the density is
        traced.

    Raises:
        ValueError: as select() does for the scope.
    """
    if scope == "global":
        return [budget(density, sum(sizes))]
    if isinstance(scope, LayerBudgets):
        return scope.of(density, sizes)
    if scope == "local":
        return [budget(density, size) for size in sizes]
    raise ValueError(
        "scope 'oracle' is for grids, which know the ticket's layers; pass "
        "LayerBudgets(count_ticket_layers(target)) instead"
    )


def select(
    scores: Params, density: jax.Array | float, scope: Scope = "global", *, prune_bias: bool = True
) -> Params:
    """The mask that keeps the parameters with the highest scores, exactly as many as requested.

    Args:
        scores: float tree, any shapes; NaN ranks lowest. Ties go to the lower index: layers from
            input to output, the kernel before the bias, row-major.
        density: fraction of the prunable parameters to keep, in (0, 1]; may be traced.
        scope: "global", one budget of round(density * size) over all layers; "local", that fraction
            of every layer; or LayerBudgets.
        prune_bias: False keeps every bias and leaves biases out of the count.

    Returns:
        A mask, a tree like scores.

    Raises:
        ValueError: an unknown scope, including "oracle", whose budgets only the experimenter knows;
            a density that check_density() refuses.

    >>> scores = {"layer_0": {"kernel": jnp.array([[3.0, 1.0]]), "bias": jnp.array([2.0, 2.0])}}
    >>> select(scores, 0.5)["layer_0"]["bias"].tolist()
    [True, False]
    """
    check_scope(scope)
    layers = prunable_leaves(scores, prune_bias)
    sizes = [sum(leaf.size for leaf in layer) for layer in layers]
    check_density(density, sum(sizes))
    if jnp.ndim(density):
        raise ValueError(f"density must be a single number, got shape {jnp.shape(density)}")
    budgets = budgets_of(density, sizes, scope)
    if scope == "global":
        together = [leaf for layer in layers for leaf in layer]
        flat = iter(_select_together(together, budgets[0]))
        kept = [[next(flat) for _ in layer] for layer in layers]
    else:
        kept = [_select_together(layer, k) for layer, k in zip(layers, budgets, strict=True)]
    selected = {}
    for name, masks in zip(layer_names(scores), kept, strict=True):
        selected[name] = {part: jnp.ones(leaf.shape, bool) for part, leaf in scores[name].items()}
        selected[name] |= dict(zip(("kernel", "bias"), masks, strict=False))
    return selected


def exclude(scores: Params, alive: Params) -> Params:
    """Scores with -inf wherever the mask has pruned, and nowhere else.

    Args:
        scores: tree of real numbers.
        alive: bool tree of the same shapes, False where a parameter is pruned.

    Returns:
        float32 tree. NaN and -inf of unpruned parameters become the lowest finite number, so that
        no pruned parameter ties with them.
    """
    lowest = jnp.finfo(jnp.float32).min

    def lift(score, kept):
        score = jnp.asarray(score, jnp.float32)
        return jnp.where(kept, jnp.where(score > lowest, score, lowest), -jnp.inf)

    return jax.tree.map(lift, scores, alive)
