"""Exchange and annealing in users' networks: chains of any tree, or refused."""

import jax
import numpy as np
import pytest

import ticketjax as tj
from tests.user_networks import CIRCLE, KEY, by_hand, counted, problem_of
from ticketjax.seekers.exchange.refined import refine

PURSUIT = tj.PathPursuit(exchange=True, rounds=3, samples=20, width=4)
REFINED = tj.Refined(tj.magnitude, rounds=3, samples=20, candidates=8)
ANNEALED = tj.Annealed(tj.magnitude, steps=2, proposals=8, batch=8, width=4)


@pytest.mark.parametrize(
    "name", [pytest.param("bare", marks=pytest.mark.long), "by hand without scale"]
)
@pytest.mark.parametrize(
    "seeker",
    [
        pytest.param(PURSUIT, id="pursuit"),
        pytest.param(REFINED, marks=pytest.mark.long, id="refined"),
    ],
)
def test_exchange_works_on_chains_of_any_tree(name, seeker):
    if name == "by hand without scale":
        name, chain = "by hand", by_hand()
        params = chain.init(jax.random.key(0))
        del params["scale"]
        model = tj.Model(
            lambda key: params, lambda p, x: chain.apply({**p, "scale": 1.0}, x), chain.layers
        )
        batch = problem_of(name).batch
        problem = tj.make_problem(CIRCLE, model, params, batch, objective="rescaled")
    else:
        problem = problem_of(name, objective="rescaled")
    found = jax.jit(seeker)(KEY, problem, np.float32(0.3))
    assert jax.tree.structure(found.mask) == jax.tree.structure(problem.params)
    own, all_ = counted(problem, found.mask, True).T
    assert own.sum() == round(0.3 * all_.sum())
    # It computes the same as the network.
    if seeker is PURSUIT:
        kept = jax.tree.map(lambda p, m: p * m, problem.params, found.mask)
        np.testing.assert_allclose(found.info["loss"][-1], problem.loss(kept), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("layer norm", "head: its input has passed through"),
        ("batch norm", "head: its input has passed through"),
        ("residual", "up: it is not one of layers one after the other|head: .*sum of branches"),
        ("by hand", "scale belongs to no layer"),
    ],
)
@pytest.mark.parametrize(
    "seeker", [PURSUIT, REFINED, ANNEALED], ids=["pursuit", "refined", "annealed"]
)
def test_exchange_refuses_what_is_no_chain_by_the_layers_name(name, message, seeker):
    search = "annealed" if seeker is ANNEALED else "exchange"
    message = f"{search} searches networks of dense layers one after the other.*{message}"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(seeker, KEY, problem_of(name), np.float32(0.3))
    if seeker is REFINED:
        mask = jax.tree.map(lambda p: np.ones(p.shape, bool), problem_of(name).params)
        with pytest.raises(ValueError, match=message):
            refine(problem_of(name), mask, KEY)
