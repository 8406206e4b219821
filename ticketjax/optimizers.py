"""Optimizers: optax's, by text or as objects, and Adam with a fused step."""

import functools
import hashlib
import inspect
import re
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ticketjax import expressions
from ticketjax.choices import ADAM

Optimizer: TypeAlias = str | optax.GradientTransformation


class FusedAdamState(NamedTuple):
    """steps: number so far, () float32. first, second: moments, trees like the parameters."""

    steps: jax.Array
    first: Any
    second: Any


def fused_adam(
    learning_rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """optax.adam with its two bias corrections (divisions of every parameter) in the step size.

    The same up to rounding, in four fifths of a step's time (Kingma and Ba 2015, end of
    section 2).

    Args:
        learning_rate, b1, b2, eps: as in optax.adam, as numbers.

    Returns:
        An optax.GradientTransformation.
    """

    def init(params: Any) -> FusedAdamState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return FusedAdamState(jnp.zeros((), jnp.float32), zeros, zeros)

    def update(gradients: Any, state: FusedAdamState, params: Any = None) -> tuple[Any, Any]:
        del params
        steps = state.steps + 1
        correction = jnp.sqrt(1 - b2**steps)
        rate = learning_rate * correction / (1 - b1**steps)
        # Backpropagation ends at the first layer. If the updates wait for all of it, XLA sees that
        # no kernel is needed any more and overwrites it; otherwise it copies each at every step.
        rate, gradients = jax.lax.optimization_barrier((rate, gradients))
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.second, gradients)
        updates = jax.tree.map(
            lambda m, v: -rate * m / (jnp.sqrt(v) + eps * correction), first, second
        )
        return updates, FusedAdamState(steps, first, second)

    return optax.GradientTransformation(init, update)


def _names() -> dict[str, Any]:
    """The names that the text of an optimizer may contain: optax's own, and fused_adam."""
    public = {
        name: value
        for name, value in vars(optax).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }
    return {**public, "adam": _adam, "fused_adam": fused_adam}


@functools.wraps(optax.adam)
def _adam(*arguments: Any, **options: Any) -> optax.GradientTransformation:
    # The fused step is used wherever it takes the same arguments.
    given = inspect.signature(optax.adam).bind(*arguments, **options).arguments
    fused = inspect.signature(fused_adam).parameters
    plain = all(name in fused and isinstance(value, int | float) for name, value in given.items())
    return fused_adam(**given) if plain else optax.adam(*arguments, **options)


# Parameters and gradients for trying an optimizer.
_EXAMPLE = {"w": np.zeros(2, np.float32)}


@functools.lru_cache(maxsize=256)
def _read(text: str) -> optax.GradientTransformation:
    try:
        made = expressions.read(text, _names(), "optimizer")
    except (AttributeError, TypeError) as error:
        raise ValueError(f"optimizer {text!r} cannot be made: {error}") from None
    if not isinstance(made, optax.GradientTransformation):
        raise ValueError(
            f"optimizer must give a gradient transformation, as {ADAM!r} does; {text!r} gives "
            f"{type(made).__name__}"
        )
    try:
        jax.eval_shape(lambda: made.update(_EXAMPLE, made.init(_EXAMPLE), _EXAMPLE))
    except Exception as error:
        raise ValueError(f"optimizer {text!r} cannot make a step: {error}") from None
    return made


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformation:
    """The gradient transformation that a text names, or one that is given.

    Args:
        optimizer: "adamw(learning_rate=1e-3)", any call of optax's functions, also nested, with
            numbers; "adam" runs as fused_adam() if possible. Or an optax.GradientTransformation.

    Returns:
        An optax.GradientTransformation; the same text gives the same object.

    Raises:
        ValueError: another text, an unknown name (with the nearest), arguments that the optimizer
            does not take.

    >>> make_optimizer("sgd(0.1, momentum=0.9)").init({"w": jnp.ones(2)})[0].trace["w"].tolist()
    [0.0, 0.0]
    """
    if isinstance(optimizer, str):
        return _read(optimizer)
    if isinstance(optimizer, optax.GradientTransformation):
        return optimizer
    raise ValueError(
        f"optimizer must be text such as {ADAM!r} or an optax.GradientTransformation, got "
        f"{optimizer!r}"
    )


def optimizer_text(optimizer: Optimizer) -> str:
    """How records and manifests name an optimizer.

    A transformation that is given as an object has no text. It is named by a hash of its action:
    the program of one update of two numbers, and its constants.
    """
    if isinstance(optimizer, str):
        return optimizer
    params = jax.tree.map(jnp.asarray, _EXAMPLE)
    try:
        state = optimizer.init(params)
        closed = jax.make_jaxpr(optimizer.update)(params, state, params)
    except Exception:  # noqa: BLE001 - an update that needs more than gradients and parameters
        digest = hashlib.sha256(repr(optimizer).encode())
    else:
        # The text of functions with custom derivatives contains their address.
        digest = hashlib.sha256(re.sub("0x[0-9a-f]+", "", str(closed.jaxpr)).encode())
        for value in [*closed.consts, *jax.tree.leaves(state)]:
            # The text of large arrays would leave out the middle.
            array = np.asarray(value)
            digest.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
    return f"custom:{digest.hexdigest()[:12]}"
