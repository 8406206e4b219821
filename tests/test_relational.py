"""The relational audit: it detects ratios that single entries hide, and nothing in random masks."""

import numpy as np
import pytest

from tests.oracles.networks import he_network
from ticketjax.measure import relational
from ticketjax.measure.relational import FEATURES, features, known_rows_auc, relational_audit

SIZES = (2, 20, 16, 4)


def networks(count, change=None):
    """Random networks with a mask of some weights; `change` may modify the masked ones."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(count):
        params = he_network(draw, SIZES, ())
        mask = {
            name: {part: np.zeros(leaf.shape, bool) for part, leaf in layer.items()}
            for name, layer in params.items()
        }
        mask["layer_1"]["kernel"] = draw.random((20, 16)) < 0.1
        rows = draw.permutation(16)[:5]
        mask["layer_2"]["kernel"][rows] = True
        if change:
            params = {name: {p: leaf.copy() for p, leaf in params[name].items()} for name in params}
            change(draw, params, rows)
        found.append((params, mask))
    return found


def doubling(draw, params, rows):
    """Rows in the ratio 1 : 2 : 4 : 8; each has a size of the same distribution as the others."""
    kernel = params["layer_2"]["kernel"]
    scales = kernel[rows, 0] / 3
    kernel[rows] = scales[:, None] * np.array([1.0, 2, 4, 8])


def test_masks_drawn_blindly_are_hidden():
    result = relational_audit(networks(30))
    # Nothing is planted in the first layer.
    assert np.isnan(result.layers[0])
    # 30 networks of 32 and 20 planted weights; whole rows are planted.
    assert abs(result.layers[1] - 0.5) < 0.05
    assert abs(result.layers[2] - 0.5) < 0.12


def test_ratios_are_seen_that_sizes_do_not_show():
    made = networks(30, doubling)
    assert relational_audit(made).layers[2] > 0.95
    wins = []
    for params, mask in made:
        sizes, planted = np.abs(params["layer_2"]["kernel"]), mask["layer_2"]["kernel"]
        wins.append(np.mean(sizes[planted][:, None] > sizes[~planted]))
    assert abs(np.mean(wins) - 0.5) < 0.15


def test_features_by_hand():
    params = {
        "layer_0": {"kernel": np.array([[1.0, -2.0, 3.0], [2.0, 2.0, 0.5]]), "bias": [0.0, 4.0, 1]},
        "layer_1": {"kernel": np.array([[3.0], [4.0], [0.0]]), "bias": np.zeros(1)},
    }
    of = dict(zip(FEATURES, features(params, 0).T.reshape(-1, 2, 3), strict=True))
    np.testing.assert_allclose(of["size"], np.log(np.abs(params["layer_0"]["kernel"])), atol=1e-9)
    np.testing.assert_array_equal(of["rank in row"], [[0, 0.5, 1], [0.5, 1, 0]])
    np.testing.assert_array_equal(of["rank in column"], [[0, 0, 1], [1, 1, 0]])
    np.testing.assert_allclose(np.expm1(of["doubles in row"]), [[1, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(np.expm1(of["equals in row"]), [[0, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(np.expm1(of["doubles in column"]), [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(of["signs of row"][:, 0], [1 / 3**0.5, 3 / 3**0.5])
    np.testing.assert_array_equal(of["bias is 0"], [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(of["size over bias"][:, 1], np.log([0.5, 0.5]), atol=1e-9)
    np.testing.assert_allclose(of["norm after"][0, :2], np.log([3, 4]), atol=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_ratios_are_counted_as_pair_by_pair(ratio):
    sizes = 2.0 ** np.random.default_rng(0).integers(0, 4, (6, 8)) * 1.7
    counts = relational._alike(sizes, ratio)
    quotients = sizes[:, :, None] / sizes[:, None]
    pairs = np.isclose(quotients, ratio) | np.isclose(quotients, 1 / ratio)
    np.testing.assert_array_equal(counts, pairs.sum(axis=2) - (ratio == 1))


def test_who_knows_the_task_knows_its_rows():
    def known(draw, params, rows):
        params["layer_2"]["kernel"][rows] = draw.uniform(0.1, 1, (5, 1)) * [1, -2, 0.5, 3]

    ((params, mask),) = networks(1, known)
    target = {"layer_0": {"kernel": np.array([[2.0, -4, 1, 6], [0, 0, 0, 0]])}}
    assert known_rows_auc(params, mask, [target]) == 1.0
    other = {"layer_0": {"kernel": np.array([[1.0, 0, 0, 0]])}}
    assert known_rows_auc(params, mask, [other]) < 1


def test_too_few_networks_are_refused():
    with pytest.raises(ValueError, match="folds must be in 2..3, the number of networks, got 5"):
        relational_audit(networks(3))
