"""What is measured is afterwards, bit for bit, what it was."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure import curvature, output_covariance


class Counting(nn.Module):
    """Writes a buffer in place and replaces another on every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("last", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.detach().mean().reshape(1)
        return x


def model_in_use() -> nn.Module:
    """A module with everything on it that a careless measurement could disturb."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Tanh(),
        Counting(),
        nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    )
    model(torch.randn(8, 4)).sum().backward()
    model[0].bias.requires_grad_(False)
    model[0].bias.grad = None
    model[5].eval()
    model[1].forward = model[1].forward  # an instance's own forward, as some tools leave one
    model[6].weight.register_hook(lambda grad: pytest.fail("a parameter hook ran"))
    model.register_forward_hook(lambda *_: None)
    return model


def state(model: nn.Module) -> dict[str, Any]:
    """A deep record of the module and of the global random state."""
    record: dict[str, Any] = {"torch": torch.get_rng_state().numpy().tobytes(), "random": random.getstate()}
    record["numpy"] = [str(part) for part in np.random.get_state()]  # noqa: NPY002
    record["threads, grad"] = (torch.get_num_threads(), torch.is_grad_enabled())
    for name, p in model.named_parameters():
        grad = None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes())
        record[f"parameter {name}"] = (id(p), p.detach().numpy().tobytes(), p._version, p.requires_grad, grad)
        record[f"hooks of {name}"] = list(p._backward_hooks or {})
    for name, buffer in model.named_buffers():
        record[f"buffer {name}"] = (id(buffer), buffer.numpy().tobytes())
    for name, module in model.named_modules():
        inside = {
            key: list(value) if isinstance(value, dict) else id(value) for key, value in vars(module).items()
        }
        record[f"module {name}"] = (module.training, inside)
    return record


BATCH = (torch.randn(9, 4, generator=torch.Generator().manual_seed(2)), torch.arange(9) % 3)


def quartic(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs**4).mean()


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
@pytest.mark.parametrize("method", ["lanczos", "dense"])
@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ("squared", "fisher"),
        ("cross_entropy", "fisher"),
        ("cross_entropy", "ggn"),
        ("squared", "hessian"),
        (quartic, "ggn"),
    ],
)
def test_after_success(loss: Any, kind: str, statistics: str, method: str) -> None:
    model = model_in_use()
    before = state(model)
    with torch.no_grad():
        curvature(model, BATCH, loss, kind, statistics, method=method)
    assert state(model) == before


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_after_a_loss_that_raises_half_way(kind: str, calls: int) -> None:
    model, left = model_in_use(), [calls]

    def failing(outputs: Tensor, targets: Tensor) -> Tensor:
        torch.randn(3), np.random.rand(), random.random()  # noqa: NPY002
        if left[0] == 0:
            raise KeyError("half-way")
        left[0] -= 1
        return (outputs**4).mean()

    before = state(model)
    with pytest.raises(KeyError, match="half-way"):
        curvature(model, [BATCH, BATCH], failing, kind, method="lanczos")
    assert state(model) == before


def test_after_a_numerical_failure() -> None:
    model = model_in_use()
    before = state(model)
    with pytest.raises(NumericalFailure):
        curvature(model, BATCH, method="lanczos", max_products=1)
    curvature(model, BATCH, method="lanczos", max_products=1, on_failure="return")
    assert state(model) == before


def test_after_bad_input() -> None:
    model = model_in_use()
    before = state(model)
    for batches in [
        (BATCH[0][:, :2], BATCH[1]),
        (BATCH[0], BATCH[1] + 1),
        (BATCH[0] * float("nan"), BATCH[1]),
        [],
    ]:
        with pytest.raises(InvalidInput):
            curvature(model, batches)
    assert state(model) == before


def test_after_an_output_covariance() -> None:
    model = model_in_use()
    before = state(model)
    output_covariance(model, BATCH)
    assert state(model) == before


def test_a_shuffling_loader_moves_no_generator_and_follows_the_seed() -> None:
    x = torch.randn(36, 4, generator=torch.Generator().manual_seed(3))
    data, own = torch.utils.data.TensorDataset(x, torch.arange(36) % 3), torch.Generator().manual_seed(4)
    model = model_in_use()

    def measured(seed: int, generator: torch.Generator | None) -> float:
        loader = torch.utils.data.DataLoader(data, batch_size=18, shuffle=True, generator=generator)
        before = (state(model), own.get_state().numpy().tobytes())
        value = curvature(model, loader, "cross_entropy", seed=seed).largest_eigenvalue
        assert (state(model), own.get_state().numpy().tobytes()) == before
        return value

    first = measured(7, None)
    torch.manual_seed(99)
    assert measured(7, None) == first
    assert measured(8, None) != first
    assert measured(7, own) == measured(8, own) != first


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("method", ["lanczos", "dense"])
def test_graphs_are_freed_without_waiting_for_the_garbage_collector(kind: str, method: str) -> None:
    """A cycle would keep a whole network's activations until the collector happens to run."""
    model = model_in_use()
    curvature(model, BATCH, quartic, kind, method=method)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        curvature(model, BATCH, quartic, kind, method=method)
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
