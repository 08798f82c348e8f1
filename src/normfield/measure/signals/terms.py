"""The terms that one layer's weight gradient is the sum of, one for each sample and position.

Letters: a a layer's input, d = ∂ℓ/∂z the gradient at its output, t_bp = d_bp·a_bp their product for sample b and
position p, one for each weight; ∂ℓ/∂W = Σ_b Σ_p t_bp. The sum is linear in a and in d and has no other factors, so
that the same operation on |a| and |d| gives Σ|t|, and on a² and d² gives Σt².
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_HELD = 2**24  # numbers of single samples' gradients at once
_FORWARDS = (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


@dataclass(frozen=True)
class Agreement:
    """How far the terms of one sum agree; see `LayerCoherence`."""

    coherence: float | None
    across_samples: float | None
    random_signs: float | None


def is_split(layer: nn.Module) -> bool:
    """Whether a layer's outputs are the plain product of its inputs with its weights."""
    return type(layer).forward in _FORWARDS


def _map(layer: nn.Module, a: Tensor, weight: Tensor) -> Tensor:
    """The layer without its bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(a, weight)
    convolution = cast("nn.Conv2d", layer)
    return convolution._conv_forward(a, weight, None)


def weight_sum(layer: nn.Module, weight: Tensor, a: Tensor, d: Tensor) -> Tensor:
    """Σ_b Σ_p d_bp·a_bp in the weights' shape."""
    pull = torch.func.vjp(partial(_map, layer, a), weight)[1]
    return pull(d)[0]


def _over_samples(layer: nn.Module, weight: Tensor, a: Tensor, d: Tensor) -> Tensor:
    """Σ_b |Σ_p d_bp·a_bp|, some samples at a time."""

    def of_one(one: Tensor, back: Tensor) -> Tensor:
        return weight_sum(layer, weight, one[None], back[None]).abs()

    some = max(1, _HELD // weight.numel())
    total = torch.zeros_like(weight)
    for inputs, gradients in zip(a.split(some), d.split(some), strict=True):
        total += torch.func.vmap(of_one)(inputs, gradients).sum(0)
    return total


def agreement(layer: nn.Module, weight: Tensor, a: Tensor, d: Tensor) -> Agreement:
    """Of inputs a (m, …) and gradients d (m, …) of one call; ratios, so that both may be scaled."""
    largest, steepest = float(a.abs().max()), float(d.abs().max())
    if not (largest > 0 and steepest > 0):
        return Agreement(None, None, None)
    a, d = a / largest, d / steepest
    positions = d[0].numel() // d.shape[1 if isinstance(layer, _ConvNd) else -1]
    sizes = weight_sum(layer, weight, a.abs(), d.abs())
    by_sample = sizes if positions == 1 else _over_samples(layer, weight, a, d)
    whole = float(weight_sum(layer, weight, a, d).abs().double().sum())
    squares = weight_sum(layer, weight, a.square(), d.square()).clamp(min=0)
    all_terms = float(sizes.double().sum())
    return Agreement(
        whole / all_terms,
        whole / float(by_sample.double().sum()),
        math.sqrt(2 / math.pi) * float(squares.sqrt().double().sum()) / all_terms,
    )
