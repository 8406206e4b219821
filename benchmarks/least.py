r"""Minimum size of a ticket against the planted size: every mask of tiny networks, smallest first.

    python -m benchmarks.least --tickets=25 --out=benchmarks/results/least-cpu.txt

For each setting and ticket, finds the smallest mask with which the network is the target as a
function, up to a positive scale: exactly (largest error below 0.001 of the range; below 1% of the
points in another class) and roughly (0.03; 5%). A minute or two on one core.
"""

import collections
import itertools

import jax
import numpy as np
from absl import app, flags

import ticketjax as tj
from ticketjax.base import CLASSIFICATION
from ticketjax.measure.equivalence import input_grid
from ticketjax.measure.least import least_mask
from ticketjax.records.columns import aligned

flags.DEFINE_integer("tickets", 25, "Development tickets of each setting, seeds 0 to N-1.")
flags.DEFINE_string("out", None, "File of the table.")
FLAGS = flags.FLAGS

POINTS = 400
LIMITS = {
    "exactly": {},
    "roughly": {"exact": 0.03, "most_disagreement": 0.05},
}
SETTINGS = (
    ("random_teacher(inputs=1, outputs=1, hidden=(1,), parameters=4)", 6),
    ("random_teacher(inputs=1, outputs=1, hidden=(2,), parameters=6)", 6),
    ("random_teacher(inputs=1, outputs=1, hidden=(2,), parameters=6)", 12),
    ("random_teacher(inputs=1, outputs=1, hidden=(3,), parameters=9)", 8),
    ("random_teacher(inputs=1, outputs=1, hidden=(2, 2), parameters=8)", 4),
    ("random_teacher(inputs=2, outputs=2, hidden=(2,), parameters=8, kind='classification')", 6),
    ("sparse_parity(inputs=3, bits=2)", 6),
)


def planted(task, width):
    """seed -> the planted network's parameters, the target, and its number of parameters."""
    depth = len(task.ticket_of(0)) + 1
    model = tj.mlp(task, depth, width)

    @jax.jit
    def plant(seed, ticket):
        params = model.init(jax.random.fold_in(jax.random.key(0), seed))
        return tj.plant(ticket, params).params

    def of(seed):
        ticket = task.ticket_of(seed)
        count = sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(ticket))
        return jax.device_get(plant(np.uint32(seed), ticket)), ticket, count

    return of


def forward(params, x):
    """A dense network's outputs."""
    layers = list(params.values())
    for layer in layers[:-1]:
        x = np.maximum(x @ layer["kernel"] + layer["bias"], 0)
    return x @ layers[-1]["kernel"] + layers[-1]["bias"]


def row(text, width):
    """A line of the table."""
    task = tj.get_task(text)
    of = planted(task, width)
    if text.startswith("sparse_parity"):
        x = np.array(list(itertools.product((-1.0, 1.0), repeat=task.inputs)))
    else:
        x = np.asarray(input_grid(task.inputs, POINTS))
    below = {name: collections.Counter() for name in LIMITS}
    tried = 0
    for seed in range(FLAGS.tickets):
        params, ticket, count = of(seed)
        for name, limits in LIMITS.items():
            found = least_mask(params, forward(ticket, x), x, task.kind, most=count, **limits)
            assert found.size is not None, (text, seed)
            below[name][count - found.size] += 1
            tried += found.tried
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    kind = " classes" * (task.kind == CLASSIFICATION)
    widths = "-".join(map(str, (task.inputs, *(k["bias"].size for k in ticket.values()))))
    name = text.partition("(")[0].replace("_", " ")
    shown = []
    for counts in below.values():
        mean = count - sum(fewer * n for fewer, n in counts.items()) / FLAGS.tickets
        shown.append(f"{counts[0]} of {FLAGS.tickets}, mean {mean:.1f}")
    return [f"{name} {widths}{kind}", str(count), str(size), *shown, f"{tried:.2g}"]


def main(argv):
    """Print the table, and write it."""
    del argv
    lines = [["ticket", "planted", "network", "least, exactly", "least, roughly", "masks tried"]]
    for text, width in SETTINGS:
        lines.append(row(text, width))
        print("  ".join(lines[-1]), flush=True)
    head = (
        f"Least masks, {FLAGS.tickets} development tickets each (seeds 0 to {FLAGS.tickets - 1}): "
        "in how many the planted\ncount is the least, and the mean least; exactly: error < 0.001 "
        "of the range, < 1% in another class;\nroughly: 0.03, 5%\n"
    )
    text = "\n".join([head, *aligned(lines)]) + "\n"
    print(text)
    if FLAGS.out:
        with open(FLAGS.out, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    app.run(main)
