"""GraSP: gradient signal preservation."""

import dataclasses

import jax

from ticketjax.base import CLASSIFICATION, Tree
from ticketjax.masks import apply_mask
from ticketjax.problem import Problem

# Wang et al. flatten the softmax by this factor; a regression output is not to be scaled.
LOGIT_TEMPERATURE = 200.0


def grasp(key: jax.Array, problem: Problem, params: Tree, mask: Tree) -> Tree:
    """Score theta * (H g): how much of the gradient's norm the parameter carries.

    g is the gradient of the loss with its logits divided by 200 (classification only), H its
    Hessian; H g is one forward derivative of the gradient along g. The authors remove the
    largest -theta * (H g) first; here as everywhere the highest scores are kept. With the rescaled
    objective, H is that of the loss at the fitted scale: the scale does not move with theta.

    Args:
        key, problem, params, mask: as in Score.

    Returns:
        Scores, a tree like params.

    Source: Wang, Zhang and Grosse 2020, arXiv 2002.07376, algorithm 1.
    Published: once, on 10 samples of each class (CIFAR-10), the raw loss, logits divided by 200;
        of kernels. The authors' code draws dense layers anew before it scores them.
    Departures: biases are scored too where they are prunable; nothing is drawn anew; 40 samples
        unless told otherwise, see Singleshot. The code of Fischer and Burkholz 2022 divides the
        outputs of regressions by 200 as well.
    """
    del key
    if problem.kind == CLASSIFICATION:
        apply = problem.apply
        problem = dataclasses.replace(problem, apply=lambda p, x: apply(p, x) / LOGIT_TEMPERATURE)

    # The mask is part of the function, so that H and g live on the kept parameters alone.
    def gradient(p: Tree) -> Tree:
        return jax.grad(lambda q: problem.descent_loss(apply_mask(q, mask)))(p)

    _, hessian_gradient = jax.jvp(gradient, (params,), (gradient(params),))
    return jax.tree.map(lambda p, hg: p * hg, apply_mask(params, mask), hessian_gradient)
