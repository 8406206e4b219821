"""Random pruning: the baseline that any score has to beat."""

import jax

from ticketjax.base import Params, Problem
from ticketjax.masks import layer_names


def random(key: jax.Array, problem: Problem, params: Params, mask: Params) -> Params:
    """Independent N(0, 1) scores, whatever the network."""
    del problem, mask
    scores = {}
    for i, name in enumerate(layer_names(params)):
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, i))
        scores[name] = {
            "kernel": jax.random.normal(kernel_key, params[name]["kernel"].shape),
            "bias": jax.random.normal(bias_key, params[name]["bias"].shape),
        }
    return scores
