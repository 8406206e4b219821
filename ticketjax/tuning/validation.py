"""Validation data: a part of a run's training data that takes the place of its held-out data."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from ticketjax.base import Batch, Task
from ticketjax.runs.setting import Setting


def training_samples(samples: int) -> int:
    """How many of a run's samples are not held out.

    Args:
        samples: of the run, held-out samples included.

    >>> training_samples(10_000)
    9000
    """
    return samples - round(samples * Setting.held_out)


@dataclasses.dataclass(frozen=True)
class _TrainingSamples:
    """Task.sample() of the training samples: those of a whole run's draw that are not held out.

    Or Task.sample_of(), which takes a ticket as well.

    Any other number of samples is a draw of its own, as where networks are compared with the target
    on points of no run's.
    """

    sample: Callable[..., Batch]
    samples: int

    def __call__(self, key: jax.Array, n: int, noise: jax.Array | float, *ticket: Any) -> Batch:
        if n != training_samples(self.samples):
            return self.sample(key, n, noise, *ticket)
        # The whole draw, as another number of samples might be another draw.
        drawn = self.sample(key, self.samples, noise, *ticket)
        return Batch(drawn.x[:n], drawn.y[:n])


@dataclasses.dataclass(frozen=True)
class _TrainingData:
    """Task.data() of the training data, split as a run's samples are."""

    data: Callable[[], tuple[Batch, Batch]]

    def __call__(self) -> tuple[Batch, Batch]:
        train, _ = self.data()
        return train.split(training_samples(len(train.x)))


def validation_task(task: Task, samples: int) -> Task:
    """A task without its held-out data: validation data take their place.

    A run of training_samples(samples) samples of it has the training data that a run of `samples`
    samples of the task has with the same key. Its seekers have the first nine tenths of them, and
    masks are measured on the last tenth. Nothing is computed on the held-out data, which stay
    unseen whatever is chosen.

    Args:
        task: any; of one with data of its own, the training data are split.
        samples: of a run of the task, held-out samples included.

    Returns:
        A task of the same name, kind and ticket. Its source says what it is, so that its records
        are not mixed with those of the task.

    >>> from ticketjax.tasks import get_task
    >>> task = validation_task(get_task("relu"), 100)
    >>> task.sample(jax.random.key(0), 90, noise=0.0).x.shape
    (90, 1)
    """
    source = (*task.source, ("split", "validation"), ("split_from", samples))
    if task.data is not None:
        return dataclasses.replace(task, data=_TrainingData(task.data), source=source[:-1])
    of = task.sample_of and _TrainingSamples(task.sample_of, samples)
    return dataclasses.replace(
        task, sample=_TrainingSamples(task.sample, samples), sample_of=of, source=source
    )
