"""Modules that cannot be measured, each with the line that says why."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normfield.errors import InvalidInput
from normfield.measure import curvature


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


FLAT, TOKENS = randn(6, 3), torch.tensor([[0, 1], [1, 4], [3, 3], [2, 0]])


class Reentrant(nn.Module):
    """Recomputes its second layer in torch's older way."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.two, self.one(x).tanh(), use_reentrant=True)  # pyright: ignore[reportReturnType]


class Autocast(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(input).float()


class FusedWeightNorm(nn.Module):
    """torch's own operation, of which only a part is differentiated the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.g, self.v = nn.Parameter(randn(4, 1)), nn.Parameter(randn(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch._weight_norm(self.v, self.g, 0).T


class Wrapped(Tensor):
    """A tensor of another kind."""


def on_two_devices() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, device="meta"))


def with_a_subclass() -> nn.Module:
    model = nn.Linear(3, 2)
    model.weight = nn.Parameter(torch.zeros(2, 3).as_subclass(Wrapped))
    return model


def complex_layer() -> nn.Module:
    model = nn.Linear(3, 2)
    model.weight = nn.Parameter(torch.zeros(2, 3, dtype=torch.complex64))
    return model


REFUSED: dict[str, tuple[nn.Module, str, str]] = {
    "autocast inside": (
        Autocast(3, 2),
        "ggn",
        "expected a model that computes in float32 or float64, got bfloat16 inside its forward; switch autocast",
    ),
    "two devices": (
        on_two_devices(),
        "ggn",
        "have values on one device, got cpu, meta; move it to one device",
    ),
    "complex": (complex_layer(), "ggn", "expected real parameters, got complex64 at 'weight'"),
    "tensor subclass": (with_a_subclass(), "ggn", "plain dense tensors, got Wrapped at 'weight'"),
    "reentrant checkpoint": (
        Reentrant(),
        "hessian",
        "whose derivatives torch can take, got RuntimeError: When use_reentrant=True",
    ),
    "no second derivative": (
        nn.EmbeddingBag(5, 3),
        "hessian",
        "got NotImplementedError: the derivative for '_embedding_bag_backward' is not implemented",
    ),
    "half a second derivative": (
        FusedWeightNorm(),
        "hessian",
        'right second derivatives for kind="hessian", got products that are not those of a symmetric matrix',
    ),
}


def test_traced_modules_are_refused() -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.trace"):
        traced = torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3))
    with pytest.raises(
        InvalidInput, match=r"expected a torch\.nn\.Module in Python, got TopLevelTracedModule"
    ):
        curvature(traced, (FLAT, randn(6, 2)))  # pyright: ignore[reportArgumentType]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    model, kind, words = REFUSED[name]
    x = TOKENS if name == "no second derivative" else FLAT
    y = randn(len(x), {"half a second derivative": 4, "no second derivative": 3}.get(name, 2))
    with pytest.raises(InvalidInput) as caught:
        curvature(model, (x, y), kind=kind, method="lanczos")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
