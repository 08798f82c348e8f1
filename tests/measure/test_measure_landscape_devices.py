"""Landscape, theorems and noise are the same on a GPU as on the processor, from batches that lie on either."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf

pytestmark = pytest.mark.gpu
X = torch.randn(32, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(32) % 3
BATCHES = list(zip(X.split(8), Y.split(8), strict=True))


@pytest.fixture
def models() -> tuple[nn.Module, nn.Module]:
    """One network on both devices."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    made = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        layers = [nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)]
        made.append(nn.Sequential(*layers).double().to(device))
    return made[0], made[1]


def test_walks(models: tuple[nn.Module, nn.Module]) -> None:
    size = sum(p.numel() for p in models[0].parameters())
    for direction in (None, torch.ones(size, dtype=torch.float64), {"3.bias": torch.ones(3).double()}):
        here, there = (nf.landscape(model, (X, Y), "cross_entropy", direction=direction) for model in models)
        np.testing.assert_allclose(there.losses, here.losses, rtol=1e-9)
        np.testing.assert_allclose(there.gradient_predictiveness, here.gradient_predictiveness, rtol=1e-7)


def test_theorems(models: tuple[nn.Module, nn.Module]) -> None:
    here, there = (nf.gradient_inequality(model, (X, Y), "cross_entropy") for model in models)
    assert there.holds
    np.testing.assert_allclose(there.layers[0].bound, here.layers[0].bound, rtol=1e-9)
    np.testing.assert_allclose(there.layers[0].curvature, here.layers[0].curvature, rtol=1e-7)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_noise(models: tuple[nn.Module, nn.Module], statistics: str) -> None:
    here, there = (
        nf.gradient_noise(model, BATCHES, "cross_entropy", statistics=statistics) for model in models
    )
    assert there.unit == here.unit
    assert there.covariance_trace == pytest.approx(here.covariance_trace, rel=1e-9)
    assert there.signal_to_noise_error == pytest.approx(here.signal_to_noise_error, rel=1e-7)
