"""Optimizers: the fused Adam against optax's, texts, schedules, users' transformations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ticketjax as tj
from ticketjax.optimizers import fused_adam, make_optimizer, optimizer_text
from ticketjax.training import shuffles, train

STEPS = 300
SHAPES = {"a": (3, 4), "b": (5,), "c": ()}


def gradients_of(seed, size=1.0):
    """Gradients of every step that change their size and sign, and are sometimes 0."""
    generator = np.random.default_rng(seed)

    def draw(shape):
        values = generator.normal(size=(STEPS, *shape)) * np.exp(
            generator.normal(0, 2, (STEPS, *[1] * len(shape)))
        )
        return (size * values * (generator.random(values.shape) < 0.8)).astype(np.float32)

    return {name: draw(shape) for name, shape in SHAPES.items()}


PARAMS = {name: jnp.ones(shape, jnp.float32) for name, shape in SHAPES.items()}


def path_of(optimizer, gradients):
    """The parameters after every step."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), gradients)[1]


def assert_same_path(found, expected, rate):
    """Equal to a millionth of the sum of the steps, each of which is about the rate."""
    steps = 1 + np.arange(STEPS)
    for name, path in expected.items():
        bound = 2e-6 * (1 + rate * steps)
        difference = np.abs(np.asarray(found[name]) - np.asarray(path))
        assert np.all(difference.reshape(STEPS, -1).max(1) <= bound), name
        assert np.all(np.isfinite(path))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learning_rate": 0.3},
        {"learning_rate": 0.01, "b1": 0.5, "b2": 0.9},
        {"learning_rate": 0.01, "eps": 0.1},
    ],
    ids=str,
)
def test_the_fused_adam_is_optaxs_over_many_steps(options):
    reference = {"learning_rate": 1e-3, **options}
    gradients = gradients_of(0)
    run = jax.jit(path_of, static_argnums=0)
    found = run(fused_adam(**options), gradients)
    expected = run(optax.adam(**reference), gradients)
    assert_same_path(found, expected, reference["learning_rate"])
    assert np.abs(np.asarray(found["a"][-1]) - 1).max() > 10 * reference["learning_rate"]


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_the_fused_adam_is_optaxs_for_gradients_of_any_size(size):
    # Below the eps of 1e-8, steps become small, and the bias correction of eps matters.
    gradients = gradients_of(1, size)
    run = jax.jit(path_of, static_argnums=0)
    assert_same_path(run(fused_adam(0.1), gradients), run(optax.adam(0.1), gradients), 0.1)


def test_the_fused_adam_is_the_same_eager_compiled_and_under_vmap():
    optimizer = fused_adam(0.05)
    several = [gradients_of(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *several)
    together = jax.jit(jax.vmap(functools.partial(path_of, optimizer)))(stacked)
    for i, gradients in enumerate(several):
        alone = jax.jit(path_of, static_argnums=0)(optimizer, gradients)
        assert_same_path(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, 0.05)
    params, state = PARAMS, optimizer.init(PARAMS)
    for t in range(5):
        gradient = jax.tree.map(lambda leaf, t=t: jnp.asarray(leaf[t]), several[2])
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        for name in SHAPES:
            np.testing.assert_allclose(params[name], alone[name][t], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_one_layer_reaches_no_other(bad):
    clean = gradients_of(2)
    broken = {**clean, "a": clean["a"].copy()}
    broken["a"][3, 1, 2] = bad
    run = jax.jit(path_of, static_argnums=0)
    optimizer = fused_adam(0.01)
    found, expected = run(optimizer, broken), run(optimizer, clean)
    for name in ("b", "c"):
        np.testing.assert_array_equal(found[name], expected[name])
    # Within the layer, only the entry itself.
    others = np.ones((3, 4), bool)
    others[1, 2] = False
    np.testing.assert_array_equal(found["a"][:, others], expected["a"][:, others])
    np.testing.assert_array_equal(found["a"][:3], expected["a"][:3])
    reference = run(optax.adam(0.01), broken)["a"][:, 1, 2]
    np.testing.assert_array_equal(np.isfinite(found["a"][:, 1, 2]), np.isfinite(reference))


def test_by_hand():
    # The first step of Adam is the learning rate, in the gradient's direction; then as in
    # tests/test_training.py.
    optimizer = fused_adam(0.1)
    params = {"w": jnp.array([1.0, 0.0])}
    state = optimizer.init(params)
    for gradient, step in (([8.0, -4.0], [-0.1, 0.1]), ([6.8, -3.4], [-0.099251, 0.099251])):
        updates, state = optimizer.update({"w": jnp.array(gradient)}, state, params)
        np.testing.assert_allclose(updates["w"], step, atol=2e-6)


# Texts.


def update_of(optimizer, steps=3):
    params = {"w": jnp.array([1.0, -2.0, 3.0])}
    state = optimizer.init(params)
    for t in range(1, steps + 1):
        gradients = jax.tree.map(lambda p, t=t: p * t - 0.5, params)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return np.asarray(params["w"])


@pytest.mark.parametrize(
    ("text", "optimizer"),
    [
        ("sgd(0.1)", optax.sgd(0.1)),
        ("sgd(0.1, momentum=0.9, nesterov=True)", optax.sgd(0.1, momentum=0.9, nesterov=True)),
        ("adamw(learning_rate=1e-3, weight_decay=1e-2)", optax.adamw(1e-3, weight_decay=1e-2)),
        ("adam(0.1)", optax.adam(0.1)),
        ("adam(0.1, eps_root=1e-3)", optax.adam(0.1, eps_root=1e-3)),
        ("adam(0.1, nesterov=True)", optax.adam(0.1, nesterov=True)),
        ("fused_adam(0.1)", optax.adam(0.1)),
        (
            "adam(learning_rate=cosine_decay_schedule(0.1, 4))",
            optax.adam(optax.cosine_decay_schedule(0.1, 4)),
        ),
        (
            "sgd(exponential_decay(0.1, 1, 0.5))",
            optax.sgd(optax.exponential_decay(0.1, 1, 0.5)),
        ),
        (
            "chain(clip(0.5), add_decayed_weights(1e-2), sgd(0.1))",
            optax.chain(optax.clip(0.5), optax.add_decayed_weights(1e-2), optax.sgd(0.1)),
        ),
        ("rmsprop(1e-2)", optax.rmsprop(1e-2)),
        ("lion(1e-2)", optax.lion(1e-2)),
    ],
)
def test_texts_are_optaxs_calls(text, optimizer):
    np.testing.assert_allclose(
        update_of(make_optimizer(text)), update_of(optimizer), rtol=1e-6, atol=1e-6
    )
    assert np.abs(update_of(optimizer) - [1, -2, 3]).max() > 1e-4


def test_the_same_text_is_the_same_object_and_a_transformation_is_itself():
    assert make_optimizer("sgd(0.1)") is make_optimizer("sgd(0.1)")
    assert make_optimizer("sgd(0.1)") is not make_optimizer("sgd(0.2)")
    own = optax.sgd(0.1)
    assert make_optimizer(own) is own


def test_plain_adam_is_the_fused_one():
    state = make_optimizer("adam(learning_rate=0.001)").init(PARAMS)
    assert type(state).__name__ == "FusedAdamState"
    for text in ("adam(1e-3, eps_root=0.1)", "adam(cosine_decay_schedule(0.1, 5))"):
        assert type(make_optimizer(text).init(PARAMS)).__name__ != "FusedAdamState"


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("adamx(1e-3)", "optimizer must be one of .*got 'adamx'; did you mean 'adamax'"),
        ("Adam(1e-3)", "did you mean 'adam'"),
        ("sgd(0.1, momentun=0.9)", "sgd takes .*momentum.*got 'momentun'; did you mean 'momentum'"),
        ("sgd()", "sgd: missing a required argument: 'learning_rate'"),
        ("cosine_decay_schedule(0.1, 4)", "must give a gradient transformation.*gives function"),
        ("sgd", "must give a gradient transformation.*gives function"),
        ("0.1", "must give a gradient transformation.*gives float"),
        ("", "optimizer must be a name or a call"),
        ("adam(1e-3", "optimizer must be a name or a call"),
        ("__import__('os')", "optimizer must be one of"),
        ("chain(sgd(0.1), 3)", "'chain[(]sgd[(]0.1[)], 3[)]' cannot be made: .*no attribute"),
        ("sgd('fast')", "sgd.*fast.* cannot make a step"),
        ("lbfgs()", "'lbfgs[(][)]' cannot make a step: .*value"),
        ("cosine_decay_schedule(0.1, -4)", "positive decay_steps"),
        (None, "optimizer must be text such as .*or an optax.GradientTransformation, got None"),
        (3, "optimizer must be text such as .*got 3"),
        (optax.sgd, "optimizer must be text such as"),
    ],
)  # fmt: skip
def test_what_is_no_optimizer_is_refused(optimizer, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(optimizer)
    if optimizer is not None:  # which means each seeker's own
        with pytest.raises(ValueError, match=message):
            tj.Multishot(tj.snip, optimizer=optimizer)
    with pytest.raises(ValueError, match=message):
        tj.Training(optimizer=optimizer)


# Names in records of optimizers without a text.


def test_transformations_of_ones_own_are_told_apart():
    def clipped(largest, rate):
        return optax.chain(optax.clip(largest), optax.sgd(rate))

    def table(entry):
        steps = np.linspace(0.1, 0.2, 3000, dtype=np.float32)
        steps[1500] = entry
        return lambda count: jnp.asarray(steps)[jnp.minimum(count, 2999)]

    def bent():
        @jax.custom_jvp
        def rate(count):
            return 0.1 / (1 + count)

        rate.defjvps(lambda t, primal, count: t)
        return rate

    makers = [
        lambda: optax.sgd(0.1),
        lambda: optax.sgd(0.2),
        lambda: optax.sgd(0.1, momentum=0.9),
        lambda: optax.adam(0.1),
        lambda: optax.adam(0.1, b1=0.8),
        lambda: optax.adam(optax.cosine_decay_schedule(0.1, 10)),
        lambda: optax.adam(optax.cosine_decay_schedule(0.1, 20)),
        lambda: clipped(1.0, 0.1),
        lambda: clipped(2.0, 0.1),
        lambda: optax.sgd(table(0.5)),
        lambda: optax.sgd(table(0.6)),
        lambda: optax.sgd(bent()),
    ]
    texts = [optimizer_text(make()) for make in makers]
    assert len(set(texts)) == len(texts)
    # And each has the same name whenever it is made.
    assert texts == [optimizer_text(make()) for make in makers]
    assert all(text.startswith("custom:") for text in texts)


def test_a_transformation_that_cannot_be_traced_has_a_name_of_its_own():
    def of_what_is_missing(scale):
        def update(updates, state, params, *, value):
            return jax.tree.map(lambda u: scale * u * value, updates), state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    # Both exist at once, because the address in memory is part of the name.
    both = [of_what_is_missing(scale) for scale in (1.0, 2.0)]
    one, other = map(optimizer_text, both)
    assert one != other


def test_a_text_is_its_own_name():
    assert optimizer_text("sgd( 0.1 )") == "sgd( 0.1 )"


# In use.


@functools.cache
def problem():
    task = tj.get_task("relu")
    model = tj.mlp(task, depth=3, width=8)
    params = model.init(jax.random.key(0))
    return tj.make_problem(task, model, params, task.sample(jax.random.key(1), 32, noise=0.01))


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: tj.Multishot(tj.magnitude, rounds=1, optimizer=optimizer),
        lambda optimizer: tj.Rewinding(rounds=1, optimizer=optimizer),
        lambda optimizer: tj.EdgePopup(epochs=1, optimizer=optimizer),
        lambda optimizer: tj.IterativeHardThresholding(epochs=1, optimizer=optimizer),
        lambda optimizer: tj.Concrete(epochs=1, batch_size=8, optimizer=optimizer),
    ],
)
def test_every_seeker_that_trains_moves_by_the_optimizer_that_it_is_given(make):
    run = jax.jit(lambda seeker, p: seeker(jax.random.key(2), p, 0.5).scores, static_argnums=0)
    still, moved = run(make(optax.set_to_zero()), problem()), run(make("sgd(0.3)"), problem())
    as_text = run(make("set_to_zero()"), problem())
    flat = [
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(scores)])
        for scores in (still, moved, as_text)
    ]
    np.testing.assert_array_equal(flat[0], flat[2])
    assert np.abs(flat[0] - flat[1]).max() > 1e-3


def test_seekers_with_the_same_text_are_one_and_with_transformations_their_own():
    assert tj.Multishot(tj.snip, optimizer="sgd(0.1)") == tj.Multishot(
        tj.snip, optimizer="sgd(0.1)"
    )
    own = optax.sgd(0.1)
    assert tj.Multishot(tj.snip, optimizer=own) == tj.Multishot(tj.snip, optimizer=own)
    assert hash(tj.Multishot(tj.snip, optimizer=own)) == hash(tj.Multishot(tj.snip, optimizer=own))


def test_a_pruned_parameter_stays_zero_whatever_the_optimizer_adds():
    # Made before the trace, whose values must not be cached.
    own = problem()

    @functools.partial(jax.jit, static_argnums=0)
    def trained(optimizer):
        mask = jax.tree.map(lambda p: p > 0, own.params)
        order = shuffles(jax.random.key(0), 2, 32, 8)
        return mask, train(own, mask, order, optimizer=optimizer)

    for optimizer in ("chain(add_noise(0.1, 0.5, 0), sgd(0.1))", optax.keep_params_nonnegative()):
        mask, params = trained(optimizer)
        for kept, leaf in zip(jax.tree.leaves(mask), jax.tree.leaves(params), strict=True):
            assert np.all(np.asarray(leaf)[~np.asarray(kept)] == 0)
