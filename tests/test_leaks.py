"""A seeker can reach nothing of the ticket, and no held-out sample, from its arguments."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.reach import reach
from ticketjax.base import Planted, Task
from ticketjax.runs.instance import Instance, keys_of_run, make_instance
from ticketjax.runs.trial import seek

KEY = jax.random.key(11)
SECRET_NAMES = {
    *("ticket_layers", "target", "ticket", "tickets", "decoys", "planted", "held_out"),
    *("instance", "setting", "task", "ticket_of"),
}
SECRET_KINDS = (Task, tj.Setting, Instance, Planted)


# The cases.


def image_task():
    """A teacher with given samples: training and held-out images in one array."""
    rng = np.random.default_rng(0)
    target = {
        "layer_0": {"kernel": rng.normal(size=(12, 3)), "bias": np.zeros(3)},
        "layer_1": {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)},
    }
    target = jax.tree.map(np.float32, target)
    x = rng.normal(size=(40, 2, 2, 3)).astype(np.float32)
    y = rng.integers(0, 2, 40).astype(np.int32)
    task = tj.teacher("tiny_images", target, tj.Batch(x, y))

    def data():
        return tj.Batch(x[:30], y[:30]), tj.Batch(x[30:], y[30:])

    return dataclasses.replace(task, data=data)


class Chain(nn.Module):
    """Its biases do not start at 0, linen's default, which would reveal the planted ones."""

    @nn.compact
    def __call__(self, x):
        for width in (6, 21):
            x = nn.relu(nn.Dense(width, bias_init=nn.initializers.normal(0.1))(x))
        return nn.Dense(4, bias_init=nn.initializers.normal(0.1))(x)


def by_hand():
    """A network of a user's functions, on a user's tree."""

    def init(key):
        keys = jax.random.split(key, 2)
        return {
            "first": {"weight": jax.random.normal(keys[0], (12, 9)), "bias": jnp.ones(9)},
            "second": {"weight": jax.random.normal(keys[1], (9, 2)), "bias": jnp.ones(2)},
        }

    def apply(params, x):
        x = x.reshape(x.shape[0], -1) @ params["first"]["weight"] + params["first"]["bias"][None]
        return nn.relu(x) @ params["second"]["weight"] + params["second"]["bias"][None]

    return tj.Model(init, apply, (tj.Layer("first", 0, 1), tj.Layer("second", 1, 2)))


def flipped(key, x):
    return jnp.where(jax.random.bernoulli(key), x, -x)


@functools.cache
def case(name):
    """A setting and an instance of it."""
    circle = tj.get_task("circle")
    task, model, options = {
        "mlp": (circle, tj.mlp(circle, 3, 48), {"planting": tj.Planting(tickets=2)}),
        "linen": (circle, tj.from_linen(Chain(), circle), {}),
        "images": (image_task(), by_hand(), {}),
    }[name]
    training = tj.Training(epochs=0, batch_size=10, augment=flipped)
    setting = tj.Setting(task, model, samples=40, training=training, **options)
    make = jax.jit(lambda key: make_instance(setting, key, 0.0))
    return setting, jax.block_until_ready(make(KEY))


class ReceivedError(Exception):
    """Ends a run at the start of its seeker."""


def arguments_of(setting, instance):
    """What a seeker receives, from the function that every run calls."""
    received = {}

    def spy(key, problem, density):
        received.update(key=key, problem=problem, density=density)
        raise ReceivedError

    with pytest.raises(ReceivedError):
        seek(setting, spy, KEY, instance, 0.5)
    return received


# The secrets, and how they are recognised.


def numbers_of(value):
    """An array, a key, or a container of numbers as a NumPy array; None for anything else."""
    if isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        return np.asarray(value)
    if isinstance(value, np.ndarray):
        return value if value.dtype != object else None
    if isinstance(value, list | tuple | set | frozenset) and value:
        if all(isinstance(entry, bool | int | float | np.number) for entry in value):
            return np.array(sorted(value) if isinstance(value, set | frozenset) else list(value))
    return None


class Secrets:
    """The arrays that no seeker may see in any of their simpler forms."""

    def __init__(self, setting, instance):
        masks = [np.asarray(leaf) for leaf in jax.tree.leaves(instance.planted.mask)]
        # The masks of several tickets are stacked; each counts by itself.
        stacked = jax.tree.leaves((instance.tickets, instance.decoys))
        masks += [np.asarray(one) for leaf in stacked for one in leaf]
        whole = np.concatenate([m.ravel() for m in jax.tree.leaves(instance.planted.mask)])
        self.masks = [m.ravel() for m in [*masks, whole] if 0 < m.sum() < m.size and m.size > 3]
        self.samples = [np.asarray(instance.held_out.x), np.asarray(instance.held_out.y)]
        target = [np.asarray(leaf) for leaf in jax.tree.leaves(setting.target)]
        self.ticket = [leaf for leaf in target if leaf.size > 3 and np.ptp(leaf) > 0]
        # With the run's key, everything else could be drawn again.
        keys = [KEY, *(key for use, key in keys_of_run(KEY).items() if use != "seek")]
        self.keys = [np.asarray(jax.random.key_data(key)) for key in keys]
        self.counts = np.array(setting.ticket_layers)

    def shown_by(self, array):
        """The secret that an array reveals; empty if none."""
        flat = array.ravel()
        for mask in self.masks:
            if flat.size == mask.size:
                kept = flat != 0
                if np.array_equal(kept, mask) or np.array_equal(kept, ~mask):
                    return "mask"
            elif mask.sum() > 2 and flat.size == mask.sum():
                if np.array_equal(np.sort(flat), np.flatnonzero(mask)):
                    return "mask, as positions"
        for ticket in self.ticket:
            if array.shape == ticket.shape and np.array_equal(array, ticket):
                return "ticket"
        for samples in self.samples:
            count = len(samples)
            if array.ndim == samples.ndim and array.shape[1:] == samples.shape[1:]:
                windows = range(len(array) - count + 1)
                if any(np.array_equal(array[i : i + count], samples) for i in windows):
                    return "held-out samples"
        if any(np.array_equal(array, key) for key in self.keys):
            return "key"
        return "numbers of parameters" if np.array_equal(array, self.counts) else ""


def leaks(arguments, setting, instance):
    """The ways to secrets, with the secrets' names."""
    secrets = Secrets(setting, instance)
    identical = {id(leaf) for leaf in jax.tree.leaves((instance.planted.mask, instance.held_out))}
    identical |= {id(secret) for secret in (setting, instance, setting.task, setting.target)}
    found = []
    for way, value in reach(arguments):
        if way[-1].removeprefix("global ") in SECRET_NAMES:
            found.append((way, "name"))
        elif isinstance(value, SECRET_KINDS) or id(value) in identical:
            found.append((way, type(value).__name__))
        elif (array := numbers_of(value)) is not None and (told := secrets.shown_by(array)):
            found.append((way, told))
    return found


CASES = ("mlp", pytest.param("linen", marks=pytest.mark.long), "images")


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_the_ticket_is_within_reach(name):
    setting, instance = case(name)
    arguments = arguments_of(setting, instance)
    assert set(arguments) == {"key", "problem", "density"}
    assert leaks(arguments, setting, instance) == []
    # The search has visited the possible places: closures, and names in the user's functions.
    ways = {way for way, _ in reach(arguments)}
    assert ("problem", "batch", "x") in ways and ("problem", "augment", "global jnp") in ways
    inside = {"mlp": "precision", "linen": "module"}.get(name)
    assert inside is None or ("problem", "apply", inside) in ways


GLOBAL = {}


class Bound:
    """An object whose method is part of the problem."""

    def __init__(self, **fields):
        vars(self).update(fields)

    def call(self, params, x):
        return x


def leaking(how, problem, setting, instance):
    """The problem with a secret in it, and the part of the way that reveals it."""
    mask, held_out = instance.planted.mask, instance.held_out
    kernel = np.asarray(mask["layer_0"]["kernel"])
    replace = functools.partial(dataclasses.replace, problem)
    if how == "closure":
        return replace(apply=lambda params, x: problem.apply(tj.apply_mask(params, mask), x))
    if how == "jitted closure":
        return replace(apply=jax.jit(lambda params, x: x if kernel.any() else params))
    if how == "global":
        GLOBAL["notes"] = [np.flatnonzero(kernel).tolist()]
        return replace(flow=lambda params, x: GLOBAL)
    if how == "default":
        return replace(flow=lambda params, x, seen=held_out.x: seen)
    if how == "partial":
        return replace(augment=functools.partial(lambda seen, key, x: x, ~kernel))
    if how == "bound object":
        return replace(flow=Bound(counts=setting.ticket_layers).call)
    if how == "name":
        return replace(flow=Bound(ticket_layers=None).call)
    if how == "task":
        return replace(flow=lambda params, x: setting.task.name)
    if how == "view of all samples":
        together = np.concatenate([instance.train.x, held_out.x])
        return replace(batch=problem.batch._replace(x=together[: len(instance.train.x)]))
    if how == "labels":
        return replace(flow=Bound(seen=np.concatenate([np.zeros(3, int), held_out.y])).call)
    if how == "masked parameters":
        return replace(params=tj.apply_mask(problem.params, mask))
    if how == "ticket":
        return replace(flow=Bound(values=setting.target["layer_0"]["kernel"]).call)
    assert how == "key"
    return replace(flow=Bound(drawn_with=KEY).call)


@pytest.mark.parametrize(
    "how",
    [
        *("closure", "jitted closure", "global", "default", "partial", "bound object", "name"),
        *("task", "view of all samples", "labels", "masked parameters", "ticket", "key"),
    ],
)
def test_a_leak_is_found(how):
    setting, instance = case("mlp")
    arguments = arguments_of(setting, instance)
    leaky = leaking(how, arguments["problem"], setting, instance)
    assert leaks({**arguments, "problem": leaky}, setting, instance), how
