"""λ_max against the batch size: which samples are drawn, means and errors, and the mean matrix."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from test_measure_untouched import model_in_use, state
from torch import nn
from written_out import cross_entropy, dense_case

from normfield.errors import InvalidInput
from normfield.measure.eigenvalues.batch_sizes import curvature_by_batch_size


def powers() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """One weight and x² = 2^k for sample k: a batch's λ·B tells which samples are in it."""
    x = 2.0 ** (torch.arange(12, dtype=torch.float64)[:, None] / 2)
    return nn.Linear(1, 1, bias=False).double(), (x, torch.zeros(12, 1, dtype=torch.float64))


def samples_of(value: float, size: int) -> set[int]:
    total = round(value * size)
    assert total == pytest.approx(value * size, rel=1e-12)
    return {k for k in range(12) if total >> k & 1}


def test_which_samples_are_drawn() -> None:
    """Without replacement, larger batches holding the smaller ones, other batches others, by the seed."""
    model, pool = powers()
    found = curvature_by_batch_size(model, pool, sizes=(6, 3, 12), batches_each=4, seed=5)
    drawn = {
        row.batch_size: [samples_of(value, row.batch_size) for value in row.values] for row in found.rows
    }
    assert list(drawn) == [3, 6, 12]
    for size, batches in drawn.items():
        assert [len(batch) for batch in batches] == [size] * 4
    assert all(small < large for small, large in zip(drawn[3], drawn[6], strict=True))
    assert len({frozenset(batch) for batch in drawn[6]}) > 1
    again = curvature_by_batch_size(model, pool, sizes=(3,), batches_each=4, seed=5)
    assert again.rows[0].values.tolist() == found.rows[0].values.tolist()
    other = curvature_by_batch_size(model, pool, sizes=(3,), batches_each=4, seed=6)
    assert other.rows[0].values.tolist() != found.rows[0].values.tolist()


def test_means_errors_and_limits() -> None:
    model, pool = powers()
    found = curvature_by_batch_size(model, pool, sizes=(3, 12), batches_each=4)
    values = found.rows[0].values
    assert found.largest_eigenvalue[0] == pytest.approx(values.mean())
    assert found.standard_error[0] == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 3 / 4))
    assert found.mean_matrix_eigenvalue[0] == pytest.approx(values.mean())  # one weight: the same thing
    assert found.largest_eigenvalue[1] == pytest.approx((2**12 - 1) / 12)
    assert found.standard_error[1] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found.max_learning_rate(0.9), 3.8 / found.mean_matrix_eigenvalue)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_dense_oracle_with_batch_norm(statistics: str) -> None:
    torch.manual_seed(3)
    case, seed = dense_case(), 7
    found = curvature_by_batch_size(
        case.model, (case.x, case.labels), (5,), "cross_entropy", "ggn", statistics, 3, 1e-9, seed
    )
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.randperm(len(case.x), generator=generator)[:5] for _ in range(3)]
    matrices = [case.matrix(statistics, "ggn", cross_entropy, case.x[c], case.labels[c]) for c in chosen]
    own = [np.linalg.eigvalsh(matrix)[-1] for matrix in matrices]
    np.testing.assert_allclose(found.rows[0].values, own, rtol=1e-7)
    mean = np.linalg.eigvalsh(sum(matrices) / 3)[-1]
    assert found.rows[0].mean_matrix_eigenvalue == pytest.approx(mean, rel=1e-7)
    assert mean < np.mean(own)


def test_a_loader_and_nested_inputs_give_the_same_pool() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1, bias=False).double()

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.layer(left + right)

    model, (x, y) = powers()
    plain = curvature_by_batch_size(model, (x, y), sizes=(4,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=6)
    np.testing.assert_allclose(
        curvature_by_batch_size(model, loader, sizes=(4,)).rows[0].values, plain.rows[0].values
    )
    halves = [
        ({"left": part / 4, "right": part * 0.75}, t) for part, t in zip(x.split(6), y.split(6), strict=True)
    ]
    np.testing.assert_allclose(
        curvature_by_batch_size(Sum(), halves, sizes=(4,)).rows[0].values, plain.rows[0].values
    )


def test_what_it_says() -> None:
    model, pool = powers()
    told: list[str] = []
    found = curvature_by_batch_size(model, pool, sizes=(3, 6), batches_each=1, progress=told.append)
    assert told == [str(row) for row in found.rows]
    assert math.isnan(found.standard_error[0])
    content = json.loads(found.to_json())
    assert content["standard_error"] == [None, None]
    assert "standard_error" in content["reason"]
    assert found.to_frame()["batch_size"].tolist() == [3, 6]
    assert "12 samples in the pool" in str(found)
    figure = curvature_by_batch_size(model, pool, sizes=(3, 6)).figure()
    assert "batch size" in figure.alt


def test_left_as_it_was() -> None:
    model = model_in_use()
    before = state(model)
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(2))
    data = torch.utils.data.TensorDataset(x, torch.arange(20) % 3)
    loader = torch.utils.data.DataLoader(data, batch_size=10, shuffle=True)
    curvature_by_batch_size(model, loader, (5,), "cross_entropy", batches_each=2)
    assert state(model) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": (3, 13)},
            "expected sizes from 1 to the 12 samples of the pool, got 3, 13; give more samples",
        ),
        ({"sizes": (0,)}, "expected sizes from 1"),
        ({"sizes": ()}, "expected sizes as whole numbers, got ()"),
        ({"sizes": (2.5,)}, "expected sizes as whole numbers, got (2.5,)"),
        ({"sizes": "12"}, "expected sizes as whole numbers, got '12'"),
        ({"sizes": (3,), "seed": 2**70}, "expected seed as a whole number"),
        ({"sizes": None}, "expected sizes as whole numbers, got None"),
        ({"sizes": (3,), "batches_each": 0}, "expected batches_each an integer of at least 1, got 0"),
        ({"sizes": (3,), "kind": "other"}, "expected kind one of"),
        ({"sizes": (3,), "seed": -1}, "expected seed as a whole number from 0 to 2**63 - 1, got -1"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    model, pool = powers()
    with pytest.raises(InvalidInput) as caught:
        curvature_by_batch_size(model, pool, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batches_of_different_shapes_are_no_pool() -> None:
    batches = [(torch.randn(4, 3), torch.zeros(4, 1)), (torch.randn(4, 2), torch.zeros(4, 1))]
    with pytest.raises(InvalidInput, match="expected batches of one structure and shape"):
        curvature_by_batch_size(nn.Linear(3, 1), batches, sizes=(2,))
    found = curvature_by_batch_size(nn.Linear(3, 1), batches[:1], sizes=(2,))
    with pytest.raises(InvalidInput, match="expected a momentum"):
        found.max_learning_rate(-0.1)
