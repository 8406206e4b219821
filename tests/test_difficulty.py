"""Several tickets, decoys and perturbed tickets: each alone against the target in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles.forward import forward, masked
from tests.oracles.networks import he_network, sparse_network
from ticketjax.choices import Planting, Training
from ticketjax.planting import several as difficulty
from ticketjax.planting.several import (
    check_decoys,
    nearest,
    perturb,
    plant_several,
    side_by_side,
)
from ticketjax.runs.grid import Grid
from ticketjax.runs.instance import Instance, make_instance
from ticketjax.runs.setting import Setting
from ticketjax.runs.trial import evaluate

GENERATOR = np.random.default_rng(0)
TARGET = sparse_network(GENERATOR, (2, 4, 3, 2), 0.8)
MOTHER = he_network(GENERATOR, (2, 20, 21, 2))
INPUTS = GENERATOR.uniform(-1, 1, (200, 2))
KEY = jax.random.key(3)


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def one_of(masks, i):
    return jax.tree.map(lambda leaf: leaf[i], masks)


def output(params, mask, scale):
    return forward(masked(params, mask), INPUTS) * float(scale)


def neurons(mask):
    """Hidden neurons that a mask enters, per hidden layer."""
    names = sorted(mask)[:-1]
    return [set(np.flatnonzero(mask[n]["kernel"].any(axis=0) | mask[n]["bias"])) for n in names]


@pytest.mark.parametrize(("match", "perturbation"), [("cosine", 0.0), ("hidden", 0.05)])
def test_every_ticket_alone_is_the_target_and_no_decoy_is(match, perturbation):
    options = {"match": match, "perturbation": perturbation, "zero_path_biases": True}
    several = jax.jit(functools.partial(plant_several, tickets=3, decoys=2, **options))
    (params, first, scale), tickets, decoys = as_numpy(several(KEY, TARGET, MOTHER))
    target = TARGET
    if perturbation:
        target = as_numpy(perturb(jax.random.split(KEY)[0], TARGET, perturbation))
        assert np.any(target["layer_1"]["kernel"] != TARGET["layer_1"]["kernel"])
    wanted = forward(target, INPUTS)
    size = np.abs(wanted).max()
    for i in range(3):
        error = np.abs(output(params, one_of(tickets, i), scale) - wanted).max()
        assert error < 1e-5 * size
    for i in range(2):
        assert np.abs(output(params, one_of(decoys, i), scale) - wanted).max() > 0.02 * size
    jax.tree.map(np.testing.assert_array_equal, first, one_of(tickets, 0))

    masks = [one_of(tickets, i) for i in range(3)] + [one_of(decoys, i) for i in range(2)]
    for layer in zip(*map(neurons, masks), strict=True):
        assert len(set.union(*layer)) == sum(map(len, layer)) > 0
    # All of one size, and the outputs' biases are shared.
    assert len({sum(leaf.sum() for leaf in jax.tree.leaves(mask)) for mask in masks}) == 1
    for mask in masks:
        np.testing.assert_array_equal(mask["layer_2"]["bias"], TARGET["layer_2"]["bias"] != 0)
    # Nothing else is changed, except the planted neurons' unused biases.
    for name, layer in MOTHER.items():
        marks = np.any([mask[name]["kernel"] for mask in masks], axis=0)
        np.testing.assert_array_equal(params[name]["kernel"][~marks], layer["kernel"][~marks])
        spare = ~marks.any(axis=0) & ~np.any([mask[name]["bias"] for mask in masks], axis=0)
        np.testing.assert_array_equal(params[name]["bias"][spare], layer["bias"][spare])


@pytest.mark.parametrize("match", ["cosine", "hidden"])
def test_without_dials_it_is_planting(monkeypatch, match):
    planted = []

    def plant(*args, **options):
        planted.append((args, options))
        return "planted"

    monkeypatch.setattr(difficulty, "plant", plant)
    several = plant_several(KEY, TARGET, MOTHER, match=match)
    assert several == ("planted", None, None)
    (((target, mother), options),) = planted
    assert target is TARGET and mother is MOTHER
    # The published planting has no key: its records are those of the hash.
    assert (options.pop("key", None) is not None) == (match == "hidden")
    assert options == {"match": match, "zero_path_biases": False, "model": None}


def test_perturbations_are_relative_and_leave_zeros_alone():
    target = {"layer_0": {"kernel": np.full((40, 50), -3.0), "bias": np.zeros(50)}}
    after = as_numpy(perturb(KEY, target, 0.2))["layer_0"]
    assert not after["bias"].any()
    relative = after["kernel"] / -3.0 - 1
    # 2,000 draws: the deviation of the mean is 0.0045, that of the deviation 0.0032.
    assert abs(relative.mean()) < 0.02
    assert abs(relative.std() - 0.2) < 0.015


def test_networks_side_by_side_add_up_but_for_the_biases():
    other = sparse_network(GENERATOR, (2, 4, 3, 2), 0.5)
    both = as_numpy(side_by_side([TARGET, other]))
    alone = forward(other, INPUTS) - other["layer_2"]["bias"]
    np.testing.assert_allclose(forward(both, INPUTS), forward(TARGET, INPUTS) + alone, rtol=1e-5)


def test_the_nearest_of_several_masks_by_hand():
    def mask(*bits):
        return {"layer_0": {"kernel": jnp.array([bits[:3]]) == 1, "bias": jnp.array(bits[3:]) == 1}}

    masks = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *[mask(1, 1, 0, 0, 0, 0), mask(0, 1, 1, 0, 0, 0), mask(0, 0, 0, 1, 1, 0)],
    )
    found = mask(1, 0, 1, 1, 1, 1)
    assert nearest(masks, found)["layer_0"]["bias"].tolist() == [True, True, False]
    # Biases that are not prunable are kept by all: the first two have one each, and the first wins.
    kernel = nearest(masks, found, prune_bias=False)["layer_0"]["kernel"]
    assert kernel.tolist() == [[True, True, False]]


def test_a_network_without_room_is_refused_by_name():
    with pytest.raises(
        ValueError,
        match="layer_0 is too narrow: 4 tickets and 2 decoys need 6 times 4 .* has 20, 4 too few",
    ):
        plant_several(KEY, TARGET, MOTHER, tickets=4, decoys=2)
    with pytest.raises(ValueError, match="circle, depth 5, width 50: .* 3 tickets need 3 times 20"):
        Grid(width=50, planting=Planting(tickets=3))
    lone = {"layer_0": {"kernel": np.ones((2, 2)), "bias": np.ones(2)}}
    with pytest.raises(ValueError, match="without hidden layers has room for one"):
        plant_several(KEY, lone, lone, tickets=2)
    with pytest.raises(ValueError, match="3 layers and the network 1"):
        plant_several(KEY, TARGET, lone, tickets=2)


def test_a_single_path_has_no_decoys():
    with pytest.raises(ValueError, match="relu, depth 5, width 100: decoys: .* single path"):
        Grid(task="relu", planting=Planting(decoys=1))
    for name in ("circle", "helix"):
        check_decoys(tj.get_task(name).ticket(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": "best"}, "match must be one of cosine, hidden, got 'best'"),
        ({"tickets": 0}, "tickets must be at least 1.*got 0"),
        ({"decoys": -1}, "decoys must be at least 0.*got -1"),
        ({"perturbation": -0.1}, "perturbation must be at least 0, got -0.1"),
        ({"perturbation": float("nan")}, "perturbation must be a finite number"),
    ],
)
def test_dials_that_cannot_be_set_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Planting(**options)


# Records


def circle(**options):
    task = tj.get_task("circle")
    choices = {"planting": Planting(**options), "training": Training(epochs=0)}
    return Setting(task, tj.mlp(task, 3, 64), samples=300, **choices)


def test_records_are_of_the_ticket_that_was_found_most_of():
    setting = circle(tickets=2, decoys=1)

    @jax.jit
    def measured(key):
        instance = make_instance(setting, key, 0.0)
        masks = jax.tree.map(lambda *m: jnp.stack([m[0][1], m[1][0]]), *instance[1:3])
        return jax.vmap(lambda mask: evaluate(setting, instance, mask))(masks)

    assert Instance._fields[1:3] == ("tickets", "decoys")
    second, decoy = (one_of(measured(KEY), i) for i in range(2))
    assert second["recall"] == second["precision"] == second["jaccard"] == 1
    for name in ("metric", "loss"):
        ticket = second[f"ticket_{name}"]
        np.testing.assert_allclose(second[f"strong_{name}"], ticket, rtol=1e-3)
        np.testing.assert_allclose(second[f"planted_{name}"], ticket, rtol=1e-3)
    np.testing.assert_allclose(second["found_objective"], second["planted_objective"], rtol=1e-3)
    # A ticket and a decoy share only the outputs' biases.
    size = sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(setting.target))
    shared = np.count_nonzero(setting.target["layer_1"]["bias"])
    np.testing.assert_allclose(second["decoy_recall"], shared / size, rtol=1e-6)
    assert decoy["decoy_recall"] == 1
    np.testing.assert_allclose(decoy["recall"], shared / size, rtol=1e-6)
    assert decoy["strong_metric"] < second["strong_metric"] - 0.05


def test_a_perturbed_ticket_scores_worse_than_the_bare_one():
    @jax.jit
    def measured(key):
        one = make_instance(circle(perturbation=0.5), key, 0.0)
        return one.ticket_metric, one.planted_metric, one.ticket_loss, one.planted_loss

    ticket, planted, ticket_loss, planted_loss = measured(KEY)
    assert ticket > 0.98
    assert planted < ticket - 0.1
    assert planted_loss > 2 * ticket_loss
