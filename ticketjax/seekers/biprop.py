"""Multi-prize tickets (biprop): edge-popup in a network whose kept weights are only signs."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from ticketjax.base import Params
from ticketjax.checks import option
from ticketjax.seekers.edge_popup import EdgePopup, popup_params


def binarised(params: Params, mask: Params) -> Params:
    """Kernels alpha m sign(theta), alpha the mean |theta| of what the layer's mask keeps.

    Of all such kernels it is the nearest to m theta. Biases are m theta as they are.

    Args:
        params: theta, a view {"layer_0": {"kernel", "bias"}, ...}.
        mask: bool, a tree like params.

    Returns:
        A tree like params.

    >>> params = {"layer_0": {"kernel": jnp.array([[1.0, -3.0, 5.0]]), "bias": jnp.array([7.0])}}
    >>> mask = {"layer_0": {"kernel": jnp.array([[1, 1, 0]]), "bias": jnp.array([1])}}
    >>> binarised(params, mask)["layer_0"]["kernel"].tolist()
    [[2.0, -2.0, 0.0]]
    """

    def kernel(theta: jax.Array, kept: jax.Array) -> jax.Array:
        kept = jnp.where(kept, 1.0, 0.0).astype(theta.dtype)
        alpha = jnp.sum(jnp.abs(theta) * kept) / jnp.maximum(jnp.sum(kept), 1.0)
        return alpha * kept * jnp.sign(theta)

    return {
        name: {
            part: kernel(theta, mask[name][part])
            if part == "kernel"
            else jnp.where(mask[name][part], theta, 0.0)
            for part, theta in layer.items()
        }
        for name, layer in params.items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Biprop(EdgePopup):
    """A seeker that trains a score per parameter and keeps the largest, of a binary network.

    In every step the mask keeps the top |s|, the network computes with alpha_l m sign(theta), where
    alpha_l = sum(m |theta|) / sum m in layer l, and s <- s - lr * sgn(s) * theta * dL/dtheta_eff,
    with momentum, weight decay and a learning rate that decays as a cosine. All else is as in
    edge-popup.

    Binarising destroys the magnitudes of the weights, and so those of a planted ticket. What is
    measured is the mask on theta, as for every seeker; the binary network itself is not. Where all
    weights of a layer have one magnitude, biprop is edge-popup.

    Args:
        annealed, normalise, scope, epochs, batch_size, learning_rate, momentum, weight_decay,
            restarts, levels, start, optimizer, objective: as in EdgePopup.

    Raises:
        ValueError: as EdgePopup.

    Source: Diffenderfer and Kailkhura 2021, arXiv 2103.09377, algorithm 1, and the authors' code.
    Published: the defaults here, but 100 epochs in batches of 128 (small networks on CIFAR-10),
        with batch normalisation and without biases; with one threshold for the whole network, the
        density falls as a cubic over 10 epochs. The binary network is what is measured.
    Departures: those of EdgePopup; biases have scores too, and keep their values; annealing is that
        of EdgePopup.

    >>> seeker = Biprop(learning_rate=0.3)  # (key, problem, density) -> Found
    """

    weight_decay: float = option(1e-4, least=0)

    name: ClassVar[str] = "biprop"

    def effective(self, params: Params, scores: Params, mask: Params) -> Params:
        """The binary network, with the gradient of edge-popup."""
        popup = popup_params(params, scores, mask)
        return jax.tree.map(
            lambda binary, p: binary + (p - jax.lax.stop_gradient(p)),
            binarised(params, mask),
            popup,
        )
