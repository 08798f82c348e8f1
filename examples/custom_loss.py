"""A regression with outliers and a loss of one's own, which any function (outputs, targets) -> scalar can be.

    normfield diagnose examples/custom_loss.py:make --data examples/custom_loss.py:data \
        --loss examples/custom_loss.py:huber --budget 30
"""

import torch
import torch.nn.functional as F
from torch import nn


def huber(outputs, targets):
    """Squared near zero, linear beyond 0.5, so that outliers pull with one force only."""
    return F.huber_loss(outputs, targets, delta=0.5)


def data():
    """2,000 samples of 20 features; two targets, one in twenty of them far off."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2000, 20, generator=generator)
    targets = torch.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2:5].sum(1).sin()], dim=1)
    outliers = torch.rand(2000, 1, generator=generator) < 0.05
    return inputs, targets + outliers * 10 * torch.randn(2000, 2, generator=generator)


def make(seed=0):
    """A small network with batch norm in front of each activation."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(20, 100),
        nn.BatchNorm1d(100),
        nn.ReLU(),
        nn.Linear(100, 100),
        nn.BatchNorm1d(100),
        nn.ReLU(),
        nn.Linear(100, 2),
    )
