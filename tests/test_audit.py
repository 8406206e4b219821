"""The audit against hand-worked networks, SciPy's two-sample test and the library's AUC."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests.oracles.networks import he_network
from ticketjax.base import Layer, Model, Planted
from ticketjax.measure.audit import audit
from ticketjax.measure.quality import score_auc

SEEDS = 200
GENERATOR = np.random.default_rng(0)
NETWORKS = he_network(GENERATOR, (2, 12, 10, 3), (SEEDS,))
MASKS = jax.tree.map(lambda leaf: GENERATOR.random(leaf.shape) < 0.3, NETWORKS)


def single(kernel, bias, kernel_mask, bias_mask):
    """One layer of two inputs and four neurons; all have one shape, so it is compiled once."""
    params = {"layer_0": {"kernel": jnp.array(kernel, float), "bias": jnp.array(bias, float)}}
    mask = {"layer_0": {"kernel": jnp.array(kernel_mask) == 1, "bias": jnp.array(bias_mask) == 1}}
    assert params["layer_0"]["kernel"].shape == (2, 4)
    result = jax.tree.map(np.asarray, audit(Planted(params, mask, jnp.ones(()))))
    return jax.tree.map(lambda leaf: leaf[0], result.layers), result


def test_weights_by_hand():
    layer, result = single(
        [[3, -8, 1, 1], [2, 5, 1, -2]], np.zeros(4), [[1, 1, 0, 0], [1, 0, 0, 0]], np.zeros(4)
    )
    # |planted| 3, 8, 2 against 5, 1, 1, 1, 2: each wins over 1, 1, 1; 2 ties; 8 beats 5.
    np.testing.assert_allclose(layer.weight_auc, (4 + 5 + 3.5) / 15, rtol=1e-6)
    # Signed 3, -8, 2 against 5, 1, 1, 1, -2.
    np.testing.assert_allclose(layer.weight_sign_auc, (4 + 0 + 4) / 15, rtol=1e-6)
    # Powers of two end in the most zero bits, 3 = 0b11 in one more than 5 = 0b101. 3 beats only 5,
    # and so do 8 and 2, which tie with the four others.
    np.testing.assert_allclose(layer.round_weight_auc, (1 + 2 * (1 + 4 / 2)) / 15, rtol=1e-6)
    # Background 5, 1, 1, 1, -2: mean square 32 / 5.
    np.testing.assert_allclose(layer.largest_weight, 8 / np.sqrt(32 / 5), rtol=1e-6)
    # Below 2: none of the planted, three of the five.
    np.testing.assert_allclose(layer.weight_distance, 3 / 5, rtol=1e-6)
    np.testing.assert_allclose(result.overall.weight_auc, layer.weight_auc, rtol=1e-6)
    np.testing.assert_allclose(result.pooled_weight_auc, layer.weight_auc, rtol=1e-6)
    # Neurons 0 and 1 are planted.
    assert layer.index_auc == 0
    # Both inputs have planted weights, so there is nothing to compare.
    assert layer.row_norm_auc == 0.5
    # Norms sqrt(13), sqrt(89) against sqrt(2), sqrt(5).
    assert layer.column_norm_auc == 1


def test_biases_by_hand():
    layer, result = single(
        [[1, 1, 1, 1], [1, 9, 1, 1]], [3, 0, 0, -1], [[0, 0, 0, 0], [0, 0, 1, 1]], [0, 0, 0, 1]
    )
    np.testing.assert_allclose(layer.bias_auc, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(layer.bias_sign_auc, 0, rtol=1e-6)
    # Two of the three others are 0, the planted one is not.
    np.testing.assert_allclose(layer.zero_bias_auc, 1 / 3 / 2, rtol=1e-6)
    # It ends in more zero bits than 3, and in as many as 0.
    np.testing.assert_allclose(layer.round_bias_auc, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(layer.largest_bias, 1 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(layer.bias_distance, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(result.pooled_bias_auc, layer.bias_auc, rtol=1e-6)
    # Neurons 2 and 3 are planted; input 1 is, and its row is the larger one.
    assert layer.index_auc == 1
    assert layer.row_norm_auc == 1
    # Norms sqrt(2) twice, against sqrt(2) and sqrt(82).
    np.testing.assert_allclose(layer.column_norm_auc, 1 / 4, rtol=1e-6)


def test_without_background_or_without_ticket_there_is_nothing_to_tell():
    everything, nothing = np.ones((2, 4)), np.zeros((2, 4))
    layer, result = single(4 * everything, [1, 2, 3, 4], everything, np.ones(4))
    # mlp() draws both from N(0, 2 / 2).
    assert (layer.largest_weight, layer.largest_bias) == (4, 4)
    empty, _ = single(everything, np.ones(4), nothing, np.zeros(4))
    assert (empty.largest_weight, empty.largest_bias) == (0, 0)
    for traces in (layer, empty, result.overall):
        for name, value in traces._asdict().items():
            if name.endswith("auc"):
                assert value == 0.5
            if name.endswith("distance"):
                assert value == 0
            if name.endswith("p_value"):
                assert value == 1


def test_a_filter_is_a_neuron_and_a_channel_a_row():
    generator = np.random.default_rng(1)
    # Two filters without biases read three channels; a dense layer reads two places of the image.
    kernels = [generator.normal(size=shape) for shape in ((3, 3, 3, 2), (4, 5))]
    marks = [generator.random(kernel.shape) < 0.3 for kernel in kernels]
    bias, bias_mask = generator.normal(size=5), generator.random(5) < 0.5
    params = {"conv": {"kernel": kernels[0]}, "dense": {"kernel": kernels[1], "bias": bias}}
    mask = {"conv": {"kernel": marks[0]}, "dense": {"kernel": marks[1], "bias": bias_mask}}
    model = Model(None, None, (Layer("conv", 0, 1), Layer("dense", 1, 2)))
    layers = audit(Planted(params, mask, 1.0), model=model).layers

    def auc(values, planted):
        wins = np.subtract.outer(values[planted], values[~planted])
        return np.mean((wins > 0) + (wins == 0) / 2) if wins.size else 0.5

    for i, (kernel, planted) in enumerate(zip(kernels, marks, strict=True)):
        sizes = np.abs(kernel)
        np.testing.assert_allclose(layers.weight_auc[i], auc(sizes, planted), rtol=1e-5)
        # Channels lie next to each other in a dense layer's rows.
        places = kernel.reshape(-1, 3 - i, kernel.shape[-1])
        of_place = planted.reshape(places.shape)
        rows, columns = (np.sqrt((places**2).sum(axis)) for axis in ((0, 2), (0, 1)))
        neurons = of_place.any((0, 1)) | (bias_mask if i else False)
        row_auc = auc(rows, of_place.any((0, 2)))
        np.testing.assert_allclose(layers.row_norm_auc[i], row_auc, rtol=1e-5)
        np.testing.assert_allclose(layers.column_norm_auc[i], auc(columns, neurons), rtol=1e-5)
        largest = sizes[planted].max() / np.sqrt(np.mean(kernel[~planted] ** 2))
        np.testing.assert_allclose(layers.largest_weight[i], largest, rtol=1e-5)
    np.testing.assert_allclose(layers.bias_auc, [0.5, auc(np.abs(bias), bias_mask)], rtol=1e-5)


def test_a_network_without_biases_has_none_that_stand_out():
    generator = np.random.default_rng(0)
    params = {name: {"kernel": generator.normal(size=(4, 4))} for name in ("a", "b")}
    mask = jax.tree.map(lambda leaf: leaf > 0.5, params)
    model = Model(None, None, (Layer("a", 0, 1), Layer("b", 1, 2)))
    result = audit(Planted(params, mask, 1.0), model=model)
    for traces in (result.layers, result.overall):
        for auc in (traces.bias_auc, traces.bias_sign_auc, traces.zero_bias_auc):
            np.testing.assert_array_equal(auc, 0.5)
        assert np.all(traces.index_auc != 0.5)
    assert result.pooled_bias_auc == 0.5
    assert result.pooled_weight_auc > 0.5


@pytest.fixture(scope="module")
def audited():
    planted = Planted(NETWORKS, MASKS, np.ones(SEEDS, np.float32))
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(audit))(planted))


def test_layers_against_scipy_and_numpy(audited):
    for seed in range(5):
        one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], (NETWORKS, MASKS, audited))
        for i, name in enumerate(sorted(NETWORKS)):
            for part, prefix in (("kernel", "weight"), ("bias", "bias")):
                sizes, marks = np.abs(one[0][name][part]).ravel(), one[1][name][part].ravel()
                planted, background = sizes[marks], sizes[~marks]
                if not len(planted) or not len(background):
                    continue
                traces = {k: v[i] for k, v in one[2].layers._asdict().items()}
                wins = np.mean(planted[:, None] > background)
                np.testing.assert_allclose(traces[f"{prefix}_auc"], wins, atol=1e-6)
                expected = scipy.stats.ks_2samp(planted, background, method="asymp")
                np.testing.assert_allclose(
                    traces[f"{prefix}_distance"], expected.statistic, atol=1e-6
                )
                if min(len(planted), len(background)) >= 5:
                    np.testing.assert_allclose(
                        traces[f"{prefix}_p_value"], expected.pvalue, atol=0.06
                    )


def test_overall_is_the_average_of_what_is_planted_and_the_worst_layer(audited):
    counts = np.stack([MASKS[name]["kernel"].sum(axis=(1, 2)) for name in sorted(MASKS)], axis=1)
    expected = np.average(audited.layers.weight_auc, axis=1, weights=counts)
    np.testing.assert_allclose(audited.overall.weight_auc, expected, rtol=1e-5)
    np.testing.assert_allclose(
        audited.overall.largest_weight, audited.layers.largest_weight.max(axis=1)
    )
    smallest = np.minimum(1, 3 * audited.layers.weight_p_value.min(axis=1))
    np.testing.assert_allclose(audited.overall.weight_p_value, smallest, rtol=1e-6)


def test_pooled_ranks_all_layers_together(audited):
    sizes = jax.tree.map(np.abs, NETWORKS)
    one = jax.tree.map(lambda leaf: leaf[0], (sizes, MASKS))
    expected = score_auc(*one, prune_bias=False)
    np.testing.assert_allclose(audited.pooled_weight_auc[0], expected, atol=1e-6)


def test_masks_drawn_blindly_are_hidden(audited):
    # 200 networks of 174 weights, 52 planted: the mean AUC has a deviation of 0.0033.
    assert abs(audited.overall.weight_auc.mean() - 0.5) < 0.012
    for name, value in audited.overall._asdict().items():
        if name.endswith("auc"):
            assert abs(value.mean() - 0.5) < 0.05, name
    # A test at the level 0.05 rejects at most that often, but for the 200 draws' own chance.
    assert np.mean(audited.overall.weight_p_value < 0.05) < 0.1
    assert np.mean(audited.overall.bias_p_value < 0.05) < 0.1
