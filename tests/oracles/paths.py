"""Input-output paths of a mask, one by one."""

import itertools

import numpy as np


def paths(mask):
    """Every path as the neurons it runs through, one per layer of neurons."""
    kernels = [np.asarray(mask[f"layer_{i}"]["kernel"]) for i in range(len(mask))]
    sizes = [kernels[0].shape[0]] + [kernel.shape[1] for kernel in kernels]
    for path in itertools.product(*map(range, sizes)):
        if all(kernel[a, b] for kernel, a, b in zip(kernels, path, path[1:], strict=False)):
            yield path


def live(mask):
    """Neurons of every layer, as sets, that some path runs through."""
    found = [set() for _ in range(len(mask) + 1)]
    for path in paths(mask):
        for layer, neuron in zip(found, path, strict=True):
            layer.add(neuron)
    return found


def on_paths(mask, prune_bias=True):
    """Kept parameters that some path uses: its weights, and its neurons' biases."""
    used = set()
    for path in paths(mask):
        for i, (source, sink) in enumerate(zip(path, path[1:], strict=False)):
            used.add((i, source, sink))
            if prune_bias and mask[f"layer_{i}"]["bias"][sink]:
                used.add((i, sink))
    return len(used)
