"""Tasks whose ticket is drawn from a distribution, by a key or for every seed."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from ticketjax.base import Batch, Params, Task
from ticketjax.checks import check_count
from ticketjax.tasks.network import NetworkSamples, network_task
from ticketjax.tasks.parameters import parameters

Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""(kernel, bias) of each layer, from input to output."""


@dataclasses.dataclass(frozen=True)
class TicketOf:
    """Task.ticket_of(): the ticket that a run's seed, or a key, determines.

    Args:
        draw: random numbers -> the ticket's layers, of the same shapes and number of parameters
            for any numbers.
    """

    draw: Callable[[np.random.Generator], Layers]

    def __call__(self, seed: int | tuple[int, ...]) -> Params:
        """The ticket of a seed, an integer or several."""
        return _ticket(self.draw, seed)


# Cached, because checks of a grid and every chunk need these small arrays repeatedly.
@functools.lru_cache(maxsize=4096)
def _ticket(draw: Callable[[np.random.Generator], Layers], seed: int | tuple[int, ...]) -> Params:
    return parameters(draw(np.random.default_rng(seed)))


@dataclasses.dataclass(frozen=True)
class _ExampleTicket:
    """Task.ticket() of a task with a ticket for every seed: the ticket of seed 0."""

    tickets: TicketOf
    name: str
    own_depth: int

    def __call__(self, depth: int) -> Params:
        if depth != self.own_depth:
            raise ValueError(
                f"{self.name}: depth must be the ticket's, {self.own_depth}, got {depth}"
            )
        return self.tickets(0)


@dataclasses.dataclass(frozen=True)
class ExampleSample:
    """Task.sample() of a task whose tickets come as arrays: the data of one example.

    Args:
        tickets: called with 0 for the example.
        samples: of any ticket.
    """

    tickets: Callable[[int], Params]
    samples: NetworkSamples

    def __call__(self, key: jax.Array, n: int, noise: jax.typing.ArrayLike = 0.01) -> Batch:
        """The example's data; see Task.sample."""
        return self.samples(key, n, noise, self.tickets(0))


def drawn_task(
    family: str,
    key: int | jax.Array | None,
    draw: Callable[[np.random.Generator], Layers],
    kind: str,
    *,
    corners: bool = False,
    name: str | None = None,
) -> Task:
    """A task whose data are the outputs of a ticket that is drawn at random.

    Args:
        family: the name of such tasks; with a key, the key is added to it.
        key: an integer or a JAX key, which determines the ticket. With None, every seed has its own
            ticket, that of key=seed, and all run in the same program.
        draw: as in TicketOf; a frozen dataclass, so that its fields are the task's source.
        kind, corners: as in network_task().
        name: the name in records, instead of these.

    Returns:
        A Task.

    Raises:
        ValueError: a key that is none of these; what draw() raises.
    """
    tickets = TicketOf(draw)
    fields = dataclasses.fields(draw)  # type: ignore[arg-type]
    source = (
        ("ticket", type(draw).__name__.lstrip("_")),
        *((field.name, getattr(draw, field.name)) for field in fields),
    )
    if key is not None:
        seed, text = _seed_of(key)
        task = network_task(tickets(seed), kind, name or f"{family}_{text}", corners=corners)
        return dataclasses.replace(task, source=(*source, ("key", text)))
    name = name or family
    layers = list(tickets(0).values())
    inputs, outputs = layers[0]["kernel"].shape[0], layers[-1]["kernel"].shape[1]
    samples = NetworkSamples(name, inputs, outputs, kind, corners)
    return Task(
        name,
        inputs,
        outputs,
        kind,
        ExampleSample(tickets, samples),
        _ExampleTicket(tickets, name, len(layers) + 1),
        ticket_of=tickets,
        sample_of=samples,
        source=source,
    )


def _seed_of(key: int | jax.Array) -> tuple[tuple[int, ...], str]:
    """A key as numbers, and as text."""
    if isinstance(key, jax.Array):
        seed = tuple(np.asarray(jax.random.key_data(key)).tolist())
        return seed, "-".join(map(str, seed))
    check_count("key", key, 0)
    return (int(key),), str(key)
