"""Mask algebra and selection against a stable sort in NumPy."""

from fractions import Fraction

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.awkward_floats import AWKWARD, INFINITY
from tests.oracles import selection as oracle
from ticketjax import masks, selection


def tree(widths, draw):
    """Parameters of a network of these widths, every leaf from draw(shape)."""
    return {
        f"layer_{i}": {"kernel": draw((n_in, n_out)), "bias": draw((n_out,))}
        for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False))
    }


def assert_same_masks(mask, expected):
    assert jax.tree.structure(mask) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(mask), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == bool
        np.testing.assert_array_equal(leaf, other)


WIDTHS = (3, 4, 1, 5, 2)


def tied_scores(generator, widths):
    return tree(widths, lambda shape: AWKWARD[generator.integers(0, 8, shape)])


@pytest.mark.parametrize("prune_bias", [True, False])
@pytest.mark.parametrize("scope", ["global", "local"])
def test_select_against_the_oracle(scope, prune_bias):
    compiled = jax.jit(
        lambda scores, density, alive: selection.select(
            selection.exclude(scores, alive), density, scope, prune_bias=prune_bias
        )
    )
    generator = np.random.default_rng(4)
    everything = tree(WIDTHS, lambda shape: np.ones(shape, bool))
    for trial in range(40):
        scores = tied_scores(generator, WIDTHS)
        alive = tree(WIDTHS, lambda shape: generator.random(shape) < 0.6)
        for density in (0.3, 0.5, generator.uniform(0.3, 1), 1.0):
            for survivors in (everything, alive):
                expected = oracle.select(scores, density, scope, prune_bias, survivors)
                mask = compiled(scores, jnp.float32(density), survivors)
                assert_same_masks(mask, expected)
        if trial == 0:
            eager = selection.select(
                selection.exclude(scores, alive), density, scope, prune_bias=prune_bias
            )
            assert_same_masks(eager, oracle.select(scores, density, scope, prune_bias, alive))


@hypothesis.given(
    scores=arrays(np.float32, 26, elements=st.sampled_from(AWKWARD)),
    alive=arrays(bool, 26),
    density=st.floats(0.05, 1),
    scope=st.sampled_from(["global", "local"]),
)
@hypothesis.settings(max_examples=50)
def test_select_keeps_exactly_what_is_asked(scores, alive, density, scope):
    shapes = {"kernel": (4, 4), "bias": (4,)}, {"kernel": (4, 1), "bias": (2,)}
    leaves = np.split(scores, [16, 20, 24]), np.split(alive, [16, 20, 24])
    scores, alive = (
        {
            f"layer_{i}": {
                "kernel": parts[2 * i].reshape(shapes[i]["kernel"]),
                "bias": parts[2 * i + 1].reshape(shapes[i]["bias"]),
            }
            for i in range(2)
        }
        for parts in leaves
    )
    mask = selection.select(selection.exclude(scores, alive), jnp.float32(density), scope)
    sizes = {"global": [26], "local": [20, 6]}[scope]
    assert int(masks.count_kept(mask)) == sum(round(density * size) for size in sizes)
    # Pruned parameters return only if all others are kept.
    groups = [list(mask)] if scope == "global" else [[name] for name in mask]
    for names in groups:
        revived = any(np.any(mask[n][p] & ~alive[n][p]) for n in names for p in mask[n])
        missing = any(np.any(~mask[n][p] & alive[n][p]) for n in names for p in mask[n])
        assert not (revived and missing)


def test_ties_go_to_the_lower_index_in_every_respect():
    scores = tree((2, 2, 2), lambda shape: jnp.zeros(shape))
    order = []
    for k in range(1, 13):
        mask = selection.select(scores, k / 12)
        flat = [
            (name, part, index)
            for name in mask
            for part in mask[name]
            for index in map(tuple, np.argwhere(mask[name][part]).tolist())
        ]
        order += [place for place in flat if place not in order]
        assert len(order) == k
    one_layer = [("kernel", (i, j)) for i in (0, 1) for j in (0, 1)] + [
        ("bias", (j,)) for j in (0, 1)
    ]
    assert order == [(f"layer_{i}", *place) for i in (0, 1) for place in one_layer]


def test_layers_beyond_the_tenth_stay_in_order():
    scores = tree((1,) * 14, lambda shape: jnp.zeros(shape))
    names = [f"layer_{i}" for i in range(13)]
    assert masks.layer_names(scores) == names
    for kept in (5, 20):
        mask = selection.select(scores, kept / 26)
        flags = [bool(mask[name][part].item()) for name in names for part in ("kernel", "bias")]
        assert flags == [True] * kept + [False] * (26 - kept)


def test_scopes_differ_where_layers_do():
    scores = {
        "layer_0": {"kernel": jnp.array([[1.0, 2.0, 3.0]]), "bias": jnp.array([4.0, 5.0, 6.0])},
        "layer_1": {"kernel": jnp.array([[7.0], [8.0], [9.0]]), "bias": jnp.array([10.0])},
    }
    everywhere, by_layer = selection.select(scores, 0.5), selection.select(scores, 0.5, "local")
    assert masks.layer_densities(everywhere).tolist() == pytest.approx([1 / 6, 1])
    assert masks.layer_densities(by_layer).tolist() == [0.5, 0.5]
    assert by_layer["layer_1"]["kernel"].ravel().tolist() == [False, False, True]


def test_without_biases_all_of_them_are_kept_and_none_is_counted():
    scores = tree((2, 3, 1), lambda shape: jnp.full(shape, 9.0 if len(shape) == 1 else 1.0))
    mask = selection.select(scores, 4 / 9, prune_bias=False)
    assert mask["layer_0"]["kernel"].tolist() == [[True, True, True], [True, False, False]]
    assert not np.any(mask["layer_1"]["kernel"])
    assert all(np.all(layer["bias"]) for layer in mask.values())
    assert int(masks.count_kept(mask, prune_bias=False)) == 4


@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_traced_density_selects_what_a_number_does(scope):
    generator = np.random.default_rng(5)
    scores = tree((5, 30, 5), lambda shape: generator.integers(0, 4, shape).astype(np.float32))
    densities = [0.05, 0.1, 0.3, 1 / 3, 0.5, 1.0]  # 0.3 of 335 parameters is 100.5
    batched = jax.jit(jax.vmap(lambda d: selection.select(scores, d, scope)))(jnp.array(densities))
    for i, density in enumerate(densities):
        expected = selection.select(scores, density, scope)
        assert_same_masks(jax.tree.map(lambda leaf, i=i: leaf[i], batched), expected)


def test_select_under_vmap_over_scores_and_densities():
    generator = np.random.default_rng(6)
    scores = tree(WIDTHS, lambda shape: AWKWARD[generator.integers(0, 19, (8, *shape))])
    densities = np.linspace(0.1, 1, 8)
    batched = jax.vmap(selection.select)(scores, jnp.asarray(densities, jnp.float32))
    for i, density in enumerate(densities):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], scores)
        mask = jax.tree.map(lambda leaf, i=i: leaf[i], batched)
        assert_same_masks(mask, oracle.select(one, density, "global"))


@pytest.mark.parametrize("prune_bias", [True, False])
def test_the_oracle_scope_gives_every_layer_its_share_of_the_ticket(prune_bias):
    generator = np.random.default_rng(8)
    widths = (2, 10, 10, 4)
    scores = tree(widths, lambda shape: generator.standard_normal(shape, np.float32))
    sizes = [a * b + prune_bias * b for a, b in zip(widths, widths[1:], strict=False)]
    ticket = (4, 4, 12)
    for density in (sum(ticket) / sum(sizes), 0.05, 0.31, 0.5, 1.0):
        # What a layer cannot use is not given to the others.
        exact = [Fraction(density) * sum(sizes) * count / sum(ticket) for count in ticket]
        expected = [min(round(share), size) for share, size in zip(exact, sizes, strict=True)]
        for asked in (density, jnp.float32(density)):
            mask = selection.select(
                scores, asked, selection.LayerBudgets(ticket), prune_bias=prune_bias
            )
            kept = masks.layer_densities(mask, prune_bias) * np.array(sizes)
            assert np.round(kept).astype(int).tolist() == expected
            parts = ("kernel", "bias") if prune_bias else ("kernel",)
            for name, count in zip(mask, expected, strict=True):
                flat, flags = (
                    np.concatenate([np.ravel(tree[name][part]) for part in parts])
                    for tree in (scores, mask)
                )
                np.testing.assert_array_equal(flags, oracle.top_k(flat, count))
    with pytest.raises(ValueError, match="oracle"):
        selection.select(scores, 0.5, "oracle")
    with pytest.raises(ValueError, match="budgets for 2 layers, not 3"):
        selection.select(scores, 0.5, selection.LayerBudgets((1, 2)))


@pytest.mark.parametrize("worst", [np.nan, -INFINITY, np.finfo(np.float32).min])
def test_what_is_pruned_ranks_below_the_worst_that_is_alive(worst):
    scores = tree((2, 2), lambda shape: np.full(shape, worst, np.float32))
    alive = tree((2, 2), lambda shape: np.zeros(shape, bool))
    alive["layer_0"]["bias"][1] = True
    assert_same_masks(selection.select(selection.exclude(scores, alive), 1 / 6), alive)


def test_exclude_leaves_the_order_of_the_others():
    scores = {
        "layer_0": {"kernel": jnp.array([[1.0, -2.0, 0.0]]), "bias": jnp.array([5.0, -0.0, 3e-39])}
    }
    alive = {"layer_0": {"kernel": jnp.array([[True, False, True]]), "bias": jnp.array([True] * 3)}}
    excluded = selection.exclude(scores, alive)["layer_0"]
    assert excluded["kernel"].tolist() == [[1.0, -INFINITY, 0.0]]
    assert np.array_equal(
        np.asarray(excluded["bias"]).view(np.uint32),
        np.asarray(scores["layer_0"]["bias"]).view(np.uint32),
    )


def test_an_unknown_scope_is_refused():
    scores = tree((1, 1), jnp.zeros)
    with pytest.raises(ValueError, match="scope must be one of global, local, oracle, got 'layer'"):
        selection.select(scores, 0.5, "layer")


@pytest.mark.parametrize("density", [0, 1.5, 0.01])
def test_a_density_that_is_none_is_refused_by_select(density):
    with pytest.raises(ValueError, match="density"):
        selection.select(tree((2, 2), jnp.zeros), density)


# Algebra

TARGET = {
    "layer_0": {"kernel": np.array([[1.0, 0.0], [0.0, -2.0]]), "bias": np.array([0.0, 0.5])},
    "layer_1": {"kernel": np.array([[3.0], [0.0]]), "bias": np.array([0.0])},
}


def test_counts_and_densities_of_a_hand_worked_mask():
    mask = masks.nonzero_mask(TARGET)
    assert mask["layer_0"]["kernel"].tolist() == [[True, False], [False, True]]
    assert masks.depth(TARGET) == 3
    assert masks.count_prunable(TARGET) == 9
    assert masks.count_prunable(TARGET, prune_bias=False) == 6
    assert int(masks.count_kept(mask)) == 4
    assert int(masks.count_kept(mask, prune_bias=False)) == 3
    assert float(masks.density(mask)) == pytest.approx(4 / 9)
    assert float(masks.density(mask, prune_bias=False)) == 0.5
    assert masks.layer_densities(mask).tolist() == pytest.approx([3 / 6, 1 / 3])
    assert masks.layer_densities(mask, prune_bias=False).tolist() == [0.5, 0.5]


def test_ticket_density_counts_the_mother_network():
    mother = tree((2, 10, 1), lambda shape: jnp.ones(shape))
    assert masks.ticket_density(TARGET, mother) == 4 / (20 + 10 + 10 + 1)
    assert masks.ticket_density(TARGET, mother, prune_bias=False) == 3 / 30


def test_a_ticket_density_selects_as_many_as_the_ticket_has():
    generator = np.random.default_rng(7)
    mother = tree((2, 100, 100, 4), lambda shape: generator.standard_normal(shape, np.float32))
    for kept in (1, 4, 108, 5_000):
        target = tree((2, 100, 100, 4), lambda shape: np.zeros(shape))
        target["layer_1"]["kernel"].flat[:kept] = 1.0
        density = masks.ticket_density(target, mother)
        assert int(masks.count_kept(selection.select(mother, density))) == kept
        assert int(masks.count_kept(selection.select(mother, jnp.float32(density)))) == kept


def test_a_mask_stops_even_infinities_and_nan():
    params = {
        "layer_0": {"kernel": jnp.array([[np.nan, 2.0]]), "bias": jnp.array([INFINITY, -1.0])}
    }
    mask = {"layer_0": {"kernel": jnp.array([[False, True]]), "bias": jnp.array([False, True])}}
    assert masks.apply_mask(params, mask)["layer_0"]["kernel"].tolist() == [[0.0, 2.0]]
    assert masks.apply_mask(params, mask)["layer_0"]["bias"].tolist() == [0.0, -1.0]


def test_the_full_mask_changes_nothing():
    params = tree((2, 3, 1), lambda shape: jnp.ones(shape))
    full = masks.full_mask(params)
    assert float(masks.density(full)) == 1.0
    assert all(leaf.dtype == bool for leaf in jax.tree.leaves(full))
    assert_same_masks(masks.nonzero_mask(masks.apply_mask(params, full)), full)


def test_everything_kept_is_exactly_one_in_a_compiled_program():
    # 20,904 parameters: count / size is 0.99999994 where XLA multiplies by the inverse.
    sizes = [(2, 100), (100, 100), (100, 100), (100, 4)]
    mask = {
        f"layer_{i}": {"kernel": jnp.ones(shape, bool), "bias": jnp.ones(shape[1], bool)}
        for i, shape in enumerate(sizes)
    }
    assert float(jax.jit(masks.density)(mask)) == 1.0
    assert jax.vmap(masks.layer_densities)(jax.tree.map(lambda m: m[None], mask)).tolist() == [
        [1.0] * 4
    ]


def test_a_small_layer_may_keep_none_under_a_local_budget():
    scores = {
        "layer_0": {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(1)},
        "layer_1": {"kernel": jnp.ones((10, 10)), "bias": jnp.ones(10)},
    }
    plain = selection.select(scores, 0.1, "local")
    traced = jax.jit(lambda d: selection.select(scores, d, "local"))(0.1)
    assert_same_masks(plain, traced)
    assert int(masks.count_kept(plain)) == 11


def test_a_word_is_no_density_for_select():
    with pytest.raises(ValueError, match="density must be a number here, got 'ticket'"):
        selection.select({"layer_0": {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(1)}}, "ticket")


def _digests_apart(flat):
    """For masks (n, parameters): their number, the number of different digests, and the digests."""

    def of(row):
        return masks.digest({"layer_0": {"kernel": row[:-3].reshape(4, -1), "bias": row[-3:]}})

    words = np.asarray(jax.jit(jax.vmap(of))(flat))
    assert words.dtype == np.uint32
    return len(np.unique(words, axis=0)), len(np.unique(flat, axis=0)), words


def test_masks_that_differ_have_other_digests_and_equal_ones_the_same():
    size = 43
    one = np.eye(size, dtype=bool)
    pairs = np.array([one[i] | one[j] for i in range(size) for j in range(i)])
    drawn = np.random.default_rng(0).random((4000, size)) < 0.5
    every = np.concatenate([one, pairs, ~one, ~pairs, drawn, drawn, np.zeros((1, size), bool)])
    digests, different, words = _digests_apart(every)
    assert digests == different
    # No word is the same for all masks, and none repeats another word.
    assert all(len(np.unique(column)) > 0.9 * different for column in words.T)
    assert len(np.unique(words[:size].ravel())) == 4 * size
