"""How papers write what flags and records spell in lower case, and how numbers are written."""

from ticketjax.base import CLASSIFICATION
from ticketjax.images import DATASETS
from ticketjax.tasks import TASKS

TITLES = {
    "relu": "ReLU",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "snip": "SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "erk": "ERK",
    "edge_popup": "edge-popup",
    "gem_miner": "Gem-Miner",
    "iterative_hard_thresholding": "IHT",
}


def task_title(task: str) -> str:
    """How papers write the task's name."""
    return TITLES.get(task, task.capitalize())


def seeker_title(seeker: str) -> str:
    """How papers write the seeker's name."""
    return TITLES.get(seeker, seeker.replace("_", " "))


def is_accuracy(task: str) -> bool:
    """Whether the task's metric is an accuracy; else it is a mean squared error."""
    return task in DATASETS or (task in TASKS and TASKS[task].kind == CLASSIFICATION)


def format_metric(value: float, accuracy: bool) -> str:
    """An accuracy or a mean squared error as tables write it."""
    return f"{value:.3f}" if accuracy else f"{value:.1e}".replace("e-0", "e-")


def format_ratio(log10: float) -> str:
    """A ratio by its decimal logarithm."""
    return f"{10**log10:.3g}" if abs(log10) < 4 else f"10^{log10:.1f}"


def density_label(density: float, ticket_density: float) -> str:
    """A density as tables write it: "ticket" before the ticket's own."""
    return f"ticket {density:.2g}" if density == ticket_density else f"{density:g}"
