"""Genetic search: its operators keep the budget, and it finds the best of all masks."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles import problems
from tests.oracles.problems import layers_of
from ticketjax.base import REGRESSION
from ticketjax.seekers.genetic import Genetic, mutated, recombined

KEY, WIDTHS = jax.random.key(3), (1, 3, 1)


def test_children_keep_the_budget_and_what_their_parents_agree_on():
    rng = np.random.default_rng(0)
    size, count = 12, 300
    budgets = rng.integers(0, size + 1, count)
    parents = np.argsort(rng.random((2, count, size)), axis=-1) < budgets[None, :, None]
    keys = jax.random.split(KEY, count)
    one, other = parents

    @jax.jit
    def breed(keys, one, other):
        return jax.vmap(recombined)(keys, one, other), jax.vmap(mutated)(keys, one)

    children, mutants = jax.device_get(breed(keys, one, other))
    assert (children.sum(axis=1) == budgets).all() and (mutants.sum(axis=1) == budgets).all()
    assert not np.any(one & other & ~children) and not np.any(children & ~one & ~other)
    # A mutant differs by one pair, if there is one to swap.
    swapped = np.where((budgets > 0) & (budgets < size), 2, 0)
    assert ((mutants != one).sum(axis=1) == swapped).all()
    # What only one parent keeps comes from both of them alike.
    apart = one & ~other
    assert 0.4 < np.sum(children & apart) / np.sum(apart) < 0.6
    # Every pair is swapped now and then.
    many = jax.jit(jax.vmap(lambda key: mutated(key, jnp.arange(5) < 2)))
    assert len({mask.tobytes() for mask in np.asarray(many(jax.random.split(KEY, 100)))}) == 6


def masked(layers, chosen):
    """The network with these of its parameters."""
    ends = np.cumsum([part.size for layer in layers for part in layer])[:-1]
    flat = np.concatenate([np.ravel(part) for layer in layers for part in layer])
    parts = np.split(np.where(np.isin(np.arange(flat.size), chosen), flat, 0.0), ends)
    return [
        (parts[2 * i].reshape(kernel.shape), parts[2 * i + 1])
        for i, (kernel, _) in enumerate(layers)
    ]


def test_it_finds_the_best_of_all_masks():
    """Of 210 masks of 4 of 10 parameters, one computes the target."""
    layers, wanted = layers_of(12, WIDTHS), (1, 4, 7, 9)
    problem = problems.problem_of(layers, REGRESSION, objective="raw")
    x = np.asarray(problem.batch.x)
    y = oracle.outputs(masked(layers, wanted), x)
    batch = problem.batch._replace(y=jnp.asarray(y, jnp.float32))
    problem = dataclasses.replace(problem, batch=batch)
    losses = {
        chosen: oracle.loss(REGRESSION, oracle.outputs(masked(layers, chosen), x), y)
        for chosen in itertools.combinations(range(10), 4)
    }
    assert sum(loss < 0.1 for loss in losses.values()) == 1

    seeker = Genetic(population=8, mutation=0.5, immigration=0.5, newcomers="random_masks")
    found = jax.jit(seeker)(KEY, problem, jnp.float32(0.4))
    least = np.asarray(found.info["least_losses"])
    assert np.all(np.diff(least) <= 0) and least[0] > 0.1 and least[-1] < 1e-6
    kept = oracle.layers_of(found.mask)
    flat = np.concatenate([np.ravel(part) for layer in kept for part in layer])
    assert tuple(np.flatnonzero(flat)) == wanted


def test_generations_without_children_are_refused():
    with pytest.raises(ValueError, match="must make a child of a population of 2"):
        Genetic(population=2, recombination=0.1)
