r"""Width at which a random network contains a ticket by chance: Lemma 1 and Theorem 2.

    ticketjax theory --task=circle,relu,helix --depth=5 --width=100,1e6 --eps=0.1 \
        --delta=0.1 --initialisation=uniform --norm=spectral --out=results/theory

The command prints the width that each layer requires, and draws the probability against width. It
takes seconds. Expect widths of 10^2.6 for ReLU and beyond 10^100 for the others.
"""

from __future__ import annotations

import math
import os
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from absl import flags

from ticketjax.commands.flags import FLAGS, FlagError, naming, refuse_empty

if TYPE_CHECKING:
    from ticketjax.base import Params
    from ticketjax.figures import Bound

NORMS = {
    "spectral": "spectral",
    "entry": "entry, the appendix's",
    "entry_main": "entry, the main text's",
}
INITIALISATIONS = ("uniform", "normal")
LEGEND = """\
k_max: largest number of parameters into a neuron; m_l: parameters of the layer; tolerance: largest
error allowed for each; width needed: this layer fails in at most delta / layers of the networks;
matches: expected number of random neurons within tolerance of the hardest one; fails: upper bound
of the probability that some neuron has no match; error reached: the largest output error found with
parameters within tolerance. The paper prints Lemma 1 twice, in the appendix and in the main text;
both use the largest entry as the norm of a matrix."""
MOST = Decimal("1e1000")


def define() -> None:
    """Define the flags."""
    flags.DEFINE_list("task", ["circle", "relu", "helix"], "Tasks: relu, circle, helix.")
    flags.DEFINE_integer("depth", 5, "Layers of neurons, including the input.", lower_bound=2)
    flags.DEFINE_list("width", ["100", "1e6"], "Widths to evaluate, such as 100 or 1e20.")
    flags.DEFINE_float("eps", 0.1, "Error of the output, in the units of the task's ticket.")
    flags.DEFINE_float("delta", 0.1, "Allowed probability of failure at a sufficient width.")
    flags.DEFINE_enum("initialisation", "uniform", INITIALISATIONS, "Assumed initialisation.")
    flags.DEFINE_enum("norm", "spectral", NORMS, "Form of Lemma 1; both entry forms fail.")
    flags.DEFINE_string("out", "results/theory", "Directory of the figure and the table.")


def _width(text: str) -> int:
    try:
        number = Decimal(text)
        if 1 <= number <= MOST and number == number.to_integral_value():
            return int(number)
    except InvalidOperation:
        pass
    raise ValueError(f"widths must be whole numbers from 1 to {MOST}")


def _power(log10: float) -> str:
    """A number by its decimal logarithm, legible at any size."""
    if -3 <= log10 < 6:
        return f"{10**log10:.3g}" if log10 < 3 else f"{10**log10:.0f}"
    return "0" if log10 == -math.inf else f"10^{log10:.1f}"


def _columns(cells: list[list[str]]) -> str:
    from ticketjax.records.columns import aligned

    return "\n".join(aligned(cells))


def _layers(target: Params, eps: float, widths: dict[str, int]) -> list[list[str]]:
    """The theorem layer by layer, with two columns for each width."""
    from ticketjax import theory

    head = ["layer", "neurons", "k_max", "m_l", "largest", "tolerance", "width needed"]
    settings = (FLAGS.delta, FLAGS.initialisation, FLAGS.norm)
    by_width = [theory.layer_bounds(target, width, eps, *settings) for width in widths.values()]
    lines = [[*head, *(f"{name} at {width}" for width in widths for name in ("matches", "fails"))]]
    for bounds in zip(*by_width, strict=True):
        layer = bounds[0]
        counts = (layer.layer, layer.neurons, layer.in_degree, layer.parameters)
        largest = f"{layer.largest:.2f}{'' if layer.in_reach else ' (out of reach)'}"
        line = [*map(str, counts), largest, f"{layer.tolerance:.1e}", _power(layer.log10_width)]
        for bound in bounds:
            fails = ">= 1" if bound.log10_failure >= 0 else _power(bound.log10_failure)
            line += [_power(bound.log10_matches), fails]
        lines.append(line)
    return lines


def _norms(target: Params, factor: float) -> list[list[str]]:
    """The widths that suffice under each norm, and whether its tolerances satisfy Lemma 1."""
    from ticketjax import theory

    eps = FLAGS.eps / factor
    lines = [["norm", f"width for {1 - FLAGS.delta:g}", "closed form", "error reached"]]
    for norm, title in NORMS.items():
        settings = (eps, FLAGS.delta, FLAGS.initialisation, norm)
        widths = (
            theory.required_width(target, *settings).log10_width,
            theory.sufficient_width(target, *settings),
        )
        error = factor * theory.error_reached(target, theory.tolerances(target, eps, norm))
        verdict = "" if error <= FLAGS.eps else f", more than {FLAGS.eps:g}: this form fails"
        lines.append([title, *map(_power, widths), f"{error:.3g}{verdict}"])
    return lines


def _report(task: str, target: Params, factor: float, widths: dict[str, int]) -> str:
    from ticketjax import theory
    from ticketjax.records.titles import task_title

    eps = FLAGS.eps / factor
    settings = (eps, FLAGS.initialisation, FLAGS.norm)
    chances = [
        f"{theory.existence_probability(target, width, *settings):.3g} at {text}"
        for text, width in widths.items()
    ]
    return "\n".join(
        [
            f"{task_title(task)}, depth {FLAGS.depth}, {FLAGS.initialisation} "
            f"initialisation, {FLAGS.norm} norm: error {FLAGS.eps:g}, "
            f"{eps:.2g} of the ticket divided by {factor:.3g}",
            _columns(_layers(target, eps, widths)),
            f"chance, at least: {', '.join(chances)}",
            _columns(_norms(target, factor)),
        ]
    )


def _curves(task: str, target: Params, factor: float) -> list[Bound]:
    """The probabilities for both initialisations, over widths where they rise from 0 to 1."""
    import numpy as np

    from ticketjax import theory
    from ticketjax.figures import Bound

    allowed = theory.tolerances(target, FLAGS.eps / factor, FLAGS.norm)
    required = {
        initialisation: theory.required_width(
            target, allowed, FLAGS.delta, initialisation
        ).log10_width
        for initialisation in INITIALISATIONS
    }
    low, high = min(required.values()), max(required.values())
    margin = max(1.2, 0.4 * (high - low))
    log10_width = np.linspace(max(0, low - margin), high + margin, 400)
    # Widths beyond the range of floats: the leading digits, then zeros.
    widths = [int(10 ** (x % 1 + 15)) * 10 ** int(x) // 10**15 for x in log10_width]
    curves = []
    for initialisation, enough in required.items():
        settings = (allowed, initialisation)
        chances = np.array([theory.existence_probability(target, w, *settings) for w in widths])
        curves.append(Bound(task, initialisation, log10_width, chances, enough))
    return curves


def main() -> int:
    """Print the tables and the widths needed, draw the figure, write both."""
    refuse_empty("task", "width")
    with naming("eps"):
        if not 1e-50 <= FLAGS.eps <= 1000:
            raise ValueError("must be from 1e-50 to 1000")
    with naming("delta"):
        if not 0 < FLAGS.delta < 1:
            raise ValueError("must be between 0 and 1")
    with naming("width"):
        widths = {text: _width(text) for text in FLAGS.width}
    from ticketjax import get_task, theory
    from ticketjax.figures import draw_bounds
    from ticketjax.records.store import write_whole

    with naming("task"):
        tasks = {name: get_task(name) for name in FLAGS.task}
    with naming("depth"):
        targets = {name: theory.normalise(task.ticket(FLAGS.depth)) for name, task in tasks.items()}
    try:
        os.makedirs(FLAGS.out, exist_ok=True)
    except OSError as error:
        raise FlagError(f"--out={FLAGS.out}: {error}") from None
    reports = [_report(name, *target, widths) for name, target in targets.items()]
    text = "\n\n".join([*reports, LEGEND])
    print(text)
    write_whole(f"{FLAGS.out}/theory.txt", lambda file: file.write(f"{text}\n".encode()))
    curves = [curve for name, target in targets.items() for curve in _curves(name, *target)]
    draw_bounds(
        curves,
        f"{FLAGS.out}/theory.png",
        delta=FLAGS.delta,
        landmarks={"atoms in the observable universe, about $10^{80}$": 80},
        title="How wide must a random network be to contain a ticket by chance?",
        subtitle=f"Theorem 2 at depth {FLAGS.depth}, error {FLAGS.eps:g}, {FLAGS.norm} norm",
    )
    print(f"\nfigure: {FLAGS.out}/theory.png\ntable: {FLAGS.out}/theory.txt")
    return 0
