"""Selection of an exact number of parameters by a stable sort."""

import numpy as np


def top_k(scores, k):
    """Mask of the k largest of a vector; NaN ranks lowest; the first among equals."""
    values = np.asarray(scores, np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    mask = np.zeros(values.size, bool)
    mask[np.argsort(-values, kind="stable")[:k]] = True
    return mask


def select(scores, density, scope, prune_bias=True, alive=None):
    """As ticketjax.selection.select, for layers named layer_0, layer_1, ..."""
    parts = ("kernel", "bias") if prune_bias else ("kernel",)
    places = [(f"layer_{i}", part) for i in range(len(scores)) for part in parts]
    step = {"global": len(places), "local": len(parts)}[scope]
    groups = [places[i : i + step] for i in range(0, len(places), step)]
    kept = {
        name: {part: np.ones(np.shape(leaf), bool) for part, leaf in layer.items()}
        for name, layer in scores.items()
    }
    for group in groups:
        entries = []
        for name, part in group:
            leaf = np.asarray(scores[name][part], np.float64)
            for index in np.ndindex(leaf.shape):
                value = -np.inf if np.isnan(leaf[index]) else leaf[index]
                pruned = alive is not None and not alive[name][part][index]
                entries.append((pruned, 0.0 if pruned else -value, len(entries), name, part, index))
        budget = round(density * len(entries))
        for rank, (_, _, _, name, part, index) in enumerate(sorted(entries, key=lambda e: e[:3])):
            kept[name][part][index] = rank < budget
    return kept
