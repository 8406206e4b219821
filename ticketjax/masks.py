"""Mask algebra, and selection: scores to a mask that keeps an exact number of parameters."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ticketjax.base import Params
from ticketjax.checks import Options, check_choice, check_count
from ticketjax.mixing import mixed

SCOPES = ("global", "local", "oracle")


def layer_names(params: Mapping[str, Any]) -> list[str]:
    """Names of the layers from input to output ("layer_10" stands after "layer_9")."""
    return sorted(params, key=lambda name: ([int(n) for n in re.findall(r"\d+", name)], name))


def depth(params: Params) -> int:
    """Layers of neurons, including the input: one more than there are kernels."""
    return len(params) + 1


def apply_mask(params: Params, mask: Params) -> Params:
    """Parameters with everything outside the mask set to zero.

    Args:
        params: tree of any shapes and float type.
        mask: bool tree of the same shapes.

    Returns:
        A tree like params.

    >>> params = {"layer_0": {"kernel": jnp.array([[3.0, 1.0]]), "bias": jnp.array([2.0, 2.0])}}
    >>> mask = jax.tree.map(lambda p: p > 1, params)
    >>> apply_mask(params, mask)["layer_0"]["kernel"].tolist()
    [[3.0, 0.0]]
    """
    return jax.tree.map(lambda p, m: jnp.where(m, p, jnp.zeros_like(p)), params, mask)


def full_mask(params: Params) -> Params:
    """The mask that keeps everything."""
    return jax.tree.map(lambda p: jnp.ones(p.shape, bool), params)


def nonzero_mask(params: Params) -> Params:
    """The mask of a sparse network: True where a parameter is not zero."""
    return jax.tree.map(lambda p: jnp.asarray(p) != 0, params)


def prunable_leaves(tree: Params, prune_bias: bool = True) -> list[list[jax.Array]]:
    """The prunable arrays, layer by layer: the kernel, then the bias if there is one to prune."""
    parts = ("kernel", "bias") if prune_bias else ("kernel",)
    return [
        [tree[name][part] for part in parts if part in tree[name]] for name in layer_names(tree)
    ]


def count_prunable(params: Params, prune_bias: bool = True) -> int:
    """How many parameters a density refers to."""
    return sum(leaf.size for layer in prunable_leaves(params, prune_bias) for leaf in layer)


def count_kept(mask: Params, prune_bias: bool = True) -> jax.Array:
    """How many of the prunable parameters a mask keeps, int32."""
    leaves = itertools.chain.from_iterable(prunable_leaves(mask, prune_bias))
    return jnp.asarray(sum(jnp.sum(leaf != 0) for leaf in leaves))


def share(count: jax.Array | int, size: int) -> jax.Array:
    """Return count / size, float32, exactly 1 if count equals size.

    The divisor is chosen at run time, because XLA would replace a constant divisor by its rounded
    inverse, but not for every number of devices.

    Args:
        count: number of parameters counted, may be traced.
        size: number of all parameters.

    Returns:
        () float32.
    """
    return count / jnp.where(jnp.asarray(count) < 0, jnp.float32(1), jnp.float32(size))


def density(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Fraction of the prunable parameters that a mask keeps, float32."""
    return share(count_kept(mask, prune_bias), count_prunable(mask, prune_bias))


def layer_densities(mask: Params, prune_bias: bool = True) -> jax.Array:
    """Kept fraction of the prunable parameters of every layer.

    Args:
        mask: tree of a network's layers, nonzero where a parameter is kept.
        prune_bias: False leaves biases out of the count.

    Returns:
        (layers,) float32, in 0..1.

    >>> layer_densities({"layer_0": {"kernel": jnp.array([[True, False]]), "bias": jnp.ones(2)}})
    Array([0.75], dtype=float32)
    """
    return jnp.stack(
        [
            share(sum(jnp.sum(leaf != 0) for leaf in layer), sum(leaf.size for leaf in layer))
            for layer in prunable_leaves(mask, prune_bias)
        ]
    )


def count_ticket_layers(target: Params, prune_bias: bool = True) -> tuple[int, ...]:
    """How many prunable parameters a sparse target has in each layer."""
    return tuple(
        sum(int(np.count_nonzero(leaf)) for leaf in layer)
        for layer in prunable_leaves(target, prune_bias)
    )


def ticket_density(target: Params, params: Params, prune_bias: bool = True) -> float:
    """Density that a sparse target has inside a network of the shape of `params`."""
    return sum(count_ticket_layers(target, prune_bias)) / count_prunable(params, prune_bias)


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


def digest(mask: Params) -> jax.Array:
    """Four words that distinguish the masks of one network.

    Every place has four fixed 32-bit numbers, mixed from its index. The numbers of the kept places
    are added. Two different masks have the same words with a chance of about 2^-128.

    Args:
        mask: bool tree of a network's layers.

    Returns:
        (4,) uint32.

    >>> mask = {"layer_0": {"kernel": jnp.array([[True, False]]), "bias": jnp.array([True, True])}}
    >>> digest(mask).shape
    (4,)
    """
    words, start = jnp.zeros(4, jnp.uint32), 0
    for leaf in jax.tree.leaves(mask):
        place = jnp.arange(start, start + leaf.size, dtype=jnp.uint32)
        own = mixed(place[None] * 4 + jnp.arange(1, 5, dtype=jnp.uint32)[:, None])
        words = words + jnp.sum(jnp.where(leaf.ravel()[None], own, 0), axis=1, dtype=jnp.uint32)
        start += leaf.size
    return words


def shuffle(key: jax.Array, mask: Params) -> Params:
    """The mask with the entries of every kernel and of every bias in a random order.

    Args:
        key: determines the order.
        mask: tree of a network's layers.

    Returns:
        A tree like mask. Every kernel and every bias keeps as many parameters as before, at random
        places.
    """
    leaves, structure = jax.tree.flatten(mask)
    keys = jax.random.split(key, len(leaves))
    shuffled = [
        jax.random.permutation(leaf_key, leaf.ravel()).reshape(leaf.shape)
        for leaf_key, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, shuffled)
