"""How papers write what flags and records spell in lower case, and how numbers are written."""

from typing import Any

from ticketjax.records.statistics import interval_of_share
from ticketjax.runs.grid import MLP
from ticketjax.seekers.registry import SEEKERS
from ticketjax.tasks import TASKS

TITLES = {
    "relu": "ReLU",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "snip": "SNIP",
    "iterative_snip": "Iterative SNIP",
    "grasp": "GraSP",
    "synflow": "SynFlow",
    "synflow_l2": "SynFlow-L2",
    "px": "PX",
    "ntk_sap": "NTK-SAP",
    "prospr": "ProsPr",
    "force": "FORCE",
    "phew": "PHEW",
    "erk": "ERK",
    "edge_popup": "edge-popup",
    "gem_miner": "Gem-Miner",
    "iterative_hard_thresholding": "IHT",
    "rigl": "RigL",
    "sparse_evolutionary_training": "SET",
    "acdc": "AC/DC",
    "chita": "CHITA",
    "concrete_ticket_search": "Concrete Ticket Search",
}


def task_title(task: str) -> str:
    """How papers write the task's name; one of somebody else's stays as it is."""
    return TITLES.get(task, task.capitalize() if task in TASKS else task)


def seeker_title(seeker: str) -> str:
    """How papers write the seeker's name; labels and expressions stay as they are.

    >>> seeker_title("path_pursuit"), seeker_title("multishot(path_pursuit)")
    ('path pursuit', 'multishot(path_pursuit)')
    """
    return TITLES.get(seeker, seeker.replace("_", " ") if seeker in SEEKERS else seeker)


def place_title(place: dict[str, Any]) -> str:
    """A task, network, depth, width and noise level in words, as far as they are there.

    Args:
        place: by column. The library's own dense network is not named.

    Returns:
        The title.
    """
    words = [task_title(str(place["task"]))]
    if place.get("model", MLP) != MLP:
        words.append(str(place["model"]))
    words += [f"{name} {place[name]}" for name in ("depth", "width") if name in place]
    if "noise" in place:
        words.append(f"noise {place['noise']:g}")
    return ", ".join(words)


def place_name(place: dict[str, Any]) -> str:
    """A place as a part of a file's name, in the order of place_title().

    >>> place_name({"task": "relu", "model": "mlp", "depth": 3, "width": 10, "noise": 0.0})
    'relu-depth3-width10-noise0'
    """
    words = [str(place["task"])]
    if place.get("model", MLP) != MLP:
        words.append(str(place["model"]))
    words += [f"{name}{place[name]:g}" for name in ("depth", "width", "noise") if name in place]
    return "-".join(words)


def format_metric(value: float, accuracy: bool) -> str:
    """An accuracy or a mean squared error as tables write it."""
    if accuracy:
        return f"{value:.3f}"
    return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-")


def format_share(count: int, of: int) -> str:
    """A count out of several, with Wilson's 95% interval of the share.

    >>> format_share(7, 25)
    '7 of 25 [14%, 48%]'
    """
    low, high = interval_of_share(count, of)
    return f"{count} of {of} [{low:.0%}, {high:.0%}]"


def format_ratio(log10: float) -> str:
    """A ratio by its decimal logarithm."""
    return f"{10**log10:.3g}" if abs(log10) < 4 else f"10^{log10:.1f}"


def density_label(density: float, ticket_density: float) -> str:
    """A density as tables write it: "ticket" before the ticket's own."""
    return f"ticket {density:.2g}" if density == ticket_density else f"{density:g}"
