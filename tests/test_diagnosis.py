"""Diagnoses by hand: where a search starts, what it keeps of the ticket, what the verdict says."""

import dataclasses
import functools
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles.networks import he_network
from ticketjax.base import Batch, Found, Planted
from ticketjax.masks import count_kept
from ticketjax.measure import diagnosis
from ticketjax.measure.audit import Audit
from ticketjax.measure.diagnosis import (
    Evidence,
    diluted_ticket,
    kept_from_ticket,
    lift,
    loss_ratio,
    verdict,
)
from ticketjax.problem import Problem
from ticketjax.seekers.edge_popup import EdgePopup

KEY = jax.random.key(9)
TASK = tj.get_task("circle")
GENERATOR = np.random.default_rng(4)
NETWORK = jax.tree.map(jnp.asarray, he_network(GENERATOR, (2, 16, 4)))
# Nothing needs to be planted: for a diagnosis, the mask says where the ticket is.
MASK = jax.tree.map(lambda leaf: jnp.asarray(GENERATOR.random(leaf.shape) < 0.3), NETWORK)
PLANTED = Planted(NETWORK, MASK, jnp.ones(()))
SIZE = sum(int(leaf.sum()) for leaf in jax.tree.leaves(MASK))
BATCH = Batch(jnp.asarray(GENERATOR.uniform(-1, 1, (64, 2)), jnp.float32), jnp.arange(64) % 4)
PROBLEM = Problem(NETWORK, BATCH, tj.mlp(TASK, 3, 16).apply, TASK.kind)


@pytest.mark.parametrize("prune_bias", [True, False])
def test_a_diluted_ticket_is_the_ticket_and_as_many_others_as_asked(prune_bias):
    problem = dataclasses.replace(PROBLEM, prune_bias=prune_bias)
    size = int(count_kept(MASK, prune_bias))
    dilutions = np.array([0, 0.5, 1, np.inf], np.float32)
    drawn = jax.jit(jax.vmap(lambda d: diluted_ticket(KEY, problem, MASK, d)))(dilutions)
    for i, expected in enumerate((size, round(1.5 * size), 2 * size)):
        mask = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], drawn)
        assert count_kept(mask, prune_bias) == expected
        for leaf, planted in zip(jax.tree.leaves(mask), jax.tree.leaves(MASK), strict=True):
            assert np.all(leaf | ~planted)
    assert all(leaf[3].all() for leaf in jax.tree.leaves(drawn))


def test_a_negative_dilution_is_refused():
    with pytest.raises(ValueError, match="dilution must be at least 0, got -1"):
        diluted_ticket(KEY, PROBLEM, MASK, -1)


def knows(key, problem, params, mask):
    return jax.tree.map(lambda leaf: leaf.astype(float), MASK)


def avoids(key, problem, params, mask):
    return jax.tree.map(jnp.negative, knows(key, problem, params, mask))


def test_what_a_score_keeps_of_the_ticket():
    dilutions = np.array([0, 0.5, 1, 1.5], np.float32)

    @jax.jit
    def kept(keys):
        def chance(key):
            return kept_from_ticket(key, tj.SEEKERS["random"], PROBLEM, PLANTED, 1.0)

        def with_score(score):
            return jax.vmap(lambda d: kept_from_ticket(KEY, score, PROBLEM, PLANTED, d))(dilutions)

        return with_score(avoids), with_score(knows), jax.vmap(chance)(keys)

    low, high, guessed = kept(jax.random.split(KEY, 400))
    # With half as many others, at least half of the ticket is kept.
    np.testing.assert_allclose(low, [1, 2 - round(1.5 * SIZE) / SIZE, 0, 0], atol=1e-6)
    assert np.all(high == 1)
    # Chance keeps one half; hypergeometric, so a mean of 400 deviates by less than 0.004.
    assert abs(guessed.mean() - 0.5) < 0.015


def test_a_score_sees_the_network_that_the_search_starts_from():
    seen = []

    def spy(key, problem, params, mask):
        seen.append((params is PROBLEM.params, problem is PROBLEM))
        return jax.tree.map(lambda leaf: jnp.where(leaf, 0.0, 1.0), mask)

    # Pruned parameters score 1 but are still not chosen, because pruning is permanent.
    kept = jax.jit(lambda key: kept_from_ticket(key, spy, PROBLEM, PLANTED, 0.0))(KEY)
    assert seen == [(True, True)]
    assert kept == 1


def test_lifted_scores_by_hand():
    scores = {"layer_0": {"kernel": jnp.array([[-1.0, 0.5, 2.0]]), "bias": jnp.array([-0.2])}}
    planted = {"layer_0": {"kernel": jnp.array([[True, False, False]]), "bias": jnp.array([True])}}
    lifted = lift(scores, planted)["layer_0"]
    np.testing.assert_allclose(lifted["kernel"], [[-3, 0.5, 2]])
    np.testing.assert_allclose(lifted["bias"], [-2.2])


def test_edge_popup_starts_at_the_ticket(monkeypatch):
    started = []

    def still(*, scope, epochs, start):
        started.append((scope, epochs))
        return EdgePopup(scope=scope, epochs=epochs, start=start, learning_rate=0.0)

    monkeypatch.setattr(diagnosis, "EdgePopup", still)
    kept = jax.jit(functools.partial(diagnosis.popup_from_ticket, epochs=1))(KEY, PROBLEM, PLANTED)
    assert started == [("global", 1)]
    assert kept == 1


def test_a_search_may_leave_the_ticket_it_starts_at(monkeypatch):
    def elsewhere(**options):
        def seek(key, problem, density):
            mask = jax.tree.map(jnp.logical_not, MASK)
            mask["layer_0"] = MASK["layer_0"]
            return Found(mask, problem.params, {})

        return seek

    monkeypatch.setattr(diagnosis, "EdgePopup", elsewhere)
    first = sum(int(leaf.sum()) for leaf in jax.tree.leaves(MASK["layer_0"]))
    kept = diagnosis.popup_from_ticket(KEY, PROBLEM, PLANTED)
    np.testing.assert_allclose(kept, first / SIZE, rtol=1e-6)


def test_ratio_of_losses():
    ratio = loss_ratio(
        np.array([10.0, 0.0, 0.0], np.float32), np.array([0.1, 0.0, 1.0], np.float32)
    )
    np.testing.assert_allclose(ratio[:2], [2, 0], atol=1e-6)
    assert -40 < ratio[2] < -30


FAILED = Evidence(recall=0.1, recovered=0.0, feasible_recall=1.0, ratio=(2.0, 3.0))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"recall": 0.97}, "found"),
        ({"recovered": 0.6}, "found, elsewhere in the network"),
        ({"feasible_recall": 0.57}, "not representable: at most 57% of the ticket fits"),
        ({"ratio": (0.2, 0.9)}, "objective wrong: it prefers what was found to the ticket"),
        ({"ratio": (0.2, 1.9)}, "undecided: the objective prefers neither what was found nor the"),
        ({}, "search failed: the objective prefers the ticket"),
        ({"kept": 1.0}, "search failed: the objective prefers the ticket, which it would keep if"),
        ({"kept": 0.4}, "search failed: the objective prefers the ticket, which it would lose if"),
    ],
)
def test_verdicts(changes, text):
    assert verdict(FAILED._replace(**changes)).startswith(text)


def test_no_module_takes_the_place_of_a_name_of_the_package():
    """Importing a module ticketjax.x sets ticketjax.x, which must then have no other meaning."""
    modules = {module.name for module in pkgutil.iter_modules(tj.__path__)}
    assert not modules & set(tj.__all__)
    assert isinstance(jax.eval_shape(tj.audit, PLANTED), Audit)
