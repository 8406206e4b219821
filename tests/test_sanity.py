"""Sanity checks of pruning: each changes what it should, and nothing else."""

import jax
import numpy as np
import pytest

import ticketjax as tj
from ticketjax.masks import shuffle
from ticketjax.runs.grid import make_grid
from ticketjax.sweeping import sweep

KEY = jax.random.key(5)
pytestmark = pytest.mark.long

GRID = {
    "task": "relu",
    "depth": 3,
    "width": 8,
    "seekers": "snip",
    "densities": (0.2, 0.6),
    "seeds": 2,
    "samples": 200,
    "epochs": 1,
}
# Entries on the mask and on the planted one, and entries that only training can change.
OF_THE_MASK = ("kept", "precision", "recall", "score_auc", "effective_density", "layer_kept")
OF_THE_VALUES = ("strong_loss", "weak_loss")


@pytest.fixture(scope="module")
def records():
    checks = ("none", "invert", "shuffle", "reinitialise")
    tables = {name: sweep(**GRID, sanity=name) for name in checks}
    for name, table in tables.items():
        assert set(table["sanity"].to_pylist()) == {name}
    return {name: table.to_pydict() for name, table in tables.items()}


def test_reinitialising_changes_values_and_no_mask(records):
    plain, fresh = records["none"], records["reinitialise"]
    # The seeker and its objective used the planted network.
    for name in (*OF_THE_MASK, "ticket_loss", "found_objective", "planted_objective"):
        assert fresh[name] == plain[name], name
    for name in OF_THE_VALUES:
        pairs = zip(fresh[name], plain[name], plain["collapsed"], strict=True)
        changed = [a != b for a, b, collapsed in pairs if not collapsed]
        assert changed and all(changed), name


def test_shuffling_moves_what_every_layer_keeps(records):
    plain, shuffled = records["none"], records["shuffle"]
    for name in ("kept", "score_auc", "layer_kept", "ticket_loss"):
        assert shuffled[name] == plain[name], name
    assert shuffled["effective_density"] != plain["effective_density"]
    assert shuffled["recall"] != plain["recall"]


def test_inverting_turns_the_ranking_round(records):
    plain, inverted = records["none"], records["invert"]
    assert inverted["kept"] == plain["kept"]
    # The chance of ranking higher becomes that of ranking lower.
    total = np.add(plain["score_auc"], inverted["score_auc"])
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert inverted["layer_kept"] != plain["layer_kept"]


def test_inverted_magnitude_keeps_the_smallest():
    task = tj.get_task("relu")
    model = tj.mlp(task, 3, 20)

    @jax.jit
    def look(key):
        problem = tj.make_problem(task, model, model.init(key), task.sample(key, 40, noise=0.0))
        found = tj.get_seeker("magnitude", sanity="invert")(key, problem, 0.25)
        return problem.params, found.mask

    sizes, kept = (
        np.concatenate([np.abs(leaf).ravel() for leaf in jax.tree.leaves(tree)])
        for tree in jax.device_get(look(KEY))
    )
    kept = kept.astype(bool)
    assert kept.sum() == round(0.25 * kept.size)
    assert sizes[kept].max() <= sizes[~kept].min()


def test_a_shuffled_mask_keeps_as_many_anywhere_else():
    generator = np.random.default_rng(0)
    mask = {
        "layer_0": {"kernel": generator.random((30, 40)) < 0.3, "bias": generator.random(40) < 0.5}
    }
    shuffled = jax.jit(jax.vmap(shuffle, (0, None)))(jax.random.split(KEY, 200), mask)
    for part, leaf in mask["layer_0"].items():
        drawn = np.asarray(shuffled["layer_0"][part])
        counts = drawn.reshape(200, -1).sum(axis=1)
        assert np.all(counts == leaf.sum())
        # Every entry is kept about equally often: a binomial share, within six deviations.
        share = leaf.mean()
        spread = np.sqrt(share * (1 - share) / 200)
        assert np.abs(drawn.mean(axis=0) - share).max() < 6 * spread
        assert np.all(np.any(drawn != leaf[None], axis=tuple(range(1, drawn.ndim))))


@pytest.mark.parametrize("sanity", ["invert", "shuffle"])
def test_seekers_without_a_score_refuse_what_is_done_to_scores(sanity):
    with pytest.raises(ValueError, match=f"edge_popup has none to {sanity}"):
        make_grid(**{**GRID, "seekers": "edge_popup", "strategy": "plain", "sanity": sanity})
    with pytest.raises(ValueError, match="sanity must be one of none, invert, shuffle, rein"):
        make_grid(**GRID, sanity="reverse")
    with pytest.raises(ValueError, match="sanity must be one of none, invert, shuffle, got"):
        tj.get_seeker("snip", sanity="reinitialise")
