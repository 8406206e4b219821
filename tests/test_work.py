"""Work: counted operations against hand counts, XLA's own count, loops that run, and epochs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType, PartitionSpec

import ticketjax as tj
from tests.oracles import masked, problems
from ticketjax.measure.work import flops_of, pass_flops, search_flops
from ticketjax.seekers.registry import SEEKERS


def shaped(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


@functools.cache
def problem_of(samples=9000, width=100, depth=5):
    """A problem on Circle that consists of shapes."""
    task = tj.get_task("circle")
    model = tj.mlp(task, depth=depth, width=width)
    batch = tj.Batch(shaped(samples, 2), shaped(samples, dtype=jnp.int32))
    params = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    return jax.eval_shape(lambda p, b: tj.make_problem(task, model, p, b), params, batch)


@functools.cache
def one_pass():
    return pass_flops(problem_of())


def passes(seeker):
    return search_flops(tj.get_seeker(seeker), problem_of()) / one_pass()


def double_if(known, x):
    return lax.cond(known, lambda x: x + x, lambda x: jnp.exp(x @ x), x)


SQUARE = shaped(3, 3)
HAND_COUNTED = {
    "product": (lambda a, b: a @ b, (shaped(4, 5), shaped(5, 6)), 2 * 4 * 5 * 6),
    "products": (lambda a, b: a @ b, (shaped(7, 4, 5), shaped(7, 5, 6)), 2 * 7 * 4 * 5 * 6),
    "sum": (jnp.sum, (SQUARE,), 8),
    "sum of nothing": (jnp.sum, (shaped(0),), 0),
    "largest of each row": (lambda a: jnp.max(a, axis=1), (SQUARE,), 6),
    "cumulative sum": (lambda a: jnp.cumsum(a, axis=1), (shaped(3, 4),), 9),
    "transcendental": (lambda a: jnp.exp(a) / 3, (SQUARE,), 18),
    "broadcast": (lambda a, b: a[:, None] - b[None], (shaped(3), shaped(4)), 12),
    "scattered sum": (lambda a, b: a.at[jnp.array([0, 0])].add(b), (shaped(5), shaped(2)), 2),
    "mean of windows": (
        lambda a: lax.reduce_window(a, 0.0, lax.add, (4,), (4,), "VALID"),
        (shaped(12),),
        9,
    ),
    "integers": (lambda a: jnp.cumsum(a * 2), (shaped(3, dtype=jnp.int32),), 0),
    "comparison": (lambda a: jnp.where(a > 1, a, 0), (SQUARE,), 0),
    "order": (lambda a: (jnp.sort(a), lax.top_k(a, 2), a[jnp.argmax(a, axis=0)]), (SQUARE,), 0),
    "random bits": (lambda a: jax.random.bits(jax.random.key(0), a.shape), (SQUARE,), 0),
    "unused": (lambda a: (a, jnp.exp(a))[0], (SQUARE,), 0),
    "own derivative": (jax.jit(jax.nn.relu), (SQUARE,), 9),
    # Forward, again for the gradient, and backward: cos, *; the outer sine's gradient: cos, *.
    "recomputed": (
        lambda a: jax.vjp(jax.checkpoint(lambda a: jnp.sin(jnp.sin(a))), a)[1](a)[0],
        (SQUARE,),
        5 * 9,
    ),
    "most expensive branch": (double_if, (shaped(dtype=bool), SQUARE), 2 * 27 + 9),
    # Seven taps: all seven places of the second output, four of the first, which the padding cuts.
    "padded convolution": (
        lambda a, b: lax.conv_general_dilated(a, b, (4,), [(3, 0)]),
        (shaped(2, 5, 8), shaped(6, 5, 7)),
        2 * (4 + 7) * 2 * 6 * 5,
    ),
    "grouped convolution": (
        lambda a, b: lax.conv_general_dilated(a, b, (1,), "VALID", feature_group_count=5),
        (shaped(2, 5, 8), shaped(10, 1, 7)),
        2 * 2 * 7 * 2 * 10,
    ),
}


@pytest.mark.parametrize("name", HAND_COUNTED)
def test_counts_by_hand(name):
    function, arguments, expected = HAND_COUNTED[name]
    assert flops_of(function, *arguments) == expected


def chain(x, length):
    return lax.scan(lambda c, _: (jnp.tanh(c @ c), None), x, length=length)[0]


def test_a_scan_counts_its_body_for_each_step():
    counts = [flops_of(lambda x, n=n: chain(x, n), SQUARE) for n in (1, 2, 7)]
    assert counts == [54 + 9, 2 * (54 + 9), 7 * (54 + 9)]

    def nested(x):
        return lax.scan(lambda c, _: (chain(c, 7), None), x, length=5)[0]

    assert flops_of(nested, SQUARE) == 5 * counts[-1]


@settings(max_examples=20)
@given(st.integers(-5, 9), st.integers(-5, 9), st.sampled_from([1, 2, 3]))
@example(0, 0, 1)
def test_a_while_loop_that_counts_is_counted(first, last, size):
    def loop(x, given_last):
        start = jnp.int32(first), given_last, x
        # The bound is one of the loop's carried values.
        return lax.while_loop(lambda c: c[0] < c[1], lambda c: (c[0] + size, c[1], 2 * c[2]), start)

    # The bound is passed through a call, as a constant of the surrounding program.
    counted = flops_of(lambda x: jax.jit(loop)(x, last), shaped(4))
    assert counted == 4 * len(range(first, last, size))


def test_while_loops_of_known_and_unknown_length():
    def fori(x, steps):
        return lax.fori_loop(0, steps, lambda _, c: c * 2, x)

    def halve(x):
        return lax.while_loop(lambda c: jnp.sum(c) > 1, lambda c: c / 2, x)

    def moving_bound(x):
        return lax.while_loop(lambda c: c[0] < c[1], lambda c: (c[0] + 1, c[1] - 1, -c[2]), x)

    def integers(n):
        return lax.while_loop(lambda n: n % 7 != 0, lambda n: n * 3 + 1, n)

    count = shaped(dtype=jnp.int32)
    assert flops_of(lambda x: fori(x, 6), SQUARE) == 6 * 9  # a scan
    assert flops_of(lambda x: jax.jit(fori)(x, jnp.int32(6)), SQUARE) == 6 * 9  # a while loop
    assert flops_of(integers, count) == 0
    assert np.isnan(flops_of(fori, SQUARE, count))
    assert np.isnan(flops_of(halve, SQUARE))
    assert np.isnan(flops_of(lambda x: moving_bound((0, 9, x)), SQUARE))
    for branches in ((halve, jnp.exp), (jnp.exp, halve)):
        known = shaped(dtype=bool)
        assert np.isnan(flops_of(lambda k, x, both=branches: lax.cond(k, *both, x), known, SQUARE))


@pytest.mark.parametrize("function", [jnp.linalg.cholesky, jnp.fft.fft])
def test_what_the_counter_does_not_know_is_unknown(function):
    assert np.isnan(flops_of(function, SQUARE))


def test_devices_share_the_work_of_one():
    mesh = jax.make_mesh((2,), ("devices",), axis_types=(AxisType.Auto,))
    rows = PartitionSpec("devices")

    def product(a, b):
        return jnp.tanh(a @ b)

    parts = jax.shard_map(product, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows)
    arguments = shaped(8, 5), shaped(5, 6)
    assert flops_of(parts, *arguments) == flops_of(product, *arguments) == 2 * 8 * 5 * 6 + 8 * 6


def gradient(problem):
    return jax.value_and_grad(problem.loss)(problem.params)


def convolution(x, kernel):
    def apply(x, kernel):
        return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", feature_group_count=3)

    outputs, back = jax.vjp(apply, x, kernel)
    return outputs, back(outputs)


def found_by(score):
    seeker = tj.get_seeker(score, score_samples=None)
    return lambda problem: seeker(jax.random.key(0), problem, 0.1)


# XLA counts comparisons, selections, integers and every term of an approximated function, which are
# not counted here: 1% of a network of this width, whose work is products. The counts of products
# and convolutions are equal. After XLA's optimisation, GraSP's two forward passes are one.
AGAINST_XLA = {
    "forward": (lambda p: p.apply(p.params, p.batch.x), (problem_of(),), 0.01, 0.01),
    "gradient": (gradient, (problem_of(),), 0.01, 0.02),
    "convolution": (convolution, (shaped(8, 3, 16, 16), shaped(6, 1, 3, 3)), 0.0, 0.0),
    "snip": (found_by("snip"), (problem_of(),), 0.01, 0.02),
    "grasp": (found_by("grasp"), (problem_of(),), 0.01, 0.2),
}


@pytest.mark.parametrize("name", AGAINST_XLA)
def test_agrees_with_the_count_of_xla(name):
    function, arguments, as_written, optimised = AGAINST_XLA[name]
    counted = flops_of(function, *arguments)
    lowered = jax.jit(function).lower(*arguments)
    assert lowered.cost_analysis()["flops"] == pytest.approx(counted, rel=as_written)
    assert lowered.compile().cost_analysis()["flops"] == pytest.approx(counted, rel=optimised)


def test_shapes_are_enough():
    task = tj.get_task("circle")
    model = tj.mlp(task, depth=3, width=6)
    batch = task.sample(jax.random.key(0), 64, noise=0.0)
    problem = tj.make_problem(task, model, model.init(jax.random.key(1)), batch)
    abstract = problem_of(64, width=6, depth=3)
    seeker = tj.get_seeker("snip")
    assert pass_flops(problem) == pass_flops(abstract)
    assert search_flops(seeker, problem) == search_flops(seeker, abstract)


# A step with 32 of 9,000 samples is 1/281 of a pass. In addition, optimizer and mask cost something
# for each parameter: up to 0.1 passes in an epoch of 281 steps, and less than 0.03 in one of 35
# steps of 256.
@pytest.mark.parametrize(
    "seeker, epochs, besides",
    [
        ("random", 0, 1e-3),
        ("synflow", 0, 1e-3),
        ("singleshot(snip, score_samples=None)", 1, 1e-3),
        ("edge_popup(epochs=3)", 3, 0.1),
        ("multishot(magnitude, rounds=2, round_epochs=3)", 6, 0.1),
        # It trains again after the last pruning.
        ("rewinding(rounds=2, round_epochs=3)", 9, 0.1),
        ("iterative_hard_thresholding(epochs=3)", 3, 0.1),
        ("rigl(epochs=3)", 3, 0.1),
        ("acdc(epochs=4)", 4, 0.1),
        # Its objective fits the output's scale, which a pass does not.
        ("concrete(epochs=7)", 7, 0.05),
        # Each restart needs a forward pass, for its loss on all training data.
        ("best_of(concrete(epochs=7), restarts=4)", 4 * 7 + 4 / 3, 0.05),
    ],
)
def test_passes_of_a_search_are_its_epochs(seeker, epochs, besides):
    assert -0.005 * epochs <= passes(seeker) - epochs <= besides * max(epochs, 1)


@pytest.mark.long
def test_the_work_of_every_seeker_is_known():
    named = [*SEEKERS, "path_pursuit(exchange=True)", "refined(magnitude, rounds=10)"]
    work = {seeker: passes(seeker) for seeker in named}
    # It rejects a classification's proposals early, after an unknown number of samples.
    assert np.isnan(work.pop("annealed"))
    assert all(0 < count < 1e4 for count in work.values()), work


def test_the_work_of_annealing_a_regression_is_known():
    problem = masked.problem_of(problems.layers_of(6))
    work = [search_flops(tj.Annealed(steps=steps), problem) for steps in (10, 20)]
    np.testing.assert_allclose(work[1] / work[0], 2, rtol=0.01)
