"""Networks written with Flax, linen or nnx, as models."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from ticketjax.base import Model, Task, Tree
from ticketjax.networks.following import follow
from ticketjax.networks.resolve import example_inputs


def _followed(
    init: Callable[[jax.Array], Tree], apply: Callable[[Tree, jax.Array], jax.Array], task: Task
) -> Model:
    x = example_inputs(task)
    params = jax.eval_shape(init, jax.random.key(0))
    outputs = jax.eval_shape(apply, params, x)
    wanted = (*x.shape[:1], task.outputs)
    if getattr(outputs, "shape", None) != wanted:
        raise ValueError(
            f"the network must give {task.outputs} outputs per sample of {task.name}, {wanted} for "
            f"inputs {x.shape}; it gives {jax.tree.map(lambda a: a.shape, outputs)}"
        )
    return Model(init, apply, follow(apply, params, x))


def from_linen(module: nn.Module, task: Task) -> Model:
    """A linen module as a model, on the module's own parameter tree.

    Args:
        module: called with inputs alone, (n, inputs) -> (n, outputs). Its collection "params" is
            trained and pruned; the others, a BatchNorm's statistics for example, keep their
            initial values, so the module must not update them.
        task: gives the shapes of inputs and outputs.

    Returns:
        A Model whose init(key) is the tree of module.init(key, x)["params"], with the layers that
        one call shows.

    Raises:
        ValueError: other outputs than the task's; no layer.

    >>> from ticketjax.tasks import get_task
    >>> model = from_linen(nn.Sequential([nn.Dense(9), nn.relu, nn.Dense(4)]), get_task("circle"))
    >>> [layer.path for layer in model.layers]
    ['layers_0', 'layers_2']
    """
    x = jnp.zeros(example_inputs(task).shape, jnp.float32)
    variables = module.init(jax.random.key(0), x)
    rest = {name: values for name, values in variables.items() if name != "params"}

    def init(key: jax.Array) -> Tree:
        return module.init(key, x)["params"]

    def apply(params: Tree, inputs: jax.Array) -> Any:
        return module.apply({"params": params, **rest}, inputs)

    return _followed(init, apply, task)


def from_nnx(make: Callable[[nnx.Rngs], nnx.Module], task: Task) -> Model:
    """An nnx module as a model, its parameters as a tree of plain dictionaries.

    Args:
        make: (rngs) -> module, called with inputs alone, (n, inputs) -> (n, outputs). Its nnx.Param
            variables are trained and pruned; all others keep their initial values.
        task: gives the shapes of inputs and outputs.

    Returns:
        A Model whose init(key) makes the module with nnx.Rngs(key) and gives its parameters.

    Raises:
        ValueError: other outputs than the task's; no layer.

    >>> from ticketjax.tasks import get_task
    >>> model = from_nnx(lambda rngs: nnx.Linear(1, 1, rngs=rngs), get_task("relu"))
    >>> jax.eval_shape(model.init, jax.random.key(0))["kernel"].shape
    (1, 1)
    """
    structure, first, rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)  # type: ignore[misc]
    form = jax.tree.structure(first)

    def init(key: jax.Array) -> Tree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: Tree, inputs: jax.Array) -> Any:
        state = jax.tree.unflatten(form, jax.tree.leaves(params))
        return nnx.merge(structure, state, rest)(inputs)

    return _followed(init, apply, task)
