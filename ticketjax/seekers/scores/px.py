"""PX: path exclusion, SynFlow-L2 with the paths that are active on the data."""

import jax
import jax.numpy as jnp

from ticketjax.base import Tree
from ticketjax.masks import apply_mask
from ticketjax.networks.copied_gates import with_gates_of
from ticketjax.networks.layers import layer_title, wires
from ticketjax.problem import Problem
from ticketjax.seekers.scores.synflow import scaled_layers, synaptic_flow


def px(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score theta^2 * |d sum(z1 z2) / d(theta^2)|, the sum over samples and outputs.

    z1 is the network on x^2 with all kept weights 1, no biases, and each ReLU open where it is so
    in the masked network on x: the sum of x^2 over all active paths to an output. z2 is the network
    with the parameters theta^2 on ones: the sum of the squared values of all paths. Labels are not
    used. Where z1 is the same for all outputs, it ranks as SynFlow-L2 does: with one output, and
    with a dense last layer of which nothing is pruned. So data make a difference from the second
    round on.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params; 0 for parameters of no layer. They are up to a common factor.

    Raises:
        ValueError: a network with something but ReLU, pooling and sums between its layers, such as
            a normalisation that its `flow` does not leave out.

    Source: Iurada, Ciccone and Tommasi 2024, arXiv 2406.01820, "PX".
    Published: 100 rounds to density^(k / 100), two batches of 128 inputs (CIFAR-10); of kernels.
    Departures: one round unless told otherwise, see Singleshot; biases are scored too where they
        are prunable; 40 samples unless told otherwise. The authors' code squares the derivative of
        each batch and adds the squares.

    >>> from ticketjax.seekers.registry import get_seeker
    >>> seeker = get_seeker("singleshot(px, rounds=100, score_samples=256)")
    """
    del key
    for layer in problem.known_layers:
        reason = layer.obstacle
        if not reason and layer.normalised and problem.flow is None:
            reason = "its neurons are normalised, and the model has no flow without that"
        if reason:
            raise ValueError(
                "px needs a network with only ReLU, pooling and sums between its layers; "
                f"{layer_title(layer)}: {reason}"
            )
    kept = apply_mask(params, mask)
    ones = {
        name: {
            part: leaf.astype(jnp.float32)
            if part == "kernel"
            else jnp.zeros(leaf.shape, jnp.float32)
            for part, leaf in layer.items()
        }
        for name, layer in problem.view(mask).items()
    }
    # A common factor of all paths changes no ranking, and keeps their number within float32.
    ones, _ = scaled_layers(ones, wires(problem.known_layers))
    x = problem.batch.x
    active = with_gates_of(
        problem.flow or problem.apply, kept, x, problem.restore(ones, kept), jnp.square(x)
    )
    per_output = jnp.sum(active, axis=0)
    largest = jnp.max(per_output)
    weights = per_output / jnp.where(largest > 0, largest, 1.0)
    squares = jax.tree.map(jnp.square, kept)
    return synaptic_flow(problem, squares, lambda out: jnp.sum(out * weights[None]))
