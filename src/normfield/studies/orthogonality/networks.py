"""Linear networks with one of three normalisers behind every layer, and the samples they are given."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from normfield.nets import build
from normfield.studies.deep_networks import NO_EPS, OUTPUTS, normal
from normfield.studies.network_kinds import NORMED, PLAIN, deep_network
from normfield.studies.orthogonality import table


class ScaleNorm(nn.Module):
    """u = z/√(E z²), the mean over the batch: batch norm without centring, γ and β [Daneshmand 2021]."""

    def forward(self, z: Tensor) -> Tensor:
        return z / (z.square().mean(dim=0) + NO_EPS).sqrt()


def linear_network(normaliser: str, width: int, layers: int, seed: int) -> nn.Module:
    """So many layers h ← N(Wh), W_ij ~ N(0, 1/width), and a linear head; the weights are the same for each N."""
    kind = PLAIN if normaliser == table.PLAIN else NORMED
    network = deep_network(kind, "linear", width, width, layers + 1, weight_variance=1.0, eps=NO_EPS)
    built = build(network, seed)
    if normaliser != table.SCALED:
        return built
    return nn.Sequential(
        *(ScaleNorm() if isinstance(part, nn.BatchNorm1d) else part for part in built.children())
    )


def alike(samples: int, width: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Normal inputs (samples, width), any two of them so correlated, and targets (samples, outputs)."""
    drawn = normal((samples + 1, width), seed)
    inputs = math.sqrt(correlation) * drawn[:1] + math.sqrt(1 - correlation) * drawn[1:]
    return inputs, torch.zeros(samples, OUTPUTS)
