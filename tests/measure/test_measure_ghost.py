"""Ghost batches against a module that normalises its groups itself, by formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dense_oracle import Named, eigenvalues, half_squared
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure import curvature, output_covariance


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y, LABELS = randn(12, 2, 4), randn(12, 3, seed=2), torch.arange(12) % 3


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = (
        nn.Conv1d(2, 4, 1),
        nn.BatchNorm1d(4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(16, 3),
        nn.BatchNorm1d(3),
    )
    return nn.Sequential(*layers).double()


def by_groups(z: Tensor, size: int, frozen: bool) -> Tensor:
    """Each group of `size` samples by its own mean and variance, all in one array (groups, size, channels, …)."""
    groups = z.reshape(-1, size, *z.shape[1:])
    others = [1, *range(3, groups.dim())]
    statistics = groups.detach() if frozen else groups
    mean = statistics.mean(others, keepdim=True)
    variance = ((statistics - mean) ** 2).mean(others, keepdim=True)
    return ((groups - mean) / (variance + 1e-5).sqrt()).reshape(z.shape)


def formula(p: Named, x: Tensor, size: int, frozen: bool = False) -> Tensor:
    z = torch.einsum("nci,oc->noi", x, p["0.weight"][:, :, 0]) + p["0.bias"][:, None]
    h = (p["1.weight"][:, None] * by_groups(z, size, frozen) + p["1.bias"][:, None]).tanh()
    z = h.reshape(len(x), 16) @ p["4.weight"].T + p["4.bias"]
    return p["5.weight"] * by_groups(z, size, frozen) + p["5.bias"]


def cubic(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss that is no mean over samples."""
    return ((outputs - targets) ** 2).mean() ** 1.5


LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "squared": ("squared", half_squared, Y),
    "sum": (nn.MSELoss(reduction="sum"), lambda f, y: ((f - y) ** 2).sum(), Y),
    "cross-entropy": ("cross_entropy", nn.functional.cross_entropy, LABELS),
    "not a mean": (cubic, cubic, Y),
}


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [3, 6])
def test_against_explicit_ghost_batch_norm(loss: str, kind: str, size: int) -> None:
    given, by_formula, y = LOSSES[loss]
    expected = eigenvalues(model(), lambda p: formula(p, X, size), lambda f: by_formula(f, y), kind)
    for method in ("dense", "lanczos"):
        result = curvature(
            model(), (X, y), given, kind, ghost_batch_size=size, method=method, tolerance=1e-10
        )
        np.testing.assert_allclose(
            result.eigenvalues, expected[: len(result.eigenvalues)], rtol=1e-7, atol=1e-9 * expected[0]
        )
        assert result.ghost_batch_size == size
        assert result.assumes == (f"batch-norm statistics of groups of {size} samples",)


def test_frozen_statistics_of_groups() -> None:
    expected = eigenvalues(
        model(), lambda p: formula(p, X, 4, frozen=True), lambda f: half_squared(f, Y), "ggn"
    )
    result = curvature(model(), (X, Y), statistics="frozen", ghost_batch_size=4, tolerance=1e-10)
    np.testing.assert_allclose(result.eigenvalues, expected[:3], rtol=1e-8)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_for_a_mean_loss_ghosts_are_batches(kind: str) -> None:
    apart = [(X[start : start + 4], LABELS[start : start + 4]) for start in (0, 4, 8)]
    values = [
        curvature(model(), batches, "cross_entropy", kind, ghost_batch_size=ghosts, tolerance=1e-10)
        for batches, ghosts in (((X, LABELS), 4), (apart, None))
    ]
    assert values[0].largest_eigenvalue == pytest.approx(values[1].largest_eigenvalue, rel=1e-8)
    assert (values[0].batches, values[1].batches) == (1, 3)
    whole = curvature(model(), (X, LABELS), "cross_entropy", kind, tolerance=1e-10)
    assert whole.largest_eigenvalue != pytest.approx(values[0].largest_eigenvalue, rel=1e-2)


def test_one_group_is_the_batch_itself() -> None:
    whole, ghost = (curvature(model(), (X, Y), ghost_batch_size=g, tolerance=1e-10) for g in (None, 12))
    np.testing.assert_allclose(ghost.eigenvalues, whole.eigenvalues, rtol=1e-12)
    assert whole.ghost_batch_size is None


def test_an_output_covariance_of_ghosts() -> None:
    with torch.no_grad():
        q = formula(dict(model().named_parameters()), X, 3).softmax(1)
    expected = torch.diag(q.mean(0)) - q.T @ q / 12
    found = output_covariance(model(), (X, LABELS), ghost_batch_size=3).matrix
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_dropped_short_batch_need_not_divide() -> None:
    result = curvature(model(), [(X, Y), (X[:5], Y[:5])], ghost_batch_size=4)
    assert (result.samples, result.dropped_samples) == (12, 5)


class Folded(nn.Module):
    """Its batch norm sees positions as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x.transpose(1, 2).flatten(0, 1)).reshape(len(x), -1))


REFUSED = {
    "not dividing": (
        model(),
        {"ghost_batch_size": 5},
        "expected a ghost_batch_size that divides every batch, got 5 for the 12 samples of batch 1",
    ),
    "one": (
        model(),
        {"ghost_batch_size": 1},
        "expected ghost_batch_size as a whole number of at least 2, got 1",
    ),
    "bool": (model(), {"ghost_batch_size": True}, "as a whole number of at least 2, got True"),
    "float": (model(), {"ghost_batch_size": 4.0}, "as a whole number of at least 2, got 4.0"),
    "running": (
        model(),
        {"ghost_batch_size": 4, "statistics": "running"},
        'expected statistics="batch" or "frozen" with a ghost_batch_size, got "running"',
    ),
    "no batch norm": (
        nn.Sequential(nn.Flatten(), nn.Linear(8, 3)).double(),
        {"ghost_batch_size": 4},
        "expected a model with batch norm for a ghost_batch_size, got one without; leave it out",
    ),
    "positions as rows": (
        Folded().double(),
        {"ghost_batch_size": 4},
        "one row for each sample, for a ghost_batch_size, got 48 rows for 12 samples at 'norm'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    module, options, words = REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        curvature(module, (X, Y), **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all("forward" not in vars(part) for part in module.modules())
    assert not any(part._forward_pre_hooks for part in module.modules())
