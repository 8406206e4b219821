"""Work of a search in floating point operations, counted in its traced program."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from ticketjax.problem import Problem, Seeker

# One operation for each element of the output, transcendental functions included.
_ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any asin asinh atan atan2 atanh cbrt ceil clamp cos cosh div erf erf_inv
    erfc exp exp2 expm1 floor integer_pow lgamma log log1p logistic max min mul neg nextafter pmax
    pmin pow psum psum_invariant rem round rsqrt sign sin sinh sqrt square sub tan tanh
    """.split()
)
# n values become one by n - 1 operations.
_REDUCTIONS = frozenset({"reduce_max", "reduce_min", "reduce_prod", "reduce_sum"})
_CUMULATIVE = frozenset({"cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"})
_WINDOWS = frozenset({"reduce_window_max", "reduce_window_min", "reduce_window_sum"})
# One operation for each update.
_SCATTERS = frozenset({"scatter-add", "scatter-max", "scatter-min", "scatter-mul", "scatter-sub"})
# Nothing is calculated: values are moved, chosen, ordered, drawn or converted.
_FREE = frozenset(
    """
    all_gather all_to_all bitcast_convert_type broadcast_in_dim concatenate convert_element_type
    copy device_put dynamic_slice dynamic_update_slice empty2 gather iota name
    optimization_barrier pad ppermute pvary random_gamma reduce_precision reshape rev rng_uniform
    scatter select_and_gather_add select_n sharding_constraint slice sort split squeeze stack
    stop_gradient tile top_k transpose unstack
    """.split()
)
# Primitives that call a program, and their parameter that contains it.
_CALLS = {
    "call": "call_jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
    "jit": "jaxpr",
    "remat2": "jaxpr",
    "shard_map": "jaxpr",
}

# A value as far as it is known: an integer, or nothing.
_Known = int | None


def flops_of(function: Callable[..., Any], *arguments: Any) -> float:
    """Floating point operations of one call, counted in its jaxpr. Nothing is compiled or run.

    Products count exactly: 2 b m n k for a (b, m, k) by (b, k, n) matrix product, and two for each
    pair of a kernel's weight and an input value of a convolution, its padding left out. Elementwise
    arithmetic is one operation per output element, even for divisions, powers and transcendental
    functions. A reduction, even a cumulative one, costs its number of inputs minus its number of
    results. Operations on integers and booleans, comparisons, selections, conversions, indexing,
    sorting and random bits are free. A zero counts like any other number, so a masked network costs
    what the dense one does. Equations that no result needs are left out, as by jax.jit. Repeated
    equations count each time, even if a compiler would merge them.

    A scan counts its body once for each step, a cond its most expensive branch. A while loop is
    counted where its steps are known: a counter with a constant start and step, compared by < with
    a constant bound, as jax.lax.fori_loop makes it.

    Args:
        function: whatever jax.make_jaxpr takes.
        *arguments: its arguments, trees of arrays or jax.ShapeDtypeStruct.

    Returns:
        The operations. NaN (unknown) for programs with floating point work in a while loop of
        unknown length, complex numbers, a kernel, a callback or a matrix decomposition.

    >>> matrix = jax.ShapeDtypeStruct((10, 20), jnp.float32)
    >>> flops_of(lambda a: jnp.sum(a @ a.T), matrix)  # 2 * 10 * 10 * 20 + 10 * 10 - 1
    4099.0
    """
    closed = jax.make_jaxpr(function)(*arguments)
    used = [True] * len(closed.jaxpr.outvars)
    live, _ = partial_eval.dce_jaxpr(closed.jaxpr, used, instantiate=True)
    return _of_closed(closed.replace(jaxpr=live), [None] * len(live.invars))


def pass_flops(problem: Problem) -> float:
    """Operations of one forward and backward pass over all the training data.

    It is the loss of all parameters and its gradient, under the problem's objective. The work of a
    search in passes is search_flops() over this.

    Args:
        problem: its arrays may be jax.ShapeDtypeStruct.

    Returns:
        The operations, as flops_of() counts them.
    """
    return flops_of(lambda given: jax.value_and_grad(given.loss)(given.params), problem)


def search_flops(seeker: Seeker, problem: Problem) -> float:
    """Operations of one search.

    Args:
        seeker: (key, problem, density) -> Found.
        problem: its arrays may be jax.ShapeDtypeStruct.

    Returns:
        The operations, as flops_of() counts them; they are the same for every key and density.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    return flops_of(seeker, key, problem, jax.ShapeDtypeStruct((), jnp.float32))


def _of_closed(closed: core.ClosedJaxpr, inputs: Sequence[_Known]) -> float:
    """Operations of a jaxpr, given the known values of its inputs."""
    return _of_jaxpr(closed.jaxpr, inputs, [_integer(value) for value in closed.consts])


def _of_jaxpr(
    jaxpr: core.Jaxpr, inputs: Sequence[_Known], constants: Sequence[_Known] = ()
) -> float:
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    known |= dict(zip(jaxpr.constvars, constants, strict=True))
    total = 0.0
    for equation in jaxpr.eqns:
        values = [_look_up(v, known) for v in equation.invars]
        if _is_renaming(equation):
            known[equation.outvars[0]] = values[0]
        total += _of_equation(equation, values)
    return total


def _of_equation(equation: core.JaxprEqn, inputs: Sequence[_Known]) -> float:
    name, given = equation.primitive.name, equation.params
    if name == "scan":
        constants = inputs[: given["num_consts"]]
        rest = [None] * (len(inputs) - len(constants))
        return given["length"] * _of_closed(given["jaxpr"], [*constants, *rest])
    if name == "while":
        return _of_while(equation, inputs)
    if name == "cond":
        # np.max instead of max, so that NaN in one branch gives NaN.
        return float(np.max([_of_closed(branch, inputs[1:]) for branch in given["branches"]]))
    if name in _CALLS:
        called = given[_CALLS[name]]
        count = _of_closed if isinstance(called, core.ClosedJaxpr) else _of_jaxpr
        return _shards(equation) * count(called, inputs)
    if next(core.jaxprs_in_params(given), None) is None or name in _SCATTERS:
        return _of_operation(equation)
    return math.nan


def _shards(equation: core.JaxprEqn) -> int:
    """How many devices run a call, each on its share."""
    if equation.primitive.name != "shard_map":
        return 1
    given = equation.params
    return math.prod(given["mesh"].shape[axis] for axis in given["newly_manual_axes"])


def _of_while(equation: core.JaxprEqn, inputs: Sequence[_Known]) -> float:
    given = equation.params
    for_cond, for_body = given["cond_nconsts"], given["body_nconsts"]
    cond_constants = inputs[:for_cond]
    body_constants = inputs[for_cond : for_cond + for_body]
    start = inputs[for_cond + for_body :]
    cond, body = given["cond_jaxpr"], given["body_jaxpr"]
    unknown = [None] * len(start)
    per_test = _of_closed(cond, [*cond_constants, *unknown])
    per_step = _of_closed(body, [*body_constants, *unknown])
    if per_test == per_step == 0:
        return 0.0
    steps = _steps(cond.jaxpr, body.jaxpr, cond_constants, start)
    # If the number of steps is known, the test is one comparison, which costs nothing.
    return math.nan if steps is None else steps * per_step


def _steps(
    cond: core.Jaxpr, body: core.Jaxpr, constants: Sequence[_Known], start: Sequence[_Known]
) -> int | None:
    """How often a while loop runs, if it counts from one constant to another."""
    if not cond.eqns:
        return None
    *before_test, test = cond.eqns
    if test.primitive.name != "lt" or not all(map(_is_renaming, before_test)):
        return None
    renamed = {equation.outvars[0]: equation.invars[0] for equation in before_test}
    counter, bound = (renamed.get(v, v) if isinstance(v, core.Var) else v for v in test.invars)
    carried, carried_in = cond.invars[len(constants) :], body.invars[-len(start) :]
    # A value that the body returns unchanged keeps its initial value.
    kept = [
        value if before is after else None
        for value, before, after in zip(start, carried_in, body.outvars, strict=True)
    ]
    last = _look_up(bound, dict(zip(cond.invars, [*constants, *kept], strict=True)))
    place = next((i for i, variable in enumerate(carried) if variable is counter), None)
    if last is None or place is None:
        return None
    first, step = start[place], _step(body, carried_in[place], body.outvars[place])
    return None if first is None or step is None else len(range(first, last, step))


def _step(body: core.Jaxpr, before: core.Var, after: core.Var | core.Literal) -> int | None:
    """What a body adds to its counter, if it is a constant above 0."""
    for equation in body.eqns:
        if equation.outvars[0] is after and equation.primitive.name == "add":
            left, right = equation.invars
            step = _look_up(right, {})
            return step if left is before and step is not None and step > 0 else None
    return None


def _is_renaming(equation: core.JaxprEqn) -> bool:
    """Whether the result is the operand with the same type, apart from weak typing."""
    if equation.primitive.name != "convert_element_type":
        return False
    before: Any = equation.invars[0].aval
    after: Any = equation.outvars[0].aval
    return before.dtype == after.dtype


def _of_operation(equation: core.JaxprEqn) -> float:
    """Operations of an equation that calls no other program."""
    name, given = equation.primitive.name, equation.params
    outputs: list[Any] = [v.aval for v in equation.outvars]
    if any(_is_a(aval, jnp.complexfloating) for aval in outputs):
        return math.nan
    results = sum(aval.size for aval in outputs if _is_a(aval, jnp.floating))
    if not results or name in _FREE:
        return 0.0
    operands: list[Any] = [v.aval for v in equation.invars]
    if name in _ELEMENTWISE:
        return float(results)
    if name in _REDUCTIONS:
        return float(max(operands[0].size - results, 0))
    if name in _CUMULATIVE:
        return float(results - results // max(operands[0].shape[given["axis"]], 1))
    if name in _WINDOWS:
        return float(results * (math.prod(given["window_dimensions"]) - 1))
    if name in _SCATTERS:
        return float(operands[2].size)
    if name == "select_and_scatter_add":
        return float(operands[0].size)
    if name == "dot_general":
        contracted = given["dimension_numbers"][0][0]
        return 2.0 * results * math.prod(operands[0].shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return _of_convolution(given, *(a.shape for a in (*operands, *outputs)))
    return math.nan


def _of_convolution(
    given: dict[str, Any], images: Sequence[int], kernel: Sequence[int], result: Sequence[int]
) -> float:
    """Two operations for each product, except with padding and with gaps between values."""
    numbers = given["dimension_numbers"]
    # (batch, channels, ...), (outputs, inputs of a group, ...), (batch, channels, ...).
    images, kernel, result = (
        [shape[axis] for axis in spec]
        for shape, spec in zip((images, kernel, result), numbers, strict=True)
    )
    pairs = 1
    for i, (size, taps, places) in enumerate(zip(images[2:], kernel[2:], result[2:], strict=True)):
        place = np.arange(places)[:, None] * given["window_strides"][i]
        place = place + np.arange(taps)[None] * given["rhs_dilation"][i] - given["padding"][i][0]
        hole = given["lhs_dilation"][i]
        pairs *= int(np.sum((place >= 0) & (place <= (size - 1) * hole) & (place % hole == 0)))
    return 2.0 * result[0] * result[1] * kernel[1] * pairs


def _is_a(aval: Any, kind: Any) -> bool:
    return hasattr(aval, "dtype") and jnp.issubdtype(aval.dtype, kind)


def _look_up(variable: Any, known: dict[Any, _Known]) -> _Known:
    """The value of a variable or a literal, if it is a known integer."""
    if isinstance(variable, core.Literal):
        return _integer(variable.val)
    return known.get(variable)


def _integer(value: Any) -> _Known:
    """A constant as a number, if it is a single integer."""
    if isinstance(value, jax.core.Tracer) or np.ndim(value):
        return None
    dtype = jnp.result_type(value)
    return int(value) if jnp.issubdtype(dtype, jnp.integer) else None
