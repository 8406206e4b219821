"""Recovery, ranking and paths against hand-worked masks and brute force."""

import itertools

import hypothesis
import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.oracles import paths
from tests.oracles.networks import he_network
from ticketjax.measure.quality import (
    feasible_recall,
    ranking,
    recovery,
    score_auc,
)
from ticketjax.networks.paths import (
    collapsed,
    effective_density,
    first_dead_layer,
    live_neurons,
    log10_paths,
)
from ticketjax.selection import select


def network(*layers):
    """A tree from (kernel, bias) pairs."""
    return {
        f"layer_{i}": {"kernel": np.array(kernel), "bias": np.array(bias)}
        for i, (kernel, bias) in enumerate(layers)
    }


def random_mask(generator, widths, density, seeds=()):
    params = he_network(generator, widths, seeds)
    return jax.tree.map(lambda leaf: generator.random(leaf.shape) < density, params)


def flip(mask):
    return jax.tree.map(np.logical_not, mask)


# Compiled together, because each operation alone would take as long to compile.
paths_of = jax.jit(
    lambda mask: (
        live_neurons(mask),
        collapsed(mask),
        effective_density(mask),
        effective_density(mask, prune_bias=False),
    )
)
overlap = jax.jit(recovery, static_argnames="prune_bias")
auc = jax.jit(score_auc, static_argnames="prune_bias")
rank = jax.jit(ranking)

T, F = True, False
# Inputs 2, hidden 3 and 2, output 1; 3 layers of 9, 8 and 3 parameters, weights 6, 6 and 2.
FOUND = network(
    ([[T, F, F], [T, T, F]], [T, F, T]),
    ([[T, F], [F, F], [F, T]], [F, T]),
    ([[T], [T]], [F]),
)
PLANTED = network(
    ([[T, F, F], [F, T, F]], [F, F, F]),
    ([[T, F], [T, F], [F, F]], [T, F]),
    ([[T], [F]], [T]),
)


# Recovery


def test_recovery_by_hand():
    # Found: 3 + 2, 2 + 1, 2 + 0 = 10. Planted: 2, 2 + 1, 1 + 1 = 7. Both: 2, 1, 1 = 4.
    got = overlap(FOUND, PLANTED)
    assert [float(x) for x in got[:4]] == pytest.approx([4 / 10, 4 / 7, 8 / 17, 4 / 13])
    assert got.layer_precision.tolist() == pytest.approx([2 / 5, 1 / 3, 1 / 2])
    assert got.layer_recall.tolist() == pytest.approx([2 / 2, 1 / 3, 1 / 2])
    # Hidden neurons on a path: 0 | 0. Planted: 0 and 1 | 0.
    assert [float(x) for x in got[-2:]] == pytest.approx([2 / 2, 2 / 3])
    # Weights alone: 7, 5, and the same 4.
    got = overlap(FOUND, PLANTED, prune_bias=False)
    assert [float(x) for x in got[:4]] == pytest.approx([4 / 7, 4 / 5, 8 / 12, 4 / 8])
    assert got.layer_precision.tolist() == pytest.approx([2 / 3, 1 / 2, 1 / 2])


@pytest.mark.parametrize("prune_bias", [True, False])
def test_recovery_of_the_planted_mask_and_of_its_complement(prune_bias):
    def shares(found):
        got = overlap(found, PLANTED, prune_bias=prune_bias)
        return [float(x) for x in got[:4]], got.layer_recall.tolist()

    assert shares(PLANTED) == ([1, 1, 1, 1], [1, 1, 1])
    assert shares(flip(PLANTED)) == ([0, 0, 0, 0], [0, 0, 0])
    size, kept = (20, 7) if prune_bias else (14, 5)
    total, layers = shares(jax.tree.map(np.ones_like, PLANTED))
    assert total == pytest.approx([kept / size, 1, 2 * kept / (size + kept), kept / size])
    assert layers == [1, 1, 1]
    assert shares(jax.tree.map(np.zeros_like, PLANTED)) == ([0, 0, 0, 0], [0, 0, 0])


def test_recovery_takes_masks_of_numbers_too():
    as_floats = jax.tree.map(lambda leaf: leaf.astype(np.float32), (FOUND, PLANTED))
    jax.tree.map(np.testing.assert_array_equal, overlap(*as_floats), overlap(FOUND, PLANTED))


# Ranking


def brute_force_auc(scores, positive):
    scores = np.where(np.isnan(scores), -np.inf, scores.astype(np.float64))
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    return np.mean(pairs) if pairs else 0.5


def one_layer(values):
    """All but the last value as kernel, the last as bias."""
    return {"layer_0": {"kernel": values[:-1, None], "bias": values[-1:]}}


@hypothesis.given(
    scores=arrays(
        np.float32,
        24,
        elements=st.sampled_from(
            [0.0, -0.0, 1.0, -1.0, 2.0, np.inf, -np.inf, np.nan, -np.nan, 1e-40, -1e-45, 3e38]
        )
        | st.floats(-2, 2, width=16),
    ),
    positive=arrays(bool, 24),
)
def test_auc_against_all_pairs(scores, positive):
    value = auc(one_layer(scores), one_layer(positive))
    assert float(value) == pytest.approx(brute_force_auc(scores, positive), abs=1e-6)
    value = auc(one_layer(scores), one_layer(positive), prune_bias=False)
    assert float(value) == pytest.approx(brute_force_auc(scores[:-1], positive[:-1]), abs=1e-6)


def test_auc_by_hand():
    positive = np.array([T, F, T, F])
    for scores, expected in (
        ([4, 1, 3, 2], 1.0),
        ([1, 4, 2, 3], 0.0),
        ([7, 7, 7, 7], 0.5),
        ([3, 3, 1, 2], 0.375),  # ties with one (1/2), beats one, loses twice: 1.5 of 4
        ([-np.inf, -np.inf, np.nan, 0], 0.25),  # ties twice, loses twice
    ):
        value = auc(one_layer(np.array(scores, np.float32)), one_layer(positive))
        assert float(value) == expected


def test_auc_of_a_planted_mask_and_its_complement():
    scores = jax.tree.map(lambda leaf: leaf.astype(np.float32), PLANTED)
    assert float(auc(scores, PLANTED)) == 1.0
    assert float(auc(jax.tree.map(np.negative, scores), PLANTED)) == 0.0
    assert float(auc(scores, flip(PLANTED))) == 0.0


def test_auc_of_a_large_network():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 1_000, 300_001).astype(np.float32)
    positive = generator.random(scores.size) < np.where(scores > 600, 0.01, 0.002)
    ranks = scipy.stats.rankdata(scores.astype(np.float64))
    count = positive.sum()
    expected = (ranks[positive].sum() - count * (count + 1) / 2) / count / (~positive).sum()
    assert float(auc(one_layer(scores), one_layer(positive))) == pytest.approx(expected, abs=1e-5)


def brute_force_ranking(scores, positive):
    """Average precision and covering density by walking down the distinct scores."""
    scores = np.where(np.isnan(scores), -np.inf, scores.astype(np.float64))
    if not positive.any():
        return 0.0, 0.0
    average, covering, recall = 0.0, 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        kept = scores >= threshold
        gained = (kept & positive).sum() / positive.sum() - recall
        recall += gained
        average += gained * (kept & positive).sum() / kept.sum()
        if gained:
            covering = kept.mean()
    return average, covering


@hypothesis.given(
    scores=arrays(np.float32, 24, elements=st.sampled_from([0.0, 1.0, -1.0, 2.0, -np.inf, np.nan])),
    positive=arrays(bool, 24),
)
def test_ranking_against_a_walk_down_the_scores(scores, positive):
    got = rank(one_layer(scores), one_layer(positive))
    expected = brute_force_ranking(scores, positive)
    assert [float(x) for x in got[1:]] == pytest.approx(expected, abs=1e-6)


def test_ranking_by_hand():
    positive = one_layer(np.array([T, F, T, F, F]))
    for scores, average, covering in (
        ([5, 3, 4, 2, 1], 1.0, 2 / 5),
        ([5, 4, 3, 2, 1], (1 / 1 + 2 / 3) / 2, 3 / 5),
        ([7, 7, 7, 7, 7], 2 / 5, 1.0),
        ([1, 2, 5, 4, 3], (1 / 1 + 2 / 5) / 2, 1.0),
    ):
        got = rank(one_layer(np.array(scores, np.float32)), positive)
        assert [float(x) for x in got[1:]] == pytest.approx([average, covering])


# Feasibility


def test_what_of_the_ticket_fits_by_hand():
    # PLANTED has 2, 3 and 2 parameters in layers of 9, 8 and 3; 2, 2 and 1 of 6, 6 and 2 weights.
    def largest(density, scope, **options):
        planted = (2, 2, 1) if options else (2, 3, 2)
        return feasible_recall(density, PLANTED, planted, scope, **options)

    assert largest(7 / 20, "global") == largest(7 / 20, "oracle") == 1
    assert largest(0.2, "global") == 4 / 7
    # 35% of 9, 8 and 3 are 3, 3 and 1.
    assert largest(7 / 20, "local") == (2 + 3 + 1) / 7
    # 36% of 6, 6 and 2 are 2, 2 and 1.
    assert largest(5 / 14, "local", prune_bias=False) == 1
    with pytest.raises(ValueError, match="scope must be one of"):
        largest(0.5, "layer")


def test_no_mask_holds_more_of_the_ticket_than_fits():
    planted = jax.tree.map(lambda leaf: leaf.astype(np.float32), PLANTED)
    for density in (0.1, 0.35, 0.6, 1.0):
        # With the planted mask as scores, as much of it is kept as fits.
        mask = select(planted, density, "local")
        recall = float(overlap(mask, PLANTED).recall)
        assert recall == pytest.approx(feasible_recall(density, PLANTED, (2, 3, 2), "local"))


# Paths


def test_number_and_end_of_paths_by_hand():
    assert float(jax.jit(log10_paths)(FOUND)) == pytest.approx(
        np.log10(2)
    )  # 0 and 1 -> 0 -> 0 -> 0
    assert int(first_dead_layer(FOUND)) == -1
    everything = jax.tree.map(np.ones_like, FOUND)
    assert float(log10_paths(everything)) == pytest.approx(np.log10(2 * 3 * 2))
    for layer in range(3):
        mask = jax.tree.map(np.ones_like, FOUND)
        mask[f"layer_{layer}"]["kernel"][:] = False
        assert int(first_dead_layer(mask)) == layer
        assert float(log10_paths(mask)) == -np.inf


def test_paths_that_a_float_could_not_count():
    shape = (2, *[1000] * 14, 4)
    mask = {
        f"layer_{i}": {"kernel": np.ones((a, b), bool), "bias": np.zeros(b, bool)}
        for i, (a, b) in enumerate(itertools.pairwise(shape))
    }
    assert float(log10_paths(mask)) == pytest.approx(np.log10(8) + 14 * 3, abs=1e-4)


def test_live_neurons_by_hand():
    # In FOUND, hidden 0 and 1 are reached, hidden 2 is not. Only hidden 0 leads to a reached
    # neuron: 0 -> 0. Neuron 1 of the second layer reads only hidden 2.
    lives, gone, share, weight_share = paths_of(FOUND)
    assert [layer.tolist() for layer in lives] == [[T, T], [T, F, F], [T, F], [T]]
    assert not bool(gone)
    # On a path: 2 weights and 1 bias, 1 weight, 1 weight: 5 of 20, 4 of 14 weights.
    assert float(share) == pytest.approx(5 / 20)
    assert float(weight_share) == pytest.approx(4 / 14)


def test_a_collapsed_mask_by_hand():
    # Every layer keeps something, but no two kept weights of the first two layers meet.
    mask = network(
        ([[T, F, F], [T, F, F]], [T, T, T]),
        ([[F, F], [T, T], [T, F]], [T, T]),
        ([[T], [T]], [T]),
    )
    lives, gone, share, weight_share = paths_of(mask)
    assert bool(gone) and not np.any(np.concatenate(lives))
    # Only hidden 0 is reached, and it leads nowhere.
    assert int(first_dead_layer(mask)) == 1
    assert float(share) == float(weight_share) == 0.0


@pytest.mark.parametrize("empty", range(3))
def test_an_empty_layer_collapses_the_network(empty):
    mask = jax.tree.map(np.ones_like, FOUND)
    _, gone, share, _ = paths_of(mask)
    assert not bool(gone) and float(share) == 1.0
    mask[f"layer_{empty}"]["kernel"][:] = False
    _, gone, share, _ = paths_of(mask)
    assert bool(gone) and float(share) == 0.0


def test_one_path_is_enough():
    mask = jax.tree.map(np.zeros_like, FOUND)
    for i, edge in enumerate([(1, 2), (2, 0), (0, 0)]):
        mask[f"layer_{i}"]["kernel"][edge] = True
    _, gone, share, _ = paths_of(mask)
    assert not bool(gone)
    assert float(share) == pytest.approx(3 / 20)


@pytest.mark.parametrize("widths", [(2, 3, 1), (1, 3, 3, 2, 2)])
def test_paths_against_their_enumeration_under_vmap(widths):
    generator = np.random.default_rng(len(widths))
    masks = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *[random_mask(generator, widths, d) for d in np.linspace(0.1, 0.9, 40)],
    )
    lives, gone, share, weight_share = jax.vmap(paths_of)(masks)
    dead, count = jax.jit(jax.vmap(lambda mask: (first_dead_layer(mask), log10_paths(mask))))(masks)
    sizes = [a * b for a, b in zip(widths, widths[1:], strict=False)]
    for i in range(40):
        mask = jax.tree.map(lambda leaf, i=i: leaf[i], masks)
        expected = paths.live(mask)
        assert [set(np.flatnonzero(layer[i])) for layer in lives] == expected
        assert bool(gone[i]) == (not expected[0])
        assert bool(dead[i] >= 0) == bool(gone[i])
        assert 10.0 ** float(count[i]) == pytest.approx(len(list(paths.paths(mask))), rel=1e-4)
        assert float(share[i]) * (sum(sizes) + sum(widths[1:])) == pytest.approx(
            paths.on_paths(mask), abs=1e-3
        )
        assert float(weight_share[i]) * sum(sizes) == pytest.approx(
            paths.on_paths(mask, prune_bias=False), abs=1e-3
        )
    assert 0 < gone.sum() < 40  # both kinds occurred


def test_the_order_of_hidden_neurons_does_not_matter():
    generator = np.random.default_rng(1)
    widths = (2, 9, 8, 7, 2)
    for density in (0.15, 0.2, 0.3, 0.5):
        mask = random_mask(generator, widths, density)
        orders = [generator.permutation(width) for width in widths]
        orders[0], orders[-1] = np.arange(2), np.arange(2)
        permuted = {
            name: {
                "kernel": layer["kernel"][orders[i]][:, orders[i + 1]],
                "bias": layer["bias"][orders[i + 1]],
            }
            for i, (name, layer) in enumerate(mask.items())
        }
        lives, *measures = paths_of(mask)
        lives_permuted, *measures_permuted = paths_of(permuted)
        assert measures_permuted == measures
        for order, before, after in zip(orders, lives, lives_permuted, strict=True):
            np.testing.assert_array_equal(np.asarray(before)[order], after)


@pytest.mark.long
def test_measures_under_vmap():
    generator = np.random.default_rng(2)
    found, planted = (random_mask(generator, (2, 4, 1), 0.5, (6,)) for _ in range(2))
    scores = he_network(generator, (2, 4, 1), (6,))
    shares, areas = jax.vmap(recovery)(found, planted), jax.vmap(score_auc)(scores, planted)
    for i in range(6):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], (found, planted, scores))
        for got, expected in zip(shares, overlap(one[0], one[1]), strict=True):
            np.testing.assert_allclose(got[i], expected, rtol=1e-6)
        assert float(areas[i]) == pytest.approx(float(auc(one[2], one[1])), abs=1e-6)
