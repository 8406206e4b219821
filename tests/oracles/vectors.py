"""A network of the small problem as one vector, as the searches with gates see it; NumPy."""

import itertools

import jax
import numpy as np

from tests.oracles.problems import WIDTHS


def flat(tree):
    """One vector, the bias before the kernel in each layer, as JAX orders a dict."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def unflat(vector):
    """The layers, (kernel, bias) each, of such a vector."""
    layers = []
    for m, n in itertools.pairwise(WIDTHS):
        bias, kernel, vector = vector[:n], vector[n : n + m * n], vector[n + m * n :]
        layers.append((kernel.reshape(m, n), bias))
    return layers


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
