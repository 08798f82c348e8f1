"""Small networks with and without a norm, and two regressions for them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from normfield.data.random_state import seeded_random_state
from normfield.studies.linear_models.tables import digit_components

GAUSSIAN, DIGITS = "Gaussian inputs", "digits"
PLAIN, NORMED, WEIGHTS = "gradient descent", "batch norm", "weight norm"
INPUTS = 10


def samples(problem: str, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (count, 10) and targets (count, 1): sin x₁ + x₂x₃/2 of Gaussian inputs, or ±1 for digits from 5 on."""
    draws = torch.Generator().manual_seed(seed)
    if problem == DIGITS:
        components, high = digit_components(INPUTS)
        chosen = torch.randperm(len(high), generator=draws)[:count]
        y = torch.from_numpy(2.0 * high - 1)[:, None]
        return torch.from_numpy(components)[chosen].float(), y[chosen].float()
    x = torch.randn(count, INPUTS, generator=draws)
    return x, torch.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] / 2


def network(layers: int, width: int, norm: str, seed: int) -> nn.Sequential:
    """A ReLU network of so many hidden layers; batch norm or weight norm in each of them."""
    with seeded_random_state(seed):
        parts: list[nn.Module] = []
        for i in range(layers):
            dense = nn.Linear(width if i else INPUTS, width)
            parts.append(weight_norm(dense) if norm == WEIGHTS else dense)
            parts += [nn.BatchNorm1d(width)] if norm == NORMED else []
            parts.append(nn.ReLU())
        return nn.Sequential(*parts, nn.Linear(width, 1))
