"""Difficulty: several tickets in one network, near misses of them, perturbed tickets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ticketjax.base import Model, Params, Planted, Tree
from ticketjax.masks import count_kept, layer_names
from ticketjax.networks.layers import view, wires
from ticketjax.networks.wiring import is_dense_chain
from ticketjax.planting.plant import give_back, layers_of_tree, plant, plant_view, planting_views

# Relative deviation of a decoy's parameters: large enough that together they do not solve the task
# (Circle: accuracy 0.57, the ticket's 1.00), while each one looks like a ticket's.
DECOY_DEVIATION = 0.3

# Of the keys of one planting, the one for the choice of neurons; split() takes 0 and 1.
NEURONS = 2


class Several(NamedTuple):
    """A network with tickets and decoys in it.

    Args:
        planted: the first ticket.
        tickets: the masks of all tickets, (tickets, ...) in every leaf of a view of the layers;
            None for a single ticket.
        decoys: the masks of all decoys, (decoys, ...) in every leaf of such a view; None without
            decoys.
    """

    planted: Planted
    tickets: Params | None
    decoys: Params | None


def perturb(key: jax.Array, target: Params, deviation: float) -> Params:
    """Multiply each parameter by its own 1 + deviation * N(0, 1); zeros stay zero.

    Args:
        key: determines the factors.
        target: any tree of arrays.
        deviation: standard deviation of the factors.

    Returns:
        A tree like target.
    """
    flat, restore = ravel_pytree(jax.tree.map(jnp.asarray, target))
    return restore(flat * (1 + deviation * jax.random.normal(key, flat.shape, jnp.float32)))


def side_by_side(targets: Sequence[Params]) -> Params:
    """Networks of the same depth as one: their hidden neurons separate, their outputs added.

    Args:
        targets: {"layer_0": {"kernel", "bias"}, ...} of dense layers, with the same layers, inputs
            and outputs.

    Returns:
        The joint network, float32. Its output biases are those of the first network, so that each
        network alone has its own output if all have the same output biases.

    >>> one = {"layer_0": {"kernel": np.ones((1, 1)), "bias": np.zeros(1)}}
    >>> both = side_by_side([{**one, "layer_1": layer} for layer in one.values()] * 2)
    >>> [layer["kernel"].shape for layer in both.values()]
    [(1, 2), (2, 1)]
    """
    names = layer_names(targets[0])
    joined = {}
    for name in names:
        kernels, biases = (
            [jnp.asarray(target[name][part], jnp.float32) for target in targets]
            for part in ("kernel", "bias")
        )
        if name == names[0]:
            kernel = jnp.concatenate(kernels, axis=1)
        elif name == names[-1]:
            kernel = jnp.concatenate(kernels, axis=0)
        else:
            kernel = jax.scipy.linalg.block_diag(*kernels)
        bias = biases[0] if name == names[-1] else jnp.concatenate(biases)
        joined[name] = {"kernel": kernel, "bias": bias}
    return joined


def check_decoys(target: Params) -> None:
    """Refuse a target that is a single path of weights, because it has no near misses.

    With weights of any positive sizes, a single path computes the same function up to a scale.

    Args:
        target: {"layer_0": {"kernel", "bias"}, ...}; its values must be known, not traced.

    Raises:
        ValueError: the target is a single path.
    """
    lone = all(np.count_nonzero(layer["kernel"]) <= 1 for layer in target.values())
    if lone and not any(np.any(layer["bias"]) for layer in target.values()):
        raise ValueError(
            "decoys: this ticket is a single path, which solves the task whatever the sizes of its "
            "weights; there are no near misses of it"
        )


def _check_room(target: Params, params: Params, tickets: int, decoys: int) -> None:
    if set(target) != set(params):
        return  # plant() raises the error
    names = layer_names(target)
    copies = tickets + decoys
    what = f"{tickets} ticket{'s' * (tickets > 1)}"
    what += f" and {decoys} decoy{'s' * (decoys > 1)}" * (decoys > 0)
    if len(names) == 1:
        raise ValueError(f"{what}: a network without hidden layers has room for one ticket alone")
    for name in names[:-1]:
        each, there = target[name]["bias"].size, params[name]["bias"].size
        if there < copies * each:
            raise ValueError(
                f"{name} is too narrow: {what} need {copies} times {each} neurons, the network has "
                f"{there}, {copies * each - there} too few"
            )


def _mask_at(target: Params, places: Sequence[jax.Array], params: Params) -> Params:
    """The target's support as a mask of the network, with the target's neurons at the places."""
    mask = {}
    pairs = zip(layer_names(target), places, places[1:], strict=False)
    for name, sources, neurons in pairs:
        kernel, bias = (jnp.asarray(target[name][part]) != 0 for part in ("kernel", "bias"))
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), params[name])
        mask[name] = {
            "kernel": empty["kernel"].at[sources[:, None], neurons[None, :]].set(kernel),
            "bias": empty["bias"].at[neurons].set(bias),
        }
    return mask


def plant_several(
    key: jax.Array,
    target: Tree,
    params: Tree,
    *,
    tickets: int = 1,
    decoys: int = 0,
    perturbation: float = 0.0,
    zero_path_biases: bool = False,
    match: str = "cosine",
    model: Model | None = None,
) -> Several:
    """Plant a target several times, each time in other hidden neurons, with near misses.

    With the defaults, this is plant() without a key. Everything is planted at once, as one target
    of several networks side by side, so that neither order nor place distinguishes them. Pure;
    works under jit and vmap.

    Args:
        key: determines the perturbations and, with match "hidden", the neurons; has no effect on a
            single ticket without either.
        target, params, zero_path_biases, match, model: as in plant(). Several are for dense chains
            only.
        tickets: copies of the target. Each alone is the target, with the same output scale; they
            share the biases of the outputs, which suit one as well as all.
        decoys: copies whose parameters deviate by 30% (times 1 + 0.3 N(0, 1), each with its own
            factor), except for the outputs' biases, which they share with the tickets.
        perturbation: the ticket's parameters are first multiplied by 1 + perturbation * N(0, 1),
            the same for all its copies. The ticket is then no longer exactly the target.

    Returns:
        The first ticket, and the masks of all tickets and decoys.

    Raises:
        ValueError: as in plant(), or the network has no room for that many.
    """
    ticket_key, decoy_key = jax.random.split(key)
    ticket = perturb(ticket_key, target, perturbation) if perturbation else target
    options: dict[str, Any] = {"zero_path_biases": zero_path_biases, "match": match}
    if match == "hidden":
        options["key"] = jax.random.fold_in(key, NEURONS)
    if tickets == 1 and not decoys:
        return Several(plant(ticket, params, model=model, **options), None, None)
    layers = layers_of_tree(model, params)
    if not is_dense_chain(view(params, layers), wires(layers)):
        raise ValueError("tickets and decoys: only dense layers one after the other hold several")
    _check_room(target, view(params, layers), tickets, decoys)
    missing = [perturb(k, target, DECOY_DEVIATION) for k in jax.random.split(decoy_key, decoys)]
    together, seen = planting_views(side_by_side([ticket] * tickets + missing), params, layers)
    planted, places = plant_view(together, seen, wires(layers), **options)
    hidden = [jnp.split(place, tickets + decoys) for place in places[1:-1]]
    masks = [
        _mask_at(target, [places[0], *of_this, places[-1]], seen)
        for of_this in zip(*hidden, strict=True)
    ]
    planted = give_back(planted._replace(mask=masks[0]), params, layers)

    def stack(trees):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) if trees else None

    several = stack(masks[:tickets]) if tickets > 1 else None
    return Several(planted, several, stack(masks[tickets:]))


def nearest(masks: Params, found: Params, prune_bias: bool = True) -> Params:
    """The mask, among several, that overlaps most with a found mask; among equals the first.

    Args:
        masks: (n, ...) in every leaf, all of the same size.
        found: a mask, a tree of the same shapes without the first axis.
        prune_bias: False leaves biases out of the count.

    Returns:
        A mask like found.
    """

    def in_both(mask):
        return count_kept(jax.tree.map(jnp.logical_and, mask, found), prune_bias)

    best = jnp.argmax(jax.vmap(in_both)(masks))
    return jax.tree.map(lambda leaf: leaf[best], masks)
