"""RigL and SET against the loop in NumPy, and AC/DC against its phases one after the other."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import backprop as oracle
from tests.oracles import problems
from tests.oracles.problems import SAMPLES, layers_of
from tests.oracles.selection import top_k
from ticketjax.base import CLASSIFICATION
from ticketjax.masks import full_mask
from ticketjax.seekers.dynamic import acdc, search
from ticketjax.seekers.dynamic.acdc import ACDC, compressed_epochs
from ticketjax.seekers.dynamic.rigl import RigL
from ticketjax.seekers.dynamic.search import exchanged
from ticketjax.seekers.dynamic.sparse_evolutionary_training import SparseEvolutionaryTraining
from ticketjax.seekers.scores.layer_densities import erk
from ticketjax.seekers.scores.random import random
from ticketjax.training import train

KEY, DENSITY, RATE = jax.random.key(3), 0.4, 0.05
BATCH_SIZE, EPOCHS, STEPS = 8, 4, 3
WIDTHS = (2, 8, 3)


def fixed_order(monkeypatch, module):
    """The order of samples that a seeker is made to use."""
    order = np.random.default_rng(6).permuted(np.tile(np.arange(SAMPLES), (EPOCHS, 1)), axis=1)
    order = order.reshape(EPOCHS, STEPS, BATCH_SIZE)
    monkeypatch.setattr(module, "shuffles", lambda *_: jnp.asarray(order))
    return order


def flat(layer):
    return np.concatenate([np.ravel(part) for part in layer])


def shaped(vector, layer):
    kernel, bias = layer
    return vector[: kernel.size].reshape(kernel.shape), vector[kernel.size :].reshape(bias.shape)


def exchanged_by_hand(theta, kept, growth, fraction):
    """Drop by a sorted list, grow by another one."""
    count = int(np.floor(np.float32(fraction) * np.float32(kept.sum())))
    stay = top_k(np.where(kept, np.abs(theta), -1), int(kept.sum()) - count)
    return stay | top_k(np.where(stay, -1, growth), count)


def adam_step(theta, mask, gradient, first, second, number, rate=RATE):
    """Parameters and moments after step `number`, from 1, of what is in the mask."""
    g = oracle.combine(np.multiply, gradient, mask)
    first = oracle.combine(lambda m, g: 0.9 * m + 0.1 * g, first, g)
    second = oracle.combine(lambda v, g: 0.999 * v + 0.001 * g * g, second, g)
    scale = rate * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)

    def moved(p, k, m, v):
        return p - k * scale * m / (np.sqrt(v) + 1e-8)

    return oracle.combine(moved, theta, mask, first, second), first, second


@jax.jit
def first_mask(problem):
    """What the seekers start from."""
    scores = erk(jax.random.split(KEY, 3)[0], problem, problem.params, full_mask(problem.params))
    return problem.select(scores, DENSITY)


def sizes(tree):
    return [int(flat(layer).sum()) for layer in oracle.layers_of(tree)]


def test_an_exchange_by_hand():
    # Of 5 kept, floor(0.4 * 5) = 2 are dropped: 1 and 3. Of what is then not kept, 8 and 6 grow,
    # and so does what was just dropped with it.
    kept = jnp.array([1, 1, 1, 1, 1, 0, 0, 0], bool)
    magnitudes = jnp.array([9, 1, 4, 3, 5, 0, 0, 0.0])
    growth = jnp.array([99, 8, 99, 2, 99, 6, 5, jnp.nan])
    after = exchanged(magnitudes, kept, growth, 0.4)
    assert after.tolist() == [True, True, True, False, True, True, False, False]
    # Nothing is dropped of a fraction that is less than one, and everything may be.
    assert exchanged(magnitudes, kept, growth, 0.19).tolist() == kept.tolist()
    assert exchanged(magnitudes, kept, growth, 1.0).tolist() == [1, 1, 1, 0, 1, 1, 0, 0]


def test_exchanges_keep_their_number_whatever_the_numbers_are():
    rng = np.random.default_rng(0)
    size, count = 12, 200
    kept = rng.random((count, size)) < rng.random((count, 1))
    # Many ties, and some that are no numbers.
    values = rng.integers(0, 3, (2, count, size)).astype(np.float32)
    values[:, rng.random((count, size)) < 0.1] = np.nan
    fractions = rng.random(count).astype(np.float32)
    after = jax.jit(jax.vmap(exchanged))(values[0], kept, values[1], fractions)
    np.testing.assert_array_equal(after.sum(axis=1), kept.sum(axis=1))
    for got, k, m, g, f in zip(np.asarray(after), kept, *values, fractions, strict=True):
        wanted = exchanged_by_hand(np.nan_to_num(m), k, np.nan_to_num(g), f)
        np.testing.assert_array_equal(got, wanted)


# Exchanges in place of steps 2, 4, 6 and 8: until 0.75 of 12 steps.
OPTIONS = {"interval": 2, "epochs": EPOCHS, "batch_size": BATCH_SIZE, "learning_rate": RATE}


@pytest.mark.parametrize(
    "kind", [RigL, pytest.param(SparseEvolutionaryTraining, marks=pytest.mark.long)]
)
def test_exchanges_and_steps_are_the_loop_in_numpy(kind, monkeypatch):
    layers = layers_of(4, WIDTHS)
    order = fixed_order(monkeypatch, search).reshape(-1, BATCH_SIZE)
    problem = problems.problem_of(layers, CLASSIFICATION)
    found = jax.jit(kind(**OPTIONS), static_argnums=2)(KEY, problem, DENSITY)

    x, y = (np.asarray(array) for array in problem.batch)
    mask = oracle.layers_of(first_mask(problem))
    theta = oracle.combine(np.multiply, layers, mask)
    first, second = (oracle.combine(np.zeros_like, layers) for _ in range(2))
    descents = returned = 0
    for number, rows in enumerate(order):
        g = oracle.gradient(problem.kind, theta, x[rows], y[rows])
        if number in (2, 4, 6, 8):
            growth = oracle.combine(np.abs, g)
            if kind is SparseEvolutionaryTraining:
                key = jax.random.split(jax.random.fold_in(jax.random.split(KEY, 3)[2], number))[1]
                growth = oracle.layers_of(random(key, problem, problem.params, None))
                growth = oracle.combine(np.abs, growth)
            fraction = 0.3 / 2 * (1 + np.cos(np.pi * number / 9))
            new = []
            for parts in zip(theta, mask, growth, layers, strict=True):
                *vectors, layer = (*map(flat, parts[:3]), parts[3])
                after = exchanged_by_hand(vectors[0], vectors[1] > 0, vectors[2], fraction)
                returned += np.sum(after & (vectors[1] == 0))
                new.append(shaped(after.astype(float), layer))
            mask = new
            theta = oracle.combine(np.multiply, theta, mask)
            continue
        descents += 1
        theta, first, second = adam_step(theta, mask, g, first, second, descents)
    assert returned > 2
    for got, wanted in zip(oracle.layers_of(found.mask), mask, strict=True):
        np.testing.assert_array_equal(flat(got), flat(wanted))
    for got, wanted in zip(oracle.layers_of(found.info["params"]), theta, strict=True):
        np.testing.assert_allclose(flat(got), flat(wanted), rtol=2e-3, atol=2e-4)
    # Layers keep the numbers of ERK, which add up to the budget.
    assert sizes(found.mask) == sizes(first_mask(problem))
    assert sum(sizes(found.mask)) == round(DENSITY * problem.prunable)


def test_without_exchange_it_is_training_of_a_random_mask(monkeypatch):
    problem = problems.problem_of(layers_of(4, WIDTHS), CLASSIFICATION)
    order = fixed_order(monkeypatch, search)
    # An exchange takes the place of a step: there is none.
    seeker = RigL(**(OPTIONS | {"interval": 100}))
    found, trained = jax.jit(
        lambda key: (
            seeker(key, problem, DENSITY),
            train(
                problem,
                first_mask(problem),
                jnp.asarray(order),
                optimizer=f"adam(learning_rate={RATE})",
            ),
        )
    )(KEY)
    for got, wanted in zip(*map(jax.tree.leaves, (found.info["params"], trained)), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_when_exchanges_are_made():
    due, fraction = RigL().exchanges(epochs=10, steps=40)
    assert np.flatnonzero(due).tolist() == [100, 200]  # not at 300, which is 0.75 of 400
    np.testing.assert_allclose(fraction.ravel()[[0, 150, 300]], [0.3, 0.15, 0], atol=1e-7)
    due, _ = SparseEvolutionaryTraining().exchanges(epochs=10, steps=40)
    assert np.flatnonzero(due).tolist() == [40 * epoch for epoch in range(1, 8)]


def test_compressed_and_dense_phases_are_the_loop_in_numpy(monkeypatch):
    """Four epochs, dense, compressed, dense and compressed."""
    layers = layers_of(4, WIDTHS)
    order = fixed_order(monkeypatch, acdc)
    problem = problems.problem_of(layers, CLASSIFICATION)
    seeker = ACDC(
        warm_up=0.25,
        phase=0.25,
        last_dense=0.0,
        last_compressed=0.25,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=0.3,
    )
    found = jax.jit(seeker, static_argnums=2)(KEY, problem, DENSITY)

    x, y = (np.asarray(array) for array in problem.batch)
    theta, count = layers, round(DENSITY * problem.prunable)
    supports = []
    for epoch, is_compressed in enumerate([False, True, False, True]):
        kept = top_k(np.concatenate([np.abs(flat(layer)) for layer in theta]), count)
        ends = np.cumsum([flat(layer).size for layer in theta])[:-1]
        masks = [
            shaped(part.astype(float), layer)
            for part, layer in zip(np.split(kept, ends), layers, strict=True)
        ]
        mask = masks if is_compressed else oracle.combine(np.ones_like, layers)
        theta = oracle.combine(np.multiply, theta, mask)
        if not is_compressed:
            first, second = (oracle.combine(np.zeros_like, layers) for _ in range(2))
            steps = 0
        for rows in order[epoch]:
            steps += 1
            g = oracle.gradient(problem.kind, theta, x[rows], y[rows])
            theta, first, second = adam_step(theta, mask, g, first, second, steps, 0.3)
        supports.append(kept)
    assert np.any(supports[1] & ~supports[3])
    for got, wanted in zip(oracle.layers_of(found.mask), mask, strict=True):
        np.testing.assert_array_equal(flat(got), flat(wanted))
    for got, wanted in zip(oracle.layers_of(found.info["params"]), theta, strict=True):
        np.testing.assert_allclose(flat(got), flat(wanted), rtol=2e-3, atol=2e-4)


def test_phases_are_those_that_were_published():
    """10 epochs of warm-up, phases of 5, and at last 10 dense and 15 compressed ones."""
    phases = compressed_epochs(100, 0.1, 0.05, 0.1, 0.15)
    lengths = [(bool(is_c), len([*run])) for is_c, run in itertools.groupby(phases)]
    assert lengths == [
        (False, 10),
        *[(True, 5), (False, 5)] * 6,
        (True, 5),
        (False, 10),
        (True, 15),
    ]
    assert compressed_epochs(1, 0.1, 0.05, 0.1, 0.15).tolist() == [True]
    with pytest.raises(ValueError, match="at most 1 together, got 1.25"):
        ACDC(warm_up=1.0)
