"""Lemma 1 and Theorem 2 against Monte Carlo, hand-worked numbers and 60-digit decimals."""

import math
from decimal import Decimal, getcontext

import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax import theory
from ticketjax.tasks import get_task


def network(*layers):
    """Build a target from (kernel, bias) pairs."""
    return {
        f"layer_{index}": {"kernel": np.array(kernel, float), "bias": np.array(bias, float)}
        for index, (kernel, bias) in enumerate(layers)
    }


def forward(params, x):
    for index in range(len(params)):
        layer = params[f"layer_{index}"]
        x = x @ layer["kernel"] + layer["bias"]
        if index < len(params) - 1:
            x = np.maximum(x, 0)
    return x


def box(inputs, per_axis):
    axes = [np.linspace(-1, 1, per_axis)] * inputs
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, inputs)


def random_network(generator, widths, density=0.7):
    def draw(*shape):
        return generator.uniform(-1, 1, shape) * (generator.random(shape) < density)

    pairs = zip(widths[:-1], widths[1:], strict=True)
    return network(*[(draw(n_in, n_out), draw(n_out)) for n_in, n_out in pairs])


def moved(target, steps):
    """Add steps[l] * direction to every non-zero parameter; directions come with the steps."""
    return {
        name: {part: leaf + (leaf != 0) * steps(index, leaf.shape) for part, leaf in layer.items()}
        for index, (name, layer) in enumerate(target.items())
    }


CHAIN = network(([[0.5]], [0]), ([[0.5]], [0]))
PAIR = network(([[0.6, 0], [-0.3, 0.7]], [0.4, -0.5]), ([[0.5], [-0.6]], [0]))
SUM = network((np.ones((1, 100)), np.zeros(100)), (np.ones((100, 1)), [0]))
FAINT = network(([[0.01]], [0]), ([[0.01]], [0]), ([[0.01]], [0]))


# Lemma 1


@pytest.mark.parametrize("norm", theory.NORMS)
@pytest.mark.parametrize("widths", [(1, 3, 1), (2, 4, 3, 2), (2, 3, 3, 3, 1)])
def test_parameters_within_tolerance_keep_the_error_below_eps(norm, widths):
    generator = np.random.default_rng(0)
    inputs, eps = box(widths[0], 25 if widths[0] > 1 else 401), 0.3
    worst = worst_beyond = 0.0
    for _ in range(10):
        target = random_network(generator, widths)
        allowed = theory.tolerances(target, eps, norm)
        exact = forward(target, inputs)
        for _ in range(20):
            uniform = moved(target, lambda i, s, a=allowed: a[i] * generator.uniform(-1, 1, s))
            corner = moved(target, lambda i, s, a=allowed: a[i] * generator.choice([-1, 1], s))
            beyond = moved(target, lambda i, s, a=allowed: a[i] * generator.choice([-30, 30], s))
            errors = [
                np.linalg.norm(forward(other, inputs) - exact, axis=1).max()
                for other in (uniform, corner, beyond)
            ]
            worst, worst_beyond = max(worst, *errors[:2]), max(worst_beyond, errors[2])
    assert worst <= eps
    assert worst_beyond > eps  # the perturbations are large enough to notice a wrong tolerance


def test_tolerance_of_one_neuron_by_hand():
    # y = x / 2: m = 1, |x| <= 1, so eps_0 = 0.1 / (1 * 1 * 2); the worst error is eps_0 = eps / 2.
    assert theory.tolerances(network(([[0.5]], [0])), 0.1) == pytest.approx([0.05])
    # With a bias m = 2, and the worst error 2 eps_0 = eps / sqrt(2).
    assert theory.tolerances(network(([[0.5]], [0.25])), 0.1) == pytest.approx(
        [0.1 / (2 * math.sqrt(2))]
    )


def test_tolerances_of_two_layers_by_hand():
    chain = network(([[1]], [0]), ([[1]], [0]))
    allowed = theory.tolerances(chain, 0.1)
    # eps_0 = 0.1 / (2 * 1 * (1 + 1) * (1 + 0.1 / 2)), eps_1 = 0.1 / (2 * 1 * (1 + 1)).
    assert allowed == pytest.approx([0.1 / 4.2, 0.025])
    worst = (1 + allowed[0]) * (1 + allowed[1]) - 1
    assert 0.4 * 0.1 < worst < 0.1


def test_known_input_norms_replace_the_computed_ones():
    # (1 + 0.5) instead of the last layer's (1 + 0.5 * 1): the same; then a looser bound.
    assert theory.tolerances(CHAIN, 0.1, input_norms=[1, 0.5]) == pytest.approx(
        theory.tolerances(CHAIN, 0.1)
    )
    assert theory.tolerances(CHAIN, 0.1, input_norms=[1, 3])[1] == pytest.approx(0.1 / (2 * 4))


@pytest.mark.parametrize(
    ("target", "eps", "error_entry"),
    # 100 hidden neurons of weight 1 + 0.01: the output is off by 1.0 from layer 0 alone.
    # Three weights of 0.01 may move by 9.375, 0.2475 and 0.0033.
    [(SUM, 0.5, 1.0), (FAINT, 0.01, 0.032)],
)
def test_entry_norm_of_the_paper_breaks_where_the_spectral_one_holds(target, eps, error_entry):
    def error(norm):
        allowed = theory.tolerances(target, eps, norm)
        shifted = moved(target, lambda index, _: allowed[index])
        return np.abs(forward(shifted, np.ones((1, 1))) - forward(target, np.ones((1, 1)))).max()

    assert error("entry") > error_entry > eps
    assert 0 < error("spectral") <= eps


def test_the_norm_reaches_every_function_and_is_the_spectral_one_unless_told():
    # The first layer is the hardest; the last has norm sqrt(2), its largest entry is 1.
    target = network((np.ones((3, 2)), np.ones(2)), (np.ones((2, 1)), [0]))

    def everything(**norm):
        return (
            theory.log10_failure(target, 10**8, 0.5, **norm)[0],
            theory.existence_probability(target, 10**8, 0.5, **norm),
            theory.required_width(target, 0.5, 0.1, **norm).width,
            theory.sufficient_width(target, 0.5, 0.1, **norm),
            theory.layer_bounds(target, 100, 0.5, **norm)[0].tolerance,
        )

    entry, spectral = everything(norm="entry"), everything(norm="spectral")
    assert everything() == spectral
    assert all(ours != paper for ours, paper in zip(spectral, entry, strict=True))
    assert entry[-1] / spectral[-1] == pytest.approx((math.sqrt(2) + 0.25) / 1.25)


def test_error_reached_is_the_worst_of_all_corners():
    allowed = [0.01, 0.02]
    inputs = box(2, 41)
    exact = forward(PAIR, inputs)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    worst = 0.0
    for corner in signs:
        first, second = corner[:5] * 0.01, corner[5:] * 0.02
        shifted = network(
            (
                [[0.6 + first[0], 0], [-0.3 + first[1], 0.7 + first[2]]],
                [0.4 + first[3], -0.5 + first[4]],
            ),
            ([[0.5 + second[0]], [-0.6 + second[1]]], [0]),
        )
        worst = max(worst, np.abs(forward(shifted, inputs) - exact).max())
    assert theory.error_reached(PAIR, allowed) == pytest.approx(worst, rel=0.03)
    assert theory.error_reached(PAIR, allowed) <= worst * (1 + 1e-9)


@pytest.mark.parametrize("widths", [(1, 3, 1), (2, 4, 3, 2), (3, 20, 20, 20, 4)])
def test_error_reached_beats_random_corners_and_keeps_to_the_lemma(widths):
    generator = np.random.default_rng(8)
    for _ in range(5):
        target = random_network(generator, widths)
        allowed = theory.tolerances(target, 0.3)
        inputs = generator.uniform(-1, 1, (300, widths[0]))
        exact = forward(target, inputs)
        corners = [
            moved(target, lambda i, s, a=allowed: a[i] * generator.choice([-1, 1], s))
            for _ in range(50)
        ]
        errors = [np.linalg.norm(forward(c, inputs) - exact, axis=1).max() for c in corners]
        assert 0.9 * max(errors) < theory.error_reached(target, allowed) <= 0.3


def test_the_main_texts_form_by_hand():
    # relu(x), relu(-x) and a third without parameters, summed with slopes 1, 2 and 0, minus 1:
    # n k_max = 3 * 1 and 1 * 3; the layers' outputs are at most 1 and, at x = -1 and 0, 1.
    target = network(([[1, -1, 0]], [0, 0, 0]), ([[1], [2], [0]], [-1]))
    assert theory.activation_norms(target, outputs=True) == pytest.approx([1, 1], rel=0.01)
    allowed = theory.tolerances(target, 0.1, "entry_main", input_norms=[1, 1])
    first = 0.1 / (2 * math.sqrt(3) * 2 * (2 + 0.1 / 2))
    assert allowed == pytest.approx([first, 0.1 / (2 * math.sqrt(3) * 2)])


def test_circles_own_ticket_breaks_both_printed_forms_and_keeps_the_spectral_norm():
    for depth, at_least in [(5, 0.2), (10, 0.4)]:
        target, factor = theory.normalise(get_task("circle").ticket(depth))
        spectral, appendix, main_text = (
            factor * theory.error_reached(target, theory.tolerances(target, 0.1 / factor, norm))
            for norm in theory.NORMS
        )
        assert spectral <= 0.1 < at_least < main_text < appendix


def test_activation_norms_by_hand():
    # relu(x) and relu(-x): the sum is |x| <= 1, a single interval gives 1 + 1.
    absolute = network(([[1, -1]], [0, 0]), ([[1], [1]], [0]))
    assert theory.activation_norms(absolute) == pytest.approx([1, 1])
    assert theory.activation_norms(absolute, cells=1) == pytest.approx([1, 2])
    # (x1 + x2 - 1)_+ + (x1 - x2)_+ is at most 2, at (1, -1).
    folded = network(([[1, 1], [1, -1]], [-1, 0]), ([[1], [1]], [0]))
    assert theory.activation_norms(folded) == pytest.approx([2, 2], rel=0.05)


def test_activation_norms_are_certified_and_tight_for_knots_that_cancel():
    knots = np.linspace(-1, 1, 30, endpoint=False)
    values = np.cos(9 * np.linspace(-1, 1, 31))
    changes = np.diff(np.diff(values) * 15, prepend=0)
    target = network((np.ones((1, 30)), -knots), (changes[:, None], [values[0] + 1]), ([[1]], [-1]))
    dense = forward({**target, "layer_2": {"kernel": np.eye(1), "bias": np.zeros(1)}}, box(1, 9999))
    bound = theory.activation_norms(target)[2]
    assert dense.max() <= bound <= 1.1 * dense.max()
    assert theory.activation_norms(target, cells=1)[2] > 20 * dense.max()


def test_activation_norms_are_certified_for_many_inputs():
    generator = np.random.default_rng(1)
    target = random_network(generator, (70, 20, 5, 2))
    bounds = theory.activation_norms(target)
    hidden = generator.choice([-1.0, 1.0], (2000, 70))
    assert bounds[0] == 70
    for index in range(2):
        layer = target[f"layer_{index}"]
        hidden = np.maximum(hidden @ layer["kernel"] + layer["bias"], 0)
        assert hidden.sum(axis=1).max() <= bounds[index + 1]


# Theorem 2


def draw_mother(generator, inputs, width, layers, initialisation):
    """Draw the theorem's mother network in its own scale s_l, not in the normalised one."""
    params, scale, fan_in, fan_ins = [], 1.0, inputs, []
    for _ in range(layers):
        size = math.sqrt((6 if initialisation == "uniform" else 2) / fan_in)
        scale *= size
        draw = generator.standard_normal
        if initialisation == "uniform":
            draw = lambda shape: generator.uniform(-1, 1, shape)  # noqa: E731
        params.append((size * draw((fan_in, width)), scale * draw((width,))))
        fan_ins.append(fan_in)
        fan_in = width
    return params, fan_ins


def plant_by_chance(target, mother, allowed, initialisation):
    """Find matches within tolerance for each target neuron; None if one has no match."""
    chosen, scale, found = np.arange(len(mother[0][0])), 1.0, {}
    for index, (kernel, bias) in enumerate(mother):
        size = math.sqrt((6 if initialisation == "uniform" else 2) / len(kernel))
        scale *= size
        layer, matches = target[f"layer_{index}"], []
        for weights, offset in zip(layer["kernel"].T, layer["bias"], strict=True):
            off = np.abs(kernel[chosen] / size - weights[:, None]) * (weights != 0)[:, None]
            off_bias = np.abs(bias / scale - offset) * (offset != 0)
            fits = np.flatnonzero(np.maximum(off.max(axis=0), off_bias) <= allowed[index])
            if fits.size == 0:
                return None
            matches.append(fits[0])
        found[f"layer_{index}"] = {
            "kernel": kernel[np.ix_(chosen, matches)] * (layer["kernel"] != 0),
            "bias": bias[matches] * (layer["bias"] != 0),
        }
        chosen = np.array(matches)
    return found


@pytest.mark.parametrize("initialisation", ["uniform", "normal"])
@pytest.mark.parametrize(
    ("target", "allowed", "width"),
    [
        (CHAIN, [0.1, 0.2], 5),
        (CHAIN, [0.05, 0.1], 20),
        (CHAIN, [0.04, 0.06], 50),
        (PAIR, [0.25, 0.25], 200),
        (PAIR, [0.2, 0.1], 400),
    ],
)
def test_tickets_exist_at_least_as_often_as_the_bound(target, allowed, width, initialisation):
    generator = np.random.default_rng(2)
    inputs, trials = len(target["layer_0"]["kernel"]), 2000 if width <= 50 else 300
    found = sum(
        plant_by_chance(
            target,
            draw_mother(generator, inputs, width, len(target), initialisation)[0],
            allowed,
            initialisation,
        )
        is not None
        for _ in range(trials)
    )
    bounds = theory.layer_bounds(target, width, allowed, initialisation=initialisation)
    assert all(bound.in_reach for bound in bounds)
    bound = theory.existence_probability(target, width, allowed, initialisation)
    deviation = math.sqrt(max(bound * (1 - bound), 1 / trials) / trials)
    assert found / trials >= bound - 3 * deviation
    if target is CHAIN and initialisation == "uniform":  # one neuron per layer: an equality
        assert found / trials == pytest.approx(bound, abs=4 * deviation)


@pytest.mark.parametrize("initialisation", ["uniform", "normal"])
def test_what_is_found_by_chance_computes_the_target_up_to_the_theorems_scale(initialisation):
    generator = np.random.default_rng(3)
    target, eps, found = network(([[0.5]], [0.25]), ([[0.6]], [0])), 0.2, 0
    allowed = theory.tolerances(target, eps, "spectral")
    exact = forward(target, box(1, 101))
    for _ in range(12):
        mother, fan_ins = draw_mother(generator, 1, 1200, 2, initialisation)
        planted = plant_by_chance(target, mother, allowed, initialisation)
        if planted is not None:
            found += 1
            outputs = theory.theorem_scale(fan_ins, initialisation) * forward(planted, box(1, 101))
            assert np.abs(outputs - exact).max() <= eps
    assert found > 6
    assert np.abs(exact).max() > 2 * eps  # zeros, or outputs twice too large, would be noticed


def test_bound_against_decimals():
    getcontext().prec = 60
    target = network(
        ([[1, 2, 0], [0, 3, 0], [0, 4, 0]], [0, 1, 0]), ([[1], [1], [0]], [1])
    )  # in-degrees 1, 4 and 0; then 3
    for allowed, widths in [([0.5, 0.3], [40, 60]), ([0.2, 0.02], [5000, 10**6])]:
        for initialisation, share in [("uniform", Decimal(1)), ("normal", Decimal("0.5"))]:
            first, second = (share * Decimal(value) for value in allowed)
            failures = [
                (1 - first) ** widths[0] + (1 - first**4) ** widths[0],
                (1 - second**3) ** widths[1],
            ]
            logs = theory.log10_failure(target, widths, allowed, initialisation)
            assert logs == pytest.approx([float(f.log10()) for f in failures], rel=1e-9)
            expected = max(Decimal(0), 1 - failures[0]) * max(Decimal(0), 1 - failures[1])
            probability = theory.existence_probability(target, widths, allowed, initialisation)
            assert probability == pytest.approx(float(expected), rel=1e-9)


def test_chances_beyond_the_range_of_floats():
    target = network((np.ones((4, 1)), [0]))  # in-degree 4: p = 1e-400
    assert theory.log10_failure(target, 100, [1e-100])[0] == 0
    assert theory.existence_probability(target, 100, [1e-100]) == 0
    assert theory.layer_bounds(target, 100, [1e-100])[0].log10_matches == pytest.approx(-398)
    wide = theory.required_width(target, [1e-100], 0.1)
    assert wide.log10_width == pytest.approx(400 + math.log10(math.log(10)), abs=1e-9)
    assert theory.existence_probability(target, wide.width, [1e-100]) == pytest.approx(0.9)
    assert theory.existence_probability(target, 10**402, [1e-100]) == pytest.approx(1)
    # 100 neurons of chance 1e-100 each: a failure that only its distance from 1 shows is not 1.
    single = network(([[0.5]], [0]))
    assert theory.existence_probability(single, 100, [1e-100]) == pytest.approx(1e-98)
    # A certain match: nothing left to fail, even in a single neuron.
    assert theory.log10_failure(target, 1, [1.0])[0] == -math.inf
    assert theory.existence_probability(target, 1, [1.0]) == 1


def test_bound_grows_with_width_and_eps():
    at_width = [theory.existence_probability(PAIR, n, [0.3, 0.3]) for n in (25, 50, 100, 400)]
    at_eps = [theory.existence_probability(PAIR, 4000, eps) for eps in (0.5, 0.7, 1.0, 1.5)]
    for values in (at_width, at_eps):
        assert values == sorted(values) and values[0] < 0.5 < values[-1]
    widths = [theory.required_width(PAIR, eps, 0.1).width for eps in (0.1, 0.2, 0.4, 0.8)]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 4
    normal = theory.existence_probability(PAIR, 400, [0.3, 0.3], "normal")
    assert normal < theory.existence_probability(PAIR, 400, [0.3, 0.3])


def test_a_mother_narrower_than_the_target_cannot_hold_it():
    assert theory.existence_probability(PAIR, [1, 10], [1.0, 1.0]) == 0
    assert theory.existence_probability(PAIR, [2, 10], [1.0, 1.0]) == 1
    assert theory.required_width(PAIR, [1.0, 1.0], 0.5).width == 2


@pytest.mark.parametrize("initialisation", ["uniform", "normal"])
@pytest.mark.parametrize("target", [CHAIN, PAIR])
@pytest.mark.parametrize("eps", [0.2, 0.9])
@pytest.mark.parametrize("delta", [0.5, 0.01, 1e-6])
def test_required_width_is_the_smallest(target, eps, delta, initialisation):
    width, log10_width = theory.required_width(target, eps, delta, initialisation)
    assert log10_width == pytest.approx(math.log10(width))
    for candidate, enough in [(width, True), (width - 1, False)]:
        probability = theory.existence_probability(target, candidate, eps, initialisation)
        assert (probability >= 1 - delta) == enough
    closed = theory.sufficient_width(target, eps, delta, initialisation)
    assert log10_width <= closed + 1e-3 < log10_width + 1
    layers = theory.layer_bounds(target, width, eps, delta, initialisation)
    assert log10_width <= max(layer.log10_width for layer in layers) < log10_width + 0.5
    assert sum(10**layer.log10_failure for layer in layers) == pytest.approx(delta, rel=0.4)


def test_required_width_of_one_neuron_by_hand():
    # (1 - 0.1)^n <= 0.05: n = log 0.05 / log 0.9 = 28.43; closed form: log(1 / 0.05) / 0.1 = 29.96.
    target = network(([[0.5]], [0]))
    assert theory.required_width(target, [0.1], 0.05) == (29, pytest.approx(math.log10(29)))
    assert 10 ** theory.sufficient_width(target, [0.1], 0.05) == pytest.approx(29.957, abs=1e-3)
    # Normal: 0.95^n, n = 58.4.
    assert theory.required_width(target, [0.1], 0.05, "normal").width == 59


def test_layer_bounds_of_a_target_by_hand():
    first, second = theory.layer_bounds(PAIR, [10, 1000], [0.1, 0.2])
    assert (first.layer, first.neurons, first.in_degree, first.parameters) == (0, 2, 3, 5)
    assert (second.layer, second.neurons, second.in_degree, second.parameters) == (1, 1, 2, 2)
    assert (first.tolerance, first.largest, second.largest) == (0.1, 0.7, 0.6)
    # 10 * 0.1^3 and 1000 * 0.2^2 matches; 0.96^1000; log(0.05) / log(0.96) = 73.4.
    assert first.log10_matches == pytest.approx(-2)
    assert second.log10_matches == pytest.approx(math.log10(40))
    assert second.log10_failure == pytest.approx(1000 * math.log10(0.96))
    assert second.log10_width == pytest.approx(math.log10(74))
    assert first.log10_failure >= 0


@pytest.mark.parametrize("tolerance", [1e-3, 0.03, 0.2])
@pytest.mark.parametrize("parameter", [0.0, 0.5, 0.79, 0.93, 0.965, 1.0, 1.5])
def test_theorem_is_claimed_only_where_its_chance_per_parameter_holds(parameter, tolerance):
    low, high = parameter - tolerance, parameter + tolerance
    uniform = (min(high, 1) - min(max(low, -1), 1)) / 2
    normal = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    target = network(([[parameter, 0.1]], [0, 0]))
    for initialisation, chance, claimed in [
        ("uniform", uniform, tolerance),
        ("normal", normal, tolerance / 2),
    ]:
        (bound,) = theory.layer_bounds(target, 10, [tolerance], initialisation=initialisation)
        if bound.in_reach:
            assert chance >= claimed * (1 - 1e-9)
        if parameter >= 1:
            assert chance < claimed and not bound.in_reach


def test_normalise_keeps_the_function_and_brings_it_into_reach():
    target = network(([[3.0, -0.2]], [0, 7]), ([[0.01], [0.02]], [5]), ([[40.0]], [-9.0]))
    normalised, factor = theory.normalise(target)
    inputs = box(1, 101)
    np.testing.assert_allclose(factor * forward(normalised, inputs), forward(target, inputs))
    for bound in theory.layer_bounds(normalised, 100, 0.1 / factor):
        assert bound.largest == pytest.approx(0.9) and bound.in_reach
    assert not all(bound.in_reach for bound in theory.layer_bounds(target, 100, 0.1))
    empty = network(([[0.0]], [0.0]), ([[2.0]], [0.0]))
    assert theory.normalise(empty, largest=1.0)[1] == 2.0


def test_theorem_scale_by_hand():
    # sqrt(2/6) * sqrt(100/6) and sqrt(2/2) * sqrt(100/2).
    assert theory.theorem_scale([2, 100]) == pytest.approx(math.sqrt(200) / 6)
    assert theory.theorem_scale([2, 100], "normal") == pytest.approx(math.sqrt(50))


def test_float32_device_arrays_are_taken_as_they_are():
    device = {
        name: {part: jnp.asarray(leaf, jnp.float32) for part, leaf in layer.items()}
        for name, layer in PAIR.items()
    }
    assert theory.tolerances(device, 0.1) == pytest.approx(theory.tolerances(PAIR, 0.1), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.activation_norms(CHAIN, 0), "cells must be at least 1, got 0"),
        (lambda: theory.tolerances(CHAIN, 0), "eps must be positive and finite, got 0"),
        (lambda: theory.tolerances(CHAIN, -1.0), "eps must be positive"),
        (lambda: theory.tolerances(CHAIN, math.nan), "eps must be positive"),
        (lambda: theory.tolerances(CHAIN, 0.1, "max"), "norm must be 'spectral' or 'entry'"),
        (lambda: theory.required_width(CHAIN, [0.1, 0.1], 0.1, norm="max"), "norm must be"),
        (lambda: theory.error_reached(CHAIN, [0.1]), "eps must be one or 2 positive"),
        (lambda: theory.tolerances(CHAIN, 0.1, input_norms=[1]), "input_norms must be 2"),
        (lambda: theory.existence_probability(CHAIN, 10, -0.1), "eps must be positive"),
        (lambda: theory.existence_probability(CHAIN, 10, [0.1]), "eps must be one or 2 positive"),
        (lambda: theory.existence_probability(CHAIN, 10, [0.1, 0]), "eps must be one or 2"),
        (lambda: theory.existence_probability(CHAIN, [9], 0.1), "widths must be one or 2"),
        (lambda: theory.existence_probability(CHAIN, 0, 0.1), "widths must be one or 2"),
        (lambda: theory.existence_probability(CHAIN, 9, 0.1, "he"), "initialisation must be"),
        (lambda: theory.theorem_scale([1], "he"), "initialisation must be 'uniform' or 'normal'"),
        (lambda: theory.theorem_scale([0]), "fan_ins must be at least 1"),
        (lambda: theory.required_width(CHAIN, 0.1, 0), "delta must be between 0 and 1, got 0"),
        (lambda: theory.required_width(CHAIN, 0.1, 1.0), "delta must be between 0 and 1"),
        (lambda: theory.sufficient_width(CHAIN, 0.1, -1), "delta must be between 0 and 1"),
        (lambda: theory.layer_bounds(CHAIN, 10, 0.1, delta=2), "delta must be between 0 and 1"),
        (lambda: theory.normalise(CHAIN, 0), "largest must be positive"),
        (lambda: theory.tolerances({}, 0.1), "target must have layer_0"),
        (lambda: theory.tolerances({"dense": CHAIN["layer_0"]}, 0.1), "target must have layer_0"),
        (
            lambda: theory.tolerances(network(([[1, 1]], [0, 0]), ([[1]], [0])), 0.1),
            r"target layer_1 must be \(2, n\) and \(n,\), got \(1, 1\) and \(1,\)",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
