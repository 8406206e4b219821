"""Scores and training against PyTorch's automatic derivatives; needs the torch extra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ticketjax.base import CLASSIFICATION, REGRESSION, Batch
from ticketjax.networks.mlp import mlp
from ticketjax.problem import Problem
from ticketjax.seekers.registry import SCORES
from ticketjax.tasks import get_task
from ticketjax.training import shuffles, train

torch = pytest.importorskip("torch")

WIDTHS = (2, 8, 7, 3)
APPLY = mlp(get_task("circle"), depth=3, width=1).apply
KINDS = (REGRESSION, CLASSIFICATION)


def arrays(seed, kind):
    """Kernels and biases in turn, their masks, and data."""
    rng = np.random.default_rng(seed)
    shapes = [shape for m, n in zip(WIDTHS, WIDTHS[1:], strict=False) for shape in ((m, n), (n,))]
    parameters = [rng.normal(0, 0.7, shape).astype(np.float32) for shape in shapes]
    masks = [rng.random(shape) < 0.75 for shape in shapes]
    x = rng.normal(size=(30, WIDTHS[0])).astype(np.float32)
    if kind == REGRESSION:
        y = rng.normal(size=(30, WIDTHS[-1])).astype(np.float32)
    else:
        y = rng.integers(0, WIDTHS[-1], 30).astype(np.int32)
    return parameters, masks, x, y


def tree(leaves):
    return {
        f"layer_{i}": {"kernel": jnp.asarray(leaves[2 * i]), "bias": jnp.asarray(leaves[2 * i + 1])}
        for i in range(len(leaves) // 2)
    }


def leaves(tree):
    return [tree[name][part] for name in sorted(tree) for part in ("kernel", "bias")]


def torch_forward(parameters, x):
    for i in range(0, len(parameters), 2):
        x = x @ parameters[i] + parameters[i + 1]
        if i < len(parameters) - 2:
            x = torch.relu(x)
    return x


def torch_loss(kind, outputs, y):
    if kind == REGRESSION:
        return torch.nn.functional.mse_loss(outputs, y)
    return torch.nn.functional.cross_entropy(outputs, y)


def torch_data(kind, x, y):
    y = torch.tensor(y, dtype=torch.float64 if kind == REGRESSION else torch.int64)
    return torch.tensor(x, dtype=torch.float64), y


def torch_snip(kind, parameters, masks, x, y):
    """The derivative with respect to the mask, as the paper defines it."""
    gates = [torch.tensor(m, dtype=torch.float64, requires_grad=True) for m in masks]
    frozen = [torch.tensor(p, dtype=torch.float64) for p in parameters]
    gated = [p * g for p, g in zip(frozen, gates, strict=True)]
    torch_loss(kind, torch_forward(gated, x), y).backward()
    return [g.grad.abs() * torch.tensor(m) for g, m in zip(gates, masks, strict=True)]


def torch_grasp(kind, parameters, masks, x, y):
    """theta times the derivative of g . stop_gradient(g), by differentiating twice."""
    gates = [torch.tensor(m, dtype=torch.float64) for m in masks]
    free = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in parameters]
    gated = [p * g for p, g in zip(free, gates, strict=True)]
    outputs = torch_forward(gated, x) / (200 if kind == CLASSIFICATION else 1)
    gradients = torch.autograd.grad(torch_loss(kind, outputs, y), free, create_graph=True)
    product = sum((g * g.detach()).sum() for g in gradients)
    second = torch.autograd.grad(product, free)
    return [(p * h).detach() * g for p, h, g in zip(free, second, gates, strict=True)]


def torch_synflow(kind, parameters, masks, x, y):
    gates = [torch.tensor(m, dtype=torch.float64) for m in masks]
    positive = [
        (torch.tensor(p, dtype=torch.float64) * g).abs().requires_grad_()
        for p, g in zip(parameters, gates, strict=True)
    ]
    torch_forward(positive, torch.ones(1, WIDTHS[0], dtype=torch.float64)).sum().backward()
    return [(p * p.grad).detach() for p in positive]


@pytest.mark.parametrize("full", [True, False], ids=["full mask", "partial mask"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "reference"),
    [("snip", torch_snip), ("grasp", torch_grasp), ("synflow", torch_synflow)],
)
def test_scores_are_those_of_autograd(name, reference, kind, full):
    score = jax.jit(SCORES[name])
    for seed in range(3):
        parameters, masks, x, y = arrays(seed, kind)
        masks = [np.ones_like(m) for m in masks] if full else masks
        problem = Problem(tree(parameters), Batch(jnp.asarray(x), jnp.asarray(y)), APPLY, kind)
        got = score(jax.random.key(0), problem, problem.params, tree(masks))
        expected = reference(kind, parameters, masks, *torch_data(kind, x, y))
        largest = max(float(e.abs().max()) for e in expected)
        for leaf, wanted in zip(leaves(got), expected, strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_that_of_torchs_adam(kind):
    parameters, masks, x, y = arrays(7, kind)
    order = shuffles(jax.random.key(0), epochs=4, size=30, batch_size=7)
    problem = Problem(tree(parameters), Batch(jnp.asarray(x), jnp.asarray(y)), APPLY, kind)
    trained = jax.jit(train)(problem, tree(masks), order)

    gates = [torch.tensor(m, dtype=torch.float64) for m in masks]
    free = [
        torch.tensor(p * m, dtype=torch.float64) for p, m in zip(parameters, masks, strict=True)
    ]
    for p, g in zip(free, gates, strict=True):
        p.requires_grad_().register_hook(lambda gradient, g=g: gradient * g)
    optimiser = torch.optim.Adam(free, lr=1e-3)
    inputs, targets = torch_data(kind, x, y)
    for rows in np.asarray(order).reshape(-1, 7):
        rows = torch.tensor(rows, dtype=torch.int64)
        optimiser.zero_grad()
        torch_loss(kind, torch_forward(free, inputs[rows]), targets[rows]).backward()
        optimiser.step()
    for leaf, wanted in zip(leaves(trained), free, strict=True):
        np.testing.assert_allclose(leaf, wanted.detach(), rtol=0, atol=1e-5)
