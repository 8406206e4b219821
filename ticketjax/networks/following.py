"""Find a network's layers by following one call: which parameters multiply what, in which order.

The call is traced to a jaxpr, and every equation is read. A product of neurons with a parameter is
a layer; a parameter that is added to its result is its bias; ReLU, pooling, reshaping and sums
of branches keep a positive factor of a neuron where it is, and so leave planting possible. Anything
else is recorded as an obstacle of the layer that reads its result.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from ticketjax.base import Layer, Tree
from ticketjax.networks.layers import SEPARATOR, leaf_paths

# Equations whose result can be treated as their operand.
SAME = ("convert_element_type", "copy", "stop_gradient", "optimization_barrier", "copy_p")
POOLING = ("reduce_window_max", "reduce_window_sum", "reduce_window", "reduce_max", "reduce_sum")
THROUGH = "its input has passed through "
# The parameters of equations that contain the jaxpr of a function called once.
CALLED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
CALLS = ("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call",
         "custom_vjp_call", "custom_vjp_call_jaxpr", "remat2")  # fmt: skip


def called(equation: Any) -> tuple[Any, Any] | None:
    """The jaxpr and the constants of a function that the equation calls once, or None."""
    inner = next((equation.params[name] for name in CALLED if name in equation.params), None)
    if equation.primitive.name not in CALLS or inner is None:
        return None
    return getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A parameter. changed: what changes it before use; turned: whether its axes are reversed."""

    path: str
    shape: tuple[int, ...]
    changed: str = ""
    turned: bool = False


@dataclasses.dataclass(frozen=True)
class _Signal:
    """Values of a space of neurons.

    axis: of the array, along which the neurons lie; for flattened images, with their places.
    channels: how many neurons. fresh: the layer that has just computed this, without a bias so
    far, or -1. rectified: whether nothing is negative. obstacle, deviation: as in Layer.
    """

    space: int
    axis: int
    channels: int
    fresh: int = -1
    rectified: bool = False
    obstacle: str = ""
    deviation: str = ""


@dataclasses.dataclass(frozen=True)
class _Constant:
    """A value that depends on neither parameters nor data; None if it is not known."""

    value: Any = None


_Value = _Leaf | _Signal | _Constant


@dataclasses.dataclass
class _Draft:
    """A layer that has been found."""

    kernel: str
    reads: int
    writes: int
    bias: str | None = None
    obstacle: str = ""
    deviation: str = ""


def _is_zero(value: _Value) -> bool:
    return (
        isinstance(value, _Constant)
        and value.value is not None
        and not np.any(np.asarray(value.value))
    )


class _Follower:
    """Reads equations in their order and records the layers."""

    def __init__(self) -> None:
        self.drafts: list[_Draft] = []
        self.joined: list[int] = [0]  # each space's other name, itself if it has none
        self.used: dict[str, int] = {}  # kernels by the layer that has them

    def space(self, name: int) -> int:
        """The common name of spaces that are added to each other."""
        while self.joined[name] != name:
            name = self.joined[name]
        return name

    def new_space(self) -> int:
        self.joined.append(len(self.joined))
        return len(self.joined) - 1

    # -- Equations ---------------------------------------------------------------------------

    def run(self, jaxpr: core.Jaxpr, constants: Sequence[Any], values: Sequence[_Value]) -> list:
        """The values of a jaxpr's results, from those of its arguments."""
        known: dict[Any, _Value] = dict(zip(jaxpr.invars, values, strict=True))
        known |= {v: _Constant(c) for v, c in zip(jaxpr.constvars, constants, strict=True)}

        def look_up(atom: Any) -> _Value:
            return _Constant(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            results = self.equation(equation, [look_up(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, results, strict=True))
        return [look_up(atom) for atom in jaxpr.outvars]

    def equation(self, equation: Any, values: list[_Value]) -> list[_Value]:
        name = equation.primitive.name
        if (inner := called(equation)) is not None:
            results = self.run(*inner, values)
            return [_named(result, values, equation.params.get("name")) for result in results]
        # A choice by platform between equivalent computations; the last one is the default.
        if name == "cond" and equation.params.get("branches_platforms"):
            default = equation.params["branches"][-1]
            return self.run(default.jaxpr, default.consts, values[1:])
        if all(isinstance(value, _Constant) for value in values):
            return [_Constant()] * len(equation.outvars)
        if name in SAME:
            return list(values)
        shape = tuple(equation.outvars[0].aval.shape)
        read = getattr(self, f"read_{name}", None)
        if name in POOLING:
            read = self.pool
        result = read(equation, values, shape) if read else None
        if result is None:
            result = self.unknown(name, values, shape)
        return [result] * len(equation.outvars)

    def unknown(self, name: str, values: list[_Value], shape: tuple[int, ...]) -> _Value:
        """The result of an equation that is an obstacle to planting."""
        leaves = [value for value in values if isinstance(value, _Leaf)]
        signals = [value for value in values if isinstance(value, _Signal)]
        if not signals:
            return dataclasses.replace(leaves[0], shape=shape, changed=name)
        first = signals[0]
        earlier = [signal.obstacle for signal in signals if signal.obstacle]
        obstacle = earlier[0] if earlier else THROUGH + name
        if leaves:
            obstacle = f"{THROUGH}{', '.join(leaf.path for leaf in leaves)} ({name})"
        if first.axis < len(shape) and shape[first.axis] % first.channels == 0:
            return dataclasses.replace(first, obstacle=obstacle, fresh=-1)
        channels = shape[-1] if shape else 1
        axis = max(len(shape) - 1, 0)
        return _Signal(self.new_space(), axis, channels, obstacle=obstacle)

    # -- Layers ------------------------------------------------------------------------------

    def layer(
        self,
        kernel: _Leaf,
        read: _Signal,
        shape: tuple[int, ...],
        obstacle: str = "",
        axis: int = -1,
    ) -> _Signal:
        """A new layer, or a second use of its kernel; returns what it computes."""
        axis = axis % max(len(shape), 1)
        channels = shape[axis] if shape else 1
        if kernel.path in self.used:
            draft = self.drafts[self.used[kernel.path]]
            draft.obstacle = draft.obstacle or f"its kernel {kernel.path} is used more than once"
            return _Signal(self.new_space(), axis, channels, obstacle=draft.obstacle)
        if kernel.changed:
            obstacle = obstacle or f"its kernel {kernel.path} is changed ({kernel.changed})"
        deviation = read.deviation
        if not deviation and not read.rectified:
            deviation = "its input has not passed through ReLU"
        draft = _Draft(
            kernel.path,
            read.space,
            self.new_space(),
            obstacle=read.obstacle or obstacle,
            deviation=deviation,
        )
        self.used[kernel.path] = len(self.drafts)
        self.drafts.append(draft)
        return _Signal(draft.writes, axis, channels, fresh=len(self.drafts) - 1)

    def read_dot_general(self, equation, values, shape):
        (left_axes, right_axes), batched = equation.params["dimension_numbers"]
        left, right = values
        if isinstance(left, _Leaf) and isinstance(right, _Leaf):
            return None
        is_left = isinstance(left, _Leaf)
        kernel, read = (left, right) if is_left else (right, left)
        kernel_axes, read_axes = (left_axes, right_axes) if is_left else (right_axes, left_axes)
        if not isinstance(kernel, _Leaf) or not isinstance(read, _Signal):
            return None
        axis = 0 if is_left else len(shape) - 1
        first = (1,) if kernel.turned else (0,)
        if any(batched) or len(kernel.shape) != 2 or tuple(kernel_axes) != first:
            obstacle = (
                f"its kernel {kernel.path} {kernel.shape} is not an (inputs, outputs) matrix in "
                "its product"
            )
        elif tuple(read_axes) != (read.axis,):
            obstacle = f"its kernel {kernel.path} is multiplied along another axis than neurons"
        else:
            obstacle = ""
        return self.layer(kernel, read, shape, obstacle, axis)

    def read_conv_general_dilated(self, equation, values, shape):
        read, kernel = values
        if not isinstance(kernel, _Leaf) or not isinstance(read, _Signal):
            return None
        numbers, size = equation.params["dimension_numbers"], len(shape)
        obstacle = ""
        if tuple(numbers.rhs_spec) != (size - 1, size - 2, *range(size - 2)):
            obstacle = f"its kernel {kernel.path} is not stored (window, inputs, outputs)"
        elif read.axis != numbers.lhs_spec[1]:
            obstacle = f"its kernel {kernel.path} reads another axis than neurons"
        elif equation.params["feature_group_count"] != 1:
            obstacle = "it is a grouped convolution"
        return self.layer(kernel, read, shape, obstacle, numbers.out_spec[1])

    # -- Between layers ----------------------------------------------------------------------

    def read_add(self, equation, values, shape):
        signals = [value for value in values if isinstance(value, _Signal)]
        if len(signals) == 2:
            return self.sum(signals[0], signals[1])
        if len(signals) != 1:
            return None
        (signal,) = signals
        other = values[1 - values.index(signal)]
        if _is_zero(other):
            return signal
        if not isinstance(other, _Leaf) or signal.fresh < 0 or other.changed:
            return None
        if other.path in self.used or np.prod(other.shape) != signal.channels:
            return None
        self.drafts[signal.fresh].bias = other.path
        return dataclasses.replace(signal, fresh=-1)

    read_add_any = read_add

    def sum(self, a: _Signal, b: _Signal) -> _Signal | None:
        """Two branches of one stream: their neurons are the same from here on."""
        if (a.axis, a.channels) != (b.axis, b.channels):
            return None
        one, other = sorted((self.space(a.space), self.space(b.space)))
        self.joined[other] = one
        return _Signal(
            one,
            a.axis,
            a.channels,
            rectified=a.rectified and b.rectified,
            obstacle=a.obstacle or b.obstacle,
            deviation=a.deviation or b.deviation or "its input is a sum of branches",
        )

    def read_max(self, equation, values, shape):
        signals = [value for value in values if isinstance(value, _Signal)]
        if len(signals) != 1 or not any(map(_is_zero, values)):
            return None
        return dataclasses.replace(signals[0], rectified=True, fresh=-1)

    def scaled(self, equation, values, shape):
        """Multiplied or divided by one positive number."""
        signals = [value for value in values if isinstance(value, _Signal)]
        if len(signals) != 1 or not isinstance(values[0], _Signal | _Constant):
            return None
        (signal,) = signals
        if equation.primitive.name == "div" and values[0] is not signal:
            return None
        other = values[1] if values[0] is signal else values[0]
        value = other.value if isinstance(other, _Constant) else None
        if value is None or np.ndim(value) or not value > 0:
            return None
        if value == 1:
            return signal
        deviation = signal.deviation or f"its input is scaled ({equation.primitive.name})"
        return dataclasses.replace(signal, deviation=deviation, fresh=-1)

    read_mul = read_div = scaled

    def pool(self, equation, values, shape):
        signal = values[0]
        if not isinstance(signal, _Signal) or not all(map(_is_constant, values[1:])):
            return None
        before = equation.invars[0].aval.shape
        axes = equation.params.get("axes")
        axis = signal.axis
        if axes is not None:
            if axis in axes or 0 in axes:
                return None
            axis -= sum(reduced < axis for reduced in axes)
        elif shape[axis] != before[axis]:
            return None
        deviation = signal.deviation or f"its input is pooled ({equation.primitive.name})"
        return dataclasses.replace(signal, axis=axis, deviation=deviation, fresh=-1)

    def read_reshape(self, equation, values, shape):
        value = values[0]
        if isinstance(value, _Leaf):
            # New axes of size 1 do not change a bias; any other reshape changes the parameter.
            same = sum(n > 1 for n in value.shape) <= 1 and np.prod(shape) == np.prod(value.shape)
            return dataclasses.replace(value, shape=shape, changed=value.changed or (
                "" if same else "reshape"))  # fmt: skip
        before = equation.invars[0].aval.shape
        if value.axis != len(before) - 1 or not shape or shape[0] != before[0]:
            return None
        if shape[-1] % value.channels:
            return None
        return dataclasses.replace(value, axis=len(shape) - 1)

    def read_squeeze(self, equation, values, shape):
        value = values[0]
        if isinstance(value, _Leaf):
            return dataclasses.replace(value, shape=shape)
        removed = equation.params["dimensions"]
        if value.axis in removed:
            return None
        return dataclasses.replace(value, axis=value.axis - sum(d < value.axis for d in removed))

    def read_broadcast_in_dim(self, equation, values, shape):
        value = values[0]
        places = equation.params["broadcast_dimensions"]
        if isinstance(value, _Leaf):
            is_bias = sum(n > 1 for n in value.shape) <= 1
            return dataclasses.replace(
                value, changed=value.changed or ("" if is_bias else "broadcast")
            )
        return dataclasses.replace(value, axis=places[value.axis], fresh=-1)

    def read_transpose(self, equation, values, shape):
        value, order = values[0], equation.params["permutation"]
        if isinstance(value, _Leaf):
            if len(order) == 2 and not value.changed:
                return dataclasses.replace(value, turned=value.turned ^ (tuple(order) == (1, 0)))
            return dataclasses.replace(value, shape=shape, changed="transpose")
        return dataclasses.replace(value, axis=tuple(order).index(value.axis))

    def read_pad(self, equation, values, shape):
        signal = values[0]
        if not isinstance(signal, _Signal) or not _is_zero(values[1]):
            return None
        return signal if equation.params["padding_config"][signal.axis] == (0, 0, 0) else None

    # -- The end -----------------------------------------------------------------------------

    def finish(self, output: _Value) -> tuple[Layer, ...]:
        """All layers, with spaces numbered in the order of their first use."""
        if not self.drafts:
            raise ValueError("no layer was found: no parameter multiplies a function of the inputs")
        last = self.drafts[-1]
        if not isinstance(output, _Signal) or self.space(output.space) != self.space(last.writes):
            last.obstacle = last.obstacle or "the outputs are not what it computes"
        else:
            last.obstacle = last.obstacle or output.obstacle.replace(
                THROUGH, "its result has passed through "
            )
            is_plain = not output.deviation and not output.rectified
            changed = "" if is_plain else "its result is changed before it is returned"
            last.deviation = last.deviation or changed
        numbers = {0: 0}
        layers = []
        for draft in self.drafts:
            reads, writes = (
                numbers.setdefault(self.space(space), len(numbers))
                for space in (draft.reads, draft.writes)
            )
            path, kernel, bias = _names(draft.kernel, draft.bias)
            layers.append(
                Layer(
                    path,
                    reads,
                    writes,
                    kernel=kernel,
                    bias=bias,
                    obstacle=draft.obstacle,
                    deviation=draft.deviation,
                )  # fmt: skip
            )
        return tuple(layers)


def _named(result: _Value, values: Sequence[_Value], name: str | None) -> _Value:
    """A function's result; an obstacle within the function is named after the function."""
    clean = not any(isinstance(value, _Signal) and value.obstacle for value in values)
    leaves = any(isinstance(value, _Leaf) for value in values)
    if name is None or leaves or not clean or not isinstance(result, _Signal):
        return result
    return dataclasses.replace(result, obstacle=result.obstacle and THROUGH + name)


def _is_constant(value: _Value) -> bool:
    return isinstance(value, _Constant)


def _names(kernel: str, bias: str | None) -> tuple[str, str, str | None]:
    """The subtree that kernel and bias share, and their names in it."""
    path, _, name = kernel.rpartition(SEPARATOR)
    if bias is None:
        return path, name, None
    bias_path, _, bias_name = bias.rpartition(SEPARATOR)
    if bias_path == path:
        return path, name, bias_name
    return "", kernel, bias


def follow(
    apply: Callable[[Tree, jax.Array], jax.Array], params: Tree, x: Any
) -> tuple[Layer, ...]:
    """The layers of a network, in the order in which they compute.

    Args:
        apply: (params, x) -> outputs, a pure function.
        params: any tree of arrays, or of their shapes.
        x: inputs, or their shape and dtype; the first axis is that of samples, the last one that
            of inputs or channels.

    Returns:
        A Layer for every parameter that multiplies a function of the inputs. Where planting cannot
        be exact, its obstacle or deviation says why.

    Raises:
        ValueError: no parameter multiplies a function of the inputs.

    >>> import jax.numpy as jnp
    >>> def apply(params, x):
    ...     return jax.nn.relu(x @ params["w"] + params["b"][None]) @ params["v"]
    >>> params = {"w": jnp.ones((2, 9)), "b": jnp.ones(9), "v": jnp.ones((9, 4))}
    >>> [(layer.kernel, layer.bias) for layer in follow(apply, params, jnp.ones((3, 2)))]
    [('w', 'b'), ('v', None)]
    """
    closed = jax.make_jaxpr(apply)(params, x)
    shapes = [tuple(leaf.shape) for leaf in jax.tree.leaves(params)]
    leaves = [_Leaf(path, shape) for path, shape in zip(leaf_paths(params), shapes, strict=True)]
    inputs = _Signal(0, len(x.shape) - 1, x.shape[-1], rectified=True)
    follower = _Follower()
    results = follower.run(closed.jaxpr, closed.consts, [*leaves, inputs])
    if len(results) != 1:
        raise ValueError(f"apply must return one array of outputs, got {len(results)}")
    return follower.finish(results[0])
