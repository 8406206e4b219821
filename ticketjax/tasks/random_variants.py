"""Random variants of Circle and Helix: the same constructions, rotated, moved and relabelled."""

import dataclasses
import math

import jax
import numpy as np

from ticketjax.base import CLASSIFICATION, REGRESSION, Task
from ticketjax.tasks.checks import check_depth
from ticketjax.tasks.circle import ring_layers
from ticketjax.tasks.drawn import Layers, drawn_task
from ticketjax.tasks.helix import curve_layers

# Squared widths of the inner rings: each then has 12% to 24% of the square's area.
RING = (0.15, 0.3)
RINGS = 4
# Number of Helix's knots on either side of the middle.
KNOTS = 15
# How far a knot may move, in distances between knots.
JITTER = 0.4
# Lower bound of a rotated helix's coordinates: its points are at most this far from the origin.
LEAST = -1.5


@dataclasses.dataclass(frozen=True)
class RandomCircles:
    """The distribution of random_circle(): random numbers -> a ticket."""

    depth: int

    def __post_init__(self):
        check_depth("random_circle", self.depth, smallest=3)

    def __call__(self, draw: np.random.Generator) -> Layers:
        """A ticket's layers."""
        boundaries = np.cumsum(draw.uniform(*RING, RINGS - 1))
        angle = draw.uniform(0, 2 * math.pi)
        rotation = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        return ring_layers(self.depth, boundaries, rotation, draw.permutation(RINGS).tolist())


@dataclasses.dataclass(frozen=True)
class RandomHelices:
    """The distribution of random_helix(): random numbers -> a ticket."""

    depth: int

    def __post_init__(self):
        check_depth("random_helix", self.depth, smallest=3)

    def __call__(self, draw: np.random.Generator) -> Layers:
        """A ticket's layers."""
        phase = draw.uniform(0, 2 * math.pi)
        # Uniform among rotations and reflections: both directions of the thread.
        turned, triangle = np.linalg.qr(draw.normal(size=(3, 3)))
        turned = turned * np.sign(np.diag(triangle))

        def curve(x: np.ndarray) -> np.ndarray:
            u = math.pi * (5 + 3 * x)
            points = np.stack([u * np.cos(u + phase), u * np.sin(u + phase), u], axis=1)
            return points / (8 * math.pi) @ turned

        jitter = draw.uniform(-JITTER, JITTER, (2, KNOTS))
        # The knot in the middle, which both sides share, is not moved.
        jitter[:, 0] = 0
        right, left = (np.arange(KNOTS) + jitter) / KNOTS
        return curve_layers(self.depth, curve, np.concatenate([right, -left]), LEAST)


def random_circle(*, key: int | jax.Array | None = None, depth: int = 5) -> Task:
    """A variant of Circle: four rings of random radii, in a random order of the classes.

    The ticket is Circle's construction on axes that are rotated by a random angle. This needs one
    more weight for each of its first neurons that depended on one coordinate only.

    Args:
        key: an integer or a JAX key, which determines everything; None for a variant for every seed
            of a sweep, as in random_teacher().
        depth: of the ticket; at least 3.

    Returns:
        A Task: x uniform on [-1, 1]^2, labels the ticket's own, each redrawn with the probability
            noise.

    Raises:
        ValueError: a depth below 3, another key.

    >>> [layer["kernel"].shape for layer in random_circle(key=0).ticket(5).values()]
    [(2, 4), (4, 2), (2, 20), (20, 4)]
    """
    return drawn_task("random_circle", key, RandomCircles(depth), CLASSIFICATION)


def random_helix(*, key: int | jax.Array | None = None, depth: int = 5) -> Task:
    """A variant of Helix with another phase, rotated or mirrored in space, and with moved knots.

    All three coordinates use all knots, where Helix's own third one is straight.

    Args:
        key, depth: as in random_circle().

    Returns:
        A Task: x uniform on [-1, 1], y the ticket's outputs with N(0, noise^2) added.

    Raises:
        ValueError: as random_circle().

    >>> [layer["kernel"].shape for layer in random_helix(key=0).ticket(5).values()]
    [(1, 1), (1, 30), (30, 3), (3, 3)]
    """
    return drawn_task("random_helix", key, RandomHelices(depth), REGRESSION)
