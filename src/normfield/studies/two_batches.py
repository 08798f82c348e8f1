"""Two batches through one deep network, each normalised by itself: what their activations share, layer by layer."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from normfield.nets import build
from normfield.network import Activation, Network
from normfield.studies.deep_networks import normal

#: Batches drawn independently of one another; the rate is read from every pair of them.
INDEPENDENT = 3


def activations(module: nn.Module, network: Network, batch: Tensor) -> list[Tensor]:
    """h (B, N) behind every activation, batch norms with the batch's own statistics."""
    found = []
    with torch.no_grad():
        for layer, part in zip(network.layers, module.children(), strict=True):
            batch = part(batch)
            if isinstance(layer, Activation):
                found.append(batch.double())
    return found


def overlaps(network: Network, batch_size: int, correlation: float, seed: int) -> tuple[np.ndarray, ...]:
    """What batches share at each layer of one network.

    Returns
    -------
    (similarity, centred, independent)
        Of a batch and one correlated with it sample by sample: the mean of h₁·h₂ over the mean of ‖h‖², and the same of
        centred activations, (layers,) each. Of independent batches: the centred GΞG (pairs, layers, B, B) of each pair.
    """
    module, width = build(network, seed), network.input_shape[0]
    drawn = normal((INDEPENDENT + 1, batch_size, width), seed)
    drawn[-1] = correlation * drawn[0] + (1 - correlation**2) ** 0.5 * drawn[-1]
    layers = [activations(module, network, batch) for batch in drawn]
    pairs = list(zip(layers[0], layers[-1], strict=True))
    return (
        np.array([_similarity(h, k) for h, k in pairs]),
        np.array([_similarity(_centred(h), _centred(k)) for h, k in pairs]),
        np.array([_between(layers[i], layers[k]) for i, k in combinations(range(INDEPENDENT), 2)]),
    )


def _centred(h: Tensor) -> Tensor:
    return h - h.mean(0)


def _similarity(h: Tensor, k: Tensor) -> float:
    return float((h * k).sum() / (h.norm() * k.norm()))


def _between(first: list[Tensor], second: list[Tensor]) -> np.ndarray:
    return np.array(
        [(_centred(h) @ _centred(k).T / h.shape[1]).numpy() for h, k in zip(first, second, strict=True)]
    )


def persistence(independent: np.ndarray, from_layer: int) -> float:
    """By what a layer's GΞG is multiplied to give the mean of the next one's: least squares over all entries.

    Independent batches share only what chance gives them at finite width, a stationary noise of about 1/√N that the
    network forgets at the rate λ_CB, in each of the (B − 1)² directions alike.
    """
    seen = independent[:, from_layer:]
    return float((seen[:, :-1] * seen[:, 1:]).sum() / (seen[:, :-1] ** 2).sum())
