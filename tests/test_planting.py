"""Planting against Algorithm 1 in plain Python, and against the target in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import algorithm_1
from tests.oracles.forward import forward, layers, masked
from tests.oracles.networks import he_network, sparse_network
from ticketjax.networks.mlp import mlp
from ticketjax.planting.plant import plant
from ticketjax.planting.writing import lots_of
from ticketjax.tasks import TASKS, get_task

SEEDS = 3


def every(batched):
    """The single results of a vmapped call, as NumPy."""
    batched = jax.tree.map(np.asarray, batched)
    count = jax.tree.leaves(batched)[0].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], batched) for i in range(count)]


def same_bits(one, other):
    return np.array_equal(np.asarray(one).view(np.uint32), np.asarray(other).view(np.uint32))


def assert_planted(target, mother, planted, inputs, zero_path_biases=False):
    """Check all guarantees of planting, except the choice of neurons."""
    params, mask, scale = planted
    assert scale.shape == () and scale.dtype == np.float32 and scale > 0
    # Exact.
    wanted = forward(target, inputs)
    error = np.abs(forward(masked(params, mask), inputs) * float(scale) - wanted).max()
    assert error < 1e-5 * np.abs(wanted).max()
    for i, (kernel, bias) in enumerate(layers(target)):
        layer, marks, before = params[f"layer_{i}"], mask[f"layer_{i}"], mother[f"layer_{i}"]
        for part, of_target in (("kernel", kernel), ("bias", bias)):
            assert marks[part].dtype == bool and layer[part].dtype == np.float32
            # The mask is the support: as many, of the same signs (factors are positive), no zeros.
            values = layer[part][marks[part]]
            assert np.sum(values > 0) == np.sum(of_target > 0)
            assert np.sum(values < 0) == np.sum(of_target < 0)
            assert marks[part].sum() == np.count_nonzero(of_target)
            # The rest is the mother's, bit for bit.
            untouched = ~marks[part]
            if part == "bias" and zero_path_biases:
                untouched &= ~marks["kernel"].any(axis=0)
            assert same_bits(layer[part][untouched], before[part][untouched])
        # One mother neuron for each target neuron: the in-degrees are the same.
        degrees = marks["kernel"].sum(axis=0) + marks["bias"]
        expected = np.count_nonzero(kernel, axis=0) + (bias != 0)
        assert sorted(degrees[degrees > 0]) == sorted(expected[expected > 0])
    # Planted weights join planted neurons: those of one layer are the sources of the next.
    for i in range(len(mask) - 1):
        fed = mask[f"layer_{i}"]["kernel"].any(axis=0) | mask[f"layer_{i}"]["bias"]
        used = mask[f"layer_{i + 1}"]["kernel"].any(axis=1)
        idle = np.sum(~layers(target)[i][0].any(axis=0) & (layers(target)[i][1] == 0))
        assert np.sum(used & ~fed) <= idle


# Against Algorithm 1


@pytest.mark.parametrize(
    "target_widths, mother_widths",
    [((2, 3, 3, 2, 3), (2, 9, 3, 7, 3)), ((3, 2), (3, 2))],
)
def test_choice_of_neurons_and_values_are_those_of_algorithm_1(target_widths, mother_widths):
    generator = np.random.default_rng(len(mother_widths))
    density = np.repeat([0.4, 0.7, 1.0], 10)
    targets = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *[sparse_network(generator, target_widths, share) for share in density],
    )
    # If the target has no parameter in the output layer, this layer has no scale.
    targets[f"layer_{len(target_widths) - 2}"]["bias"][:, 0] = 1.0
    mothers = he_network(generator, mother_widths, density.shape)
    planted = every(jax.vmap(plant)(targets, mothers))
    chosen = set()
    for target, mother, (params, mask, scale) in zip(
        every(targets), every(mothers), planted, strict=True
    ):
        expected_params, expected_mask, expected_scale = algorithm_1.plant(target, mother)
        for name in mother:
            for part in ("kernel", "bias"):
                np.testing.assert_array_equal(mask[name][part], expected_mask[name][part])
                np.testing.assert_allclose(
                    params[name][part], expected_params[name][part], rtol=1e-5
                )
        assert float(scale) == expected_scale
        chosen |= set(algorithm_1.place(target, mother)[0][0])
        inputs = generator.uniform(-1, 1, (100, mother_widths[0]))
        assert_planted(target, mother, (params, mask, scale), inputs)
    # Every neuron, including the first and the last, is used by some seed.
    assert chosen == set(range(mother_widths[1]))


def two_in_three(kernel, bias, out, out_bias=0.0):
    """One hidden layer; all have the same shapes, so that planting is compiled once."""
    params = {
        "layer_0": {"kernel": jnp.array(kernel, float), "bias": jnp.array(bias, float)},
        "layer_1": {"kernel": jnp.array(out, float)[:, None], "bias": jnp.array([out_bias])},
    }
    assert params["layer_0"]["kernel"].shape in ((2, 2), (2, 3))
    return params


def random_mothers(generator, count):
    return every(he_network(generator, (2, 3, 1), (count,)))


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


SQUARE = np.random.default_rng(7).uniform(-1, 1, (50, 2)).astype(np.float32)


def test_the_neuron_of_highest_in_degree_chooses_first():
    # (3, 4) fits (3, 4) best. So does (0, 1), by only the second input, where every neuron but the
    # last fits equally well. The harder target neuron comes first, although it is the second.
    target = two_in_three([[0, 3], [1, 4]], [0, 0], [1, 1])
    mother = two_in_three([[3, 4, 0], [4, 3, 0]], [0, 0, 0], [1, 1, 1])
    mask = plant(target, mother).mask["layer_0"]["kernel"]
    assert mask.tolist() == [[True, False, False], [True, True, False]]
    mother = two_in_three([[4, 0, 3], [3, 0, 4]], [0, 0, 0], [1, 1, 1])
    mask = plant(target, mother).mask["layer_0"]["kernel"]
    assert mask.tolist() == [[False, False, True], [True, False, True]]


def test_the_bias_counts_in_in_degree_and_cosine():
    # (weight, bias) = (1, 1) is harder than (1, 0), and fits (2, 2) best.
    target = two_in_three([[1, 1], [0, 0]], [0, 1], [1, 1])
    mother = two_in_three([[2, 2, 0.5], [9, 9, 9]], [2, -1, -1], [1, 1, 1])
    planted = plant(target, mother)
    assert planted.mask["layer_0"]["bias"].tolist() == [True, False, False]
    assert planted.params["layer_0"]["bias"].tolist() == [2, -1, -1]
    assert planted.params["layer_0"]["kernel"].tolist() == [[2, 2, 0.5], [9, 9, 9]]
    # Each hidden neuron's output is twice the target's, for which the next layer compensates.
    assert float(planted.output_scale) == 0.5
    assert planted.params["layer_1"]["kernel"].tolist() == [[1], [1], [1]]


def test_a_lone_parameter_of_the_right_sign_stays_as_it_is():
    target = two_in_three([[-3, 0], [0, 0.5]], [0, 0], [2, -1])
    unchanged = 0
    for mother in random_mothers(np.random.default_rng(0), 20):
        planted = as_numpy(plant(target, mother))
        assert_planted(target, mother, planted, SQUARE)
        kernel = mother["layer_0"]["kernel"]
        # The first neuron finds its sign; so does the second, unless the first took the last one.
        if np.any(kernel[0] < 0) and np.sum(kernel[1] > 0) > 1:
            assert same_bits(planted.params["layer_0"]["kernel"], kernel)
            unchanged += 1
    assert unchanged > 5


def test_factors_are_positive_where_no_neuron_has_the_right_sign():
    target = two_in_three([[-1, 1], [-2, 0]], [-0.5, 0], [1, -1], 0.25)
    mother = as_numpy(two_in_three([[1, 2, 3], [4, 5, 6]], [1, 2, 3], [1, 2, 3], -1.0))
    assert_planted(target, mother, as_numpy(plant(target, mother)), SQUARE)


@pytest.mark.parametrize("fill", [0.0, 1.0, -1.0])
def test_a_mother_without_any_variety(fill):
    target = two_in_three([[-1, 2], [0.5, 0]], [0.5, 0], [1, -1], 0.25)
    mother = as_numpy(two_in_three([[fill] * 3] * 2, [fill] * 3, [fill] * 3, fill))
    assert_planted(target, mother, as_numpy(plant(target, mother)), SQUARE)


def test_neurons_without_parameters_take_a_place_of_which_nothing_is_marked():
    target = two_in_three([[0, -1], [0, 2]], [0, 0.5], [7, -1])
    for mother in random_mothers(np.random.default_rng(1), 5):
        planted = as_numpy(plant(target, mother))
        assert_planted(target, mother, planted, SQUARE)
        assert planted.mask["layer_0"]["kernel"].any(axis=0).sum() == 1
        assert planted.mask["layer_1"]["kernel"].sum() == 2


def test_a_target_without_parameters_is_planted_nowhere():
    target = two_in_three([[0, 0], [0, 0]], [0, 0], [0, 0])
    mother = random_mothers(np.random.default_rng(6), 1)[0]
    planted = as_numpy(plant(target, mother))
    assert not any(leaf.any() for leaf in jax.tree.leaves(planted.mask))
    assert jax.tree.all(jax.tree.map(same_bits, planted.params, mother))
    assert planted.output_scale > 0


@pytest.mark.parametrize("power", [-12, 12])
def test_magnitudes_far_from_one(power):
    generator = np.random.default_rng(2)
    target = sparse_network(generator, (2, 2, 1), 1.0)
    for mother in random_mothers(generator, 5):
        mother = jax.tree.map(lambda leaf: (leaf * 10.0**power).astype(np.float32), mother)
        assert_planted(target, mother, as_numpy(plant(target, mother)), SQUARE)


# The tasks' tickets


# The widest hidden layer at depth 5, which no ticket of another depth exceeds.
NARROWEST = {"relu": 1, "circle": 20, "helix": 30}


def mothers_of(task, depth, width, seeds):
    widths = [task.inputs, *[width] * (depth - 2), task.outputs]
    return he_network(np.random.default_rng(depth), widths, (seeds,))


def inputs_of(task, count=2_000):
    return np.random.default_rng(3).uniform(-1, 1, (count, task.inputs)).astype(np.float32)


@pytest.mark.parametrize(
    "depth",
    [3, 5, 10, *(pytest.param(depth, marks=pytest.mark.long) for depth in (4, 6, 7, 8, 9))],
)
@pytest.mark.parametrize("name", TASKS)
def test_tickets_in_the_narrowest_network_that_fits(name, depth):
    task = TASKS[name]
    target, mothers = task.ticket(depth), mothers_of(task, depth, NARROWEST[name], SEEDS)
    planted = jax.vmap(functools.partial(plant, target))(mothers)
    for mother, one in zip(every(mothers), every(planted), strict=True):
        assert_planted(target, mother, one, inputs_of(task))


def test_a_ticket_in_a_wide_network():
    task = get_task("circle")
    target, mothers = task.ticket(4), mothers_of(task, 4, 1_000, 1)
    planted = every(jax.vmap(functools.partial(plant, target))(mothers))
    assert_planted(target, *every(mothers), *planted, inputs_of(task, 500))


def test_relu_at_depth_two_has_no_hidden_neuron():
    task = get_task("relu")
    target, mothers = task.ticket(2), mothers_of(task, 2, 100, SEEDS)
    planted = jax.vmap(functools.partial(plant, target))(mothers)
    for mother, one in zip(every(mothers), every(planted), strict=True):
        assert_planted(target, mother, one, inputs_of(task))


@pytest.mark.parametrize("name", ["relu", "circle"])
def test_path_biases_can_be_zeroed_so_that_masks_need_not_prune_them(name):
    task, depth = TASKS[name], 3
    target, mothers = task.ticket(depth), mothers_of(task, depth, 40, SEEDS)
    planted = jax.vmap(functools.partial(plant, target, zero_path_biases=True))(mothers)
    inputs = inputs_of(task)
    wanted = forward(target, inputs)
    for mother, one in zip(every(mothers), every(planted), strict=True):
        assert_planted(target, mother, one, inputs, zero_path_biases=True)
        with_biases = {
            layer: {"kernel": marks["kernel"], "bias": np.ones_like(marks["bias"])}
            for layer, marks in one.mask.items()
        }
        outputs = forward(masked(one.params, with_biases), inputs) * float(one.output_scale)
        assert np.abs(outputs - wanted).max() < 1e-5 * np.abs(wanted).max()


# Transformations


def assert_same_planting(one, other):
    for leaf, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if leaf.dtype == bool:
            np.testing.assert_array_equal(leaf, expected)
        else:
            np.testing.assert_allclose(leaf, expected, rtol=1e-6)


def test_jit_vmap_and_pmap_over_targets_and_mothers_are_a_loop():
    generator = np.random.default_rng(4)
    targets = sparse_network(generator, (2, 2, 1), 0.7, (4,))
    mothers = he_network(generator, (2, 3, 1), (4,))
    one_by_one = [plant(*pair) for pair in zip(every(targets), every(mothers), strict=True)]
    for transformed in (jax.vmap(plant), jax.jit(jax.vmap(plant)), jax.pmap(plant)):
        for one, expected in zip(every(transformed(targets, mothers)), one_by_one, strict=True):
            for leaf, other in zip(jax.tree.leaves(one), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(leaf, other, rtol=1e-6)


def test_arguments_are_not_changed():
    generator = np.random.default_rng(5)
    target, mother = sparse_network(generator, (2, 2, 1), 0.7), he_network(generator, (2, 3, 1))
    before = jax.tree.map(np.copy, (target, mother))
    plant(target, mother)
    assert jax.tree.all(jax.tree.map(same_bits, before, (target, mother)))


# Errors


def networks(target_widths, mother_widths):
    generator = np.random.default_rng(6)
    return sparse_network(generator, target_widths, 1.0), he_network(generator, mother_widths)


@pytest.mark.parametrize(
    "target_widths, mother_widths, message",
    [
        ((2, 5, 1), (2, 4, 1), "layer_0 is too narrow: .* 5 neurons, .* 4, 1 too few"),
        ((2, 3, 9, 1), (2, 6, 6, 1), "layer_1 is too narrow: .* 9 neurons, .* 6, 3 too few"),
        ((2, 3, 3, 1), (2, 6, 1), "3 layers and the network 2: too shallow by 1"),
        ((2, 3, 1), (2, 6, 6, 6, 1), "2 layers and the network 4: too deep by 2"),
        ((2, 3, 1), (3, 6, 1), "layer_0: the ticket has 2 inputs, the network 3"),
        ((2, 3, 1), (2, 6, 4), "layer_1: the ticket has 1 outputs, the network 4"),
        ((2, 3, 4), (2, 6, 1), "layer_1: the ticket has 4 outputs, the network 1"),
    ],
)
def test_networks_that_do_not_fit_are_refused(target_widths, mother_widths, message):
    target, mother = networks(target_widths, mother_widths)
    for function in (plant, jax.jit(plant)):
        with pytest.raises(ValueError, match=message):
            function(target, mother)


def test_other_layer_names_are_refused():
    target, mother = networks((2, 3, 1), (2, 6, 1))
    mother["output"] = mother.pop("layer_1")
    with pytest.raises(ValueError, match="must define the layers .* layer_0/kernel, output/bias"):
        plant(target, mother)


@pytest.mark.parametrize("name", ["circle", "helix"])
def test_one_neuron_less_than_the_narrowest_is_refused(name):
    task, width = TASKS[name], NARROWEST[name] - 1
    mother = mothers_of(task, 5, width, 1)
    mother = every(mother)[0]
    with pytest.raises(ValueError, match=rf"too narrow.* {width + 1} neurons.* {width}, 1 too few"):
        plant(task.ticket(5), mother)


@pytest.mark.long
def test_lone_parameters_do_not_gather_at_low_indices():
    # ReLU's ticket is all lone parameters: any neuron of the right sign fits each of them equally.
    target = get_task("relu").ticket(depth=5)
    keys = jax.random.split(jax.random.key(0), 400)
    mask = jax.vmap(lambda key: plant(target, mlp(get_task("relu"), 5, 100).init(key)).mask)(keys)
    index = np.argmax(np.asarray(mask["layer_0"]["kernel"])[:, 0, :], axis=1)
    counts = np.bincount(index // 10, minlength=10)
    # 40 expected in each tenth; the 0.999 quantile of chi-squared with 9 degrees of freedom.
    assert np.sum((counts - 40.0) ** 2 / 40.0) < 27.9


def test_a_key_hides_the_choice_among_equally_good_neurons():
    # Lone parameters stay as they are, and so does the hash that chose their neurons.
    task, draws = get_task("relu"), 300
    target, model = task.ticket(depth=3), mlp(task, 3, 20)
    keys = jax.random.split(jax.random.key(1), draws)

    def guessed(key, drawn):
        params, mask, _ = plant(target, model.init(key), key=key if drawn else None)
        kernel, bias = params["layer_0"]["kernel"], params["layer_0"]["bias"]
        guess = jnp.argmax(jnp.where(kernel[0] > 0, lots_of(kernel, bias) | 1, 0))
        return mask["layer_0"]["kernel"][0, guess]

    hashed, drawn = (jax.vmap(lambda key, d=d: guessed(key, d))(keys) for d in (False, True))
    assert hashed.all()
    assert drawn.mean() < 0.2  # about one in ten has the right sign
