"""Edge-popup as in the published code: a softmax before the loss, scores of biases that stay 0."""

import dataclasses

import jax


def with_softmax(seeker):
    """The seeker, of a network that ends in a softmax."""

    def seek(key, problem, density):
        apply = problem.apply
        ended = dataclasses.replace(problem, apply=lambda p, x: jax.nn.softmax(apply(p, x)))
        return seeker(key, ended, density)

    return seek


def with_still_biases(scores):
    """Scores of edge-popup with those of biases at 0, where they stay."""
    return {name: {**layer, "bias": 0 * layer["bias"]} for name, layer in scores.items()}
