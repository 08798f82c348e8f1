"""The modules that PyTorch has no ready form of: an activation row, and a residual block."""

from __future__ import annotations

import torch

from normfield.nets import ops
from normfield.network import ActivationFunction


class Pointwise(torch.nn.Module):
    """h = φ(x) for one activation row."""

    def __init__(self, row: ActivationFunction) -> None:
        super().__init__()
        self.row = row

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row.function(ops, x)

    def extra_repr(self) -> str:
        return self.row.name


class ResidualBlock(torch.nn.Module):
    """shortcut(x) + branch(x)."""

    def __init__(self, branch: torch.nn.Module, shortcut: torch.nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.branch(x)
