"""Optimizers: optax's, as text or as they are, and Adam with its step fused."""

import functools
import hashlib
import inspect
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from ticketjax import expressions
from ticketjax.choices import ADAM

Optimizer: TypeAlias = str | optax.GradientTransformation


class FusedAdamState(NamedTuple):
    """steps: made so far, () float32. first, second: moments, trees like the parameters."""

    steps: jax.Array
    first: Any
    second: Any


def fused_adam(
    learning_rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """optax.adam with its two bias corrections, divisions of every parameter, in the step size.

    The same numbers up to rounding, in four fifths of a step's time (Kingma and Ba 2015, end of
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
        # Backpropagation ends at the first layer. Waiting for all of it, XLA sees that no kernel is
        # needed any more when it is overwritten; otherwise it copies every one at every step.
        rate, gradients = jax.lax.optimization_barrier((rate, gradients))
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.second, gradients)
        updates = jax.tree.map(
            lambda m, v: -rate * m / (jnp.sqrt(v) + eps * correction), first, second
        )
        return updates, FusedAdamState(steps, first, second)

    return optax.GradientTransformation(init, update)


def _names() -> dict[str, Any]:
    """What the text of an optimizer may name: what optax itself offers, and fused_adam."""
    public = {
        name: value
        for name, value in vars(optax).items()
        if not name.startswith("_") and inspect.isfunction(value)
    }
    return {**public, "adam": _adam, "fused_adam": fused_adam}


@functools.wraps(optax.adam)
def _adam(*arguments: Any, **options: Any) -> optax.GradientTransformation:
    # What the fused step can do as well, it does.
    given = inspect.signature(optax.adam).bind(*arguments, **options).arguments
    fused = inspect.signature(fused_adam).parameters
    plain = all(name in fused and isinstance(value, int | float) for name, value in given.items())
    return fused_adam(**given) if plain else optax.adam(*arguments, **options)


@functools.lru_cache(maxsize=256)
def _read(text: str) -> optax.GradientTransformation:
    made = expressions.read(text, _names(), "optimizer")
    if not isinstance(made, optax.GradientTransformation):
        raise ValueError(
            f"optimizer must give a gradient transformation, as {ADAM!r} does; {text!r} gives "
            f"{type(made).__name__}"
        )
    return made


def make_optimizer(optimizer: Optimizer) -> optax.GradientTransformation:
    """The gradient transformation that a text names, or one that is given.

    Args:
        optimizer: "adamw(learning_rate=1e-3)", any call of optax's functions, also nested, with
            numbers; "adam" runs as fused_adam() where it can. Or an optax.GradientTransformation.

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

    A transformation that is given as it is has no text; it is named by a hash of what it does: the
    program of one update of two numbers, and its constants.
    """
    if isinstance(optimizer, str):
        return optimizer
    params = {"w": jnp.zeros(2, jnp.float32)}
    try:
        state = optimizer.init(params)
        closed = jax.make_jaxpr(optimizer.update)(params, state, params)
        content = f"{closed.jaxpr} {closed.consts} {jax.tree.leaves(state)}"
    except Exception:  # noqa: BLE001 - an update that needs more than gradients and parameters
        content = repr(optimizer)
    return f"custom:{hashlib.sha256(content.encode()).hexdigest()[:12]}"
