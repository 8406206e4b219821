"""The least mask, against all masks of very small networks."""

import itertools

import jax
import numpy as np
import pytest

from tests.oracles.forward import forward
from ticketjax.measure.least import least_mask


def network(sizes, seed):
    rng = np.random.default_rng(seed)
    return {
        f"layer_{i}": {"kernel": rng.normal(size=(n, m)), "bias": rng.normal(size=m)}
        for i, (n, m) in enumerate(itertools.pairwise(sizes))
    }


def solves(outputs, target, kind):
    """The definitions of success, implemented independently."""
    if kind == "classification":
        return np.mean(outputs.argmax(axis=1) != target.argmax(axis=1)) < 0.01
    for own, wanted in zip(outputs.T, target.T, strict=True):
        scale = max(own @ wanted, 0) / (own @ own) if np.any(own) else 0
        if np.abs(scale * own - wanted).max() >= 1e-3 * (wanted.max() - wanted.min()):
            return False
    return True


def by_trying_all(params, target, x, kind):
    """The size of the smallest mask, among all 2^n, that solves the task."""
    leaves, tree = jax.tree.flatten(params)
    size = sum(leaf.size for leaf in leaves)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    for kept in range(size + 1):
        for places in itertools.combinations(range(size), kept):
            flat = np.zeros(size)
            flat[list(places)] = 1
            parts = np.split(flat, ends)
            masked = [leaf * m.reshape(leaf.shape) for leaf, m in zip(leaves, parts, strict=True)]
            if solves(forward(jax.tree.unflatten(tree, masked), x), target, kind):
                return kept
    return None


@pytest.mark.parametrize(
    ("sizes", "kind", "keep"),
    [
        ((1, 3, 1), "regression", 5),
        ((1, 2, 2, 1), "regression", 6),
        ((1, 2, 2), "regression", 5),
        ((2, 2, 2), "classification", 6),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_mask_of_all_is_smaller(sizes, kind, keep, seed):
    params = network(sizes, seed)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (101, sizes[0]))
    ends = np.cumsum([leaf.size for leaf in leaves])
    target = np.zeros((1, sizes[-1]))
    # A planted mask whose outputs all vary; some of its parameters may lead to no output.
    while np.ptp(target, axis=0).min() < 0.1:
        parts = np.split(rng.permutation(ends[-1]) < keep, ends[:-1])
        planted = [leaf * m.reshape(leaf.shape) for leaf, m in zip(leaves, parts, strict=True)]
        target = 2.5 * forward(jax.tree.unflatten(tree, planted), x)
    found = least_mask(params, target, x, kind, most=keep)
    assert found.size == by_trying_all(params, target, x, kind) <= keep
    kept = jax.tree.map(np.multiply, params, found.mask)
    assert solves(forward(kept, x), target, kind)
    assert sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(kept)) == found.size
    assert found.solutions >= 1


def test_more_parameters_than_can_be_tried_are_refused_and_bounds_are_kept():
    x = np.linspace(-1, 1, 20)[:, None]
    with pytest.raises(ValueError, match="at most 40 parameters, got 43"):
        least_mask(network((1, 14, 1), 0), x, x, "regression", most=3)
    # No mask of two parameters bends twice.
    bent = np.abs(x) - 0.3
    found = least_mask(network((1, 4, 1), 0), bent, x, "regression", most=2)
    assert (found.size, found.mask, found.solutions) == (None, None, 0)
    assert found.tried > 0
