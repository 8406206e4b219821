"""Annealing: proposals and whole chains against plain Python, exact energies, and guarantees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import annealing as oracle
from tests.oracles.backprop import tree_of
from tests.oracles.masked import flat_of, loss_in_numpy, problem_of
from tests.oracles.problems import layers_of
from ticketjax.base import CLASSIFICATION, REGRESSION, Batch, Found
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.seekers.annealing.annealed import Annealed
from ticketjax.seekers.annealing.chain import Schedule, anneal
from ticketjax.seekers.annealing.moves import NUMBERS, State, counts_of, propose
from ticketjax.seekers.annealing.samples import samples_of
from ticketjax.seekers.annealing.tempering import AXIS, exchanged, heats_of
from ticketjax.seekers.exchange.vectors import unflatten
from ticketjax.seekers.registry import get_seeker
from ticketjax.tasks import get_task

KEY = jax.random.key(3)
SIZES = (2, 6, 5, 3)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_proposals_are_those_of_the_reference(level):
    """Of every kind, from masks of several densities, with and without room and free biases."""
    sizes, batch = SIZES[level:], 40
    count = sum((m + 1) * n for m, n in zip(sizes, sizes[1:], strict=False))
    bias = np.concatenate(
        [np.repeat([False, True], [m * n, n]) for m, n in zip(sizes, sizes[1:], strict=False)]
    )
    counts = counts_of(batch, level < 2)
    run = jax.jit(
        lambda u, mask, may, room, s: propose(u, State(sizes, mask, may, room), s, counts)
    )
    kinds, possible = oracle.kinds_of(batch, level < 2), dict.fromkeys(oracle.KINDS, 0)
    for seed, share in enumerate((0.0, 0.2, 0.2, 0.3, 0.3, 0.5, 1.0)):
        rng = np.random.default_rng(seed)
        mask = rng.random(count) < share
        prunable = ~bias if seed % 2 else np.ones(count, bool)
        mask |= ~prunable
        sources = rng.random(sizes[0]) < (1.0 if level == 0 else 0.6)
        u = rng.random((batch, NUMBERS), np.float32)
        masks, ok = jax.device_get(run(u, mask, prunable, np.int32(seed % 3), sources))
        for i, kind in enumerate(kinds):
            wanted = oracle.propose(kind, u[i], mask, prunable, sizes, seed % 3, sources)
            assert ok[i] == (wanted is not None), (kind, seed)
            if ok[i]:
                np.testing.assert_array_equal(masks[i], wanted, err_msg=f"{kind} {seed}")
                possible[kind] += 1
    assert all(possible[kind] for kind in kinds)


@pytest.mark.parametrize("engine", ["xla", "numba"])
@pytest.mark.parametrize(
    ("kind", "width", "prune_bias"),
    [(REGRESSION, 9, False), (CLASSIFICATION, 4, True)],
)
# With batch=1 many are accepted, and the scale of the logits, which is fitted in single precision,
# differs more the further a mask has moved: short steps fit it often.
@pytest.mark.parametrize(("batch", "steps", "proposals", "seed"), [(8, 6, 64, 3), (1, 20, 16, 4)])
def test_chains_are_those_of_the_reference(
    kind, width, prune_bias, engine, batch, steps, proposals, seed
):
    """The functions for Numba are plain Python where it is not installed, and do the same."""
    layers, size, sweeps = layers_of(6), 18, proposals // batch
    # With some keys, two masks of a chain have the same energy, and rounding decides between them.
    key = jax.random.key(seed)
    problem = problem_of(layers, kind, prune_bias=prune_bias)
    heats = np.geomspace(0.01, 1e-4, steps, dtype=np.float32)
    smooth = np.arange(steps) >= (steps // 2 if kind == CLASSIFICATION else steps)
    schedule = Schedule(
        steps, proposals, batch, width, jnp.asarray(heats), jnp.asarray(smooth), 0, part=13,
        engine=engine,
    )  # fmt: skip
    found, info = jax.device_get(
        jax.jit(lambda key: anneal(problem, None, size, key, schedule))(key)
    )
    x, y = (np.asarray(array) for array in problem.batch)
    prunable = flat_of(
        jax.tree.map_with_path(
            lambda path, leaf: np.full(leaf.shape, prune_bias or path[-1].key == "kernel"),
            problem.params,
        )
    )
    mask, energies, accepted = oracle.chain(
        layers, oracle.Energy(kind, x, y), size, key, NUMBERS, steps=steps, sweeps=sweeps,
        batch=batch, width=width, heats=heats, smooth=smooth, prunable=prunable,
        parts=[np.arange(i, 40, 3) for i in range(3)],
    )  # fmt: skip
    np.testing.assert_array_equal(np.diff(info["accepted"], prepend=0), accepted)
    np.testing.assert_allclose(info["energies"], energies, rtol=1e-4)
    assert 20 < sum(accepted) < 0.8 * steps * proposals * 3

    flat = flat_of(found)
    assert flat[prunable].sum() == size
    assert flat[mask].all()
    np.testing.assert_allclose(
        loss_in_numpy(problem, layers, flat), loss_in_numpy(problem, layers, mask), rtol=1e-6
    )


@pytest.mark.long
@pytest.mark.parametrize("batch", [8, 1])
def test_chains_of_numba_are_the_same_alone_and_under_vmap_and_pmap(batch):
    problem = problem_of(layers_of(6))
    schedule = Schedule(
        2, 16, batch, 9, jnp.full(2, 0.01), jnp.zeros(2, bool), 0, part=40, engine="numba"
    )
    keys = jax.random.split(KEY, 4)

    def masks(run, keys):
        return jax.device_get(run(lambda key: anneal(problem, None, 18, key, schedule)[0])(keys))

    alone = [masks(jax.jit, key) for key in keys]
    wanted = jax.tree.map(lambda *leaves: np.stack(leaves), *alone)
    assert len({flat_of(mask).tobytes() for mask in alone}) == 4
    together = masks(lambda chain: jax.jit(jax.vmap(chain)), keys)
    jax.tree.map(np.testing.assert_array_equal, together, wanted)
    spread = masks(lambda chain: jax.pmap(jax.vmap(chain)), keys.reshape(2, 2))
    spread = jax.tree.map(lambda leaf: leaf.reshape(4, *leaf.shape[2:]), spread)
    jax.tree.map(np.testing.assert_array_equal, spread, wanted)


@pytest.mark.long
def test_a_seekers_mask_is_annealed_and_never_made_worse():
    layers, size = layers_of(6), 20
    problem = problem_of(layers)
    starts = [np.random.default_rng(seed).permutation(71) < size for seed in range(6)]

    @jax.jit
    def seek(start, key):
        def given(key, problem, density):
            del key, density
            return Found(start, problem.params, {"told": jnp.float32(3), "params": start})

        # Three proposals at once at high temperature: some chains end worse than they started.
        options = {"steps": 2, "proposals": 3, "batch": 3, "temperatures": (0.5, 0.5)}
        return Annealed(given, chains=3, **options)(key, problem, size / 71)

    changed = 0
    for start, key in zip(starts, jax.random.split(KEY, len(starts)), strict=True):
        found = jax.device_get(seek(unflatten(start, tree_of(layers)), key))
        assert "params" not in found.info and found.info["told"] == 3
        flat = flat_of(found.mask)
        assert flat.sum() == size
        before, after = (loss_in_numpy(problem, layers, one) for one in (start, flat))
        assert after <= before * (1 + 1e-5)
        np.testing.assert_allclose(after, found.info["chain_errors"].min(), rtol=1e-4)
        changed += after < 0.99 * before
    assert changed >= 1


@pytest.mark.parametrize("chains", [2, 5])
def test_neighbours_exchange_with_the_probability_of_parallel_tempering(chains):
    heats = heats_of(chains, 8.0) * 0.1
    np.testing.assert_allclose(heats[1:] / heats[:-1], 8 ** (1 / (chains - 1)))
    np.testing.assert_allclose(heats[[0, -1]], [0.1, 0.8])
    exchange = jax.jit(jax.vmap(exchanged, in_axes=(0, 0, 0, 0, None), axis_name=AXIS))
    rng, seen = np.random.default_rng(0), set()
    for trial in range(60):
        u = rng.random(chains, np.float32)
        energies = rng.normal(0, 0.3, chains).astype(np.float32)
        energies[rng.random(chains) < 0.1] = np.inf
        wanted = np.arange(chains)
        for i in range(trial % 2, chains - 1, 2):
            with np.errstate(invalid="ignore"):
                gain = (energies[i] - energies[i + 1]) * (1 / heats[i] - 1 / heats[i + 1])
                accepted = u[i] > 1 - np.exp(gain)
            seen.add(bool(accepted))
            if accepted:
                wanted[[i, i + 1]] = i + 1, i
        state = {"place": np.arange(chains), "wide": np.arange(chains * 3).reshape(-1, 3)}
        found = jax.device_get(exchange(u, state, energies, np.float32(heats), trial % 2))
        np.testing.assert_array_equal(found["place"], wanted)
        np.testing.assert_array_equal(found["wide"], state["wide"][wanted])
    assert seen == {True, False}


@pytest.mark.long
def test_chains_of_one_temperature_exchange_always_and_otherwise_run_alone():
    """Under equal temperatures every exchange is accepted, so that one step shows it exactly."""
    problem = problem_of(layers_of(6))
    temperatures = jnp.full(1, 0.01)

    def energies(exchanges):
        schedule = Schedule(1, 64, 8, 9, temperatures, jnp.zeros(1, bool), 0, 40, exchanges)
        chain = jax.vmap(lambda key: anneal(problem, None, 18, key, schedule), axis_name=AXIS)
        return jax.device_get(jax.jit(chain)(jax.random.split(KEY, 3)))

    (alone, told), (together, exchanged_told) = energies(False), energies(True)
    np.testing.assert_allclose(exchanged_told["energies"], told["energies"][[1, 0, 2]], rtol=1e-6)
    assert len(np.unique(told["energies"])) == 3
    # The best mask that a chain met stays its own.
    jax.tree.map(np.testing.assert_array_equal, alone, together)


def test_tempering_needs_chains():
    with pytest.raises(ValueError, match=r"hottest=2\.0 needs at least two chains, got chains=1"):
        Annealed(hottest=2.0)


def test_numba_is_asked_for_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr("ticketjax.seekers.annealing.annealed.IS_INSTALLED", False)
    assert get_seeker("annealed(engine='xla')") == Annealed()
    with pytest.raises(ValueError, match=r"engine='numba' needs Numba, which is not installed: "):
        get_seeker("annealed(engine='numba')")


def test_data_of_one_input_are_averaged_in_bins():
    x = np.float32([[3], [1], [2], [0], [9]])
    y = np.float32([[30, 1], [10, 1], [20, 0], [0, 1], [90, 2]])
    model = mlp(get_task("helix"), depth=3, width=2)
    batch = Batch(jnp.asarray(x), jnp.asarray(y))
    problem = Problem(model.init(KEY), batch, model.apply, REGRESSION)
    binned = jax.jit(lambda: samples_of(problem, bins=2, part=1))()
    np.testing.assert_allclose(binned.x, [[[1, 6]]])
    np.testing.assert_allclose(binned.y, [[[10, 60], [2 / 3, 1.5]]])
    np.testing.assert_array_equal(binned.weights, [[3, 2]])
    whole = samples_of(problem, bins=0, part=1)
    np.testing.assert_array_equal(whole.x[0], x.T)
    np.testing.assert_array_equal(whole.weights, np.ones((1, 5)))
