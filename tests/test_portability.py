"""Every program of the engine, and every seeker, can be compiled for CPUs, GPUs and TPUs alike.

Programs are lowered for all three at once, which needs no device. A computation by a library of one
platform, or a callback to Python, would be a custom call.
"""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ticketjax as tj
from tests.test_conformance import KEYS, MARKED, problem, seeker_of
from ticketjax.base import Task
from ticketjax.networks.following import follow
from ticketjax.networks.images import vgg
from ticketjax.runs import programs
from ticketjax.runs.grid import make_grid
from ticketjax.tasks import get_task

PLATFORMS = ("cpu", "cuda", "tpu")
IMAGES = Task("images", (16, 16, 3), 4, "classification", None, None)
# A task with a separate ticket for each seed.
SEEDED = dataclasses.replace(get_task("relu"), ticket_of=lambda _: get_task("relu").ticket(depth=3))


@pytest.fixture(autouse=True)
def no_device_is_asked_for(monkeypatch):
    """Fail if code asks for the devices, because its program would depend on them."""

    def refuse(*_, **__):
        raise AssertionError("a program asks for this machine's devices")

    for name in ("default_backend", "devices", "local_devices", "device_count"):
        monkeypatch.setattr(jax, name, refuse)


def lowered(function, *shapes):
    """StableHLO of a function for all platforms, checked for calls of what is not StableHLO."""
    text = jax.jit(function).trace(*shapes).lower(lowering_platforms=PLATFORMS).as_text()
    assert not re.findall(r"custom_call @?(\w+)", text)
    assert "xla_python" not in text and "outfeed" not in text
    return text


def test_a_custom_call_and_a_question_are_noticed():
    with pytest.raises(NotImplementedError, match="callback"):
        lowered(lambda x: jax.pure_callback(np.sin, x, x), jax.ShapeDtypeStruct((3,), jnp.float32))
    with pytest.raises(AssertionError):
        lowered(lambda x: jnp.linalg.qr(x)[0], jax.ShapeDtypeStruct((3, 3), jnp.float32))
    with pytest.raises(AssertionError, match="asks"):
        jax.default_backend()


@pytest.mark.parametrize(
    ("name", "strategy"),
    # Refinement is one function for all seekers.
    [pair for pair in MARKED if pair.values[1] != "refined" or pair.values[0] == "probabilistic"],
)
def test_seekers_are_of_no_platform(name, strategy):
    lowered(seeker_of(name, strategy, "global"), KEYS[0], problem(), jnp.float32(0.5))


def engine_programs(monkeypatch, **fields):
    """The functions of one device by name, and the shapes of their arguments for two runs."""
    monkeypatch.setattr(programs, "sharded", lambda function, devices, in_axes: function)
    grid = make_grid(
        depth=3, width=24, samples=64, epochs=1, densities=0.5, seeds=1, batch_size=8, **fields
    )
    (named,) = grid.settings()
    ((_, seeker),) = grid.seekers
    setting = named.setting

    def function_of(make, *arguments):
        return make.__wrapped__(*arguments, (None,)).function

    floats = jax.ShapeDtypeStruct((2,), jnp.float32)
    seeds, flags = (jax.ShapeDtypeStruct((2,), dtype) for dtype in (jnp.uint32, jnp.bool))
    target = None
    if setting.task.ticket_of is not None:
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), setting.target
        )
    plant = function_of(programs.instance_program, setting)
    yield "instance", plant, (seeds, floats, target, None)
    instances = jax.eval_shape(plant, seeds, floats, target, None)
    selection = seeker.selection if isinstance(seeker, tj.Singleshot) else None
    if selection is None:
        search = function_of(programs.search_program, setting, seeker, True)
        yield "search", search, (seeds, instances, floats, None)
        found, scores, _ = jax.eval_shape(search, seeds, instances, floats, None)
    else:
        score = function_of(programs.score_program, setting, seeker)
        yield "score", score, (seeds, instances, None)
        scores = jax.eval_shape(score, seeds, instances, None)
        select = function_of(programs.selection_program, setting, selection)
        yield "selection", select, (seeds, instances, scores, floats, None)
        found, _ = jax.eval_shape(select, seeds, instances, scores, floats, None)
    yield "ranking", function_of(programs.ranking_program, setting), (instances, found, scores)
    description = function_of(programs.description_program, setting, named.compactable)
    yield "description", description, (instances, found)
    for width in (6, 24) if named.compactable else (None,):
        measure = function_of(programs.measure_program, setting, width)
        yield f"measure {width}", measure, (instances, found, flags, target, None)
    index = jax.ShapeDtypeStruct((3,), jnp.int32)
    yield "pick", function_of(programs.pick_program), ((instances, instances), index)


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        ({"task": "circle", "seekers": "snip"}, ["score", "selection"]),
        ({"task": SEEDED, "seekers": "concrete(epochs=2)", "tickets": 2}, ["search"]),
    ],
    ids=["circle", "tickets of seeds"],
)
def test_programs_of_the_engine_are_of_no_platform(monkeypatch, fields, own):
    names = []
    for name, function, shapes in engine_programs(monkeypatch, **fields):
        assert "stablehlo" in lowered(function, *shapes)
        names.append(name)
    shared = ["ranking", "description", "measure 6", "measure 24", "pick"]
    assert names == ["instance", *own, *shared]


def test_a_convolution_is_the_platforms_own_where_that_is_fast():
    network = vgg(IMAGES, 11, width=1 / 32)
    shapes = jax.eval_shape(network.init, jax.random.key(0)), jnp.zeros((2, 16, 16, 3))
    traced = jax.jit(jax.grad(lambda p, x: jnp.sum(network.apply(p, x)))).trace(*shapes)
    for platform in PLATFORMS:
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.convolution" in text) == (platform != "cpu")


def test_layers_are_found_behind_a_choice_by_platform():
    def apply(params, x):
        hidden = jax.lax.platform_dependent(
            x,
            params["w"],
            cpu=lambda x, w: (x.T[:, :, None] * w[:, None]).sum(axis=0),
            default=lambda x, w: x @ w,
        )
        return jax.nn.relu(hidden + params["b"][None]) @ params["v"]

    params = {"w": jnp.ones((2, 9)), "b": jnp.ones(9), "v": jnp.ones((9, 4))}
    layers = follow(apply, params, jnp.ones((3, 2)))
    assert [(layer.kernel, layer.bias, layer.obstacle) for layer in layers] == [
        ("w", "b", ""),
        ("v", None, ""),
    ]
