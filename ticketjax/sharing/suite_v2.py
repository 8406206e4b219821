"""The instances of ticketjax-suite-v2, drawn from a secret alone."""

import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Params
from ticketjax.masks import layer_names
from ticketjax.planting.hidden import plant_hidden_alike
from ticketjax.sharing.exact_draws import mother_network, normal, outputs, uniform
from ticketjax.sharing.trees import Tree
from ticketjax.tasks.drawn import Layers
from ticketjax.tasks.parameters import parameters
from ticketjax.tasks.random_teacher import RandomTeachers
from ticketjax.tasks.random_variants import RandomCircles, RandomHelices

NAME = "ticketjax-suite-v2"
SAMPLES = 10_000
TRAINING = 9_000
# Standard deviation on outputs of variance about 1 (regression); share of labels drawn anew.
NOISE = 0.01
DEPTH_OF_VARIANTS = 5


@dataclasses.dataclass(frozen=True)
class Group:
    """Instances of one difficulty: tickets of one distribution, in networks of one shape.

    Args:
        name: in tables and records.
        tickets: random generator -> a ticket's layers.
        kind: "regression" or "classification".
        width: of every hidden layer of the network.
        count: number of instances.
        samples, training: number of samples, and how many of them are public.
    """

    name: str
    tickets: Callable[[np.random.Generator], Layers]
    kind: str
    width: int
    count: int
    samples: int = SAMPLES
    training: int = TRAINING


def _teachers(name: str, sizes: tuple[int, ...], count: int, width: int, kind: str) -> Group:
    inputs, *hidden, classes = sizes
    teachers = RandomTeachers(inputs, classes, tuple(hidden), count, kind)
    return Group(name, teachers, kind, width, 25)


GROUPS = (
    _teachers("teacher_1", (1, 1, 1), 4, 5, REGRESSION),
    _teachers("teacher_2", (1, 1, 1), 4, 20, REGRESSION),
    _teachers("teacher_3", (1, 2, 1), 6, 10, REGRESSION),
    _teachers("teacher_4", (1, 2, 1), 6, 30, REGRESSION),
    _teachers("teacher_5", (2, 3, 2), 14, 20, CLASSIFICATION),
    _teachers("teacher_6", (1, 3, 3, 1), 16, 20, REGRESSION),
    _teachers("teacher_7", (2, 4, 4, 4), 36, 30, CLASSIFICATION),
    _teachers("teacher_8", (2, 4, 2, 20, 4), 130, 100, CLASSIFICATION),
    _teachers("teacher_9", (8, 6, 6, 1), 60, 50, REGRESSION),
    Group("random_circle", RandomCircles(DEPTH_OF_VARIANTS), CLASSIFICATION, 100, 20),
    Group("random_helix", RandomHelices(DEPTH_OF_VARIANTS), REGRESSION, 100, 20),
)
"""The suite's groups. The first eight are the levels of the ladder (tj.LADDER)."""


class Made(NamedTuple):
    """An instance before it is written.

    Args:
        name: of its file.
        instance: the public part: "params" and "train".
        budget: the largest number of parameters that a mask may keep, which is the ticket's.
        sealed: the sealed part: "mask", "target", "output_scale", "held_out".
        key: 64 hexadecimal digits, from which the instance was drawn.
    """

    name: str
    instance: Tree
    budget: int
    sealed: Tree
    key: str


def derived(secret: bytes, purpose: str) -> bytes:
    """32 bytes by HMAC-SHA256: without the secret, they can be neither predicted nor inverted."""
    return hmac.digest(secret, f"{NAME}/{purpose}".encode(), hashlib.sha256)


def names_of(secret: bytes, groups: Sequence[Group] = GROUPS) -> dict[str, list[str]]:
    """The instances of each group. The secret determines which numbers they have.

    Args:
        secret: the organiser's.
        groups: of the suite.

    Returns:
        The names of the instances, from v2-000, by the name of their group.
    """
    places = [(group.name, i) for group in groups for i in range(group.count)]
    dealt = sorted(places, key=lambda place: derived(secret, f"place/{place[0]}/{place[1]}"))
    names: dict[str, list[str]] = {group.name: [] for group in groups}
    for number, (group, _) in enumerate(dealt):
        names[group].append(f"v2-{number:03}")
    return names


def _data(group: Group, key: bytes, ticket: Params) -> tuple[np.ndarray, np.ndarray]:
    """(samples, inputs) uniform on [-1, 1], and labels with noise."""
    inputs = ticket["layer_0"]["kernel"].shape[0]
    x = (2 * uniform(key, "x", (group.samples, inputs)) - 1).astype(np.float32)
    y = outputs(ticket, x)
    if group.kind == REGRESSION:
        return x, (y + NOISE * normal(key, "noise", y.shape)).astype(np.float32)
    anew = uniform(key, "noise", (group.samples,)) < NOISE
    others = np.floor(uniform(key, "label", (group.samples,)) * y.shape[1])
    return x, np.where(anew, others, np.argmax(y, axis=1)).astype(np.int32)


def make_group(secret: bytes, group: Group, names: Sequence[str]) -> list[Made]:
    """Draw tickets, networks and data, and plant. On a CPU, the bits depend on the secret alone.

    Args:
        secret: the organiser's.
        group: a group of the suite.
        names: of its instances.

    Returns:
        The instances, in the order of the names.
    """
    keys = [derived(secret, f"instance/{name}") for name in names]
    tickets = [_ticket(group, key) for key in keys]
    sizes = _sizes(tickets[0], group.width)
    mothers = [mother_network(key, sizes) for key in keys]

    def stack(trees: list[Params]) -> Any:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

    lots = [
        np.stack([uniform(key, f"lots/layer_{i}", (group.width,)) for key in keys])
        for i in range(len(sizes) - 2)
    ]
    planted = jax.device_get(plant_hidden_alike(stack(tickets), stack(mothers), lots))
    made = []
    for i, (name, key, ticket) in enumerate(zip(names, keys, tickets, strict=True)):
        params, mask, scale = jax.tree.map(lambda leaf, i=i: leaf[i], planted)
        x, y = _data(group, key, ticket)
        train, held_out = (
            {"x": x[part], "y": y[part]}
            for part in (slice(group.training), slice(group.training, None))
        )
        answer = {"mask": mask, "target": ticket, "output_scale": scale}
        budget = sum(int(np.sum(leaf)) for leaf in jax.tree.leaves(mask))
        sealed = answer | {"held_out": held_out}
        made.append(Made(name, {"params": params, "train": train}, budget, sealed, key.hex()))
    return made


def _ticket(group: Group, key: bytes) -> Params:
    seed = int.from_bytes(hashlib.sha256(key + b"ticket").digest(), "little")
    return parameters(group.tickets(np.random.default_rng(seed)))


def _sizes(ticket: Params, width: int) -> tuple[int, ...]:
    """Neurons in every layer of the network in which the ticket is planted."""
    names = layer_names(ticket)
    outer = ticket[names[0]]["kernel"].shape[0], ticket[names[-1]]["bias"].size
    return outer[0], *[width] * (len(names) - 1), outer[1]
