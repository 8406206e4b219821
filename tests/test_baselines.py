"""Masks drawn at random: complete paths, exact budgets, and the best of all draws, by NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.oracles import backprop as oracle
from tests.oracles import paths as path_oracle
from tests.oracles import problems
from ticketjax.base import CLASSIFICATION, REGRESSION, Wire
from ticketjax.choices import BASELINES
from ticketjax.masks import count_kept
from ticketjax.runs.grid import make_grid
from ticketjax.seekers.checkpoints import marks
from ticketjax.seekers.drawn.filling import LARGEST_BLOCKS, PATHS_AT_ONCE
from ticketjax.seekers.drawn.walks import Part, draw_walks, parts_of
from ticketjax.selection import budgets_of

KEY = jax.random.key(5)


def loss_in_numpy(problem, mask, rescaled=True):
    x, y = (np.asarray(array) for array in problem.batch)
    layers = oracle.combine(np.multiply, oracle.layers_of(problem.params), oracle.layers_of(mask))
    out = oracle.outputs(layers, x)
    scale = np.maximum(oracle.fitted_scale(problem.kind, out, y), 0) if rescaled else 1.0
    return oracle.loss(problem.kind, out * scale, y)


# Paths.

CHAIN = [
    Part(Wire("layer_0", 0, 1), 0, 6, 2, 2, 3),
    Part(Wire("layer_1", 1, 2), 9, None, 3, 3, 2),
]
# A stem, a branch of two layers around its stream, and a head; the branch ends in a convolution of
# two taps.
RESIDUAL = [
    Part(Wire("layer_0", 0, 1), 0, 4, 2, 2, 2),
    Part(Wire("layer_1", 1, 2), 6, None, 2, 2, 3),
    Part(Wire("layer_2", 2, 1), 12, 24, 6, 3, 2),
    Part(Wire("layer_3", 1, 3), 26, None, 2, 2, 1),
]


def followed(parts, weights, biases, size):
    """The layers and rows of each path, from the input on; each must begin where one ends."""
    routes = []
    for weight, bias in zip(weights.T, biases.T, strict=True):
        space, neuron, route = 0, None, []
        for part, at, own in zip(parts, weight, bias, strict=True):
            if at == size:
                assert own == size
                continue
            row, sink = divmod(at - part.kernel, part.sinks)
            assert 0 <= row < part.rows and part.wire.reads == space
            assert neuron in (None, row % part.sources)
            assert own in (size, -1 if part.bias is None else part.bias + sink)
            space, neuron = part.wire.writes, sink
            route.append((part.wire.layer, int(row), int(sink)))
        assert space == parts[-1].wire.writes
        routes.append(tuple(route))
    return routes


@pytest.mark.parametrize(
    ("parts", "size"), [(CHAIN, 15), (RESIDUAL, 28)], ids=["chain", "residual"]
)
def test_every_walk_is_a_whole_path_and_all_are_equally_likely(parts, size):
    count = 24_000
    weights, biases = map(np.asarray, draw_walks(KEY, parts, size, count))
    routes = followed(parts, weights, biases, size)
    shares = {route: routes.count(route) / count for route in set(routes)}
    if parts is CHAIN:
        expected = dict.fromkeys(shares, 1 / 12)
        assert len(shares) == 2 * 3 * 2
    else:
        # Half of them bypass the branch, by the stream's neuron and the stem's row.
        expected = {route: 1 / 8 if len(route) == 2 else 1 / 2 / 48 for route in shares}
        assert sorted(map(len, shares)) == [2] * 4 + [4] * 48
    for route, share in shares.items():
        spread = np.sqrt(expected[route] / count)
        assert abs(share - expected[route]) < 5 * spread, route
    # Biases are part of half of the paths through their layer.
    for part, own, at in zip(parts, biases, weights, strict=True):
        if part.bias is not None:
            assert abs(np.mean(own[at < size] < size) - 0.5) < 5 * 0.5 / np.sqrt(np.sum(at < size))


# The filling of a mask.


def filled_in_python(problem, key, density, scope):
    """The positions that whole paths fill, those of the last path's biases, and the budgets."""
    parts, size = parts_of(problem), problem.prunable
    ends = [part.kernel for part in parts[1:]] + [size]
    sizes = [end - part.kernel for end, part in zip(ends, parts, strict=True)]
    budgets = [int(k) for k in budgets_of(float(density), sizes, scope)]
    count = max(PATHS_AT_ONCE, -(-size // LARGEST_BLOCKS))
    walk_key, _ = jax.random.split(jax.random.fold_in(key, 0))

    def spent(positions):
        edges = zip([part.kernel for part in parts], ends, strict=True)
        layers = [sum(first <= at < end for at in positions) for first, end in edges]
        return [sum(layers)] if scope == "global" else layers

    kept = set()
    for block in range(-(-size // count)):
        walks = draw_walks(jax.random.fold_in(walk_key, block), parts, size, count)
        for weights, biases in zip(*(np.asarray(where).T for where in walks), strict=True):
            for some in (set(weights.tolist()) - {size}, set(biases.tolist()) - {size}):
                if any(s > k for s, k in zip(spent(kept | some), budgets, strict=True)):
                    is_bias = some <= set(biases.tolist())
                    return kept, some - kept if is_bias else set(), budgets
                kept |= some
    return kept, set(), budgets


@functools.cache
def fill_of(scope, prune_bias):
    problem = problems.problem_of(
        problems.layers_of(1, (2, 14, 13, 3)), CLASSIFICATION, None, prune_bias
    )
    return problem, jax.jit(tj.RandomPaths(draws=1, scope=scope))


@pytest.mark.parametrize(
    ("scope", "prune_bias", "density"),
    [
        *(("global", True, density) for density in (0.004, 0.02, 0.1, 0.5, 0.97, 1.0)),
        *(("global", False, 0.1), ("local", True, 0.1), ("local", True, 0.8)),
    ],
)
def test_paths_fill_the_budget_as_a_loop_over_them_does(scope, prune_bias, density):
    problem, seek = fill_of(scope, prune_bias)
    found = seek(KEY, problem, density)
    leaves = [
        np.ravel(layer[part])
        for layer in problem.view(found.mask).values()
        for part in (("kernel", "bias") if prune_bias else ("kernel",))
    ]
    flat = np.concatenate(leaves)
    kept, last, budgets = filled_in_python(problem, KEY, density, scope)
    got = set(np.flatnonzero(flat).tolist())
    assert kept <= got and len(got) == sum(budgets)
    room = sum(budgets) - len(kept)
    if scope == "global":
        # The path that did not fit adds as many of its biases as there is room for.
        assert len(last) > room if last else True
        assert len(last & got) == (room if last else 0)
    if not prune_bias:
        assert all(bool(layer["bias"].all()) for layer in found.mask.values())
    rest = got - kept - last
    if rest and density < 0.5:
        # Other kept parameters end at neurons that nothing reads, so the outputs are the same.
        bare = flat.copy()
        bare[sorted(rest)] = False
        mask = jax.tree.map(np.array, found.mask)
        parts = parts_of(problem)
        for part, layer in zip(parts, mask.values(), strict=True):
            end = part.kernel + layer["kernel"].size
            layer["kernel"] = bare[part.kernel : end].reshape(layer["kernel"].shape)
            if prune_bias:
                layer["bias"] = bare[end : end + layer["bias"].size]
        np.testing.assert_allclose(
            loss_in_numpy(problem, found.mask), loss_in_numpy(problem, mask), rtol=1e-12
        )
        assert path_oracle.on_paths(mask) == path_oracle.on_paths(found.mask)
    if prune_bias and scope == "global" and density < 0.5:
        assert path_oracle.on_paths(found.mask) == len(kept) + len(last & got)


# The best of the draws.


def test_the_best_of_random_masks_is_that_of_a_loop():
    problem = problems.problem_of(problems.layers_of(2), REGRESSION, None)
    density, draws = 0.4, 11
    everything = jax.tree.map(lambda p: jnp.ones(p.shape, bool), problem.params)
    for objective in ("raw", "rescaled"):
        found = jax.jit(tj.RandomMasks(draws=draws, objective=objective))(KEY, problem, density)
        masks = [
            problem.select(
                tj.random_score(jax.random.fold_in(KEY, i), problem, problem.params, everything),
                density,
            )
            for i in range(draws)
        ]
        losses = [loss_in_numpy(problem, mask, objective == "rescaled") for mask in masks]
        best = masks[int(np.argmin(losses))]
        jax.tree.map(np.testing.assert_array_equal, found.mask, best)
        expected = [min(losses[:n]) for n in (1, 2, 4, 8, 11)]
        np.testing.assert_allclose(found.info["draw_losses"], expected, rtol=1e-4)
        jax.tree.map(
            np.testing.assert_array_equal, problem.select(found.scores, density), found.mask
        )


@pytest.mark.long
def test_more_draws_begin_with_the_same_ones_and_keys_may_be_batched():
    problem = problems.problem_of(problems.layers_of(3), REGRESSION, None)
    keys = jax.random.split(KEY, 3)
    one, few = (jax.jit(tj.RandomPaths(draws=draws)) for draws in (9, 4))
    together = jax.jit(jax.vmap(tj.RandomPaths(draws=9), (0, None, None)))(keys, problem, 0.3)
    for i, key in enumerate(keys):
        found = one(key, problem, 0.3)
        least = np.asarray(found.info["draw_losses"])
        assert least.shape == (len(marks(9)),) and np.all(np.diff(least) <= 0)
        np.testing.assert_array_equal(few(key, problem, 0.3).info["draw_losses"], least[:3])
        np.testing.assert_allclose(together.info["draw_losses"][i], least, rtol=1e-5)
        np.testing.assert_allclose(least[-1], loss_in_numpy(problem, found.mask), rtol=1e-4)
        for a, b in zip(*map(jax.tree.leaves, (together.mask, found.mask)), strict=True):
            np.testing.assert_array_equal(a[i], b)


def test_enough_draws_find_the_best_path_of_all():
    layers = problems.layers_of(4, (2, 2, 3, 1))
    problem = problems.problem_of(layers, REGRESSION, None)
    found = jax.jit(tj.RandomPaths(draws=300))(KEY, problem, 3 / problem.prunable)
    everything = jax.tree.map(np.ones_like, problem.params)
    losses = []
    for path in path_oracle.paths(everything):
        mask = jax.tree.map(np.zeros_like, everything)
        for i, (a, b) in enumerate(zip(path, path[1:], strict=False)):
            mask[f"layer_{i}"]["kernel"][a, b] = 1
        losses.append(loss_in_numpy(problem, mask))
    assert len(losses) == 12 and int(count_kept(found.mask)) == 3
    np.testing.assert_allclose(found.info["draw_losses"][-1], min(losses), rtol=1e-5)


@pytest.mark.long
def test_a_few_blind_paths_compute_relu():
    """Among random paths, those with positive hidden weights are the ticket, up to a factor."""
    task = tj.get_task("relu")
    model = tj.mlp(task, depth=4, width=12)

    @jax.jit
    def draw(key):
        params = tj.plant(task.ticket(depth=4), model.init(key)).params
        return params, task.sample(key, 100, 0.0)

    params, batch = draw(KEY)
    problem = tj.make_problem(task, model, params, batch)
    blind = jax.jit(jax.vmap(tj.RandomPaths(draws=1), (0, None, None)))
    masks = blind(jax.random.split(KEY, 300), problem, problem.ticket_density).mask
    x = np.linspace(-1, 1, 21)[:, None]
    exact = 0
    for i in range(300):
        mask = jax.tree.map(lambda leaf, i=i: leaf[i], masks)
        layers = oracle.combine(np.multiply, *map(oracle.layers_of, (params, mask)))
        out = oracle.outputs(layers, x)
        exact += bool(out[-1] != 0 and np.allclose(out / out[-1], np.maximum(x, 0), atol=1e-9))
    first, second = (np.asarray(params[name]["kernel"]) > 0 for name in ("layer_0", "layer_1"))
    share = np.mean(first.astype(float) @ second / 12)
    assert abs(exact / 300 - share) < 4 * np.sqrt(share * (1 - share) / 300)
    assert 0.1 < share < 0.4
    found = jax.jit(tj.RandomPaths(draws=64))(KEY, problem, problem.ticket_density)
    assert found.info["draw_losses"][-1] < 1e-10 < found.info["draw_losses"][0]


# Next to other seekers.


def test_baselines_are_seekers_and_stand_aside_of_others_options():
    assert set(BASELINES) <= set(tj.SEEKERS)
    fields = {"task": "relu", "depth": 3, "width": 6, "densities": 0.5, "scope": "local"}
    grid = make_grid(
        **fields,
        seekers=("edge_popup", *BASELINES),
        strategy="annealed",
        search_epochs=2,
        options={"restarts": 2},
    )
    assert dict(grid.seekers) == {
        "edge_popup": tj.EdgePopup(annealed=True, epochs=2, restarts=2, scope="local"),
        "random_paths": tj.RandomPaths(scope="local"),
        "random_masks": tj.RandomMasks(scope="local"),
        "magnitude": tj.Singleshot(tj.magnitude, scope="local"),
    }
    # A score among scores takes their strategy; alone, baselines take their own options.
    mixed = make_grid(**fields, seekers="snip, magnitude", strategy="multishot", rounds=3)
    assert dict(mixed.seekers)["magnitude"] == tj.Multishot(tj.magnitude, rounds=3, scope="local")
    drawn = make_grid(**fields, seekers="random_paths, random_masks", options={"draws": 7})
    assert {seeker.draws for _, seeker in drawn.seekers} == {7}
    for wrong in ({"options": {"draws": 7}}, {"strategy": "annealed"}):
        with pytest.raises(ValueError, match="draws|strategy"):
            make_grid(**fields, seekers="concrete, random_masks", **wrong)
    with pytest.raises(ValueError, match="strategy must be one of"):
        make_grid(**fields, seekers="magnitude", strategy="annealed")
