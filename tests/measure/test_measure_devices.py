"""The same numbers on every device, from batches that lie elsewhere, and every generator left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dense_oracle import Named, eigenvalues
from torch import Tensor, nn

from normfield.measure import curvature, output_covariance


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, LABELS, VALUES = randn(9, 3), torch.arange(9) % 2, randn(9, 2, seed=2)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).double()


def formula(p: Named) -> Tensor:
    z = X @ p["0.weight"].T + p["0.bias"]
    z = (z - z.mean(0)) / (((z - z.mean(0)) ** 2).mean(0) + 1e-5).sqrt()
    return (p["1.weight"] * z + p["1.bias"]).tanh() @ p["3.weight"].T + p["3.bias"]


def quartic(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 4).mean()


LOSSES: dict[str, tuple[Any, Any, Tensor]] = {
    "squared": ("squared", lambda f: ((f - VALUES) ** 2).sum() / 18, VALUES),
    "cross_entropy": ("cross_entropy", lambda f: nn.functional.cross_entropy(f, LABELS), LABELS),
    "callable": (quartic, lambda f: quartic(f, VALUES), VALUES),
}


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_right_on_every_device(device: str, loss: str, kind: str, method: str) -> None:
    given, by_formula, y = LOSSES[loss]
    expected = eigenvalues(model(), formula, by_formula, kind)
    on_device = model().to(device)
    result = curvature(on_device, (X, y.numpy()), given, kind, method=method, tolerance=1e-9)
    assert result.largest_eigenvalue == pytest.approx(expected[0], rel=1e-7)
    assert result.vectors.device.type == device
    assert next(on_device.parameters()).device.type == device


def test_an_output_covariance_on_every_device(device: str) -> None:
    with torch.no_grad():
        q = formula(dict(model().named_parameters())).softmax(1)
    expected = torch.diag(q.mean(0)) - q.T @ q / 9
    found = output_covariance(model().to(device), (X, LABELS)).matrix
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


def test_dropout_is_frozen_and_the_devices_generator_put_back(device: str) -> None:
    """On a square loss of a linear model, twice the mask is four times the curvature."""
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2, bias=False)).double().to(device)
    state = torch.cuda.get_rng_state if device == "cuda" else torch.get_rng_state
    before = state()
    values = {
        seed: curvature(net, (X, VALUES), kind="hessian", seed=seed, method="lanczos", tolerance=1e-9)
        for seed in (0, 1)
    }
    again = curvature(net, (X, VALUES), kind="hessian", seed=1, method="dense")
    assert torch.equal(state(), before)
    assert again.largest_eigenvalue == pytest.approx(values[1].largest_eigenvalue, rel=1e-8)
    assert values[0].largest_eigenvalue != pytest.approx(values[1].largest_eigenvalue, rel=1e-3)
    generator = torch.Generator(device).manual_seed(1)
    if device == "cpu":  # the masks themselves, where the order of draws is known
        mask = torch.empty(9, 3, dtype=torch.float64).bernoulli_(0.5, generator=generator) * 2
        rows = (X * mask).T @ (X * mask) / 9
        assert again.largest_eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(rows)[-1]), rel=1e-8)


@pytest.mark.gpu
def test_autocast_around_a_measurement_on_the_device_changes_nothing() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net = model().float().cuda()
    alone = curvature(net, (X, LABELS), "cross_entropy").largest_eigenvalue
    with torch.autocast("cuda"):
        inside = curvature(net, (X, LABELS), "cross_entropy").largest_eigenvalue
    assert inside == pytest.approx(alone, rel=1e-5)
