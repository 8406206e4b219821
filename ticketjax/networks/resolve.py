"""The layers of a model, found where the model does not give them."""

import functools

import jax
import jax.numpy as jnp

from ticketjax.base import Layer, Model, Task, Tree
from ticketjax.networks.following import follow
from ticketjax.networks.layers import chain_layers, is_plain_chain, positions


def example_inputs(task: Task, samples: int = 2) -> jax.ShapeDtypeStruct:
    """Shape and type of a task's inputs: (n, inputs) or (n, height, width, channels)."""
    inputs = task.inputs if isinstance(task.inputs, tuple) else (task.inputs,)
    return jax.ShapeDtypeStruct((samples, *inputs), jnp.float32)


@functools.lru_cache(maxsize=64)
def _followed(model: Model, task: Task) -> tuple[Layer, ...]:
    params = jax.eval_shape(model.init, jax.random.key(0))
    return follow(model.apply, params, example_inputs(task))


def layers_of(model: Model, params: Tree, task: Task) -> tuple[Layer, ...]:
    """A model's layers: those that it gives, those of a chain, or those found in one call of apply.

    Args:
        model: the network.
        params: its parameters, any tree.
        task: gives the shape of the inputs.

    Returns:
        The layers in the order in which they compute.

    Raises:
        ValueError: a layer that the parameters do not have; the message names it.
    """
    if model.layers is not None:
        layers = model.layers
    elif is_plain_chain(params):
        layers = chain_layers(params)
    else:
        layers = _followed(model, task)
    positions(params, layers)
    return layers
