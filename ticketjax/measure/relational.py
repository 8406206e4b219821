"""Whether relations reveal a ticket: a classifier of parameters, trained on other networks.

audit() looks at one parameter at a time. The classifier sees each weight together with its row, its
column, the biases and the neighbouring layers, and uses neither data nor gradients. It is trained
on some networks and has to detect the planted weights of others.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ticketjax.base import Params
from ticketjax.masks import layer_names

FOLDS = 5
# Background weights of a layer that are used for training, per network.
MOST_BACKGROUND = 2000
RIDGE = 1e-3
NEWTON_STEPS = 12
# Sizes count as equal, or as in the ratio of two, within this relative deviation.
EXACTLY = 1e-3
TINY = 1e-12

FEATURES = (
    *("size", "sign", "rank in row", "rank in column"),
    *("equals in row", "equals in column", "doubles in row", "doubles in column"),
    *("signs of row", "signs of column", "norm of row", "norm of column"),
    *("bias", "bias is 0", "size over bias", "norm before", "norm after"),
)


class Relational(NamedTuple):
    """How well a classifier detects planted weights in networks on which it was not trained.

    Args:
        layers: (layers,) AUC of each layer's weights, as the mean over the networks in which the
            layer has both planted and other weights; NaN if there is no such network. 0.5 is
            chance.
        overall: mean of the layers' AUCs, weighted by their numbers of planted weights.
        largest: the largest AUC of a layer.
    """

    layers: np.ndarray
    overall: float
    largest: float


def _alike(sizes: np.ndarray, ratio: float) -> np.ndarray:
    """For each entry, how many others in its row are `ratio` times as large or as small."""
    logs = np.log(np.maximum(sizes, TINY))
    order = np.argsort(logs, axis=1)
    ordered = np.take_along_axis(logs, order, axis=1)
    counts = np.empty(ordered.shape)
    shifts = (np.log(ratio), -np.log(ratio)) if ratio != 1 else (0.0,)
    for i, line in enumerate(ordered):
        counts[i] = sum(
            np.searchsorted(line, line + shift + EXACTLY, "right")
            - np.searchsorted(line, line + shift - EXACTLY, "left")
            for shift in shifts
        )
    found = np.empty(counts.shape)
    np.put_along_axis(found, order, counts - (ratio == 1), axis=1)
    return found


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """The rank of each entry in its row, 0 to 1."""
    return np.argsort(np.argsort(sizes, axis=1), axis=1) / max(sizes.shape[1] - 1, 1)


def _signs(kernel: np.ndarray) -> np.ndarray:
    """(rows, 1) excess of one sign in each row, in standard deviations of fair coin flips."""
    return np.abs(np.sign(kernel).sum(axis=1, keepdims=True)) / np.sqrt(kernel.shape[1])


def features(params: Params, layer: int) -> np.ndarray:
    """The features of each weight of a layer, for a classifier.

    Args:
        params: of consecutive dense layers, {"layer_0": {"kernel", "bias"}, ...}.
        layer: index of the layer.

    Returns:
        (n_in * n_out, FEATURES), float64.
    """
    names = layer_names(params)
    kernels = [np.asarray(params[name]["kernel"], np.float64) for name in names]
    kernel, bias = kernels[layer], np.asarray(params[names[layer]]["bias"], np.float64)
    sizes = np.abs(kernel) + TINY

    def norm(values: np.ndarray, axis: int) -> np.ndarray:
        return np.log(np.sqrt(np.mean(values**2, axis=axis)) + TINY)

    ones = np.ones(kernel.shape)
    before = norm(kernels[layer - 1], 0)[:, None] if layer else np.zeros((len(kernel), 1))
    after = norm(kernels[layer + 1], 1)[None] if layer + 1 < len(kernels) else np.zeros((1, 1))
    log_bias = np.log(np.abs(bias) + TINY)[None]
    absent = (bias == 0)[None]
    columns = [
        *(np.log(sizes), np.sign(kernel), _ranks(sizes), _ranks(sizes.T).T),
        *(np.log1p(_alike(sizes, 1.0)), np.log1p(_alike(sizes.T, 1.0).T)),
        *(np.log1p(_alike(sizes, 2.0)), np.log1p(_alike(sizes.T, 2.0).T)),
        *(_signs(kernel) * ones, _signs(kernel.T).T * ones),
        *(norm(kernel, 1)[:, None] * ones, norm(kernel, 0)[None] * ones),
        *(np.where(absent, 0, log_bias) * ones, absent * ones),
        np.where(absent, 0, np.log(sizes) - log_bias),
        *(before * ones, after * ones),
    ]
    return np.stack([column.ravel() for column in columns], axis=1)


def _wide(x: np.ndarray) -> np.ndarray:
    """Features with their squares and a constant."""
    return np.concatenate([x, x**2, np.ones((len(x), 1))], axis=1)


class _Classifier(NamedTuple):
    """A logistic regression on standardised features and their squares."""

    mean: np.ndarray
    deviation: np.ndarray
    coefficients: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        return _wide((x - self.mean) / self.deviation) @ self.coefficients


def _fit(x: np.ndarray, planted: np.ndarray) -> _Classifier:
    """Newton's method with a ridge; planted weights and background have the same total weight."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    wide = _wide((x - mean) / deviation)
    weights = np.where(planted, 0.5 / planted.sum(), 0.5 / (~planted).sum())
    coefficients = np.zeros(wide.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(wide @ coefficients, -30, 30)))
        slope = wide.T @ (weights * (chance - planted)) + RIDGE * coefficients
        curvature = (wide * (weights * np.maximum(chance * (1 - chance), 1e-6))[:, None]).T @ wide
        curvature[np.diag_indices_from(curvature)] += RIDGE
        coefficients = coefficients - np.linalg.solve(curvature, slope)
    return _Classifier(mean, deviation, coefficients)


def _auc(scores: np.ndarray, planted: np.ndarray) -> float:
    """The probability that a planted weight has the larger score; ties count half."""
    background = np.sort(scores[~planted])
    ours = scores[planted]
    below = np.searchsorted(background, ours, "left"), np.searchsorted(background, ours, "right")
    return float(np.mean((below[0] + below[1]) / 2) / len(background))


def relational_audit(
    networks: Sequence[tuple[Params, Params]], folds: int = FOLDS, seed: int = 0
) -> Relational:
    """Train a classifier of planted weights on some networks and test it on others.

    This is a cross-validation: each fold of the networks is tested once, after training on the
    others.

    Args:
        networks: parameters and planted mask of each; consecutive dense layers, all of the same
            shapes. If every network has a ticket of its own, the classifier learns what these
            tickets have in common.
        folds: number of folds.
        seed: of the assignment of networks to folds, and of the choice of background weights for
            training.

    Returns:
        A Relational.

    Raises:
        ValueError: there are fewer networks than folds, or fewer than two folds.
    """
    if not 2 <= folds <= len(networks):
        raise ValueError(
            f"folds must be in 2..{len(networks)}, the number of networks, got {folds!r}"
        )
    draw = np.random.default_rng(seed)
    of_fold = draw.permutation(len(networks)) % folds
    names = layer_names(networks[0][0])
    layers, counts = np.full(len(names), np.nan), np.zeros(len(names))
    for i, name in enumerate(names):
        masks = [np.asarray(mask[name]["kernel"]).ravel() != 0 for _, mask in networks]
        counts[i] = sum(mask.sum() for mask in masks)
        usable = [n for n, mask in enumerate(masks) if 0 < mask.sum() < mask.size]
        if len({of_fold[n] for n in usable}) < 2:
            continue
        seen = {n: features(networks[n][0], i) for n in usable}
        chosen = {n: _chosen(draw, masks[n]) for n in usable}
        aucs = []
        for fold in range(folds):
            train = [n for n in usable if of_fold[n] != fold]
            x = np.concatenate([seen[n][chosen[n]] for n in train])
            classifier = _fit(x, np.concatenate([masks[n][chosen[n]] for n in train]))
            tested = [n for n in usable if of_fold[n] == fold]
            aucs += [_auc(classifier.scores(seen[n]), masks[n]) for n in tested]
        layers[i] = np.mean(aucs)
    known = np.isfinite(layers)
    if not known.any():
        return Relational(layers, 0.5, 0.5)
    overall = np.average(layers[known], weights=counts[known])
    return Relational(layers, float(overall), float(layers[known].max()))


def _chosen(draw: np.random.Generator, planted: np.ndarray) -> np.ndarray:
    """The weights for training: all planted ones, and some of the background."""
    background = np.flatnonzero(~planted)
    some = draw.permutation(background)[:MOST_BACKGROUND]
    return np.concatenate([np.flatnonzero(planted), some])


def known_rows_auc(params: Params, mask: Params, targets: Sequence[Params]) -> float:
    """How well an attacker who knows the task detects the planted weights of the output layer.

    A row of the output layer has the outgoing weights of one hidden neuron. Every row is compared
    with the rows of known tickets, and the largest cosine is the score of its weights. Planting
    scales rows, but keeps their ratios.

    Args:
        params, mask: the network's parameters and its planted mask.
        targets: tickets of the task: the planted one or, if tickets are drawn, others.

    Returns:
        AUC, 0..1. It is 0.5 for a single output, where all rows look alike, and if nothing or
        everything is planted.
    """
    last = layer_names(params)[-1]
    planted = np.asarray(mask[last]["kernel"]) != 0
    if planted.shape[1] == 1 or not 0 < planted.sum() < planted.size:
        return 0.5

    def rows(kernel) -> np.ndarray:
        kernel = np.asarray(kernel, np.float64)
        kernel = kernel[np.linalg.norm(kernel, axis=1) > TINY]
        return kernel / np.linalg.norm(kernel, axis=1, keepdims=True)

    known = np.concatenate([rows(list(target.values())[-1]["kernel"]) for target in targets])
    scores = (rows(np.asarray(params[last]["kernel"]) + TINY) @ known.T).max(axis=1)
    return _auc(np.repeat(scores, planted.shape[1]), planted.ravel())
