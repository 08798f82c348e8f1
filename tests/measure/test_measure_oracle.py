"""Curvature against dense matrices of networks written out by formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from written_out import (
    Case,
    convolutional_case,
    cross_entropy,
    dense_case,
    mean_squared,
    quartic,
    squared,
)

from normfield.measure import curvature

# name: (what the user passes, the same by formula)
LOSSES = {
    "squared": ("squared", squared),
    "cross_entropy": ("cross_entropy", cross_entropy),
    "mse": (nn.MSELoss(), mean_squared),
    "mse sum": (nn.MSELoss(reduction="sum"), lambda f, y: 2 * len(f) * squared(f, y)),
    "torch cross-entropy": (nn.CrossEntropyLoss(), cross_entropy),
    "callable": (quartic, quartic),
}
SAME = ("mse sum", "torch cross-entropy")  # as another one up to a factor: one kind will do
QUESTIONS = [
    (loss, kind)
    for loss in LOSSES
    for kind in ("fisher", "ggn", "hessian")
    if (loss, kind) != ("callable", "fisher") and (loss not in SAME or kind == "hessian")
]


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def compare(result, matrix: np.ndarray) -> None:
    values = np.linalg.eigvalsh(matrix)[::-1][: len(result.eigenvalues)]
    np.testing.assert_allclose(result.eigenvalues, values, rtol=1e-8, atol=1e-8 * abs(values[0]))
    assert result.largest_eigenvalue == pytest.approx(values[0], rel=1e-8)
    vectors = result.vectors.numpy()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-7)
    miss = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    assert miss.max() < 1e-4 * abs(values[0])


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
@pytest.mark.parametrize(("loss", "kind"), QUESTIONS)
@pytest.mark.parametrize("method", ["lanczos", "dense"])
def test_one_batch(case: Case, loss: str, kind: str, statistics: str, method: str) -> None:
    given, by_formula = LOSSES[loss]
    batch = case.batch(slice(None))
    matrix = case.matrix(statistics, kind, by_formula, *batch)
    result = curvature(case.model, batch, given, kind, statistics, top=2, tolerance=1e-11, method=method)
    assert result.status == "converged"
    assert result.method == method
    compare(result, matrix)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("method", ["lanczos", "dense"])
def test_several_batches_are_the_weighted_mean_of_their_matrices(case: Case, kind: str, method: str) -> None:
    batches = [case.batch(slice(0, 3)), case.batch(slice(3, None))]
    sizes = [len(y) for _, y in batches]
    assert sizes[0] < sizes[1]
    matrices = [case.matrix("batch", kind, cross_entropy, *batch) for batch in batches]
    matrix = sum(size * part for size, part in zip(sizes, matrices, strict=True)) / sum(sizes)
    result = curvature(case.model, batches, "cross_entropy", kind, tolerance=1e-11, method=method)
    assert (result.batches, result.samples, result.dropped_samples) == (2, sum(sizes), 0)
    compare(result, matrix)


def test_the_three_modes_differ(case: Case) -> None:
    batch = case.batch(slice(None))
    values = {
        curvature(case.model, batch, statistics=s).largest_eigenvalue for s in ("batch", "frozen", "running")
    }
    assert max(values) > 1.02 * sorted(values)[1] > 1.02**2 * min(values)


def test_modes_of_the_module_do_not_matter_to_batch_norm(case: Case) -> None:
    batch = case.batch(slice(None))
    trained = curvature(case.model.train(), batch)
    assert curvature(case.model.eval(), batch).largest_eigenvalue == trained.largest_eigenvalue


def test_frozen_parameters_are_left_out(case: Case) -> None:
    batch = case.batch(slice(None))
    full = case.matrix("batch", "ggn", cross_entropy, *batch)
    case.model.one.weight.requires_grad_(False)
    count = case.model.one.weight.numel()
    result = curvature(case.model, batch, "cross_entropy", "ggn", tolerance=1e-11, method="lanczos")
    compare(result, full[count:, count:])


def test_squared_loss_finds_the_whole_cluster(case: Case) -> None:
    batch = case.batch(slice(None))
    values = np.linalg.eigvalsh(case.matrix("batch", "ggn", squared, *batch))[::-1]
    result = curvature(case.model, batch, tolerance=1e-11, method="lanczos")
    assert len(result.eigenvalues) == result.cluster_size == 3
    assert result.cluster_mean == pytest.approx(values[:3].mean(), rel=1e-8)


def test_error_estimate_holds_at_a_loose_tolerance(case: Case) -> None:
    batch = case.batch(slice(None))
    exact = np.linalg.eigvalsh(case.matrix("batch", "ggn", cross_entropy, *batch))[-1]
    result = curvature(case.model, batch, "cross_entropy", "ggn", tolerance=1e-3, method="lanczos")
    assert abs(result.largest_eigenvalue / exact - 1) <= max(result.error, 1e-14)
    assert result.error <= 1e-3
    curved, vector = case.matrix("batch", "ggn", cross_entropy, *batch), result.vectors[:, 0].numpy()
    residual = (
        np.linalg.norm(curved @ vector - result.largest_eigenvalue * vector) / result.largest_eigenvalue
    )
    assert residual <= result.residual * (1 + 1e-6), "an upper bound: the iteration ran in the outputs' space"
    assert np.abs(np.linalg.eigvalsh(curved) / result.largest_eigenvalue - 1).min() <= result.residual


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("seen", [0, 1])
def test_flat_directions_have_vectors_too(loss: str, seen: int) -> None:
    """Inputs that are zero but in `seen` samples: more eigenvalues are wanted than differ from 0, or none does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(7, 5, bias=False), nn.Linear(5, 3, bias=False)).double()
    x = torch.zeros(6, 7, dtype=torch.float64)
    x[:seen] = torch.arange(1.0, 8.0).double()
    result = curvature(model, (x, torch.arange(6) % 3), loss, "ggn", top=5, method="lanczos")
    exact = curvature(model, (x, torch.arange(6) % 3), loss, "ggn", top=5, method="dense")
    np.testing.assert_allclose(result.eigenvalues, exact.eigenvalues, atol=1e-10)
    assert result.eigenvalues.min() >= 0
    torch.testing.assert_close(result.vectors.T @ result.vectors, torch.eye(5, dtype=torch.float64))


def test_residual_of_a_hessian_is_that_of_its_vector(case: Case) -> None:
    batch = case.batch(slice(None))
    curved = case.matrix("batch", "hessian", cross_entropy, *batch)
    result = curvature(case.model, batch, "cross_entropy", "hessian", tolerance=1e-3, method="lanczos")
    vector = result.vectors[:, 0].numpy()
    residual = (
        np.linalg.norm(curved @ vector - result.largest_eigenvalue * vector) / result.largest_eigenvalue
    )
    assert result.residual == pytest.approx(float(residual), rel=1e-3)


def test_single_precision_agrees(case: Case) -> None:
    x, y = case.batch(slice(None))
    exact = np.linalg.eigvalsh(case.matrix("batch", "ggn", cross_entropy, x, y))[-1]
    result = curvature(case.model.float(), (x.numpy(), y.numpy()), "cross_entropy", "ggn", tolerance=1e-4)
    assert result.vectors.dtype == torch.float32
    assert result.largest_eigenvalue == pytest.approx(exact, rel=1e-4)
