"""The searches of a chunk: what every seeker finds and reports at every density."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ticketjax.runs.batches import filled, in_batches
from ticketjax.runs.chunk import ByScores, Chunk
from ticketjax.runs.programs import Described, Program


class Searched(NamedTuple):
    """What the seekers of a chunk have found.

    Args:
        masks: in batches, those of the first seeker first; within a seeker's, slot by slot.
        width, kept, digest: (devices, seekers, slots, densities, ...), as in programs.Described.
        entries: one dict per seeker, of arrays (devices, slots, densities, ...).
        seconds: wall time of each seeker in total.
    """

    masks: list[Any]
    width: np.ndarray
    kept: np.ndarray
    digest: np.ndarray
    entries: list[dict[str, np.ndarray]]
    seconds: list[float]


@dataclasses.dataclass(frozen=True)
class _Points:
    """The points at which a seeker searches: every instance at every density, in batches.

    Args:
        slots, densities: how many.
        seeds: per batch, (devices, batch).
        index: per batch, the slots, (devices, batch).
        density: per batch, float32 (devices, batch).
    """

    slots: int
    densities: int
    seeds: list[np.ndarray]
    index: list[np.ndarray]
    density: list[np.ndarray]

    @classmethod
    def of(cls, chunk: Chunk) -> "_Points":
        plan, densities = chunk.plan, chunk.job.densities.astype(np.float32)
        points = list(itertools.product(range(plan.slots), range(densities.size)))
        seeds, index, density = [], [], []
        for batch in in_batches([points], plan.batch):
            (some,) = filled(batch, plan.batch, points[0])
            slots = [slot for slot, _ in some]
            shape = (plan.devices, plan.batch)
            seeds.append(chunk.seeds[:, slots])
            index.append(np.broadcast_to(slots, shape))
            density.append(np.broadcast_to(densities[[d for _, d in some]], shape))
        return cls(plan.slots, densities.size, seeds, index, density)

    def whole(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """(devices, slots, densities, ...) of the batches."""
        flat = np.concatenate(parts, axis=1)[:, : self.slots * self.densities]
        return flat.reshape(flat.shape[0], self.slots, self.densities, *flat.shape[2:])

    def for_all_densities(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The same for batches that have an entry for each slot."""
        flat = np.concatenate(parts, axis=1)[:, : self.slots]
        return np.repeat(flat[:, :, None], self.densities, axis=2)


def _slot_seeds(chunk: Chunk) -> list[np.ndarray]:
    """The seeds of the instances, in the batches in which the instances were planted."""
    slots = list(range(chunk.plan.slots))
    batches = in_batches([slots], chunk.plan.batch)
    return [chunk.seeds[:, filled(batch, chunk.plan.batch, 0)[0]] for batch in batches]


def _search(
    chunk: Chunk, points: _Points, instances: list[Any], label: str, search: Program | ByScores
) -> tuple[list[Any], list[dict[str, Any]], dict[str, np.ndarray]]:
    """A seeker's masks and reports, in batches, and how its scores rank."""
    programs, data = chunk.programs, chunk.data
    places = [programs.picked(instances, index) for index in points.index]
    scored: list[Any] | None = None
    calls: Iterable[tuple]
    if isinstance(search, ByScores):
        # Scores do not depend on the density.
        calls = zip(_slot_seeds(chunk), instances, strict=True)
        scored = chunk.results(label, search.score, [(*call, data) for call in calls])
        scores = [programs.picked(scored, index) for index in points.index]
        calls = zip(points.seeds, places, scores, points.density, strict=True)
        selected = chunk.results("selection", search.selection, [(*call, data) for call in calls])
        masks, told = (list(part) for part in zip(*selected, strict=True))
    else:
        calls = zip(points.seeds, places, points.density, strict=True)
        found = chunk.results(label, search, [(*call, data) for call in calls])
        masks, scores, told = (list(part) for part in zip(*found, strict=True))
    calls, join = zip(places, masks, scores, strict=True), points.whole
    # Among several tickets, the scores' ranking is measured for the one nearest to the mask.
    if scored is not None and chunk.job.named.setting.planting.tickets == 1:
        planted = [instance.planted.mask for instance in instances]
        calls, join = zip(instances, planted, scored, strict=True), points.for_all_densities
    ranked = chunk.results("ranking", programs.ranking, list(calls))
    return masks, told, _joined(ranked, join)


def _joined(parts: Sequence[dict[str, Any]], join: Any) -> dict[str, np.ndarray]:
    """Entries of batches, by name, joined on the host."""
    there = jax.device_get(parts)
    return {name: join([part[name] for part in there]) for name in there[0]}


def search_chunk(chunk: Chunk, instances: list[Any]) -> Searched:
    """What every seeker finds at every density in every instance.

    Args:
        chunk: the chunk.
        instances: its planted networks, in batches.

    Returns:
        What was found.
    """
    points, job, programs = _Points.of(chunk), chunk.job, chunk.programs
    found: list[Any] = []
    descriptions: list[Described] = []
    entries: list[dict[str, np.ndarray]] = []
    seconds: list[float] = []
    for (label, _), search in zip(job.seekers, programs.search, strict=True):
        before = chunk.watch.seconds
        masks, told, ranks = _search(chunk, points, instances, label, search)
        calls = [
            (programs.picked(instances, index), mask)
            for index, mask in zip(points.index, masks, strict=True)
        ]
        described = jax.device_get(chunk.results("description", programs.description, calls))
        description = jax.tree.map(lambda *parts: points.whole(parts), *described)
        found += masks
        descriptions.append(description)
        entries.append({**description.entries, **ranks, **_joined(told, points.whole)})
        seconds.append(chunk.watch.seconds - before)
    width, kept, digest = (
        np.stack([getattr(one, name) for one in descriptions], axis=1)
        for name in ("width", "kept", "digest")
    )
    return Searched(found, width, kept, digest, entries, seconds)
