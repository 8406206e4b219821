"""Algorithm 1 of Fischer and Burkholz (2022), neuron by neuron, in plain Python and float64.

It has the library's deviations: every factor except that of a single parameter is rounded to the
nearest power of two, the output layer has one factor, which keeps the layer's size, and a hash
(lot) chooses among neurons that fit equally well.
"""

import math

import numpy as np

from tests.oracles.forward import layers


def _power_of_two(factor):
    return 2.0 ** round(math.log2(factor))


def _lot(parameters):
    """MurmurHash3's finalizer for the summed bits, with Python's integers."""
    bits = np.asarray(parameters, np.float32).view(np.uint32)
    lot = sum(map(int, bits)) % 2**32
    lot = (lot ^ (lot >> 16)) * 0x85EBCA6B % 2**32
    lot = (lot ^ (lot >> 13)) * 0xC2B2AE35 % 2**32
    return (lot ^ (lot >> 16)) | 1


def _fit(theta, matching):
    """(cosine, factor) of a candidate; a factor must be positive, so the misfit is |theta| sin."""
    size, product = math.sqrt(matching @ matching), theta @ matching
    cosine = product / size / math.sqrt(theta @ theta) if size else 0.0
    return cosine, (product / size**2 if product > 0 else math.sqrt(theta @ theta) / (size or 1))


def place(target, params):
    """Where every layer's target neurons go, and with which factors.

    Returns (neurons, factors) per layer: lists of the mother neuron and the factor (target output
    / planted output) of each target neuron.
    """
    placed = []
    pairs, mothers = layers(target), layers(params)
    sources, scales = list(range(len(pairs[0][0]))), [1.0] * len(pairs[0][0])
    for depth, ((kernel, bias), (mother_kernel, mother_bias)) in enumerate(
        zip(pairs, mothers, strict=True)
    ):
        neurons, factors = [None] * len(bias), [None] * len(bias)
        # Incoming parameters of target neuron i, times the factors of its sources.
        wanted = [np.append(kernel[:, i] * scales, bias[i]) for i in range(len(bias))]
        there = [
            np.append(mother_kernel[sources, j], mother_bias[j]) for j in range(len(mother_bias))
        ]
        if depth == len(pairs) - 1:
            matching = [np.where(wanted[i] != 0, there[i], 0) for i in range(len(bias))]
            factor = np.linalg.norm(wanted) / np.linalg.norm(matching)
            placed.append((list(range(len(bias))), [_power_of_two(factor)] * len(bias)))
            break
        free = list(range(len(mother_bias)))
        lots = [
            _lot(np.append(column, b))
            for column, b in zip(mother_kernel.T, mother_bias, strict=True)
        ]
        for i in sorted(range(len(bias)), key=lambda i: -np.count_nonzero(wanted[i])):
            support = np.flatnonzero(wanted[i])
            fits = [_fit(wanted[i][support], there[j][support]) for j in free]
            # Single parameters of one sign fit equally well: lots choose among them.
            highest = max(cosine for cosine, _ in fits)
            equal = [c for c in range(len(free)) if fits[c][0] >= highest - 1e-6]
            best = max(equal, key=lambda c: lots[free[c]])
            cosine, factor = fits[best]
            if len(support) == 0:
                factor = 1.0
            elif len(support) > 1 or cosine <= 0:
                factor = _power_of_two(factor)
            neurons[i], factors[i] = free.pop(best), factor
        placed.append((neurons, factors))
        sources, scales = neurons, np.array(factors)
    return placed


def plant(target, params):
    """As ticketjax.plant: parameters, mask and output scale."""
    planted = {
        name: {part: np.array(leaf, np.float64) for part, leaf in layer.items()}
        for name, layer in params.items()
    }
    mask = {
        name: {part: np.zeros(np.shape(leaf), bool) for part, leaf in layer.items()}
        for name, layer in params.items()
    }
    pairs, placed = layers(target), place(target, params)
    sources, scales = list(range(len(pairs[0][0]))), [1.0] * len(pairs[0][0])
    for depth, ((kernel, bias), (neurons, factors)) in enumerate(zip(pairs, placed, strict=True)):
        name = f"layer_{depth}"
        for i, (neuron, factor) in enumerate(zip(neurons, factors, strict=True)):
            for j, source in enumerate(sources):
                if kernel[j, i] != 0:
                    planted[name]["kernel"][source, neuron] = kernel[j, i] * scales[j] / factor
                    mask[name]["kernel"][source, neuron] = True
            if bias[i] != 0:
                planted[name]["bias"][neuron] = bias[i] / factor
                mask[name]["bias"][neuron] = True
        sources, scales = neurons, factors
    return planted, mask, scales[0]
