"""Batch norm in closed form against torch's forward, autograd, and differences of single entries."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import normfield as nf


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_torch(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Torch's own operation, which takes no ε = 0; there channels as rows and autograd."""
    if eps > 0:
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    values = x.transpose(0, 1).flatten(1)
    scaled = (values - values.mean(1, keepdim=True)) / values.std(1, correction=0, keepdim=True)
    outputs = gamma[:, None] * scaled + beta[:, None]
    return outputs.view(x.transpose(0, 1).shape).transpose(0, 1)


SHAPES = [(2, 1), (9, 4), (6, 3, 5), (5, 3, 4, 2), (1, 2, 3, 3), (3, 2, 2, 3, 2)]


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.3])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_passes_are_those_of_torch(shape: tuple[int, ...], eps: float) -> None:
    x, gamma, beta = 2 * drawn(*shape) + 0.7, drawn(shape[1], seed=1), drawn(shape[1], seed=2)
    g = drawn(*shape, seed=3)
    leaves = [t.clone().requires_grad_() for t in (x, gamma, beta)]
    expected = by_torch(*leaves, eps)
    wanted = torch.autograd.grad(expected, leaves, g)
    found = nf.batch_norm_forward(x, gamma, beta, eps)
    torch.testing.assert_close(found.outputs, expected.detach(), rtol=1e-12, atol=1e-12)
    gradients = nf.batch_norm_backward(g, found)
    scale = float(wanted[0].abs().max()) + 1
    torch.testing.assert_close(gradients.inputs, wanted[0], rtol=1e-11, atol=1e-12 * scale)
    torch.testing.assert_close(gradients.weight, wanted[1], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradients.bias, wanted[2], rtol=1e-12, atol=1e-12)


def loss_in_numpy(x: np.ndarray, gamma: float, beta: float, g: np.ndarray, eps: float) -> float:
    """Σ g y of one channel, every step written out."""
    mean = x.sum() / x.size
    variance = ((x - mean) ** 2).sum() / x.size
    return float((g * (gamma * (x - mean) / np.sqrt(variance + eps) + beta)).sum())


def test_the_backward_pass_is_the_slope_of_single_entries() -> None:
    x, g, gamma, beta, eps, h = drawn(7, 1).numpy(), drawn(7, 1, seed=4).numpy(), 1.7, 0.2, 0.05, 1e-6
    found = nf.batch_norm_backward(
        torch.from_numpy(g),
        nf.batch_norm_forward(torch.from_numpy(x), torch.tensor([gamma]), torch.tensor([beta]), eps),
    )
    gamma = float(torch.tensor(gamma))  # as float32 holds it
    for i in range(7):
        step = np.zeros_like(x)
        step[i] = h
        slope = (
            loss_in_numpy(x + step, gamma, beta, g, eps) - loss_in_numpy(x - step, gamma, beta, g, eps)
        ) / (2 * h)
        assert float(found.inputs[i]) == pytest.approx(slope, abs=1e-8)


def test_what_the_samples_share_does_not_pass() -> None:
    """Neither a constant gradient nor one along x̂ reaches the input at ε = 0."""
    found = nf.batch_norm_forward(drawn(20, 3), eps=0.0)
    for g in (torch.ones(20, 3, dtype=torch.float64), found.normalised):
        assert float(nf.batch_norm_backward(g, found).inputs.abs().max()) < 1e-13


def test_convolutions_share_statistics_over_positions() -> None:
    found = nf.batch_norm_forward(drawn(4, 3, 5, 2))
    assert found.values_per_channel == 40
    torch.testing.assert_close(found.unbiased_variance, drawn(4, 3, 5, 2).transpose(0, 1).flatten(1).var(1))


def test_it_stays_outside_the_callers_graph_and_in_its_dtype() -> None:
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = nf.batch_norm_forward(x, torch.ones(2, dtype=torch.float64))
    assert found.outputs.dtype == torch.float32
    assert not found.outputs.requires_grad
    assert nf.batch_norm_backward(torch.ones(6, 2), found).inputs.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow_on_the_way(dtype: torch.dtype) -> None:
    """Variances of 90,000 and sums of 100,000 are beyond float16; the numbers are those of float64, rounded once."""
    x, g = (300 * drawn(128, 2)).to(dtype), (1000 + drawn(128, 2, seed=1)).to(dtype)
    gamma, beta = drawn(2, seed=2).to(dtype), drawn(2, seed=3).to(dtype)
    found = nf.batch_norm_forward(x, gamma, beta)
    gradients = nf.batch_norm_backward(g, found)
    leaves = [t.double().requires_grad_() for t in (x, gamma, beta)]
    expected = by_torch(*leaves, 1e-5)
    wanted = torch.autograd.grad(expected, leaves, g.double())
    for mine, theirs in ((found.outputs, expected.detach()), (gradients.inputs, wanted[0])):
        assert mine.dtype == dtype
        close = 4 * torch.finfo(dtype).eps * float(theirs.abs().max())
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=close)
    assert float(found.variance.max()) > 65504
    torch.testing.assert_close(gradients.weight.double(), wanted[1], rtol=1e-3, atol=0.1)
    torch.testing.assert_close(gradients.bias.double(), wanted[2], rtol=1e-5, atol=0)


def test_what_half_precision_does_not_hold_is_refused() -> None:
    found = nf.batch_norm_forward(drawn(8, 2).half())
    with pytest.raises(
        nf.InvalidInput, match=r"outputs that float16 holds, got one of .*; call x\.float\(\)"
    ):
        nf.batch_norm_forward(drawn(8, 2).half(), torch.full((2,), 1e6))
    with pytest.raises(nf.InvalidInput, match="input gradients that float16 holds"):
        nf.batch_norm_backward(1e6 * drawn(8, 2, seed=1), found)


def test_results_are_shown() -> None:
    found = nf.batch_norm_forward(drawn(5, 3))
    frame = found.to_frame()
    assert list(frame["variance"]) == pytest.approx(found.variance.tolist())
    assert json.loads(found.to_json())["values_per_channel"] == 5
    assert str(found).startswith("3 channels normalised over 5 values each")
    assert [trace["name"] for trace in found.plot().to_plotly_json()["data"]] == ["mean", "variance"]
    gradients = nf.batch_norm_backward(drawn(5, 3, seed=1), found)
    norms = gradients.inputs.norm(dim=0)
    assert list(gradients.to_frame()["input_gradient_norm"]) == pytest.approx(norms.tolist())
    assert json.loads(gradients.to_json())["bias_gradient"] == pytest.approx(gradients.bias.tolist())
    assert str(gradients).startswith(f"gradient norms: inputs {float(norms.norm()):.3g}")
    assert len(gradients.plot().to_plotly_json()["data"]) == 3


X = drawn(4, 3)
BAD = {
    "a list": (lambda: nf.batch_norm_forward([[1.0]]), "x as a tensor (m, C)"),
    "one dimension": (lambda: nf.batch_norm_forward(X[0]), "got shape (3,)"),
    "whole numbers": (lambda: nf.batch_norm_forward(torch.ones(3, 2, dtype=torch.int64)), "call x.double()"),
    "one sample": (lambda: nf.batch_norm_forward(X[:1]), "at least 2 values per channel"),
    "NaN": (lambda: nf.batch_norm_forward(X * float("nan")), "12 NaN or infinite values"),
    "a weight too long": (lambda: nf.batch_norm_forward(X, torch.ones(4)), "each of the 3 channels"),
    "an infinite bias": (lambda: nf.batch_norm_forward(X, None, torch.full((3,), torch.inf)), "finite bias"),
    "negative eps": (lambda: nf.batch_norm_forward(X, eps=-1e-5), "eps as a finite number of at least 0"),
    "a constant channel": (
        lambda: nf.batch_norm_forward(torch.tensor([[1.0, 2.0], [3.0, 2.0]]), eps=0.0),
        "all alike in channel 1",
    ),
    "a gradient of another shape": (
        lambda: nf.batch_norm_backward(X[:2], nf.batch_norm_forward(X)),
        "the outputs' shape (4, 3), got shape (2, 3)",
    ),
    "no forward pass": (lambda: nf.batch_norm_backward(X, X), "what batch_norm_forward returned"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name: str) -> None:
    call, words = BAD[name]
    with pytest.raises(nf.InvalidInput) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
